"""Ingest of one partition: batch -> fold -> one atomic write, in that order and no other.

The owner keeps the open cells in memory and writes absolute values; the stored offset and the cells always
move together. Taking a partition over means: claim it (older writers are fenced from then on), put its open
cells back, re-read the last two minutes for the ids seen, and go on at the stored offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final, cast

import numpy as np

from monitor.core.cell import CellKey, Incident
from monitor.core.event import Observation
from monitor.core.partition import PartitionFold, Totals
from monitor.core.plan import Plan
from monitor.core.seen import SeenIds
from monitor.core.shape import Ints
from monitor.core.window import BUCKET_MS, DUPLICATE_MS
from monitor.engine.codec import (
    DEADLY_FIELD,
    META_FIELD,
    OFFSET_FIELD,
    Meta,
    cell_field,
    cell_key,
    decode_cell,
    decode_deadly,
    encode_cells,
    encode_deadly,
    encode_meta,
    read_meta,
)
from monitor.engine.inventory import Inventory, minute_of_field
from monitor.engine.log_time import is_unchanged
from monitor.engine.ports import MAX_FLUSH_BYTES, MAX_FLUSH_FIELDS, Claim, DeadLetter, SourceRecord
from monitor.engine.replay import Decode
from monitor.engine.seal import StateDamaged
from monitor.engine.stay import NAME_US, Stay, decoding_us
from monitor.engine.weight import Scale

META_VERSION: Final = 1
_LETTERS_MAX: Final = 1_000  # not yet handed over
_DEADLY: Final = "crashes_decoder"


@dataclass(frozen=True, slots=True)
class Flush:
    """One atomic write of a partition's state; sending it twice is sending it once."""

    batch: str
    expected_offset: int
    new_offset: int
    fields: Mapping[str, bytes]
    cells: frozenset[CellKey]
    complete_ms: int | None
    kept_from: int
    totals: Totals
    is_bare: bool  # the exemplars of watched values would have made it too large


class PartitionIngest:
    """The writer of one partition's state; `restoring` comes before everything else.

    Attributes:
        offset: The next record to fold.
        read_from: Where reading has to begin: before `offset` where ids have to be learnt again.
        deadly: Offsets of records that are never decoded, as far as they may be read again.
        position: The next record to read.
    """

    def __init__(
        self,
        claim: Claim,
        plan: Plan,
        decode: Decode,
        *,
        start_offset: int,
        max_ids: int,
        event_time: Callable[[int], int],
    ) -> None:
        self.claim = claim
        self.partition = claim.partition
        self._decode = decode
        self._event_time = event_time
        self._is_log_time = is_unchanged(event_time)
        self.fold = PartitionFold(plan, SeenIds(max_ids))
        self.stored_offset = 0
        self._batches = 0
        self._marks: list[tuple[int, int | None]] = []
        self._warm_clock_ms: int | None = None
        self._stored_complete_ms: int | None = None
        self.is_warm = True
        self._letters: list[DeadLetter] = []
        self.deadly: set[int] = set()
        self._inventory = Inventory()
        self._stored_kept_from = 0
        self.base = self.offset = self.read_from = self.position = start_offset
        self._marks = [(start_offset, None)]
        self._scale = Scale(self.fold, self._inventory, MAX_FLUSH_BYTES)
        self.stored_totals = replace(self.fold.totals)

    def restoring(self) -> Iterator[None]:
        """Check the claimed state as a whole and go on from there; yields wherever others may have their turn.

        At the first start nothing is claimed, and it begins at the start offset.

        Raises:
            StateDamaged: It cannot be used; the partition has to be rebuilt from the log.
        """
        fields = self.claim.fields
        try:
            meta = read_meta(fields.get(META_FIELD), fields.get(OFFSET_FIELD))
            if meta is None and fields:
                raise StateDamaged("there is state without its meta data and its offset")
            yield from self._inventory.finding(fields, meta)
            self.deadly = decode_deadly(fields.get(DEADLY_FIELD))
        except StateDamaged as damage:
            raise StateDamaged(f"{self.partition}: {damage}; rebuild it from the log") from damage
        self._stored_kept_from = self._inventory.kept_from
        if meta is not None:
            self._restore(meta)
            yield from self._restoring_cells(meta)
            self.claim = replace(self.claim, fields={})  # all of a day, in memory for as long as we own it

    def old_fields(self, before_minute: int) -> list[str]:
        """Return what is stored of the minutes before this one, at most one drop's worth, and forget it.

        Only what the stored meta data does not count any more: a crash in between must not look like a loss. So
        the first call is heard with the next write, and its fields come with a later call.
        """
        old = self._inventory.old_fields(min(before_minute, self._stored_kept_from), MAX_FLUSH_FIELDS)
        self._inventory.keep_from(before_minute)
        return old

    def _restore(self, meta: Meta) -> None:
        self.base = meta.base
        self.stored_offset = self.offset = int(self.claim.fields[OFFSET_FIELD])
        fold = self.fold
        fold.totals = meta.totals
        fold.clock_ms = meta.warm_clock_ms
        fold.first_minute = meta.first_minute
        fold.complete_ms = meta.complete_ms
        fold.late_by_release = dict(meta.late_by_release)
        fold.others = dict(meta.others)
        self.read_from = min(meta.warm_offset, self.offset)
        self._marks = [(self.read_from, meta.warm_clock_ms)]
        self._stored_complete_ms = meta.complete_ms
        self._warm_clock_ms = meta.clock_ms
        self.is_warm = self.read_from == self.offset
        if self.is_warm:
            fold.clock_ms = meta.clock_ms
        self.position = self.read_from
        self.stored_totals = replace(fold.totals)

    def _restoring_cells(self, meta: Meta) -> Iterator[None]:
        horizon_ms, stay = meta.horizon_ms, Stay()
        if horizon_ms is None:
            return
        delays_ms = self.fold.plan.label_delay_ms.values()
        from_ms = horizon_ms - max(delays_ms, default=0)
        for field, packed in self.claim.fields.items():
            if stay.is_over_after(NAME_US):
                yield
            minute = minute_of_field(field)
            # Most cells are long closed: reading their names as well would take most of a take-over.
            key = None if minute is None or (minute + 4) * BUCKET_MS < from_ms else cell_key(field)
            if key is None:
                continue
            delay_ms = self.fold.plan.label_delay_ms.get(key.release, 0) if key.later else 0
            # A minute is restored while an event could still change it; one more does no harm.
            if (key.minute + 4) * BUCKET_MS + delay_ms >= horizon_ms:
                if stay.is_over_after(decoding_us(packed)):
                    yield
                cell = decode_cell(packed)
                cell.packed_bytes = len(packed)
                self.fold.restore(key, cell)

    def take(self, records: Sequence[SourceRecord]) -> int:
        """Fold records until the next flush would grow too large; return how many were taken."""
        warmed = 0
        while warmed < len(records) and records[warmed].offset < self.offset and not self.is_full:
            record = records[warmed]
            self.position = record.offset + 1
            self._warm(record)
            warmed += 1
        if warmed == len(records) or self.is_full:
            return warmed
        if not self.is_warm:
            self._finish_warming()
        return warmed + self._take(records[warmed:] if warmed else records)

    def _take(self, records: Sequence[SourceRecord]) -> int:
        read = self._read(records)
        if str in set(map(type, read)):
            return self._take_mixed(records, read)
        own_ms, told = self._own_times(records), self.fold.told(cast("Sequence[Observation]", read))
        taken = 0
        while taken < len(records) and not self.is_full:
            left = told.between(taken, len(records))
            room = self._scale.room(records[taken:], left, partial(self._rows_in, left.ats))
            rest = slice(taken, taken + min(room, _LETTERS_MAX - len(self._letters)))
            ahead = self.fold.fold_told(told.between(rest.start, rest.stop), own_ms[rest])
            self._folded(records[rest], dict.fromkeys(ahead, "future"), own_ms[rest])
            taken = rest.stop
        return taken

    def _read(self, records: Sequence[SourceRecord]) -> list[Observation | str]:
        if not self.deadly:
            return list(map(self._decode, [record.value for record in records]))
        return [_DEADLY if one.offset in self.deadly else self._decode(one.value) for one in records]

    def _rows_in(self, ats: Ints) -> int:
        """Return how many minutes of watched releases records of these times can touch, at most."""
        minutes = (int(ats.max()) - int(ats.min())) // BUCKET_MS + 2
        # An incident that is late counts in a minute that is open.
        return min(len(self.fold.plan.views), len(ats)) * (min(minutes, len(ats)) + 1)

    def _warm(self, record: SourceRecord) -> None:
        (event,) = self._read([record])
        if not isinstance(event, str):
            self.fold.warm(event, self._event_time(record.timestamp))
        if record.offset == self.offset - 1:
            self._finish_warming()

    def _finish_warming(self) -> None:
        self.is_warm = True
        if self.fold.clock_ms != self._warm_clock_ms:
            raise StateDamaged(
                f"{self.partition}: re-reading gives the clock {self.fold.clock_ms}, the state says "
                f"{self._warm_clock_ms}; the partition has to be rebuilt from the log"
            )

    def skip_warming(self) -> None:
        """Go on without the last ids, where the log no longer has the records that told them."""
        self.is_warm = True
        self.read_from = self.position = self.offset
        self.fold.clock_ms = self._warm_clock_ms

    def _take_mixed(self, records: Sequence[SourceRecord], read: Sequence[Observation | str]) -> int:
        """Fold records some of which could not be decoded, in runs that surely fit."""
        taken = 0
        while taken < len(records) and not self.is_full:
            told = self.fold.told([event for event in read[taken:] if not isinstance(event, str)])
            room = self._scale.room(records[taken:], told) if told.events else len(read) - taken
            run = slice(taken, taken + min(room, _LETTERS_MAX - len(self._letters)))
            own_ms = self._own_times(records[run])
            reasons = {index: event for index, event in enumerate(read[run]) if isinstance(event, str)}
            good = [index for index in range(len(own_ms)) if index not in reasons]
            ahead = self.fold.fold_told(told.between(0, len(good)), own_ms[good])
            for _ in reasons:
                self.fold.reject()
            self._folded(records[run], {**reasons, **{good[index]: "future" for index in ahead}}, own_ms)
            taken += len(own_ms)
        return taken

    def _own_times(self, records: Sequence[SourceRecord]) -> Ints:
        """Return the records' own times, as event time."""
        told = np.array([record.timestamp for record in records], dtype=np.int64)
        return told if self._is_log_time else np.array(list(map(self._event_time, told.tolist())))

    def _folded(self, records: Sequence[SourceRecord], reasons: Mapping[int, str], own_ms: Ints) -> None:
        """Note that these records, from the offset on, were folded, and which of them are dead letters."""
        end = records[-1].offset + 1
        self.fold.totals.gaps += end - self.offset - len(records)
        self.offset = self.position = end
        self._letters += [self._letter(records[at], reasons[at], int(own_ms[at])) for at in sorted(reasons)]
        self._scale.folded(len(records))

    def _letter(self, record: SourceRecord, reason: str, at_ms: int) -> DeadLetter:
        value = record.value or b""
        return DeadLetter(self.partition, record.offset, reason, len(value), sha256(value).hexdigest(), at_ms)

    @property
    def is_full(self) -> bool:
        """Tell whether the next flush has no room for another record's cells."""
        return len(self._letters) >= _LETTERS_MAX or self._scale.is_full

    @property
    def letters(self) -> Sequence[DeadLetter]:
        """The dead letters not yet handed over."""
        return tuple(self._letters)

    @property
    def incidents(self) -> Sequence[Incident]:
        """The incidents not yet handed over."""
        return tuple(self.fold.incidents)

    def handed_over(self, incidents: int, letters: int) -> None:
        """Note that so many of them, the oldest, have been given on."""
        for _ in range(incidents):
            self.fold.incidents.popleft()
        del self._letters[:letters]

    def reached(self, position: int) -> None:
        """Note that reading has come to this offset, though the last offsets before it held no record.

        Raises:
            StateDamaged: Warming is over by that, and it does not add up.
        """
        self.position = max(self.position, position)
        if not self.is_warm and position >= self.offset:
            self._finish_warming()

    def complete(self, up_to_ms: int) -> None:
        """Note that the partition was seen to be read to its end, up to this event time."""
        if self.fold.complete_ms is None or up_to_ms > self.fold.complete_ms:
            self.fold.complete_ms = up_to_ms

    @property
    def has_news(self) -> bool:
        """Tell whether memory is ahead of the store."""
        if self.offset != self.stored_offset or self.fold.changed:
            return True
        return self.fold.complete_ms != self._stored_complete_ms

    def flush(self) -> Flush:
        """Return the write that brings the store up to date."""
        fold = self.fold
        self._mark()
        warm_offset, warm_clock_ms = self._marks[0]
        totals: Totals = fold.totals
        changed = frozenset(fold.changed)
        fields, is_bare = self._sealed(changed)
        tally = self._inventory.tally
        meta = Meta(
            version=META_VERSION,
            base=self.base,
            clock_ms=fold.clock_ms,
            complete_ms=fold.complete_ms,
            first_minute=fold.first_minute,
            warm_offset=warm_offset,
            warm_clock_ms=warm_clock_ms,
            accepted=totals.accepted,
            late=totals.late,
            duplicates=totals.duplicates,
            rejected=totals.rejected,
            gaps=totals.gaps,
            other_releases=totals.other_releases,
            late_by_release=fold.late_by_release,
            others=fold.others,
            kept_from=self._inventory.kept_from,
            fields=tally.fields,
            seals=tally.seals,
        )
        self._batches += 1
        fields[META_FIELD] = encode_meta(meta)
        fields[OFFSET_FIELD] = str(self.offset).encode()
        if self.deadly:  # an empty field in the end: what is told is never taken back by leaving it out
            self.deadly = {one for one in self.deadly if one >= warm_offset}
            fields[DEADLY_FIELD] = encode_deadly(self.deadly)
        return Flush(
            batch=f"{self.claim.token}/{self._batches}",
            expected_offset=self.stored_offset,
            new_offset=self.offset,
            fields=fields,
            cells=changed,
            complete_ms=fold.complete_ms,
            kept_from=self._inventory.kept_from,
            totals=replace(totals),
            is_bare=is_bare,
        )

    def _sealed(self, changed: frozenset[CellKey]) -> tuple[dict[str, bytes], bool]:
        cells: dict[int, dict[str, bytes]] = {}
        held = self.fold.cells
        packed, is_bare = encode_cells({key: held[key] for key in changed}, MAX_FLUSH_BYTES * 7 // 8)
        for key, one in packed.items():
            held[key].packed_bytes = len(one)
            cells.setdefault(key.minute, {})[cell_field(key)] = one
        return self._inventory.sealed(cells), is_bare

    def _mark(self) -> None:
        """Remember where the clock stands at this offset; keep the newest mark that is two minutes old."""
        clock_ms = self.fold.clock_ms
        if self._marks[-1][0] != self.offset:
            self._marks.append((self.offset, clock_ms))
        if clock_ms is None:
            return
        limit_ms = clock_ms - DUPLICATE_MS
        old = [place for place, (_, ms) in enumerate(self._marks) if ms is not None and ms <= limit_ms]
        del self._marks[: max(old, default=0)]

    def flushed(self, flush: Flush) -> None:
        """Note that a write is in the store."""
        self.stored_offset = flush.new_offset
        self._stored_complete_ms = flush.complete_ms
        self.stored_totals = flush.totals
        self._stored_kept_from = flush.kept_from
        self.fold.stored(flush.cells)
        self._scale.written()
        self.fold.forget_closed()
