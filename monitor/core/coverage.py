"""Label coverage: whether both arms' requests carry a label alike.

Labels that are missing from one arm are seldom missing by chance: a judge that cannot read the worst answers, or
requests that fail before anybody labels them, leave the better ones. A comparison of survivors is not fair, so
an objective whose labels cover the candidate's requests to less than 90 % of what they cover of the baseline's is
not judged. How much is labelled at all does not matter: 5 % of both arms is fine.

Coverage is a rate like any other (labelled requests of all), with a limit of -10 % of the baseline's, judged
strictly (evidence of being beyond the limit itself, over phi), on the newest Y and the newest 2Y minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Objective, Unit
from monitor.core.indicator import Direction, IndicatorKind
from monitor.core.series import RateSeries
from monitor.core.stats.dispersion import DispersionEstimate
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.limit import Limit
from monitor.core.stats.strata import Arm, Pair

SHORT_PCT: Final = -10.0  # covered to less than 90 % of the baseline's coverage
SHORT_NATS: Final = evidence_for(
    1e-4
)  # asked every minute: at 1e-3 a few healthy days in a hundred would page
AT_ONCE_MIN: Final = 5  # what a hold of 0 counts as here
# Kappa 1: the whole fall must be proven.
_LIMIT: Final = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, SHORT_PCT, kappa=1.0)
_KNOWN_OF_EVERY_REQUEST: Final = frozenset({"error", "timeout"})


class Shortfall(NamedTuple):
    """The share of each arm's requests that carries the label, 0 to 1, over so many minutes."""

    candidate: float
    baseline: float
    span_min: int


def has_labels(objective: Objective) -> bool:
    """Tell whether an objective rests on a label that a request may lack."""
    found = objective.indicator
    return found.kind is IndicatorKind.RATE and found.source not in _KNOWN_OF_EVERY_REQUEST


def labelled(arm: Aggregate, source: str) -> Arm:
    """Return how many of a minute's requests carry a label, and all; one labelled twice counts once at most."""
    return min(arm.rate(source)[1], arm.requests), arm.requests


class Coverage:
    """One objective's labels on one slice, minute by minute.

    Attributes:
        is_short: Whether the candidate's labels fall short of the baseline's. It begins on evidence and ends when
            the newest 2Y minutes have data and are no longer short by their point estimate; without data it stays.
    """

    __slots__ = ("_dispersion", "_hold_min", "_series", "is_short")

    def __init__(self, hold_min: int) -> None:
        self._hold_min = hold_min or AT_ONCE_MIN
        self._series = RateSeries(_LIMIT)
        self._dispersion = DispersionEstimate()
        self.is_short = False

    def append(self, minute: int, pair: Pair, strata: Sequence[Pair] = ()) -> None:
        """Take in one closed minute's (labelled, requests) of both arms, candidate first; minutes come in order.

        Args:
            strata: The same stratum by stratum: a label that one workflow alone has covers more of the arm that
                serves more of that workflow.
        """
        self._series.append(minute, *pair, strata)
        self._dispersion.take(self._series)

    def judge(self) -> bool:
        """Judge the newest minutes, and tell whether the answer changed."""
        before = self.is_short
        if before:
            self.is_short = self._series.beyond(*self._newest(2 * self._hold_min), 1.0) is not False
        else:
            self.is_short = any(self._is_evident(length * self._hold_min) for length in (1, 2))
        return self.is_short is not before

    def shortfall(self) -> Shortfall | None:
        """Return what the newest minutes show, the ones that are short by most; None without data in an arm."""
        found = []
        for length in (1, 2):
            start, end = self._newest(length * self._hold_min)
            seen = self._series.observed(start, end)
            if seen.candidate is not None and seen.baseline is not None:
                found.append(Shortfall(seen.candidate, seen.baseline, end - start))
        return min(found, key=lambda one: one.candidate - one.baseline, default=None)

    def _is_evident(self, length_min: int) -> bool:
        start, end = self._newest(length_min)
        if end - start < self._hold_min or not self._series.beyond(start, end, 1.0):
            return False
        phi = self._dispersion.now.over(self._series, start, end)
        return self._series.evidence_in(start, end) / phi >= SHORT_NATS

    def _newest(self, length_min: int) -> tuple[int, int]:
        end = self._series.end_minute
        return max(self._series.first_minute, self._series.kept_minute, end - length_min), end
