"""One partition's writer: however often it is killed and taken over, it comes to what one reader would have come to."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import decode
from monitor.adapters.memory.store import MemoryStateStore
from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.partition import Totals
from monitor.core.plan import plan_for
from monitor.engine.codec import META_FIELD, cell_key, decode_cell, decode_meta
from monitor.engine.ingest import PartitionIngest
from monitor.engine.ports import Claim, FlushAnswer, Partition
from monitor.engine.seal import StateDamaged
from tests.engine.logs import START_MS, TOPIC, Row
from tests.engine.plant import budget

PARTITION = Partition(TOPIC, 0)
PLAN = plan_for([budget(("max_duration_min: 5", "max_duration_min: 5\n    label_delay: 10m"))])


def _line(event: dict[str, object]) -> bytes:
    kept = {name: value for name, value in event.items() if value is not None}
    return json.dumps(kept | {"at": START_MS + int(str(event["at"]))}).encode()


events: st.SearchStrategy[dict[str, object]] = st.builds(
    dict,
    event_id=st.integers(0, 40).map("e{}".format),
    at=st.integers(0, 900_000),
    release=st.sampled_from(["v41", "v42", "other"]),
    kind=st.sampled_from(["request", "request", "outcome"]),
    task_success=st.sampled_from([True, False, None]),
    incident_severity=st.sampled_from([None, None, None, "high"]),
)
values = st.one_of(events.map(_line), st.just(b"no json"), st.none())


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Draw a partition: times that go back and forth, repeats, broken records, and gaps between offsets."""
    rows, offset, now_ms = [], 0, START_MS
    for value in draw(st.lists(values, max_size=60)):
        offset += draw(st.sampled_from([1, 1, 1, 3]))
        now_ms += draw(st.integers(0, 60_000))
        rows.append(Row(offset, now_ms, value))
    return rows


def ingest(claim: Claim) -> PartitionIngest:
    made = PartitionIngest(claim, PLAN, decode, start_offset=0, max_ids=1_000, event_time=lambda ms: ms)
    for _ in made.restoring():
        pass
    return made


async def read(store: MemoryStateStore, rows: Sequence[Row], upto: int, flush_every: int) -> None:
    """Take the partition over, read to a row and crash there; what was not flushed is lost."""
    reader = ingest(await store.claim(PARTITION, "w"))
    left = [row for row in rows[:upto] if row.offset >= reader.read_from]
    for start in range(0, len(left), flush_every):
        batch = left[start : start + flush_every]
        assert reader.take(batch) == len(batch)
        if reader.is_warm:
            flush = reader.flush()
            answer = await store.flush(
                reader.claim, batch=flush.batch, expected_offset=flush.expected_offset, fields=flush.fields
            )
            assert answer is FlushAnswer.APPLIED
            reader.flushed(flush)


async def state(store: MemoryStateStore) -> tuple[Totals | None, dict[CellKey, Aggregate], int | None]:
    """Return the stored totals, cells and clock."""
    fields = (await store.claim(PARTITION, "reader")).fields
    cells = {key: decode_cell(value) for name, value in fields.items() if (key := cell_key(name)) is not None}
    if META_FIELD not in fields:
        return None, cells, None
    meta = decode_meta(fields[META_FIELD])
    return meta.totals, cells, meta.clock_ms


@given(logs(), st.lists(st.integers(0, 60), max_size=4), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
async def test_any_crashes_and_take_overs_come_to_what_one_reader_comes_to(
    rows: list[Row], crashes: list[int], flush_every: int
) -> None:
    """Law: totals, cells and clock depend on the log alone. Duplicates across a take-over included."""
    often, once = MemoryStateStore(), MemoryStateStore()
    for upto in sorted(crashes):
        await read(often, rows, upto, flush_every)
    await read(often, rows, len(rows), flush_every)
    await read(once, rows, len(rows), len(rows) or 1)
    assert await state(often) == await state(once)


@given(logs())
@settings(max_examples=40, deadline=None)
async def test_every_record_and_every_gap_is_in_exactly_one_count(rows: list[Row]) -> None:
    """Law: accepted + late + duplicates + rejected = offset - base - gaps."""
    store = MemoryStateStore()
    await read(store, rows, len(rows), 7)
    totals, _, _ = await state(store)
    if totals is not None:
        assert totals.records == len(rows)
        assert totals.records + totals.gaps == rows[-1].offset + 1


async def test_a_flush_is_named_by_what_it_holds_and_sent_again_it_changes_nothing() -> None:
    store = MemoryStateStore()
    writer = ingest(await store.claim(PARTITION, "w"))
    writer.take([Row(0, START_MS, _line({"event_id": "a", "at": 0, "release": "v41"}))])
    flush = writer.flush()
    sent = [
        await store.flush(
            writer.claim, batch=flush.batch, expected_offset=flush.expected_offset, fields=flush.fields
        )
        for _ in range(2)
    ]
    assert sent == [FlushAnswer.APPLIED, FlushAnswer.ALREADY_MINE]
    writer.flushed(flush)
    assert not writer.has_news
    assert writer.flush().batch != flush.batch


def test_what_is_handed_over_is_forgotten_and_the_rest_is_not() -> None:
    writer = ingest(Claim(PARTITION, "t", {}))
    writer.take([Row(number, START_MS, b"no json") for number in range(3)])
    assert [letter.offset for letter in writer.letters] == [0, 1, 2]
    writer.handed_over(0, 2)
    assert [letter.offset for letter in writer.letters] == [2]


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": b"3"},
        {"c|29000000|v41|[]": b""},
        {"batch": b"0:1:1"},
    ],
)
def test_state_without_its_meta_data_is_damage(fields: dict[str, bytes]) -> None:
    """Half of a state, as a crash in the middle of a reset leaves it, is never a beginning."""
    with pytest.raises(StateDamaged, match="rebuild"):
        ingest(Claim(PARTITION, "t", fields))


async def test_old_cells_are_named_once_and_only_when_the_stored_meta_data_counts_them_no_more() -> None:
    """A crash between a delete and the next write must not look like a loss."""
    store = MemoryStateStore()
    writer = ingest(await store.claim(PARTITION, "w"))
    rows = [
        Row(
            number,
            START_MS + number * 60_000,
            _line({"event_id": f"e{number}", "at": number * 60_000, "release": "v41"}),
        )
        for number in range(10)
    ]
    writer.take(rows)
    minute = START_MS // 60_000 + 4
    for _ in range(2):
        flush = writer.flush()
        await store.flush(
            writer.claim, batch=flush.batch, expected_offset=flush.expected_offset, fields=flush.fields
        )
        writer.flushed(flush)
        old = writer.old_fields(minute)
    assert {int(name.split("|")[1]) for name in old} == set(range(minute - 4, minute))
    assert {name.split("|")[0] for name in old} == {"c", "n"}
    assert writer.old_fields(minute) == []
    await store.drop(writer.claim, old[:3])  # a delete that a crash left half done, or has not begun
    again = ingest(await store.claim(PARTITION, "next"))
    assert again.old_fields(minute) == old[3:]
