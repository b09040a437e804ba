"""The verb `validate`: checks budgets and says in words what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json

if TYPE_CHECKING:
    from monitor.config.budget_file import BudgetReport
    from monitor.config.problem import Problem
    from monitor.core.budget import Budget

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
    output: OutputOption = Output.TEXT,
) -> None:
    """Check budgets: every problem of every file with its place, and what good ones mean."""
    from monitor.config.files import check_budgets

    reports = check_budgets(files, require_owner=require_owner)
    if output is Output.JSON:
        print_json({"valid": _all_valid(reports), "files": [_as_json(report) for report in reports]})
    else:
        _print(reports)
    if not _all_valid(reports):
        raise typer.Exit(INVALID)


def _all_valid(reports: tuple[BudgetReport, ...]) -> bool:
    return all(report.budget is not None for report in reports)


def _as_json(report: BudgetReport) -> dict[str, object]:
    return {
        "file": report.file,
        "valid": report.budget is not None,
        "problems": [_problem_as_json(problem) for problem in report.problems],
        "budget": _budget_as_json(report.budget) if report.budget else None,
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


def _print(reports: tuple[BudgetReport, ...]) -> None:
    """Write summaries of good budgets to stdout and problems to stderr, so that a pipe can tell them apart."""
    from monitor.config.problem import Severity

    people, problems = console(), console(stderr=True)
    for report in reports:
        for problem in report.problems:
            problems.print(str(problem), style="red" if problem.severity is Severity.ERROR else "yellow")
        if report.budget is not None:
            people.print(f"{report.file}: valid", style="green")
            people.print(_summary(report.budget))
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
    """Yield what each objective means, by its id; the split as `traffic`, the proof as `verify`; and `escalation`."""
    from monitor.config.words import escalation_in_words, meaning, proof_in_words, split_in_words

    for one in budget.objectives:
        yield one.objective_id, meaning(one, budget)
    if budget.traffic is not None:
        yield "traffic", split_in_words(budget.traffic)
    if budget.flag is not None:
        yield "verify", proof_in_words(budget.verify)
    if budget.escalation:
        yield "escalation", escalation_in_words(budget.escalation)
