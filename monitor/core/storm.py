"""A storm of rollbacks: so many automatic ones in so short a time that the cause is hardly every release's own.

A shared cause (a provider, a broken label, forged incidents) makes many releases look bad at once, and rolling all of
them back is an outage of its own making. Time is event time. What is counted stands in the ledger, so every instance
counts alike, also after a restart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from monitor.core.cohort import CohortKey, cohort_key
from monitor.core.decision import Decision, Reason, Type
from monitor.core.rehearsal import is_rehearsal


@dataclass(frozen=True, slots=True)
class StormLimit:
    """How many automatic rollbacks, over all releases, are still no storm.

    Attributes:
        max_count: In any stretch of `within_min` minutes; 0 is no limit.
    """

    max_count: int
    within_min: int

    @property
    def within_ms(self) -> int:
        """The stretch in milliseconds."""
        return self.within_min * 60_000


class Asked(NamedTuple):
    """One wish to roll back without asking anybody, as the page that came instead names it."""

    release: str
    arming: int
    objective_id: str
    view: CohortKey
    at_ms: int


def crowd(rollbacks_ms: Iterable[int], at_ms: int, within_ms: int) -> int:
    """Return the most rollbacks that any stretch of `within_ms` with `at_ms` in it holds.

    Releases are not judged in the order of event time (one is caught up later than another), so what lies after
    the moment counts as what lies before it: no stretch may hold too many, whatever came to be known first.
    """
    near = sorted(one for one in rollbacks_ms if abs(one - at_ms) < within_ms)
    starts = [*(one for one in near if one <= at_ms), at_ms]
    return max(bisect_left(near, start + within_ms) - bisect_left(near, start) for start in starts)


class StormRecord:
    """What decisions on record say of automatic rollbacks. Noting one again, or in another order, changes nothing."""

    def __init__(self) -> None:
        self._rollbacks: dict[str, int] = {}
        self._forgiven: set[str] = set()
        self._withheld: set[Asked] = set()

    def note(self, decision: Decision) -> None:
        """Take in a decision of any release."""
        if is_automatic(decision):
            self._rollbacks[decision.decision_id] = decision.at_ms
        elif decision.type is Type.PAGE_OPENED and decision.data.get("reason") == Reason.ROLLBACK_STORM.value:
            self._withheld.add(_asked(decision))
        elif decision.type is Type.BREAKER_CLOSED:
            forgiven = decision.data.get("forgiven")
            self._forgiven.update(map(str, forgiven if isinstance(forgiven, list) else ()))

    def knows(self, request_id: str) -> bool:
        """Tell whether an automatic rollback is on record."""
        return request_id in self._rollbacks

    def was_withheld(self, asked: Asked) -> bool:
        """Tell whether a page came instead of this rollback: what is on record is not decided anew."""
        return asked in self._withheld

    @property
    def withheld_count(self) -> int:
        """How many rollbacks became pages."""
        return len(self._withheld)

    def crowd(self, at_ms: int, within_ms: int) -> int:
        """Return the most rollbacks that any stretch with this moment in it holds, without those forgiven."""
        return crowd((self._rollbacks[one] for one in self._counted()), at_ms, within_ms)

    def near(self, at_ms: int, within_ms: int) -> list[str]:
        """Return the ids of the rollbacks that count less than a stretch away from a moment, sorted."""
        return sorted(one for one in self._counted() if abs(self._rollbacks[one] - at_ms) < within_ms)

    def _counted(self) -> Iterable[str]:
        return self._rollbacks.keys() - self._forgiven


def is_automatic(decision: Decision) -> bool:
    """Tell whether a decision asks for a rollback that nobody ordered; silence is no order, a drill is one."""
    asks = decision.type is Type.ROLLBACK_REQUESTED and not is_rehearsal(decision.release)
    return asks and decision.data.get("reason") != Reason.COMMANDER.value


def _asked(page: Decision) -> Asked:
    arming, cohort = page.data.get("arming"), page.data.get("cohort")
    return Asked(
        page.release,
        arming if isinstance(arming, int) else 0,
        str(page.data.get("objective")),
        cohort_key(
            {str(name): str(value) for name, value in cohort.items()} if isinstance(cohort, Mapping) else {}
        ),
        page.at_ms,
    )


@dataclass(frozen=True, slots=True)
class BreakerStanding:
    """How the breaker stands at a moment.

    Attributes:
        rollbacks: Automatic ones in the fullest stretch around the moment.
        withheld: Rollbacks that became pages, ever.
    """

    is_open: bool
    rollbacks: int
    max_rollbacks: int
    within_min: int
    withheld: int

    @property
    def words(self) -> str:
        """The standing in a phrase."""
        state = "open" if self.is_open else "closed"
        allowed = f"{self.max_rollbacks} are allowed" if self.max_rollbacks else "any number is allowed"
        return (
            f"breaker {state}: {self.rollbacks} automatic rollbacks within {self.within_min} min over all releases, "
            f"{allowed}"
        )


def standing_of(limit: StormLimit, record: StormRecord, at_ms: int) -> BreakerStanding:
    """Return how the breaker stands at a moment of event time."""
    counted = record.crowd(at_ms, limit.within_ms)
    return BreakerStanding(
        is_open=0 < limit.max_count <= counted,
        rollbacks=counted,
        max_rollbacks=limit.max_count,
        within_min=limit.within_min,
        withheld=record.withheld_count,
    )
