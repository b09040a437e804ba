"""Eval debts as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.cli.output import on_one_line
from monitor.core.eval_debt import EvalDebt
from monitor.core.moment import rfc3339

_SHORT = 12  # digits of an id that people read and copy


def debt_line(debt: EvalDebt, now_ms: int) -> str:
    """Return a debt in one line: `3e969c0ae4c2  model-v42: quality.… in tenant=acme; due …, OVERDUE; owner: …`."""
    data = debt.data
    cohort = data.get("cohort")
    parts = ", ".join(f"{name}={one}" for name, one in cohort.items()) if isinstance(cohort, Mapping) else ""
    where = f" in {parts}" if parts else ""
    if debt.closed is not None:
        stands = f"closed by {debt.closed.get('author')} at {debt.closed.get('decided_at')}"
    else:
        stands = f"due {rfc3339(debt.due_ms)}{', OVERDUE' if debt.is_overdue(now_ms) else ''}"
    owner = data.get("owner") or "nobody"
    return (
        f"{debt.debt_id[:_SHORT]}  {debt.release}: {data.get('objective')}{where}; {stands}; owner: {owner}"
    )


def debt_details(debt: EvalDebt) -> Iterator[str]:
    """Yield what else there is to say of a debt, and the command that closes it."""
    data = debt.data
    yield f"id: {debt.debt_id}"
    yield f"baseline: {debt.baseline}; opened {data.get('decided_at')}"
    case = data.get("case")
    if isinstance(case, Mapping):
        yield f"case: {case['title']}; expect: {case['expect']} (check: {case['check']})"
    for what, name in (
        ("failure classes", "failure_classes"),
        ("traces", "exemplars"),
        ("to do", "follow_ups"),
    ):
        if listed := _listed(data.get(name)):
            yield f"{what}: {', '.join(listed)}"
    if debt.closed is None:
        yield f"rollback-budget debt close {debt.debt_id[:_SHORT]} --evaluation WHERE --reason '...'"
    else:
        yield f"closed: {debt.closed.get('note')} ({debt.closed.get('evaluation') or 'no case named'})"


def owed_lines(owed: Sequence[EvalDebt], now_ms: int) -> Iterator[str]:
    """Yield what a release is told of the cases that were owed before it; nothing where none is."""
    if not owed:
        return
    late = sum(one.is_overdue(now_ms) for one in owed)
    few = "1 evaluation case is" if len(owed) == 1 else f"{len(owed)} evaluation cases are"
    yield f"eval debt: {few} still owed from before this release{f', {late} overdue' if late else ''}"
    for one in owed:
        yield f"- {on_one_line(debt_line(one, now_ms))}"


def _listed(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else []
