"""One partition's fold: events in log order become cells, totals, a clock and a list of incidents.

Pure and deterministic: the same records in the same order give the same state, wherever and how often they
are folded. Live ingest, replay and the tests all fold through this class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey, Incident
from monitor.core.cohort import OVERALL, matches
from monitor.core.event import Observation
from monitor.core.exemplar import Exemplar
from monitor.core.indicator import INCIDENTS
from monitor.core.placing import Placed, Told, incident_of
from monitor.core.plan import Plan, exemplar_id
from monitor.core.rehearsal import traffic_of
from monitor.core.row import NOBODY, Row, row_of
from monitor.core.seen import SeenIds
from monitor.core.shape import LABELS_ONLY, SHAPES_MAX, Ints, Kinds, Shapes
from monitor.core.window import BUCKET_MS, FUTURE_MS, LATENESS_MS, closed_before

OTHER_RELEASES_MAX: Final = 256  # releases without a budget that are remembered by name
WAITING_MAX: Final = 32_768  # requests that wait to be added up


class Fate(Enum):
    """What became of a record. Every record has exactly one."""

    ACCEPTED = "accepted"
    LATE = "late"
    DUPLICATE = "duplicate"
    FUTURE = "future"


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
        self.incidents: deque[Incident] = deque()
        self._changed: set[CellKey] = set()
        self._changed_bytes = 0
        self._cells: dict[CellKey, Aggregate] = {}
        self._rows: dict[tuple[int, str, bool], Row] = {}
        self._unread: set[Row] = set()
        self._kinds = Kinds()
        self._shapes = Shapes(plan, self._kinds)
        self._waiting = 0
        self._parts_made = self._names_made = 0

    @property
    def horizon_ms(self) -> int | None:
        """Event time up to which this partition is read, before lateness; None before anything was."""
        clock_ms, complete_ms = self.clock_ms, self.complete_ms
        if complete_ms is None or (clock_ms is not None and clock_ms >= complete_ms):
            return clock_ms
        return complete_ms

    @property
    def cells(self) -> dict[CellKey, Aggregate]:
        """The cells in memory, with everything in them that was folded."""
        if self._waiting:
            self._settle()
        return self._cells

    def cell(self, key: CellKey) -> Aggregate | None:
        """Return one of the cells, and leave alone what waits for those of other minutes and releases."""
        if (row := self._rows.get((key.minute, key.release, key.later))) is not None:
            row.settle()
        return self._cells.get(key)

    @property
    def changed(self) -> set[CellKey]:
        """The cells to be written anew."""
        self._gather()
        return self._changed

    @property
    def changed_bytes(self) -> int:
        """What those of them that were written before took then."""
        self._gather()
        return self._changed_bytes

    @property
    def held_bytes(self) -> int:
        """What all cells in memory took when they were packed last."""
        return sum(cell.packed_bytes for cell in self._cells.values())

    @property
    def parts_made(self) -> tuple[int, int]:
        """How many parts of broken-down slices have been made so far, and the bytes of their names; never fewer."""
        self._gather()
        return self._parts_made, self._names_made

    def _gather(self) -> None:
        for row in self._unread:
            row.gather()
            self._parts_made += row.parts_made
            self._names_made += row.names_made
            row.parts_made = row.names_made = 0
        self._unread.clear()

    def _settle(self) -> None:
        self._waiting = 0
        for row in self._rows.values():
            row.settle()

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
            claimed = min(at_ms, record_ms)
        clock_ms = self.clock_ms
        if clock_ms is None or claimed > clock_ms:
            self.clock_ms = clock_ms = claimed
        if self.seen.is_repeat(event.event_id, clock_ms):
            self.totals.duplicates += 1
            return Fate.DUPLICATE
        return self._place(event, at_ms, clock_ms)

    def told(self, events: Sequence[Observation]) -> Told:
        """Return what decoded records say, for `fold_told`."""
        self._bound_shapes()
        return Told.of(events, self._shapes)

    def fold_many(self, events: Sequence[Observation], records_ms: Ints | None = None) -> list[int]:
        """Fold decoded records as `fold` does one after the other; return which of them are too far ahead."""
        return self.fold_told(self.told(events), records_ms)

    def fold_told(self, told: Told, records_ms: Ints | None = None) -> list[int]:
        """Fold records of which is known what they say, as `fold_many`; under the plan they were looked at by."""
        assert told.shapes is self._shapes, "what they say is numbered anew by another plan"
        if not told.events:
            return []
        ahead: list[int] = []
        claims = told.ats
        if records_ms is not None:
            is_ahead = claims > records_ms + FUTURE_MS
            if is_ahead.any():
                ahead, here = np.flatnonzero(is_ahead).tolist(), np.flatnonzero(~is_ahead)
                self.totals.rejected += len(ahead)
                if not len(here):
                    return ahead
                told, records_ms = told.only(here), records_ms[here]
            claims = np.minimum(told.ats, records_ms)
        clocks = np.maximum.accumulate(claims)
        if self.clock_ms is not None:
            clocks = np.maximum(clocks, self.clock_ms)
        self.clock_ms = int(clocks[-1])
        fresh = self.seen.are_new([event.event_id for event in told.events], clocks)
        if fresh is not None:
            self.totals.duplicates += len(told.events) - len(fresh)
            told, clocks = told.only(np.array(fresh, dtype=np.int64)), clocks[fresh]
        if told.events:
            self._place_many(told, clocks)
        return ahead

    def _place_many(self, told: Told, clocks: Ints) -> None:
        """Place records by the clock each was read at; at least one."""
        events, ats = told.events, told.ats
        placed = Placed(told, clocks, self.complete_ms)
        self.totals.late += placed.late
        self.totals.accepted += len(events) - placed.late
        for release, late in placed.late_by_release().items():
            self.late_by_release[release] = self.late_by_release.get(release, 0) + late
        for index in placed.others():
            self._remember_other(events[index].release, int(ats[index]))
        self._begin(placed.first_minute)
        start = 0
        for index, minute in placed.incidents():
            self._add_rows(placed, start, index)  # who comes first has a part of its own
            self._add_incident(events[index], events[index].release, minute)
            start = index
        self._add_rows(placed, start, len(events))

    def _add_rows(self, placed: Placed, start: int, end: int) -> None:
        """Add what counts of these records to their rows."""
        for (minute, release, later), events, kinds, ats in placed.rows(start, end):
            row = self._row(minute, release, later=later)
            row.add(events, kinds, ats)
            self._unread.add(row)
            self._waiting += len(events)
            units = [event.unit_id for event in events]
            if units.count(None) < len(units):
                pairs = zip(units, kinds.tolist(), strict=True)
                self._serve(
                    {one for one, kind in pairs if one is not None and kind != LABELS_ONLY}, release, minute
                )
        if self._waiting >= WAITING_MAX:
            self._settle()

    def _bound_shapes(self) -> None:
        if len(self._shapes) + len(self._kinds) > SHAPES_MAX:
            self._settle()
            self._kinds.clear()
            self._shapes = Shapes(self.plan, self._kinds)

    def warm(self, event: Observation, record_ms: int | None) -> None:
        """Re-read a record that is already in the totals: remember its id, move the clock, count nothing."""
        if record_ms is not None and event.at_ms > record_ms + FUTURE_MS:
            return
        claimed = event.at_ms if record_ms is None else min(event.at_ms, record_ms)
        self.clock_ms = claimed if self.clock_ms is None else max(claimed, self.clock_ms)
        self.seen.is_repeat(event.event_id, self.clock_ms)

    def reject(self) -> None:
        """Count a record that could not be decoded."""
        self.totals.rejected += 1

    def _place(self, event: Observation, at_ms: int, clock_ms: int) -> Fate:
        release, complete_ms = event.release, self.complete_ms
        horizon_ms = clock_ms if complete_ms is None or complete_ms < clock_ms else complete_ms
        views = self.plan.views.get(release)
        minute, open_from = at_ms // BUCKET_MS, (horizon_ms - LATENESS_MS) // BUCKET_MS
        is_outcome, counts = event.is_outcome, views is not None and event.traffic == traffic_of(release)
        if counts and event.incident_severity is not None and event.is_high_severity:
            # An incident that comes late still happened: it counts in the oldest minute that is open.
            self._add_incident(event, release, max(minute, open_from))
        later = False
        if at_ms < clock_ms - LATENESS_MS or minute < open_from:
            delay_ms = self.plan.label_delay_ms.get(release, 0) if is_outcome else 0
            later = at_ms >= clock_ms - LATENESS_MS - delay_ms and minute + delay_ms // BUCKET_MS >= open_from
            if not later:
                self.totals.late += 1
                if views is not None:  # by name only what a budget watches: names come from outside
                    self.late_by_release[release] = self.late_by_release.get(release, 0) + 1
                return Fate.LATE
        self.totals.accepted += 1
        if counts:
            self._add_one(event, release, minute, later=later)
        elif views is None:
            self._remember_other(release, at_ms)
        self._begin(minute)
        return Fate.ACCEPTED

    def _begin(self, minute: int | None) -> None:
        known = [one for one in (self.first_minute, minute) if one is not None]
        self.first_minute = min(known, default=None)

    def _remember_other(self, release: str, at_ms: int) -> None:
        self.totals.other_releases += 1
        first_ms = self.others.get(release)
        if first_ms is not None or len(self.others) < OTHER_RELEASES_MAX:
            self.others[release] = at_ms if first_ms is None else min(first_ms, at_ms)

    def _add_one(self, event: Observation, release: str, minute: int, *, later: bool) -> None:
        self._bound_shapes()
        row = self._row(minute, release, later=later)
        kind = LABELS_ONLY if event.is_outcome else self._kinds.number(event.status, event.labels())
        row.add((event,), np.array((kind,), dtype=np.int64), np.array((event.at_ms,), dtype=np.int64))
        self._unread.add(row)
        self._waiting += 1
        if event.unit_id is not None and not event.is_outcome:
            self._serve((event.unit_id,), release, minute)
        if self._waiting >= WAITING_MAX:
            self._settle()

    def _serve(self, units: Collection[str], release: str, minute: int) -> None:
        """Note a release's units in its overall cell, once, however finely the release is broken down."""
        if not units:
            return
        key = CellKey(minute, release, OVERALL)
        cell = self._cells.setdefault(key, Aggregate())
        for unit_id in units:
            cell.serve(unit_id)
        self._mark(cell, key)

    def _mark(self, cell: Aggregate, key: CellKey) -> None:
        if not cell.is_changed:
            cell.is_changed = True
            self._changed.add(key)
            self._changed_bytes += cell.packed_bytes

    def _add_incident(self, event: Observation, release: str, minute: int) -> None:
        cohort = event.cohort or NOBODY
        row = self._row(minute, release, later=False)
        row.gather()  # who comes first has a part of its own
        for one in row.slices:
            if not matches(one.view.within, cohort):
                continue
            _, cell, key = one.place(cohort)
            cell.incidents += 1
            cell.keep(INCIDENTS, Exemplar(event.at_ms, exemplar_id(event), event.failure_class or ""))
            self._mark(cell, key)
        self.incidents.append(incident_of(event, minute))

    def _row(self, minute: int, release: str, *, later: bool) -> Row:
        row = self._rows.get((minute, release, later))
        if row is None:
            views = self.plan.views[release]
            row = self._rows[minute, release, later] = row_of(
                minute, release, views, self._cells, self._kinds, self._mark, later=later
            )
        return row

    def replan(self, plan: Plan) -> None:
        """Fold by another plan from the next record on; cells that exist go on."""
        self._forget_rows()
        self.plan = plan
        self._shapes = Shapes(plan, self._kinds)

    def _forget_rows(self) -> None:
        self._settle()
        self._rows.clear()

    def restore(self, key: CellKey, cell: Aggregate) -> None:
        """Put a stored cell back, so that an open minute goes on adding up."""
        self._forget_rows()
        self._cells[key] = cell

    def stored(self, keys: Iterable[CellKey]) -> None:
        """Note that these cells are stored as they are now."""
        for key in keys:
            cell = self._cells.get(key)
            if cell is not None:
                cell.is_changed = False
        self._changed -= frozenset(keys)
        self._changed_bytes = sum(self._cells[key].packed_bytes for key in self._changed)

    def take_incidents(self) -> list[Incident]:
        """Return the incidents folded since the last call."""
        taken = list(self.incidents)
        self.incidents.clear()
        return taken

    def forget_before(self, minute: int) -> None:
        """Drop the cells of the minutes before this one from memory; whoever needs them has them by now."""
        for (own, _, _), row in self._rows.items():
            if own < minute:
                row.settle()
        self._drop([key for key in self._cells if key.minute < minute])

    def forget_closed(self) -> None:
        """Drop the cells that no further event can change, once they are stored."""
        self._settle()
        self._drop([key for key in self.closed_keys() if key not in self._changed])

    def _drop(self, keys: list[CellKey]) -> None:
        for key in keys:
            del self._cells[key]
            self._changed.discard(key)
            self._rows.pop((key.minute, key.release, key.later), None)

    def closed_keys(self) -> Iterator[CellKey]:
        """Yield the keys of cells that no further event can change."""
        if self.horizon_ms is None:
            return
        open_from = closed_before(self.horizon_ms)
        for key in self._cells:
            delay_ms = self.plan.label_delay_ms.get(key.release, 0) if key.later else 0
            if key.minute + delay_ms // BUCKET_MS < open_from:
                yield key
