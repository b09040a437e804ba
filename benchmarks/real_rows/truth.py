"""What is true of two releases, over every row there is: plain means and exact quantiles, no engine in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from math import ceil

from benchmarks.real_rows.rows import Row, Rows
from monitor.core.budget import Objective, Unit
from monitor.core.indicator import Direction, Indicator, IndicatorKind

HARMLESS: float = 0.5
"""Up to so much of the limit a rollback is ruled out (docs/budget-reference.md, `evidence: default`)."""


class Zone(Enum):
    """Where a true delta lies."""

    BEYOND = "beyond the limit"
    BETWEEN = "between half the limit and the limit"
    WITHIN = "within half the limit"
    NONE = "not measured"


@dataclass(frozen=True, slots=True)
class Truth:
    """Both releases' values over all their rows, and the delta in the limit's own unit; None without rows."""

    baseline: float | None
    candidate: float | None
    delta: float | None


def truth_of(objective: Objective, baseline: Rows, candidate: Rows, workflow: str | None = None) -> Truth:
    """Return what is true of an objective, for everybody or for one workflow."""
    b, c = (_value(objective.indicator, _of(rows, workflow)) for rows in (baseline, candidate))
    if b is None or c is None:
        return Truth(b, c, None)
    if objective.unit is Unit.POINTS:
        return Truth(b, c, 100 * (c - b))
    return Truth(b, c, 100 * (c - b) / b if b else None)


def zone_of(objective: Objective, truth: Truth) -> Zone:
    """Return where a true delta lies against its limit."""
    if truth.delta is None:
        return Zone.NONE
    harm = -truth.delta if objective.worse is Direction.LOWER_IS_WORSE else truth.delta
    if harm > abs(objective.limit):
        return Zone.BEYOND
    return Zone.BETWEEN if harm > HARMLESS * abs(objective.limit) else Zone.WITHIN


def workflow_of(row: Row) -> str:
    """Return which workflow a row belongs to."""
    cohort = row["cohort"]
    assert isinstance(cohort, dict)
    return str(cohort["workflow"])


def _of(rows: Rows, workflow: str | None) -> Rows:
    return rows if workflow is None else tuple(row for row in rows if workflow_of(row) == workflow)


def _value(indicator: Indicator, rows: Rows) -> float | None:
    if indicator.kind is IndicatorKind.RATE:
        flags = list(_flags(indicator.source, rows))
        return sum(flags) / len(flags) if flags else None
    amounts = sorted(_amounts(indicator, rows))
    if not amounts:
        return None
    if indicator.quantile is not None:
        return amounts[ceil(indicator.quantile * len(amounts)) - 1]
    return sum(amounts) / len(amounts)


def _flags(source: str, rows: Rows) -> Iterator[bool]:
    if source in ("error", "timeout"):
        return (row.get("status", "ok") == source for row in rows)
    return (bool(row[source]) for row in rows if row.get(source) is not None)


def _amounts(indicator: Indicator, rows: Rows) -> Iterator[float]:
    """Yield what the rows measured; the time of a call that failed is no latency (contract, `status`)."""
    for row in rows:
        found: object
        if indicator.source == "cost":
            found = row.get("cost_usd")
        elif indicator.source == "tokens":
            found = _sum(row.get("tokens_in"), row.get("tokens_out"))
        elif row.get("status", "ok") == "error":
            continue
        elif indicator.source == "latency":
            found = row.get("latency_ms")
        else:
            stages = row.get("stage_ms")
            found = stages.get(indicator.source.removeprefix("stage.")) if isinstance(stages, dict) else None
        if isinstance(found, int | float):
            yield float(found)


def _sum(*parts: object) -> float | None:
    known = [part for part in parts if isinstance(part, int)]
    return float(sum(known)) if known else None
