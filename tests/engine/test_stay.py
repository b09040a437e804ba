"""Large states: whoever takes one over, or reads hours of it, gives everybody else their turns in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from monitor.adapters.redis.store import _fields
from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import cohort_key
from monitor.core.window import BUCKET_MS
from monitor.engine import ingest, inventory, state_reader
from monitor.engine.codec import (
    META_FIELD,
    OFFSET_FIELD,
    Meta,
    cell_field,
    decode_cell,
    encode_cell,
    encode_meta,
)
from monitor.engine.inventory import Inventory
from monitor.engine.ports import Claim, FlushAnswer, Partition
from monitor.engine.seal import unseal
from monitor.engine.state_reader import StateReader
from monitor.engine.stay import CELL_US, CHECK_US, LANES, NAME_US, STAY_US, in_lanes
from tests.engine.logs import START_MIN, START_MS, TOPIC, Log
from tests.engine.plant import Plant, Store, budget

PARTITION = Partition(TOPIC, 0)
TENANTS = 200
MINUTES = 30  # of which the last few are open: their cells are put together at a take-over


def large_state() -> tuple[dict[str, bytes], list[CellKey]]:
    """Return a partition's state with many cells in each of its minutes, and their keys."""
    kept, cell, fields, keys = Inventory(), Aggregate(), dict[str, bytes](), list[CellKey]()
    cell.requests = 3
    packed = encode_cell(cell)
    for minute in range(START_MIN, START_MIN + MINUTES):
        found = [
            CellKey(minute, "v42", cohort_key({"tenant": f"t{number}"}), False, 0)
            for number in range(TENANTS)
        ]
        keys += found
        fields |= kept.sealed({minute: {cell_field(key): packed for key in found}})
    end_ms = START_MS + MINUTES * BUCKET_MS
    tally, nothing = kept.tally, (0,) * 6
    meta = Meta(
        1, 0, end_ms, end_ms, START_MIN, 0, end_ms, *nothing, {}, {}, fields=tally.fields, seals=tally.seals
    )
    return {**fields, META_FIELD: encode_meta(meta), OFFSET_FIELD: b"0"}, keys


class Large(Store):
    """A store with that state, whoever asks."""

    def __init__(self) -> None:
        super().__init__()
        self.fields, self.keys = large_state()

    async def claim(self, partition: Partition, owner: str) -> Claim:
        return Claim(partition, f"1:{owner}", self.fields)

    async def read(self, partitions: Sequence[Partition], fields: Sequence[str]) -> list[list[bytes | None]]:
        return [[self.fields.get(name) for name in fields] for _ in partitions]

    async def flush(self, claim: Claim, **_: object) -> FlushAnswer:
        return FlushAnswer.APPLIED


class Turns:
    """Counts everybody else's turns, and what we do between two of them."""

    def __init__(self) -> None:
        self.number = 0
        self.done: Counter[int] = Counter()

    def counting(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.done[self.number] += 1
            return work(*args)

        return counted

    async def beside(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do the work while somebody else goes round as often as they get a turn."""
        others = asyncio.create_task(self._go_round())
        try:
            return await work
        finally:
            others.cancel()

    async def _go_round(self) -> None:
        while True:
            self.number += 1
            await asyncio.sleep(0)


async def test_a_take_over_checks_and_restores_no_more_in_one_stay_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Plant(budgets=(budget(),), store=Large(), log=Log(partitions=1))
    checked, restored = Turns(), Turns()
    monkeypatch.setattr(inventory, "unseal", checked.counting(unseal))
    monkeypatch.setattr(ingest, "decode_cell", restored.counting(decode_cell))
    feed = made.feed(made.source())
    await checked.beside(restored.beside(feed.step()))
    assert made.told.damaged == []
    assert set(feed.ingests) == {PARTITION}
    assert checked.done.total() == MINUTES * (TENANTS + 1)  # every cell and every manifest
    assert max(checked.done.values()) <= STAY_US // CHECK_US
    assert restored.done.total() >= 3 * TENANTS
    assert max(restored.done.values()) <= STAY_US // CELL_US
    assert not feed.ingests[PARTITION].claim.fields  # a day's state is not kept twice


async def test_hours_of_cells_are_merged_no_more_in_one_stay_than_it_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, turns = Large(), Turns()
    reader = StateReader(store, lambda: [PARTITION], Plant().told)
    monkeypatch.setattr(state_reader, "decode_cell", turns.counting(decode_cell))
    cells = await turns.beside(reader.cells(store.keys, START_MIN))
    assert len(cells) == turns.done.total() == MINUTES * TENANTS
    assert max(turns.done.values()) <= STAY_US // CELL_US


async def test_the_names_of_a_large_state_are_read_in_turns() -> None:
    flat = [part for name, value in large_state()[0].items() for part in (name.encode(), value)]
    turns = Turns()
    found = await turns.beside(_fields([*flat, b"token", b"1:w:0"]))
    assert len(found) == len(flat) // 2
    assert turns.number >= len(found) * NAME_US // STAY_US


async def test_one_that_waits_holds_up_no_other_and_all_are_done_though_one_fails() -> None:
    done, gate = list[int](), asyncio.Event()

    async def work(item: int) -> int:
        if item == 0:
            await gate.wait()
        if item == 1:
            raise ZeroDivisionError
        done.append(item)
        if len(done) == 98:
            gate.set()
        return item

    with pytest.raises(ZeroDivisionError):
        await in_lanes(range(100), work)
    assert done == [*range(2, 100), 0]


async def test_only_a_few_are_under_way_at_once() -> None:
    under_way, most = 0, 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return 1

    assert await in_lanes(range(50), work) == 50
    assert most == LANES
