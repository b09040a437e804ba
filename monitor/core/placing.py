"""Where many records belong: on time or late, counted or not, and in which minute of which release.

The rules are those of the contract's section 2, for every record by the clock it was read at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from monitor.core.cell import Incident
from monitor.core.event import Observation
from monitor.core.plan import exemplar_id
from monitor.core.shape import Ints, Shapes, Traits
from monitor.core.window import BUCKET_MS, LATENESS_MS

RowKey: TypeAlias = tuple[int, str, bool]
"""A minute of a release, and whether it is of labels that come later."""


class Told(NamedTuple):
    """Records in the order of the log, and what can be said of each by itself.

    Attributes:
        ats: Their event times.
        shapes: By which the traits are numbered.
    """

    events: Sequence[Observation]
    ats: Ints
    traits: Traits
    shapes: Shapes

    @classmethod
    def of(cls, events: Sequence[Observation], shapes: Shapes) -> Told:
        """Return what these events say."""
        return cls(events, times_of(events), shapes.of(events), shapes)

    def between(self, start: int, end: int) -> Told:
        """Return a stretch of them."""
        if start == 0 and end >= len(self.events):
            return self
        some = slice(start, end)
        return self._replace(events=self.events[some], ats=self.ats[some], traits=self.traits.only(some))

    def only(self, rows: Ints) -> Told:
        """Return some of them, by their numbers."""
        events = [self.events[row] for row in rows.tolist()]
        return self._replace(events=events, ats=self.ats[rows], traits=self.traits.only(rows))


class Placed:
    """Records of one partition, in the order of the log, and what becomes of each.

    Args:
        clocks: The partition's clock as it stood at each.
        complete_ms: Event time up to which the partition was seen to be read to its end.

    Attributes:
        late: How many are.
        first_minute: Of those that are not; None without one.
    """

    def __init__(self, told: Told, clocks: Ints, complete_ms: int | None) -> None:
        events, ats, traits = told.events, told.ats, told.traits
        self._events, self._ats, self._traits = events, ats, traits
        self._releases = told.shapes.releases
        self._minutes = minutes = ats // BUCKET_MS
        horizons = clocks if complete_ms is None else np.maximum(clocks, complete_ms)
        self._open_from = (horizons - LATENESS_MS) // BUCKET_MS
        is_late = (ats < clocks - LATENESS_MS) | (minutes < self._open_from)
        self._is_later = np.zeros(len(events), dtype=bool)
        self.late = 0
        if is_late.any():
            delay = traits.delay_ms
            is_due = ats >= clocks - LATENESS_MS - delay
            self._is_later = is_late & is_due & (minutes + delay // BUCKET_MS >= self._open_from)
            is_late &= ~self._is_later
            self.late = int(is_late.sum())
        self._is_late = is_late
        self._counts = traits.counts & ~is_late if self.late else traits.counts
        self.first_minute = None
        if self.late < len(events):
            self.first_minute = int((minutes[~is_late] if self.late else minutes).min())

    def late_by_release(self) -> Counter[str]:
        """Return how many are late, of releases that a budget watches: other names come from outside."""
        rows = np.flatnonzero(self._is_late & self._traits.is_watched).tolist() if self.late else []
        return Counter(self._events[row].release for row in rows)

    def others(self) -> Iterator[int]:
        """Yield the records on time whose release no budget watches."""
        if not self._traits.is_watched.all():
            yield from np.flatnonzero(~(self._is_late | self._traits.is_watched)).tolist()

    def incidents(self) -> Iterator[tuple[int, int]]:
        """Yield the high-severity incidents that count, each with the minute it counts in.

        One that comes late still happened: it counts in the oldest minute that is open.
        """
        for index in np.flatnonzero(self._traits.is_incident).tolist():
            yield index, max(int(self._minutes[index]), int(self._open_from[index]))

    def rows(self, start: int, end: int) -> Iterator[tuple[RowKey, Sequence[Observation], Ints, Ints]]:
        """Yield what counts of these records by its row: the records, their kinds and times."""
        left = np.flatnonzero(self._counts[start:end]) + start
        keys = (self._minutes * len(self._releases) + self._traits.release) * 2 + self._is_later
        while len(left):
            of_first = keys[left] == keys[left[0]]
            chosen, left = left[of_first], left[~of_first]
            first = int(chosen[0])
            release = self._releases[int(self._traits.release[first])]
            key = int(self._minutes[first]), release, bool(self._is_later[first])
            events = self._events
            if len(chosen) < len(events):
                events = [events[index] for index in chosen.tolist()]
            yield key, events, self._traits.kind[chosen], self._ats[chosen]


def incident_of(event: Observation, minute: int) -> Incident:
    """Return what the evaluator hears of an incident, which counts in this minute."""
    return Incident(
        release=event.release,
        event_id=event.event_id,
        at_ms=event.at_ms,
        minute=minute,
        severity=event.incident_severity or "",
        exemplar=exemplar_id(event),
        failure_class=event.failure_class or "",
        cohort=tuple(sorted((event.cohort or {}).items())),
    )


def times_of(events: Sequence[Observation]) -> Ints:
    """Return the event times as a column."""
    return np.array([event.at_ms for event in events], dtype=np.int64)
