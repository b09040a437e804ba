"""The data plane through fences, lost answers, outages, take-overs and damage: every record in exactly one count."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from monitor.engine.codec import META_FIELD, OFFSET_FIELD
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.feed import FENCED_WAIT_MS
from monitor.engine.pace import BEHIND_FLUSHES, BEHIND_RECORDS
from monitor.engine.ports import FlushAnswer, Partition
from tests.engine.logs import START_MS, TOPIC
from tests.engine.plant import Plant, budget

FIRST = Partition(TOPIC, 0)


def plant(events: int = 40) -> Plant:
    """Return a plant whose log holds so many events of two minutes, over two partitions."""
    made = Plant(budgets=(budget(),))
    write(made, "e", events)
    return made


def write(made: Plant, name: str, events: int) -> None:
    for number in range(events):
        at_ms = START_MS + number * 120_000 // events
        release = "v42" if number % 3 == 0 else "v41"
        made.log.event(number % 2, f"{name}{number}", at_ms, release, task_success=number % 4 > 0)


async def exact(made: Plant, accepted: int, **others: int) -> None:
    """Hold the stored totals and cells to what was written."""
    totals = await made.totals()
    expected = {"late": 0, "duplicates": 0, "rejected": 0, "gaps": 0} | others
    assert totals.accepted == accepted
    assert {name: getattr(totals, name) for name in expected} == expected
    cells = await made.cells()
    assert sum(cell.requests for key, cell in cells.items() if not key.view) == accepted
    assert sum(await made.offsets()) == totals.records + totals.gaps


async def test_what_is_read_is_stored_with_its_offset() -> None:
    made = plant()
    await made.settled(made.feed(made.source()))
    await exact(made, 40)


async def test_a_worker_that_catches_up_writes_more_rarely_until_it_is_there() -> None:
    """What it writes meanwhile changes again at once, and no minute is waited for that is long over."""
    made = plant()
    feed = made.feed(made.source())
    feed._options = replace(feed._options, flush_interval_ms=1_000)
    await feed.step()
    for unread, passed_ms, written in (
        (BEHIND_RECORDS + 1, 1_000, 0),
        (BEHIND_RECORDS + 1, 1_000 * (BEHIND_FLUSHES - 1), 2),  # the rest of its longer wait: both partitions
        (BEHIND_RECORDS + 1, 1_000, 2),
        (0, 0, 4),  # there: it writes as ever
    ):
        write(made, f"at{made.clock.ms}", 10)
        feed.unread = unread
        made.clock.ms += passed_ms
        await feed.step()
        assert len(made.told.answers) == written
    await exact(made, 80)


async def test_a_fenced_instance_drops_the_partition_and_comes_back_only_after_a_while() -> None:
    """Whoever was fenced lost the partition to somebody; nothing it still holds may be written."""
    made = plant()
    old_source = made.source()
    old, new = made.feed(old_source, "old"), made.feed(made.source(), "new")
    await old.step()
    await made.settled(new)
    write(made, "more", 10)
    await old.step()
    assert made.told.answers.count(FlushAnswer.FENCED) == 2
    assert old.ingests == {}
    await old.step()
    assert old.ingests == {}
    await made.settled(new)
    await exact(made, 50)
    made.clock.ms += FENCED_WAIT_MS
    await old.step()
    assert len(old.ingests) == 2
    await exact(made, 50)


async def test_a_partition_the_group_took_away_is_not_written_any_more() -> None:
    made = plant()
    source = made.source()
    feed = made.feed(source)
    await made.settled(feed)
    source.rebalance([])
    write(made, "more", 10)
    await made.settled(feed)
    assert feed.ingests == {}
    await exact(made, 40)


async def test_a_rebalance_that_gives_back_what_we_had_leaves_nothing_unread() -> None:
    """What comes back comes paused, and somebody may have written it meanwhile: it is claimed anew."""
    made = plant()
    source = made.source()
    feed = made.feed(source)
    await made.settled(feed)
    source.rebalance(made.log.names)
    write(made, "more", 10)
    await made.settled(feed)
    await exact(made, 50)


async def test_a_lost_answer_counts_once() -> None:
    """The write was done and its answer was not heard: the same write again is answered as already ours."""
    made = plant()
    feed = made.feed(made.source())
    made.store.lost_answers = 1
    await made.settled(feed)
    assert FlushAnswer.ALREADY_MINE in made.told.answers
    write(made, "more", 10)
    await made.settled(feed)
    await exact(made, 50)


@pytest.mark.parametrize("writes", [1, 2, 7])
async def test_while_the_store_is_away_reading_waits_and_nothing_is_lost(writes: int) -> None:
    made = plant()
    feed = made.feed(made.source())
    await feed.step()
    made.store.away = writes
    for number in range(writes + 2):
        write(made, f"away{number}-", 10)
        await feed.step()
    await made.settled(feed)
    assert made.told.away == writes
    await exact(made, 40 + (writes + 2) * 10)


async def test_a_take_over_knows_the_ids_of_the_last_two_minutes() -> None:
    """A repeat is dropped on both sides of a crash; one that is older than two minutes counts again, as before it."""
    made = plant()
    await made.settled(made.feed(made.source(), "dies"))
    newest = START_MS + 39 * 3_000
    made.log.event(1, "e39", newest, "v41")
    made.log.event(0, "e38", newest, "v41")
    feed = made.feed(made.source(), "takes over")
    await made.settled(feed)
    await exact(made, 40, duplicates=2)
    made.log.event(1, "e39", newest + 120_001, "v41")
    await made.settled(feed)
    await exact(made, 41, duplicates=2)


async def test_records_after_the_stored_offset_are_folded_again_and_counted_once() -> None:
    """A crash loses what memory was ahead; the log still has it."""
    made = plant()
    dies = made.feed(made.source(), "dies")
    await made.settled(dies)
    write(made, "more", 10)
    made.store.away = 100
    await dies.step()
    made.store.away = 0
    await made.settled(made.feed(made.source(), "takes over"))
    await exact(made, 50)


@pytest.mark.parametrize(
    ("field", "value"),
    [(META_FIELD, b"\xc1 no meta data"), (META_FIELD, None), (OFFSET_FIELD, b"many"), (OFFSET_FIELD, b"7")],
)
async def test_damaged_state_is_said_and_rebuilt_from_the_log(field: str, value: bytes | None) -> None:
    """Never used, never patched: the partition begins anew, and comes to the same counts."""
    made = plant()
    await made.settled(made.feed(made.source(), "before"))
    stored = made.store._hashes[FIRST]
    if value is None:
        del stored[field]
    else:
        stored[field] = value
    await made.settled(made.feed(made.source(), "after"))
    assert made.told.damaged == [FIRST]
    await exact(made, 40)


async def test_a_clock_that_re_reading_does_not_find_again_is_damage_too() -> None:
    made = plant()
    await made.settled(made.feed(made.source(), "before"))
    first = made.log.rows[FIRST][0]
    changed = json.loads(first.value or b"") | {"at": START_MS + 500_000}
    rows = [type(row)(row.offset, START_MS + 500_000, row.value) for row in made.log.rows[FIRST]]
    rows[0] = type(first)(first.offset, START_MS + 500_000, json.dumps(changed).encode())
    made.log.rows[FIRST] = rows
    feed = made.feed(made.source(), "after")
    await made.settled(feed, steps=6)
    assert made.told.damaged == [FIRST]
    assert set(feed.ingests) == set(made.log.names)


async def test_an_offset_that_retention_overtook_is_said_and_the_partition_begins_at_what_is_left() -> None:
    made = plant()
    feed = made.feed(made.source())
    await made.settled(feed)
    write(made, "unread", 10)
    made.log.first[FIRST] = 23
    await made.settled(feed)
    assert made.told.damaged == [FIRST]
    assert (await made.offsets())[0] == 25


@pytest.mark.parametrize("events", [10, 300], ids=["a shorter one", "a longer one"])
@pytest.mark.parametrize("is_running", [True, False], ids=["while we run", "while nobody runs"])
async def test_another_log_under_our_offsets_is_said_and_read_from_its_first_record(
    events: int, is_running: bool
) -> None:
    """A topic that was truncated or made anew, another cluster at the same address: never gone on with in silence."""
    made = plant()
    source = made.source()
    feed = made.feed(source)
    await made.settled(feed)
    made.log.rows.clear()
    for number in range(events):  # of other times than ours
        at_ms = START_MS + 600_000 + number * 1_000
        made.log.event(number % 2, f"other{number}", at_ms, "v41", task_success=True)
    if is_running:
        source.rebalance(made.log.names)  # the group notices that a topic has gone
        await made.settled(feed, steps=8)
    else:
        await made.settled(made.feed(made.source(), "later"), steps=8)
    assert set(made.told.damaged) == set(made.log.names)
    await exact(made, events)


async def test_a_log_that_loses_its_end_while_we_read_it_is_said() -> None:
    made = plant()
    feed = made.feed(made.source())
    await made.settled(feed)
    made.log.rows[FIRST] = made.log.rows[FIRST][:5]  # a leader that had less, elected all the same
    await made.settled(feed)
    assert made.told.damaged == [FIRST]
    assert await made.offsets() == [5, 20]


async def test_what_cannot_be_handed_over_is_handed_over_later_and_no_record_is_stepped_over() -> None:
    """An outage of the internal topics stops the fold in the middle of a batch; the rest of it is read again."""
    made = plant()
    feed = made.feed(made.source())
    for number in range(3):
        made.log.write(0, b"no json %d" % number)
    at_ms = made.log.now_ms
    made.log.event(0, "incident", at_ms, "v42", incident_severity="high")
    write(made, "more", 10)
    made.topics.hand_over_away = 2
    for _ in range(3):
        try:
            await feed.step()
        except LogUnreachable:
            continue
    await made.settled(feed)
    await exact(made, 51, rejected=3)
    assert {one.offset for one in made.topics.letters} == {20, 21, 22}
    assert {one.event_id for one in made.topics.incidents} == {"incident"}


async def test_a_partition_that_ends_in_markers_of_a_transaction_is_complete() -> None:
    """The last offsets hold no record: waiting for one would hold the watermark back for ever."""
    made = plant()
    made.log.markers[FIRST] = 1
    made.log.now_ms += 3_600_000
    await made.settled(made.feed(made.source()))
    assert await horizons(made) == [made.log.now_ms] * 2
    await exact(made, 40)
    await made.settled(made.feed(made.source(), "takes over"))
    made.log.event(0, "next", made.log.now_ms, "v41")
    await made.settled(made.feed(made.source(), "again"))
    await exact(made, 41, gaps=1)


@pytest.mark.parametrize("writes", [0, 1, 3])
async def test_a_batch_that_needs_several_writes_is_stored_in_several_with_the_store_away_in_between(
    writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of a batch behind an unanswered write is read again: not stepped over, not called complete."""
    monkeypatch.setattr("monitor.engine.ingest.MAX_FLUSH_BYTES", 20_000)
    made = Plant(budgets=(budget(),))
    feed = made.feed(made.source())
    await feed.step()
    for number in range(120):
        made.log.event(number % 2, f"e{number}", START_MS + number * 60_000, "v41", task_success=True)
    await feed.look_around()
    made.store.away = writes
    await feed.step()
    await made.settled(feed, steps=8)
    assert made.told.answers.count(FlushAnswer.APPLIED) > 2
    await exact(made, 120)


async def test_an_idle_partition_follows_the_brokers_time() -> None:
    made = plant(events=0)
    made.log.event(0, "only", START_MS, "v41")
    made.log.now_ms += 600_000
    await made.settled(made.feed(made.source()))
    assert await horizons(made) == [START_MS + 600_000] * 2


async def horizons(made: Plant) -> list[int | None]:
    control = made.control()
    view = await control.state.look()
    return [None if meta is None else meta.horizon_ms for meta in view.metas]


async def test_the_store_away_at_a_claim_is_the_callers_to_wait_for() -> None:
    made = plant()

    async def away(partition: Partition, owner: str) -> None:
        raise StoreUnreachable("the store is away")

    feed = made.feed(made.source())
    claim = made.store.claim
    made.store.claim = away  # type: ignore[assignment, method-assign]
    with pytest.raises(StoreUnreachable):
        await feed.step()
    made.store.claim = claim  # type: ignore[method-assign]
    await made.settled(feed)
    await exact(made, 40)
