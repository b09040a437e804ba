"""One partition's fold: events in log order become cells, totals, a clock and a list of incidents.

Pure and deterministic: the same records in the same order give the same state, wherever and how often they
are folded. Live ingest, replay and the tests all fold through this class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.breakdown import Breakdown
from monitor.core.cell import CellKey, Incident
from monitor.core.cohort import OVERALL, matches
from monitor.core.event import HIGH_SEVERITIES, Observation
from monitor.core.exemplar import Exemplar
from monitor.core.indicator import INCIDENTS
from monitor.core.plan import Plan, exemplar_id
from monitor.core.rehearsal import is_rehearsal, traffic_of
from monitor.core.row import NOBODY, Kinds, Row, Slice
from monitor.core.seen import SeenIds
from monitor.core.window import BUCKET_MS, FUTURE_MS, LATENESS_MS, closed_before

OTHER_RELEASES_MAX: Final = 256  # releases without a budget that are remembered by name
WAITING_MAX: Final = 8_192  # requests that wait to be added up


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
        changed: The cells to be written anew.
        changed_bytes: What those of them that were written before took then.
    """

    def __init__(self, plan: Plan, seen: SeenIds) -> None:
        self.plan = plan
        self._live = _judged_by_live_traffic(plan)
        self.seen = seen
        self.totals = Totals()
        self.clock_ms: int | None = None
        self.complete_ms: int | None = None
        self.first_minute: int | None = None
        self.late_by_release: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self.changed: set[CellKey] = set()
        self.changed_bytes = 0
        self.incidents: deque[Incident] = deque()
        self._cells: dict[CellKey, Aggregate] = {}
        self._rows: dict[tuple[int, str, bool], Row] = {}
        self._kinds = Kinds()
        self._waiting = 0

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

    def _settle(self) -> None:
        self._waiting = 0
        for row in self._rows.values():
            if row.waiting:
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

    def fold_many(self, events: Sequence[Observation], records_ms: Sequence[int] | None = None) -> list[int]:
        """Fold decoded records as `fold` does one after the other; return which of them are too far ahead.

        Args:
            records_ms: As `record_ms`, one each; None for lines of a file.
        """
        if not events:
            return []
        ats = [event.at_ms for event in events]
        ahead: list[int] = []
        claims = ats
        if records_ms is not None:
            pairs = list(zip(ats, records_ms, strict=True))
            ahead = [index for index, (at_ms, own_ms) in enumerate(pairs) if at_ms > own_ms + FUTURE_MS]
            if ahead:
                self.totals.rejected += len(ahead)
                gone = set(ahead)
                events = [event for index, event in enumerate(events) if index not in gone]
                pairs = [pair for index, pair in enumerate(pairs) if index not in gone]
                ats = [at_ms for at_ms, _ in pairs]
            claims = [at_ms if at_ms < own_ms else own_ms for at_ms, own_ms in pairs]
        if not events:
            return ahead
        clocks = list(
            accumulate(claims, max, initial=self.clock_ms if self.clock_ms is not None else claims[0])
        )
        del clocks[0]
        self.clock_ms = clocks[-1]
        fresh = self.seen.are_new([event.event_id for event in events], clocks)
        if fresh is not None:
            self.totals.duplicates += len(events) - len(fresh)
            events = [events[index] for index in fresh]
            ats, clocks = [ats[index] for index in fresh], [clocks[index] for index in fresh]
        self._place_many(events, ats, clocks)
        return ahead

    def _place_many(self, events: Sequence[Observation], ats: Sequence[int], clocks: Sequence[int]) -> None:
        """Place records by the clock each was read at; nearly all are requests on time, and go to their rows."""
        if not events:
            return
        horizon_ms = max(clocks[-1], self.complete_ms or clocks[-1])
        # Whatever is on time by the newest clock is on time by its own; what is not has to be looked at.
        on_time_ms = max(clocks[-1] - LATENESS_MS, (horizon_ms - LATENESS_MS) // BUCKET_MS * BUCKET_MS)
        live = self._live
        rows: dict[tuple[str, int], list[Observation]] = {}
        for event, at_ms, clock_ms in zip(events, ats, clocks, strict=True):
            if (
                at_ms < on_time_ms
                or event.incident_severity in HIGH_SEVERITIES
                or event.traffic != "live"
                or event.kind != "request"
                or event.release not in live
            ):
                if event.release in self.plan.views:
                    self._add_rows(rows)  # who comes first has a part of its own
                self._place(event, at_ms, clock_ms)
                continue
            key = event.release, at_ms // BUCKET_MS
            row = rows.get(key)
            if row is None:
                rows[key] = [event]
            else:
                row.append(event)
        self._add_rows(rows)

    def _add_rows(self, rows: dict[tuple[str, int], list[Observation]]) -> None:
        """Add the requests of these releases and minutes, and empty them out."""
        for (release, minute), events in rows.items():
            self.totals.accepted += len(events)
            self._add_requests(events, release, minute)
            if self.first_minute is None or minute < self.first_minute:
                self.first_minute = minute
        rows.clear()

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
            if is_outcome:
                self._row(minute, release, later=later).add_labels(event)
            else:
                self._add_requests((event,), release, minute)
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

    def _add_requests(self, events: Sequence[Observation], release: str, minute: int) -> None:
        self._row(minute, release, later=False).add_requests(events)
        self._waiting += len(events)
        units = {event.unit_id for event in events}
        units.discard(None)
        if units:
            self._serve(units, release, minute)
        if self._waiting >= WAITING_MAX:
            self._settle()

    def _serve(self, units: Iterable[str | None], release: str, minute: int) -> None:
        """Note a release's units in its overall cell, once, however finely the release is broken down."""
        key = CellKey(minute, release, OVERALL)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Aggregate()
        for unit_id in units:
            if unit_id is not None:
                cell.serve(unit_id)
        self._mark(cell, key)

    def _mark(self, cell: Aggregate, key: CellKey) -> None:
        if not cell.is_changed:
            cell.is_changed = True
            self.changed.add(key)
            self.changed_bytes += cell.packed_bytes

    def _add_incident(self, event: Observation, release: str, minute: int) -> None:
        cohort = event.cohort or NOBODY
        row = self._row(minute, release, later=False)
        cells = [(one.cell, one.key) for one in row.plain if matches(one.view.key, cohort)]
        cells += [one.place(cohort)[1:] for one in row.broken if matches(one.view.within, cohort)]
        for cell, key in cells:
            cell.incidents += 1
            cell.keep(INCIDENTS, Exemplar(event.at_ms, exemplar_id(event), event.failure_class or ""))
            self._mark(cell, key)
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
            plain: list[Slice] = []
            broken: list[Breakdown] = []
            for view in self.plan.views[release]:
                key = CellKey(minute, release, view.key, later)
                if view.by:
                    broken.append(Breakdown(view, key, self._cells))
                else:
                    plain.append(Slice(view, key, self._cells.setdefault(key, Aggregate())))
            row = self._rows[minute, release, later] = Row(plain, broken, self._kinds, self._mark)
        return row

    def replan(self, plan: Plan) -> None:
        """Fold by another plan from the next record on; cells that exist go on."""
        self.plan = plan
        self._live = _judged_by_live_traffic(plan)
        self._forget_rows()

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
            if cell is not None and cell.is_changed:
                cell.is_changed = False
        self.changed -= frozenset(keys)
        self.changed_bytes = sum(self._cells[key].packed_bytes for key in self.changed)

    def take_incidents(self) -> list[Incident]:
        """Return the incidents folded since the last call."""
        taken = list(self.incidents)
        self.incidents.clear()
        return taken

    def forget_before(self, minute: int) -> None:
        """Drop the cells of the minutes before this one from memory; whoever needs them has them by now."""
        self._drop([key for key in self._cells if key.minute < minute])

    def forget_closed(self) -> None:
        """Drop the cells that no further event can change, once they are stored."""
        self._drop([key for key in self.closed_keys() if key not in self.changed])

    def _drop(self, keys: list[CellKey]) -> None:
        for key in keys:
            del self._cells[key]
            self.changed.discard(key)
            row = self._rows.pop((key.minute, key.release, key.later), None)
            if row is not None and row.waiting:
                row.settle()

    def closed_keys(self) -> Iterator[CellKey]:
        """Yield the keys of cells that no further event can change."""
        if self.horizon_ms is None:
            return
        open_from = closed_before(self.horizon_ms)
        for key in self._cells:
            delay_ms = self.plan.label_delay_ms.get(key.release, 0) if key.later else 0
            if key.minute + delay_ms // BUCKET_MS < open_from:
                yield key


def _judged_by_live_traffic(plan: Plan) -> frozenset[str]:
    return frozenset(release for release in plan.views if not is_rehearsal(release))
