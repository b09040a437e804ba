"""Budget files on disk: which ones a person meant, and what each of them says."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from monitor.config.budget_file import BudgetReport, check_budget
from monitor.config.problem import BudgetInvalid, Problem, Severity, in_order
from monitor.config.source import MAX_BYTES
from monitor.core.budget import Budget
from monitor.core.rehearsal import is_rehearsal

SUFFIXES: Final = (".yaml", ".yml", ".json")
TESTS_SUFFIX: Final = ".tests"
"""Before the suffix of a file that lies beside a budget and holds its tests: it is no budget itself."""


def load_budgets(patterns: Sequence[str], *, require_owner: bool = False) -> tuple[Budget, ...]:
    """Return the budgets of files, directories and globs, in the order of their paths.

    Raises:
        BudgetInvalid: With every problem of every file, where one of them cannot be used.
    """
    reports = check_budgets(patterns, require_owner=require_owner)
    if any(report.budget is None for report in reports):
        raise BudgetInvalid(tuple(problem for report in reports for problem in report.problems))
    return tuple(report.budget for report in reports if report.budget is not None)


def check_budgets(
    patterns: Sequence[str], *, require_owner: bool = False, rivals: bool = False
) -> tuple[BudgetReport, ...]:
    """Return what each file says; a name without a file is a report with that problem.

    Args:
        rivals: Several files may say different things about one release: they are compared, not in force.
    """
    reports: dict[str, BudgetReport] = {}
    for pattern in patterns:
        for path in _files(pattern):
            reports.setdefault(path, _read(path, require_owner=require_owner))
        if not _files(pattern):
            reports.setdefault(pattern, _failed(pattern, _nothing_at(pattern)))
    return tuple(reports.values()) if rivals else _without_rivals(reports.values())


def holds_tests(path: str) -> bool:
    """Tell whether a file is named as one that holds the tests of a budget: `chat.tests.yaml`."""
    return Path(path).suffixes[-2:-1] == [TESTS_SUFFIX] and Path(path).suffix in SUFFIXES


def _files(pattern: str) -> tuple[str, ...]:
    """Return the files that a path, a directory or a glob means, sorted; hidden ones only by their name."""
    if not pattern:
        return ()  # a variable that is not set is no wish for the current folder
    path = Path(pattern)
    if path.is_dir():
        found = (
            entry for entry in path.iterdir() if entry.suffix in SUFFIXES and not entry.name.startswith(".")
        )
        return tuple(sorted(str(entry) for entry in found if entry.is_file() and not holds_tests(entry.name)))
    if path.exists():
        return (pattern,)
    matching = glob.glob(pattern, recursive=True)
    return tuple(sorted(entry for entry in matching if Path(entry).is_file() and not holds_tests(entry)))


def _nothing_at(pattern: str) -> str:
    if not pattern:
        return "an empty name: is a variable not set? Give a budget file, a directory of them, or a pattern in quotes"
    if Path(pattern).is_dir():
        return f"the directory holds no budget file ({', '.join(f'*{suffix}' for suffix in SUFFIXES)})"
    return "no such file; give a budget file, a directory of them, or a pattern in quotes"


def _read(path: str, *, require_owner: bool) -> BudgetReport:
    if holds_tests(path):
        return _failed(
            path, "holds the tests of a budget and is none itself; run it with `rollback-budget test`"
        )
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # one more, so that the loader sees that it is too large
    except OSError as problem:
        return _failed(path, f"cannot be read: {problem.strerror or type(problem).__name__}")
    return _kept_from_drills(check_budget(content, path, require_owner=require_owner))


def _kept_from_drills(report: BudgetReport) -> BudgetReport:
    """Refuse the names of rehearsals: what is so named is judged by rehearsed traffic, and nobody is paged for it."""
    budget = report.budget
    names = () if budget is None else (("release", budget.release), ("baseline", budget.baseline))
    taken = [
        Problem(
            report.file, key, 0, 0, f'"{name}" begins as the releases of rehearsals do; name it differently'
        )
        for key, name in names
        if is_rehearsal(name)
    ]
    return replace(report, budget=None, problems=in_order((*report.problems, *taken))) if taken else report


def _failed(path: str, message: str) -> BudgetReport:
    return BudgetReport(path, None, (Problem(path, "", 0, 0, message),))


def _without_rivals(reports: Iterable[BudgetReport]) -> tuple[BudgetReport, ...]:
    """Refuse a second file that says something else about the same release: only one can be in force."""
    first: dict[str, BudgetReport] = {}
    checked = []
    for report in reports:
        known = first.setdefault(report.budget.release, report) if report.budget else None
        if report.budget and known and known.budget and known.budget.digest != report.budget.digest:
            message = f'"{report.budget.release}" has another budget in {known.file}; keep one of the two'
            rival = Problem(report.file, "release", 0, 0, message, Severity.ERROR)
            report = replace(report, budget=None, problems=in_order((*report.problems, rival)))
        checked.append(report)
    return tuple(checked)
