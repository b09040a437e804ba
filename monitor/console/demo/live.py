"""The numbers of the screen: what the demo's own app saw in the last minutes, per objective and arm.

They are for display only, and the screen says so: what decides is the monitor's own reading of the topic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from monitor.core.budget import Objective, Unit
from monitor.core.event import HIGH_SEVERITIES
from monitor.core.indicator import LABELS, IndicatorKind

SHOWN_MIN: Final = 10
"""Event minutes the screen's numbers look back."""

_Event = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one objective looks like in the last minutes; None = nothing to compare.

    Attributes:
        delta: In the objective's own unit, signed as its limit is.
    """

    baseline: float | None
    candidate: float | None
    delta: float | None

    def is_beyond(self, objective: Objective) -> bool:
        """Tell whether the point estimate lies beyond the limit, in the harmful direction."""
        if self.delta is None:
            return False
        return self.delta < objective.limit if objective.limit < 0 else self.delta > objective.limit


class Recent:
    """The events of the last `SHOWN_MIN` event minutes."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, _Event]] = deque()

    def add(self, at_ms: int, event: _Event) -> None:
        """Add one trace event, in the order of their times."""
        self._events.append((at_ms, event))
        while self._events[0][0] <= at_ms - SHOWN_MIN * 60_000:
            self._events.popleft()

    def counts(self, baseline: str, candidate: str) -> tuple[int, int]:
        """Return how many requests each of the two releases served."""
        releases = [event["release"] for _, event in self._events]
        return releases.count(baseline), releases.count(candidate)

    def reading(self, objective: Objective, baseline: str, candidate: str) -> Reading:
        """Compare the two releases on one objective."""
        arms = {baseline: list[_Event](), candidate: list[_Event]()}
        for _, event in self._events:
            if (arm := arms.get(str(event["release"]))) is not None:
                arm.append(event)
        if objective.indicator.kind is IndicatorKind.INCIDENTS:
            return _incidents(arms[baseline], arms[candidate])
        measure = _MEASURES.get(objective.indicator.kind)
        if measure is None:
            return Reading(None, None, None)
        before, after = measure(objective, arms[baseline]), measure(objective, arms[candidate])
        return Reading(before, after, _delta(objective.unit, before, after))


def _delta(unit: Unit, before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    if unit is Unit.POINTS:
        return 100 * (after - before)
    return 100 * (after - before) / before if before else None


def _incidents(baseline: list[_Event], candidate: list[_Event]) -> Reading:
    """Count incidents; the delta is what the candidate has beyond the baseline's rate."""
    before, after = (
        sum(event.get("incident_severity") in HIGH_SEVERITIES for event in arm)
        for arm in (baseline, candidate)
    )
    if not candidate:
        return Reading(before, None, None)
    expected = before * len(candidate) / len(baseline) if baseline else 0.0
    return Reading(before, after, after - expected)


def _rate(objective: Objective, events: Iterable[_Event]) -> float | None:
    source = objective.indicator.source
    if source not in LABELS:
        return None
    known = [event[source] for event in events if event.get(source) is not None]
    return sum(value is True for value in known) / len(known) if known else None


def _quantile(objective: Objective, events: Iterable[_Event]) -> float | None:
    quantile = objective.indicator.quantile
    if objective.indicator.source != "latency" or quantile is None:
        return None
    values = sorted(value for event in events if isinstance(value := event.get("latency_ms"), int))
    return float(values[ceil(quantile * len(values)) - 1]) if values else None


_MEASURES: Final[dict[IndicatorKind, Callable[[Objective, Iterable[_Event]], float | None]]] = {
    IndicatorKind.RATE: _rate,
    IndicatorKind.QUANTILE: _quantile,
}
