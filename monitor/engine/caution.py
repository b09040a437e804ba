"""A record that kills whoever decodes it must not kill for ever: after some deaths records are tried elsewhere first.

Decoders have native parts, and a defect there ends the process without an error. Whoever takes the partition over reads
the same record, and dies of it again. The state tells: a partition that was claimed again and again, and never written
in between, has killed its owners or is very unlucky. Then its records are decoded by a process of their own before they
are decoded here. Of what that process dies, also alone and again, is set aside: a dead letter that nobody decodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from monitor.engine.observer import Observer
from monitor.engine.ports import Claim, Partition, SourceRecord

# Claims without a write, from which on a partition is suspected: its third owner has died then.
UNWRITTEN: Final = 2
CAREFUL_RECORDS: Final = 10_000  # tried before trust returns: more than are read before the first write


class Trial(Protocol):
    """A place where decoding can do no harm."""

    async def deadly(self, values: Sequence[bytes | None]) -> frozenset[int]:
        """Return which of the values, by index, kill whoever decodes them; none where that cannot be told."""


class NoTrial:
    """Nothing is tried: what reads recordings has nobody who takes over from it."""

    async def deadly(self, values: Sequence[bytes | None]) -> frozenset[int]:
        """Return none."""
        return frozenset()


class Caution:
    """Which partitions are suspected, and what was found in them."""

    def __init__(self, trial: Trial, observer: Observer) -> None:
        self._trial = trial
        self._observer = observer
        self._left: dict[Partition, int] = {}

    def claimed(self, claim: Claim) -> None:
        """Suspect a partition whose owners came to no write, one after another; trust any other."""
        if claim.unwritten < UNWRITTEN:
            self._left.pop(claim.partition, None)
        else:
            self._left[claim.partition] = CAREFUL_RECORDS
            self._observer.suspected(claim.partition, claim.unwritten)

    async def deadly(self, partition: Partition, records: Sequence[SourceRecord]) -> list[int]:
        """Return the offsets of these records that must not be decoded; of a partition that is trusted none."""
        if partition not in self._left:
            return []
        found = sorted(await self._trial.deadly([record.value for record in records]))
        offsets = [records[index].offset for index in found]
        for offset in offsets:
            self._observer.set_aside(partition, offset)
        self._left[partition] = CAREFUL_RECORDS if found else self._left[partition] - len(records)
        if self._left[partition] <= 0:
            del self._left[partition]
        return offsets
