"""Overrides: a person's signed, expiring instruction to hold a rollback back. There is no other way to do it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from monitor.core.budget import Objective
from monitor.core.indicator import Direction


@dataclass(frozen=True, slots=True)
class Override:
    """What a commander holds back, until when, and up to which worse value.

    Attributes:
        objective_id: The one objective it holds; None holds the whole release.
        until_ms: Its end in event time; None lasts until that objective clears.
        limit: Holds only while the observed delta is not beyond this (same unit and sign as the budget's).
    """

    override_id: str
    objective_id: str | None
    from_ms: int
    until_ms: int | None
    limit: float | None
    author: str
    reason: str
    ended_ms: int | None = None

    def is_over(self, at_ms: int) -> bool:
        """Tell whether its time has passed at this tick."""
        return self.until_ms is not None and self.until_ms <= at_ms

    def holds(self, objective: Objective, delta: float | None) -> bool:
        """Tell whether it holds this objective's rollback back, at an observed delta."""
        if self.ended_ms is not None or objective.ignores_override:
            return False
        if self.objective_id is not None and self.objective_id != objective.objective_id:
            return False
        return self.limit is None or delta is None or not _is_worse(delta, self.limit, objective.worse)

    def ended(self, at_ms: int) -> Override:
        """Return the override as over."""
        return replace(self, ended_ms=at_ms)


def _is_worse(delta: float, limit: float, worse: Direction) -> bool:
    return delta < limit if worse is Direction.LOWER_IS_WORSE else delta > limit
