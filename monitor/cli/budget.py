"""The verb `validate`: checks budgets and says in words what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json

if TYPE_CHECKING:
    from monitor.config.budget_file import BudgetReport
    from monitor.config.problem import Problem
    from monitor.core.budget import Budget
    from monitor.core.eval_debt import EvalDebt

VALIDATE_EXAMPLE: Final = 'rollback-budget validate --require-owner budgets/ "more/*.yaml"'
INVALID: Final = 2


def validate(
    files: Annotated[
        list[str],
        typer.Argument(help="Budget files, directories (*.yaml, *.yml, *.json) or patterns.", metavar="FILE"),
    ],
    require_owner: Annotated[
        bool, typer.Option("--require-owner", help="A missing owner or on_call is an error, not a warning.")
    ] = False,
    debts: Annotated[
        str | None,
        typer.Option(
            "--debts",
            metavar="FILE",
            help="Eval debts, as `debt export --format jsonl` writes them; by default the ledger's, where "
            "ROLLBACK_BUDGET_KAFKA_BOOTSTRAP is set.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check budgets: every problem of every file with its place, and what good ones mean.

    A release is also told of the evaluation cases that it and its predecessors still owe; that fails no check.
    """
    from monitor.config.files import check_budgets

    reports = check_budgets(files, require_owner=require_owner)
    owed = _owed(debts)
    if output is Output.JSON:
        print_json({"valid": _all_valid(reports), "files": [_as_json(report, owed) for report in reports]})
    else:
        _print(reports, owed)
    if not _all_valid(reports):
        raise typer.Exit(INVALID)


def _all_valid(reports: tuple[BudgetReport, ...]) -> bool:
    return all(report.budget is not None for report in reports)


@dataclass(frozen=True, slots=True)
class _Owed:
    """Every eval debt that is known, and now, in event time; None where nobody was asked."""

    debts: list[EvalDebt] | None = None
    now_ms: int = 0

    def before(self, budget: Budget | None) -> list[EvalDebt]:
        from monitor.core.eval_debt import owed_before

        return [] if budget is None else owed_before(self.debts or (), budget.release, budget.baseline)


def _owed(file: str | None) -> _Owed:
    """Return the debts of a file, or of the ledger where one is named; a ledger that is away is said and no error."""
    from monitor.config.settings_source import SettingsInvalid, read_settings

    try:
        loaded = read_settings()
    except SettingsInvalid:
        if file is not None:
            raise
        return _Owed()  # budgets can be checked without a worker's settings
    if file is None and "kafka_bootstrap" not in loaded.origins:
        return _Owed()
    from monitor.adapters.timebase import WallClock
    from monitor.app import timebase_of
    from monitor.cli.debt_source import of_file, of_ledger_soon
    from monitor.cli.orders import KafkaAway

    now_ms = WallClock(timebase_of(loaded.settings)).now_ms()
    try:
        return _Owed(of_ledger_soon(loaded.settings) if file is None else of_file(file), now_ms)
    except KafkaAway as away:
        console(stderr=True).print(f"eval debt was not looked up: {away}", style="yellow")
        return _Owed()


def _as_json(report: BudgetReport, owed: _Owed) -> dict[str, object]:
    from monitor.wire.eval_cases import record_of

    known = (
        None if owed.debts is None else [record_of(one, owed.now_ms) for one in owed.before(report.budget)]
    )
    return {
        "file": report.file,
        "valid": report.budget is not None,
        "problems": [_problem_as_json(problem) for problem in report.problems],
        "budget": _budget_as_json(report.budget) if report.budget else None,
        "eval_debt": known,
    }


def _problem_as_json(problem: Problem) -> dict[str, object]:
    return {
        "severity": problem.severity.value,
        "path": problem.path_in_file,
        "line": problem.line or None,
        "column": problem.column or None,
        "message": problem.message,
    }


def _budget_as_json(budget: Budget) -> dict[str, object]:
    from monitor.config.canonical import canonical

    words = dict(_meanings(budget))
    return {**canonical(budget), "digest": budget.digest, "meaning": words}


def _print(reports: tuple[BudgetReport, ...], owed: _Owed) -> None:
    """Write summaries of good budgets to stdout and problems to stderr, so that a pipe can tell them apart."""
    from monitor.cli.debt_words import owed_lines
    from monitor.config.problem import Severity

    people, problems = console(), console(stderr=True)
    for report in reports:
        for problem in report.problems:
            problems.print(str(problem), style="red" if problem.severity is Severity.ERROR else "yellow")
        if report.budget is not None:
            people.print(f"{report.file}: valid", style="green")
            people.print(_summary(report.budget))
            for line in owed_lines(owed.before(report.budget), owed.now_ms):
                people.print(f"  {line}", style="yellow")
    bad = sum(report.budget is None for report in reports)
    if bad:
        problems.print(f"{bad} of {len(reports)} file{'s' * (len(reports) != 1)} invalid", style="bold red")


def _summary(budget: Budget) -> str:
    from monitor.config.duration import in_words

    name = f"{budget.name}: " if budget.name else ""
    head = f"  {name}{budget.release} against {budget.baseline} for {in_words(budget.window_min)}"
    meanings = (f"  - {what}: {words}" for what, words in _meanings(budget))
    return "\n".join((f"{head} (digest {budget.digest[:12]})", *meanings))


def _meanings(budget: Budget) -> Iterator[tuple[str, str]]:
    """Yield the mode, what each objective means, by its id, and what else the budget says, by its key."""
    from monitor.config.words import escalation_in_words, meaning, proof_in_words, split_in_words
    from monitor.core.ladder import MODE_WORDS

    yield "mode", MODE_WORDS[budget.mode].partition(": ")[2]
    for one in budget.objectives:
        yield one.objective_id, meaning(one, budget)
    if budget.traffic is not None:
        yield "traffic", split_in_words(budget.traffic)
    if budget.flag is not None:
        yield "verify", proof_in_words(budget.verify)
    if budget.escalation:
        yield "escalation", escalation_in_words(budget.escalation)
