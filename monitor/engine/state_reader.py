"""Reading the stored state as an evaluator does, from any instance: checked, or not used at all.

What is read together is read at one moment per partition, its meta data among it. So an evaluator never takes a cell
that was lost after the watermark was looked at for a minute without traffic. What is damaged is condemned: its owner
is fenced by that, finds no offset at its next claim, and builds the partition anew from the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.window import closed_before
from monitor.engine.codec import (
    META_FIELD,
    OFFSET_FIELD,
    TOKEN_FIELD,
    Meta,
    cell_field,
    decode_cell,
    read_meta,
)
from monitor.engine.inventory import check_presence, manifest_field, names_in
from monitor.engine.observer import Observer
from monitor.engine.ports import Partition, StateStore
from monitor.engine.seal import StateDamaged, unseal
from monitor.engine.stay import CHECK_US, Stay, decoding_us, in_turns
from monitor.engine.view import View

_HEAD = (META_FIELD, OFFSET_FIELD, TOKEN_FIELD)


class StateBehind(StateDamaged):
    """A partition's state ends before the minutes that are asked for: it was lost meanwhile, and is being rebuilt."""


class _Wanted(NamedTuple):
    keys: Sequence[CellKey]
    names: Sequence[str]
    minutes: Sequence[int]

    @property
    def fields(self) -> list[str]:
        return [*_HEAD, *map(manifest_field, self.minutes), *self.names]


class StateReader:
    """The state of all partitions, as ticks need it.

    Args:
        partitions: Asked at every read: a topic may grow.
    """

    def __init__(
        self, store: StateStore, partitions: Callable[[], Sequence[Partition]], observer: Observer
    ) -> None:
        self._store = store
        self.partitions = partitions
        self._observer = observer
        # Several may read at once; in each round of the loop one adds up what it read.
        self._turn = asyncio.Lock()

    async def look(self) -> View:
        """Return how far every partition is.

        Damaged meta data says nothing, so the watermark waits until its owner has written or rebuilt it.

        Raises:
            StoreUnreachable: No answer in time.
        """
        partitions = self.partitions()
        rows = await self._store.read(partitions, _HEAD)
        metas: list[Meta | None] = []
        offsets: dict[str, int] = {}
        for partition, (packed, offset, token) in zip(partitions, rows, strict=True):
            meta = await self._meta(partition, packed, offset, token)
            metas.append(meta)
            if meta is not None and offset is not None:
                offsets[f"{partition.topic}-{partition.number}"] = int(offset)
        return View(metas, offsets)

    async def cells(self, keys: Iterable[CellKey], until: int) -> dict[CellKey, Aggregate]:
        """Return cells, merged over all partitions; one that no partition has is absent.

        Args:
            until: Every minute before this one must be closed in every partition.

        Raises:
            StateBehind: It is not, any more.
            StateDamaged: A cell is not what was written, or is missing; its partition is condemned.
            StoreUnreachable: No answer in time.
        """
        found = tuple(dict.fromkeys(keys))
        wanted = _Wanted(found, [cell_field(key) for key in found], sorted({key.minute for key in found}))
        partitions = self.partitions()
        rows = await self._store.read(partitions, wanted.fields)
        cells: dict[CellKey, Aggregate] = {}
        for partition, row in zip(partitions, rows, strict=True):
            meta = await self._meta(partition, *row[:3])
            if meta is None or meta.horizon_ms is None or closed_before(meta.horizon_ms) < until:
                raise StateBehind(f"{partition}: its state does not reach minute {until} any more")
            try:
                async with self._turn:
                    await in_turns(_merging(cells, wanted, row[3:], meta.kept_from))
            except StateDamaged as damage:
                await self._condemn(partition, row[2], damage)
                raise
        return cells

    async def _meta(
        self, partition: Partition, packed: bytes | None, offset: bytes | None, token: bytes | None
    ) -> Meta | None:
        try:
            return read_meta(packed, offset)
        except StateDamaged as damage:
            if offset is not None and offset.isdigit():  # else its next claim finds that out by itself
                await self._condemn(partition, token, damage)
            return None

    async def _condemn(self, partition: Partition, token: bytes | None, damage: StateDamaged) -> None:
        self._observer.state_damaged(partition, str(damage))
        await self._store.condemn(partition, (token or b"").decode(errors="replace"))


def _merging(
    cells: dict[CellKey, Aggregate], wanted: _Wanted, row: Sequence[bytes | None], kept_from: int
) -> Iterator[None]:
    """Add one partition's cells to the others'; yields wherever others may have their turn."""
    stay, split = Stay(), len(wanted.minutes)
    manifests: Mapping[int, frozenset[bytes] | None] = {
        minute: names_in(manifest_field(minute), packed)
        for minute, packed in zip(wanted.minutes, row[:split], strict=True)
    }
    for key, name, packed in zip(wanted.keys, wanted.names, row[split:], strict=True):
        if stay.is_over_after(CHECK_US if packed is None else decoding_us(packed)):
            yield
        if key.minute >= kept_from:  # what is before it is being deleted
            check_presence(name, packed, manifests[key.minute])
        if packed is not None:
            cell, known = decode_cell(unseal(name, packed)), cells.get(key)
            if known is None:
                cells[key] = cell
            else:
                known.merge(cell)
