"""The verb `test`: budgets against traffic that people state: what they would do, before it happens."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from monitor.config.budget_tests import BudgetTest, BudgetTestsReport
    from monitor.core.decision import Decision
    from monitor.engine.budget_test import Answer, Rehearsal

TEST_EXAMPLE: Final = "rollback-budget test budgets/"
FAILED: Final = 1
_SHOWN: Final = 5  # decisions that a failure shows
_MODES: Final = {
    "observe": " (mode observe: what is only observed counts as what it would be)",
    "page": " (mode page: nothing rolls back without a person)",
}


def run_tests(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files of tests, or directories of them (*.tests.yaml, *.tests.yml, *.tests.json).",
            metavar="FILE",
        ),
    ],
    write_traffic: Annotated[
        Path | None,
        typer.Option(
            "--write-traffic",
            metavar="DIR",
            help="Also write the events of every test to DIR, for `replay` and `backtest`: the-name-of-it.jsonl.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run the tests of budgets: traffic in shorthand, through the live engine, against the decisions expected.

    Exits with 0 when all pass, 1 when one fails, 2 when a file cannot be used.
    """
    from monitor.config.budget_tests import load_budget_tests

    reports = load_budget_tests(files)
    if write_traffic is not None:
        _write_traffic(reports, write_traffic)
    told: list[dict[str, Any]] = []
    passed, total = 0, 0
    for report in reports:
        assert report.budget is not None, "only valid files are run"
        mode = report.budget.mode.value
        told.append({"file": report.file, "mode": mode, "tests": []})
        if output is Output.TEXT:
            console().print(f"{report.file}{_MODES.get(mode, '')}", style="bold")
        for test_, ran in _run(report):
            total, passed = total + 1, passed + ran.passed
            told[-1]["tests"].append(_as_json(test_, ran))
            if output is Output.TEXT:
                _print(console(), test_, ran)
    if output is Output.JSON:
        print_json({"passed": passed == total, "files": told})
    else:
        console().print(f"{passed} of {total} passed", style="green" if passed == total else "bold red")
    if passed < total:
        raise typer.Exit(FAILED)


def _write_traffic(reports: Sequence[BudgetTestsReport], folder: Path) -> None:
    from monitor.engine.rehearsed_traffic import rehearsed

    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken: set[str] = set()
        for report in reports:
            assert report.budget is not None, "only valid files are run"
            names = {"release": report.budget.release, "baseline": report.budget.baseline}
            for one in report.tests:
                with (folder / _file_name(one.name, taken)).open("wb") as file:
                    file.writelines(line + b"\n" for line in rehearsed(one.script, **names, seed=one.name))
    except OSError as error:
        raise MonitorError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _file_name(name: str, taken: set[str]) -> str:
    """Return a file name that any system takes and that is not taken yet: `a-slow-poison.jsonl`."""
    stem = "-".join(re.findall(r"[a-z0-9]+", name.lower())) or "test"
    free = next(
        one for number in count(1) if (one := stem if number == 1 else f"{stem}-{number}") not in taken
    )
    taken.add(free)
    return f"{free}.jsonl"


def _run(report: BudgetTestsReport) -> Iterator[tuple[BudgetTest, Rehearsal]]:
    from monitor.adapters.kafka.decode import decode
    from monitor.engine.budget_test import run_budget_test

    assert report.budget is not None, "only valid files are run"
    for one in report.tests:
        yield one, run_budget_test(report.budget, one.script, one.expected, seed=one.name, decode=decode)


def _print(people: Console, test_: BudgetTest, ran: Rehearsal) -> None:
    if ran.passed:
        people.print(f"  pass  {test_.name}{_when(ran.answers)}", style="green")
        return
    people.print(f"  FAIL  {test_.name}", style="bold red")
    for answer in ran.answers:
        if not answer.is_met:
            people.print(f"        expected {answer.expectation.words}")
            for line in _instead(answer, ran):
                people.print(f"        {line}")


def _when(answers: Sequence[Answer]) -> str:
    """Return when what was expected came, so that a narrow pass shows as one."""
    from monitor.engine.budget_test import minute_of_test

    came = [answer.came[0] for answer in answers if answer.came and not answer.expectation.is_forbidden]
    told = ", ".join(f"{one.type.value} at {minute_of_test(one)}m" for one in came)
    return f" ({told})" if told else ""


def _instead(answer: Answer, ran: Rehearsal) -> Iterator[str]:
    """Yield what came instead, each with its sentence; where nothing did, what kept it back."""
    for decision in answer.came[:_SHOWN]:
        yield f"came     {_decision_words(decision, answer.expectation.objective_id)}"
    if len(answer.came) > _SHOWN:
        yield f"         and {len(answer.came) - _SHOWN} more"
    if answer.came:
        return
    yield "came     nothing"
    yield from _kept_back(answer, ran)


def _kept_back(answer: Answer, ran: Rehearsal) -> Iterator[str]:
    from monitor.cli.backtest_report import evidence_words, why_quiet

    wanted = answer.expectation.objective_id
    for one in ran.result.objectives:
        why = why_quiet(one)
        if one.acted is None and why and wanted in (None, one.objective.objective_id):
            evidence = (
                ""
                if one.closest is None
                else f" (evidence at its strongest {evidence_words(one.closest)} nats)"
            )
            yield f"because  {one.objective.objective_id}: {why}{evidence}"


def _decision_words(decision: Decision, objective_id: str | None) -> str:
    """Return a decision with its sentence; of an assessment, what it says about an objective."""
    from monitor.engine.budget_test import minute_of_test

    data: Mapping[str, Any] = decision.data
    rows = [row["summary"] for row in data.get("objectives", ()) if row["objective"] == objective_id]
    slice_ = ", ".join(f"{name}={value}" for name, value in data.get("cohort", {}).items())
    what = f"{decision.type.value} for {slice_}" if slice_ else decision.type.value
    return f"{what} at {minute_of_test(decision)}m: {'; '.join(rows) or data['summary']}"


def _as_json(test_: BudgetTest, ran: Rehearsal) -> dict[str, Any]:
    return {
        "name": test_.name,
        "passed": ran.passed,
        "events": ran.events,
        "expected": [
            {
                "expectation": answer.expectation.words,
                "met": answer.is_met,
                "came": [_decision_words(one, answer.expectation.objective_id) for one in answer.came],
            }
            for answer in ran.answers
        ],
        "decisions": [_decision_json(one) for one in ran.decisions],
    }


def _decision_json(decision: Decision) -> dict[str, Any]:
    from monitor.engine.budget_test import minute_of_test

    data = decision.data
    return {
        "type": decision.type.value,
        "minute": minute_of_test(decision),
        **{key: data.get(key) for key in ("objective", "cohort", "tier", "reason", "summary")},
    }
