"""One partition's fold: events in log order become cells, totals, a clock and a list of incidents.

Pure and deterministic: the same records in the same order give the same state, wherever and how often they
are folded. Live ingest, replay and the tests all fold through this class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from monitor.core.aggregate import Aggregate
from monitor.core.breakdown import Breakdown
from monitor.core.cohort import OVERALL, CohortKey, matches
from monitor.core.event import Observation
from monitor.core.exemplar import EXEMPLARS_PER_CELL, EXEMPLARS_PER_PART, Exemplar
from monitor.core.indicator import INCIDENTS
from monitor.core.plan import Plan, View, exemplar_id
from monitor.core.rehearsal import traffic_of
from monitor.core.seen import SeenIds
from monitor.core.window import BUCKET_MS, FUTURE_MS, LATENESS_MS, closed_before

_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
OTHER_RELEASES_MAX: Final = 256  # releases without a budget that are remembered by name


class Fate(Enum):
    """What became of a record. Every record has exactly one."""

    ACCEPTED = "accepted"
    LATE = "late"
    DUPLICATE = "duplicate"
    FUTURE = "future"


_ACCEPTED, _DUPLICATE = Fate.ACCEPTED, Fate.DUPLICATE


class CellKey(NamedTuple):
    """Where an aggregate belongs. Labels that come later have cells of their own, which close later.

    Attributes:
        shard: Which of the cells that hold the parts of a breakdown; 0 for a slice that is not broken down.
    """

    minute: int
    release: str
    view: CohortKey
    later: bool = False
    shard: int = 0


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


Row = tuple[list[tuple[View, Aggregate, CellKey]], list[Breakdown]]
"""One minute of one release: the cells of its slices, and the slices that are broken down."""


def _keep_exemplars(
    event: Observation, labels: tuple[bool | None, ...], view: View, holder: Aggregate, size: int
) -> None:
    for rule in view.exemplars:
        rank = rule.rank(event, labels)
        if rank is not None and holder.wants(rule.indicator, rank, size):
            exemplar = Exemplar(rank, exemplar_id(event), event.failure_class or "")
            holder.keep(rule.indicator, exemplar, size)


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
        self._is_repeat = seen.is_repeat
        self.totals = Totals()
        self.clock_ms: int | None = None
        self.complete_ms: int | None = None
        self.first_minute: int | None = None
        self.late_by_release: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self.cells: dict[CellKey, Aggregate] = {}
        self.changed: set[CellKey] = set()
        self.incidents: deque[Incident] = deque()
        self._rows: dict[tuple[int, str, bool], Row] = {}
        self._newest: dict[str, tuple[int, Row]] = {}  # the row a release was last folded into

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
        at_ms = claimed = event.at_ms
        if record_ms is not None:
            if at_ms > record_ms + FUTURE_MS:
                self.totals.rejected += 1
                return Fate.FUTURE
            if record_ms < at_ms:
                claimed = record_ms
        clock_ms = self.clock_ms
        if clock_ms is None or claimed > clock_ms:
            self.clock_ms = clock_ms = claimed
        if self._is_repeat(event.event_id, clock_ms):
            self.totals.duplicates += 1
            return _DUPLICATE
        complete_ms, minute = self.complete_ms, at_ms // BUCKET_MS
        horizon_ms = clock_ms if complete_ms is None or complete_ms < clock_ms else complete_ms
        newest = self._newest.get(event.release)
        if (
            newest is None
            or newest[0] != minute
            or event.incident_severity is not None
            or event.traffic != "live"
            or event.is_outcome
            or at_ms < clock_ms - LATENESS_MS
            or minute < (horizon_ms - LATENESS_MS) // BUCKET_MS
        ):
            return self._place(event, at_ms, clock_ms, horizon_ms)
        # Nearly every event: one more request of the minute its release was last seen in.
        self.totals.accepted += 1
        self._add(event, newest[1], is_outcome=False)
        if event.unit_id is not None:
            self._serve(event.unit_id, event.release, minute)
        return _ACCEPTED

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

    def _place(self, event: Observation, at_ms: int, clock_ms: int, horizon_ms: int) -> Fate:
        release = event.release
        views = self.plan.views.get(release)
        minute, open_from = at_ms // BUCKET_MS, (horizon_ms - LATENESS_MS) // BUCKET_MS
        is_outcome, counts = event.is_outcome, views is not None and event.traffic == traffic_of(release)
        if counts and event.incident_severity is not None and event.is_high_severity:
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
                if views is not None:  # by name only what a budget watches: names come from outside
                    self.late_by_release[release] = self.late_by_release.get(release, 0) + 1
                return Fate.LATE
        self.totals.accepted += 1
        if counts:
            row = self._row(minute, release, later=later)
            if not later and event.traffic == "live":  # `fold` asks no more whether an event counts there
                self._newest[release] = minute, row
            self._add(event, row, is_outcome=is_outcome)
            if event.unit_id is not None and not is_outcome:
                self._serve(event.unit_id, release, minute)
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

    def _add(self, event: Observation, row: Row, *, is_outcome: bool) -> None:
        labels, cohort = event.labels(), event.cohort or _NOBODY
        for view, cell, key in row[0]:
            if view.key and not matches(view.key, cohort):
                continue
            if is_outcome:
                cell.add_labels(event, labels, view.outcomes)
            else:
                cell.add_request(event, labels, view.sketches, view.outcomes)
            if view.exemplars:
                _keep_exemplars(event, labels, view, cell, EXEMPLARS_PER_CELL)
            if not cell.is_changed:
                cell.is_changed = True
                self.changed.add(key)
        for broken in row[1]:
            view = broken.view
            if view.within and not matches(view.within, cohort):
                continue
            part, cell, key = broken.place(cohort)
            if is_outcome:
                part.add_labels(event, labels, view.outcomes)
            else:
                part.add_request(event, labels, view.sketches, view.outcomes)
            if view.exemplars:
                if view.is_watched:
                    _keep_exemplars(event, labels, view, part, EXEMPLARS_PER_PART)
                else:
                    _keep_exemplars(event, labels, view, cell, EXEMPLARS_PER_CELL)
            if not cell.is_changed:
                cell.is_changed = True
                self.changed.add(key)

    def _serve(self, unit_id: str, release: str, minute: int) -> None:
        """Note a release's unit in its overall cell, once, however finely the release is broken down."""
        key = CellKey(minute, release, OVERALL)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Aggregate()
        cell.serve(unit_id)
        if not cell.is_changed:
            cell.is_changed = True
            self.changed.add(key)

    def _add_incident(self, event: Observation, release: str, minute: int) -> None:
        cohort = event.cohort or _NOBODY
        plain, broken = self._row(minute, release, later=False)
        cells = [(cell, key) for view, cell, key in plain if matches(view.key, cohort)]
        cells += [one.place(cohort)[1:] for one in broken if matches(one.view.within, cohort)]
        for cell, key in cells:
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

    def _row(self, minute: int, release: str, *, later: bool) -> Row:
        row = self._rows.get((minute, release, later))
        if row is None:
            row = self._rows[minute, release, later] = [], []
            for view in self.plan.views[release]:
                key = CellKey(minute, release, view.key, later)
                if view.by:
                    row[1].append(Breakdown(view, key, self.cells))
                else:
                    row[0].append((view, self.cells.setdefault(key, Aggregate()), key))
        return row

    def replan(self, plan: Plan) -> None:
        """Fold by another plan from the next record on; cells that exist go on."""
        self.plan = plan
        self._forget_rows()

    def _forget_rows(self) -> None:
        self._rows.clear()
        self._newest.clear()

    def restore(self, key: CellKey, cell: Aggregate) -> None:
        """Put a stored cell back, so that an open minute goes on adding up."""
        self.cells[key] = cell
        self._forget_rows()

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
        self._drop([key for key in self.cells if key.minute < minute])

    def forget_closed(self) -> None:
        """Drop the cells that no further event can change, once they are stored."""
        self._drop([key for key in self.closed_keys() if key not in self.changed])

    def _drop(self, keys: list[CellKey]) -> None:
        for key in keys:
            del self.cells[key]
            self.changed.discard(key)
            self._rows.pop((key.minute, key.release, key.later), None)
        if keys:
            self._newest.clear()

    def closed_keys(self) -> Iterator[CellKey]:
        """Yield the keys of cells that no further event can change."""
        if self.horizon_ms is None:
            return
        open_from = closed_before(self.horizon_ms)
        for key in self.cells:
            delay_ms = self.plan.label_delay_ms.get(key.release, 0) if key.later else 0
            if key.minute + delay_ms // BUCKET_MS < open_from:
                yield key
