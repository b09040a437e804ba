"""What a backtest found: per budget, objective and slice, what would have happened, when, and how narrowly."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor.core.budget import Budget, Objective
from monitor.core.cohort import OVERALL, CohortKey

Point = tuple[int, float | None]
"""A minute of the candidate's traffic, and the delta then, in the limit's unit; None without data."""


class Fate(StrEnum):
    """What an objective would have led to, the gravest thing."""

    ROLLED_BACK = "rolled_back"
    HELD = "held"  # paged, nobody decided, and the budget says that silence holds the release as it is
    PAGED = "paged"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened.

    Attributes:
        minute: Of the candidate's traffic, counted from its first live request.
        at_ms: Event time.
    """

    minute: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Closest:
    """The evidence of a moment against what a breach needs, in nats."""

    minute: int
    evidence: float
    x_star: float


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """One objective on one slice.

    Attributes:
        first_breach: When it was first beyond its limit with first evidence.
        acted: The first page or rollback that it led to; `reason` is that one's.
        rolled_back: The rollback that it led to: at once, or because nobody decided.
        delta: Candidate against baseline in the limit's unit: as judged when it acted, else over the whole watch.
        closest: The evidence when it acted, else the strongest there was; None where none is asked for.
        last_refusal: The first check that kept the newest judged minute from acting; None without such a minute.
        usual_refusal: The one that did so most often before it acted.
        verdict, mde, minutes_spent, samples: Of the final assessment; the samples as (baseline, candidate).
        curve: The delta of the newest minutes, as many as the budget's duration; empty for incidents.
        step_min: How many minutes one point of the curve stands for; it is the worst of them.
    """

    objective: Objective
    cohort: CohortKey
    fate: Fate
    reason: str | None
    first_breach: Moment | None
    acted: Moment | None
    rolled_back: Moment | None
    delta: float | None
    closest: Closest | None
    last_refusal: str | None
    usual_refusal: str | None
    verdict: str
    mde: float | None
    minutes_spent: int
    samples: tuple[int, int]
    curve: tuple[Point, ...]
    step_min: int

    @property
    def margin(self) -> float | None:
        """How far the delta came, in limits: above 1 is beyond; None where the limit is 0 or nothing was seen."""
        if self.delta is None or self.objective.limit == 0:
            return None
        return self.delta / self.objective.limit


@dataclass(frozen=True, slots=True)
class BudgetResult:
    """One budget file.

    Attributes:
        name: The file.
        began_at_ms: The first minute of the candidate's live traffic; None where there was none.
        minutes: How long it was watched.
        complete: Whether the budget's whole window was watched.
        rollback: The first request to roll back, of the release or of a cohort, and what led to it.
    """

    name: str
    budget: Budget
    began_at_ms: int | None
    minutes: int
    complete: bool
    rollback: ObjectiveResult | None
    objectives: tuple[ObjectiveResult, ...]

    @property
    def fate(self) -> Fate:
        """The gravest thing that any of its objectives led to."""
        order = list(Fate)
        return min((one.fate for one in self.objectives), key=order.index, default=Fate.QUIET)

    def of(self, objective_id: str, cohort: CohortKey = OVERALL) -> ObjectiveResult | None:
        """Return the result of one objective on one slice."""
        found = (one for one in self.objectives if one.objective.objective_id == objective_id)
        return next((one for one in found if one.cohort == cohort), None)
