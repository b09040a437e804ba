"""One partition's fold: events in log order become cells, totals, a clock and a list of incidents.

Pure and deterministic: the same records in the same order give the same state, wherever and how often they
are folded. Live ingest, replay and the tests all fold through this class.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from monitor.core.aggregate import Aggregate
from monitor.core.cohort import CohortKey, matches
from monitor.core.event import Observation
from monitor.core.exemplar import Exemplar
from monitor.core.indicator import INCIDENTS
from monitor.core.plan import Plan, View, exemplar_id
from monitor.core.window import BUCKET_MS, DUPLICATE_MS, FUTURE_MS, LATENESS_MS, closed_before

_NEVER_MS: Final = 1 << 62
OTHER_RELEASES_MAX: Final = 256  # releases without a budget that are remembered by name


class Fate(Enum):
    """What became of a record. Every record has exactly one."""

    ACCEPTED = "accepted"
    LATE = "late"
    DUPLICATE = "duplicate"
    FUTURE = "future"


class CellKey(NamedTuple):
    """Where an aggregate belongs. Labels that come later have cells of their own, which close later."""

    minute: int
    release: str
    view: CohortKey
    later: bool = False


@dataclass(frozen=True, slots=True)
class Incident:
    """A high-severity incident, as the evaluator hears of it before its minute is closed.

    Attributes:
        minute: The minute it counts in: its own, or the oldest open one where it came late.
    """

    release: str
    event_id: str
    at_ms: int
    minute: int
    severity: str
    exemplar: str
    failure_class: str
    cohort: tuple[tuple[str, str], ...]


class SeenIds:
    """The ids seen while the clock moved less than two minutes; bounded, the oldest go first.

    Python's own keyed 64-bit string hash stands for an id: 8 bytes instead of a string, and not to be
    provoked from outside. It never leaves the process.
    """

    __slots__ = ("_clocks", "_evicted", "_forget_at_ms", "_hashes", "_known", "_max", "_repeats", "_start")

    def __init__(self, max_ids: int) -> None:
        self._max = max_ids
        self._known: set[int] = set()
        self._repeats: dict[int, int] = {}  # sightings of an id behind its oldest one
        self._hashes = array("q")
        self._clocks = array("q")
        self._start = 0
        self._evicted = 0
        self._forget_at_ms = _NEVER_MS

    @property
    def evicted(self) -> int:
        """How many ids were forgotten early because the bound was reached."""
        return self._evicted

    def __len__(self) -> int:
        return len(self._known)

    def is_repeat(self, event_id: str, clock_ms: int) -> bool:
        """Tell whether the id was seen lately; either way this is the newest sighting of it."""
        if clock_ms >= self._forget_at_ms:
            self._forget(clock_ms - DUPLICATE_MS)
        hashed = hash(event_id)
        known = self._known
        is_repeat = hashed in known
        if is_repeat:
            self._repeats[hashed] = self._repeats.get(hashed, 0) + 1
        else:
            while len(known) >= self._max:
                self._evict()
            if not known:
                self._forget_at_ms = clock_ms + DUPLICATE_MS
            known.add(hashed)
        if len(self._hashes) - self._start >= 2 * self._max:  # a flood of repeats is bounded too
            self._evict()
        self._hashes.append(hashed)
        self._clocks.append(clock_ms)
        return is_repeat

    def _forget(self, limit_ms: int) -> None:
        """Forget the ids of this moment and before, and note when the next one is due."""
        clocks, end = self._clocks, len(self._clocks)
        while self._start < end and clocks[self._start] <= limit_ms:
            self._drop_oldest()
            end = len(clocks)
        self._forget_at_ms = clocks[self._start] + DUPLICATE_MS if self._start < end else _NEVER_MS

    def _evict(self) -> None:
        before = len(self._known)
        self._drop_oldest()
        self._evicted += before - len(self._known)

    def _drop_oldest(self) -> None:
        hashed = self._hashes[self._start]
        later = self._repeats.get(hashed)
        if later is None:
            self._known.discard(hashed)
        elif later == 1:
            del self._repeats[hashed]
        else:
            self._repeats[hashed] = later - 1
        self._start += 1
        if self._start > 4096 and self._start * 2 > len(self._hashes):
            del self._hashes[: self._start]
            del self._clocks[: self._start]
            self._start = 0


@dataclass(slots=True)
class Totals:
    """accepted + late + duplicates + rejected = offset - base - gaps, always."""

    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: int = 0
    gaps: int = 0
    other_releases: int = 0

    @property
    def records(self) -> int:
        """How many records these totals speak of."""
        return self.accepted + self.late + self.duplicates + self.rejected


class PartitionFold:
    """The state of one partition (or file) and the fold of one more record into it.

    Attributes:
        clock_ms: The largest event time so far, never beyond a record's own time; None before the first.
        complete_ms: Event time up to which the partition was seen to be read to its end.
        late_by_release, others: Late counts, and the first request of releases without a budget.
    """

    def __init__(self, plan: Plan, seen: SeenIds) -> None:
        self.plan = plan
        self.seen = seen
        self.totals = Totals()
        self.clock_ms: int | None = None
        self.complete_ms: int | None = None
        self.first_minute: int | None = None
        self.late_by_release: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self.cells: dict[CellKey, Aggregate] = {}
        self.changed: set[CellKey] = set()
        self.incidents: deque[Incident] = deque()
        self._rows: dict[tuple[int, str, bool], list[tuple[View, Aggregate, CellKey]]] = {}

    @property
    def horizon_ms(self) -> int | None:
        """Event time up to which this partition is read, before lateness; None before anything was."""
        clock_ms, complete_ms = self.clock_ms, self.complete_ms
        if complete_ms is None or (clock_ms is not None and clock_ms >= complete_ms):
            return clock_ms
        return complete_ms

    def fold(self, event: Observation, record_ms: int | None) -> Fate:
        """Fold one decoded record and say what became of it.

        Args:
            record_ms: The record's own time, mapped to event time; None for a line of a file.
        """
        at_ms = event.at_ms
        if record_ms is not None and at_ms > record_ms + FUTURE_MS:
            self.totals.rejected += 1
            return Fate.FUTURE
        claimed = at_ms if record_ms is None else min(at_ms, record_ms)
        clock_ms = self.clock_ms
        if clock_ms is None or claimed > clock_ms:
            self.clock_ms = clock_ms = claimed
        if self.seen.is_repeat(event.event_id, clock_ms):
            self.totals.duplicates += 1
            return Fate.DUPLICATE
        return self._place(event, at_ms)

    def warm(self, event: Observation, record_ms: int | None) -> None:
        """Re-read a record that is already in the totals: remember its id, move the clock, count nothing."""
        if record_ms is not None and event.at_ms > record_ms + FUTURE_MS:
            return
        claimed = event.at_ms if record_ms is None else min(event.at_ms, record_ms)
        if self.clock_ms is None or claimed > self.clock_ms:
            self.clock_ms = claimed
        self.seen.is_repeat(event.event_id, self.clock_ms)

    def reject(self) -> None:
        """Count a record that could not be decoded."""
        self.totals.rejected += 1

    def _place(self, event: Observation, at_ms: int) -> Fate:
        release = event.release
        views = self.plan.views.get(release)
        clock_ms, horizon_ms = self.clock_ms, self.horizon_ms
        assert clock_ms is not None, "an event is placed after it has moved the clock"
        assert horizon_ms is not None
        minute, open_from = at_ms // BUCKET_MS, (horizon_ms - LATENESS_MS) // BUCKET_MS
        is_outcome, is_live = event.is_outcome, views is not None and event.traffic == "live"
        if is_live and event.incident_severity is not None and event.is_high_severity:
            # An incident that comes late still happened: it counts in the oldest minute that is open.
            self._add_incident(event, release, max(minute, open_from))
        later = False
        if at_ms < clock_ms - LATENESS_MS or minute < open_from:
            delay_ms = self.plan.label_delay_ms.get(release, 0) if is_outcome else 0
            later = delay_ms > 0 and (
                at_ms >= clock_ms - LATENESS_MS - delay_ms and minute + delay_ms // BUCKET_MS >= open_from
            )
            if not later:
                self.totals.late += 1
                self.late_by_release[release] = self.late_by_release.get(release, 0) + 1
                return Fate.LATE
        self.totals.accepted += 1
        if is_live:
            self._add(event, self._row(minute, release, later=later), is_outcome=is_outcome)
        elif views is None:
            self._remember_other(release, at_ms)
        if self.first_minute is None or minute < self.first_minute:
            self.first_minute = minute
        return Fate.ACCEPTED

    def _remember_other(self, release: str, at_ms: int) -> None:
        self.totals.other_releases += 1
        first_ms = self.others.get(release)
        if first_ms is not None or len(self.others) < OTHER_RELEASES_MAX:
            self.others[release] = at_ms if first_ms is None else min(first_ms, at_ms)

    def _add(self, event: Observation, row: list[tuple[View, Aggregate, CellKey]], *, is_outcome: bool) -> None:
        labels = event.labels()
        for view, cell, key in row:
            if view.key and not matches(view.key, event.cohort or {}):
                continue
            if is_outcome:
                cell.add_labels(event, labels)
            else:
                cell.add_request(event, labels, view.sketches)
            for rule in view.exemplars:
                rank = rule.rank(event, labels)
                if rank is not None and cell.wants(rule.indicator, rank):
                    exemplar = Exemplar(rank, exemplar_id(event), event.failure_class or "")
                    cell.keep(rule.indicator, exemplar)
            if not cell.is_changed:
                cell.is_changed = True
                self.changed.add(key)

    def _add_incident(self, event: Observation, release: str, minute: int) -> None:
        cohort = event.cohort or {}
        for view, cell, key in self._row(minute, release, later=False):
            if not view.key or matches(view.key, cohort):
                cell.incidents += 1
                cell.keep(INCIDENTS, Exemplar(event.at_ms, exemplar_id(event), event.failure_class or ""))
                cell.is_changed = True
                self.changed.add(key)
        self.incidents.append(
            Incident(
                release=release,
                event_id=event.event_id,
                at_ms=event.at_ms,
                minute=minute,
                severity=event.incident_severity or "",
                exemplar=exemplar_id(event),
                failure_class=event.failure_class or "",
                cohort=tuple(sorted(cohort.items())),
            )
        )

    def _row(
        self, minute: int, release: str, *, later: bool
    ) -> list[tuple[View, Aggregate, CellKey]]:
        row = self._rows.get((minute, release, later))
        if row is None:
            row = []
            for view in self.plan.views[release]:
                key = CellKey(minute, release, view.key, later)
                cell = self.cells.setdefault(key, Aggregate())
                row.append((view, cell, key))
            self._rows[minute, release, later] = row
        return row

    def replan(self, plan: Plan) -> None:
        """Fold by another plan from the next record on; cells that exist go on."""
        self.plan = plan
        self._rows.clear()

    def restore(self, key: CellKey, cell: Aggregate) -> None:
        """Put a stored cell back, so that an open minute goes on adding up."""
        self.cells[key] = cell
        self._rows.clear()

    def stored(self, keys: Iterable[CellKey]) -> None:
        """Note that these cells are stored as they are now."""
        for key in keys:
            cell = self.cells.get(key)
            if cell is not None:
                cell.is_changed = False
        self.changed -= frozenset(keys)

    def take_incidents(self) -> list[Incident]:
        """Return the incidents folded since the last call."""
        taken = list(self.incidents)
        self.incidents.clear()
        return taken

    def forget_before(self, minute: int) -> None:
        """Drop the cells of the minutes before this one from memory; whoever needs them has them by now."""
        for key in [key for key in self.cells if key.minute < minute]:
            del self.cells[key]
            self._rows.pop((key.minute, key.release, key.later), None)

    def forget_closed(self) -> None:
        """Drop the cells that no further event can change, once they are stored."""
        for key in list(self.closed_keys()):
            if key not in self.changed:
                del self.cells[key]
                self._rows.pop((key.minute, key.release, key.later), None)

    def closed_keys(self) -> Iterator[CellKey]:
        """Yield the keys of cells that no further event can change."""
        if self.horizon_ms is None:
            return
        open_from = closed_before(self.horizon_ms)
        for key in self.cells:
            delay_ms = self.plan.label_delay_ms.get(key.release, 0) if key.later else 0
            if key.minute + delay_ms // BUCKET_MS < open_from:
                yield key
