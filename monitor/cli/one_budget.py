"""The one budget that a verb is about, with what its loader warns of said on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.cli.output import console

if TYPE_CHECKING:
    from monitor.core.budget import Budget
    from monitor.core.errors import MonitorError


def one_budget(path: str, wrong: type[MonitorError], verb: str) -> Budget:
    """Return the budget of a file.

    Args:
        wrong: Raised where the path names several budgets; `verb` says what to do with them.
    Raises:
        BudgetInvalid: With every problem of every file, where one of them cannot be used.
    """
    from monitor.config.files import check_budgets
    from monitor.config.problem import BudgetInvalid

    reports = check_budgets([path])
    problems = tuple(problem for report in reports for problem in report.problems)
    budgets = [report.budget for report in reports if report.budget is not None]
    if len(budgets) < len(reports):
        raise BudgetInvalid(problems)
    if len(budgets) != 1:
        raise wrong(f"--budget: {path} holds {len(budgets)} budgets; {verb} them one after the other")
    for problem in problems:
        console(stderr=True).print(str(problem), style="yellow")
    return budgets[0]
