"""The promises of `StateStore`, kept by the real store and by its twin alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.memory.store import MemoryStateStore
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.errors import FlushTooLarge
from monitor.engine.ports import (
    MAX_FLUSH_BYTES,
    MAX_FLUSH_FIELDS,
    Claim,
    FlushAnswer,
    Partition,
    StateStore,
)

APPLIED, MINE, FENCED = FlushAnswer.APPLIED, FlushAnswer.ALREADY_MINE, FlushAnswer.FENCED


@pytest.fixture(params=["memory", "valkey", "cluster"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StateStore]:
    found: StateStore
    if request.param == "memory":
        found = MemoryStateStore()
    else:
        found = RedisStateStore(request.getfixturevalue(request.param), deadline_s=60, socket_timeout_s=20)
    yield found
    await found.close()


@pytest.fixture
def partition(unique: str) -> Partition:
    return Partition(unique, 3)


async def flush(
    store: StateStore, claim: Claim, batch: str, expected: int, offset: int, **fields: bytes
) -> FlushAnswer:
    values = {"offset": str(offset).encode(), **fields}
    return await store.flush(claim, batch=batch, expected_offset=expected, fields=values)


async def stored(store: StateStore, partition: Partition, *names: str) -> list[bytes | None]:
    (row,) = await store.read([partition], list(names))
    return row


async def test_the_check_accepts_a_server_that_evicts_nothing(store: StateStore) -> None:
    await store.check()


async def test_a_first_claim_finds_nothing(store: StateStore, partition: Partition) -> None:
    claim = await store.claim(partition, "w1")
    assert claim.partition == partition
    assert dict(claim.fields) == {}


async def test_a_takeover_finds_all_fields_but_the_token(store: StateStore, partition: Partition) -> None:
    old = await store.claim(partition, "w1")
    await flush(store, old, "b1", 0, 500, base=b"400", cell=b"\x00\xff")
    new = await store.claim(partition, "w2")
    assert dict(new.fields) == {"offset": b"500", "base": b"400", "cell": b"\x00\xff", "batch": b"b1"}
    assert new.token != old.token


async def test_where_nothing_is_stored_the_offset_counts_as_zero(
    store: StateStore, partition: Partition
) -> None:
    claim = await store.claim(partition, "w1")
    assert await flush(store, claim, "b1", 7, 8) is FENCED
    assert await flush(store, claim, "b1", 0, 8) is APPLIED


async def test_a_claim_fences_every_older_token(store: StateStore, partition: Partition) -> None:
    first = await store.claim(partition, "w1")
    second = await store.claim(partition, "w2")
    third = await store.claim(partition, "w2")
    assert await flush(store, first, "b", 0, 1, cell=b"first") is FENCED
    assert await flush(store, second, "b", 0, 1, cell=b"second") is FENCED
    assert await flush(store, third, "b", 0, 1, cell=b"third") is APPLIED
    assert await stored(store, partition, "cell") == [b"third"]


async def test_the_same_owner_claiming_again_fences_itself(store: StateStore, partition: Partition) -> None:
    """A worker's name does not make it the writer: its process may be a second one of the same name."""
    old = await store.claim(partition, "w1")
    await store.claim(partition, "w1")
    assert await flush(store, old, "b1", 0, 1) is FENCED


async def test_a_retry_of_the_same_batch_is_recognised_and_changes_nothing(
    store: StateStore, partition: Partition
) -> None:
    claim = await store.claim(partition, "w1")
    assert await flush(store, claim, "b1", 0, 10, cell=b"1") is APPLIED
    assert await flush(store, claim, "b1", 0, 10, cell=b"changed") is MINE
    assert await stored(store, partition, "cell", "offset") == [b"1", b"10"]


async def test_a_retry_after_a_takeover_is_fenced(store: StateStore, partition: Partition) -> None:
    """The batch is there, and yet this writer must stop: somebody else owns the partition now."""
    claim = await store.claim(partition, "w1")
    await flush(store, claim, "b1", 0, 10)
    await store.claim(partition, "w2")
    assert await flush(store, claim, "b1", 0, 10) is FENCED


@pytest.mark.parametrize("expected", [0, 9, 11])
async def test_a_batch_on_another_offset_is_fenced(
    store: StateStore, partition: Partition, expected: int
) -> None:
    claim = await store.claim(partition, "w1")
    await flush(store, claim, "b1", 0, 10, cell=b"1")
    assert await flush(store, claim, "b2", expected, 20, cell=b"2") is FENCED
    assert await flush(store, claim, "b2", 10, 20, cell=b"2") is APPLIED


async def test_of_two_claims_at_once_exactly_one_can_write(store: StateStore, partition: Partition) -> None:
    claims = await asyncio.gather(*(store.claim(partition, f"w{number}") for number in range(4)))
    answers = [await flush(store, claim, f"b{claim.token}", 0, 1) for claim in claims]
    assert answers.count(APPLIED) == 1
    assert answers.count(FENCED) == 3


async def test_read_answers_in_the_order_asked_and_none_for_what_is_not_there(
    store: StateStore, partition: Partition
) -> None:
    other = Partition(partition.topic, 4)
    claim = await store.claim(partition, "w1")
    await flush(store, claim, "b1", 0, 5, a=b"1", b=b"2")
    rows = await store.read([other, partition], ["b", "missing", "a"])
    assert rows == [[None, None, None], [b"2", None, b"1"]]
    assert await store.read([partition], []) == [[]]
    assert await store.read([], ["a"]) == []


async def test_drop_deletes_fields_and_doing_it_twice_is_harmless(
    store: StateStore, partition: Partition
) -> None:
    claim = await store.claim(partition, "w1")
    await flush(store, claim, "b1", 0, 5, a=b"1", b=b"2")
    await store.drop(claim, ["a", "never"])
    await store.drop(claim, ["a"])
    assert await stored(store, partition, "a", "b") == [None, b"2"]


async def test_a_fenced_writer_drops_nothing(store: StateStore, partition: Partition) -> None:
    old = await store.claim(partition, "w1")
    await flush(store, old, "b1", 0, 5, a=b"1")
    await store.claim(partition, "w2")
    await store.drop(old, ["a"])
    assert await stored(store, partition, "a") == [b"1"]


@pytest.mark.parametrize("name", ["token", "batch", "offset"])
async def test_what_fences_is_never_dropped(store: StateStore, partition: Partition, name: str) -> None:
    claim = await store.claim(partition, "w1")
    with pytest.raises(ValueError, match=name):
        await store.drop(claim, [name])


async def test_as_many_fields_as_promised_are_written_at_once(
    store: StateStore, partition: Partition
) -> None:
    claim = await store.claim(partition, "w1")
    fields = {f"f{number}": b"x" for number in range(MAX_FLUSH_FIELDS - 1)}
    assert await flush(store, claim, "b1", 0, 1, **fields) is APPLIED
    taken = await store.claim(partition, "w2")
    assert len(taken.fields) == MAX_FLUSH_FIELDS + 1  # with offset and batch
    await store.drop(taken, list(fields))
    assert set((await store.claim(partition, "w2")).fields) == {"offset", "batch"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({f"f{number}": b"" for number in range(MAX_FLUSH_FIELDS)}, str(MAX_FLUSH_FIELDS)),
        ({"f": b"x" * MAX_FLUSH_BYTES}, str(MAX_FLUSH_BYTES)),
    ],
    ids=["fields", "bytes"],
)
async def test_a_flush_over_the_limit_is_refused_with_the_limit(
    store: StateStore, partition: Partition, fields: dict[str, bytes], named: str
) -> None:
    claim = await store.claim(partition, "w1")
    with pytest.raises(FlushTooLarge, match=named):
        await flush(store, claim, "b1", 0, 1, **fields)
    assert await stored(store, partition, "offset") == [None]


@pytest.mark.parametrize(
    "fields", [{"cell": b"1"}, {"offset": b"1", "token": b"x"}, {"offset": b"1", "batch": b"x"}]
)
async def test_our_own_mistakes_in_a_flush_are_refused(
    store: StateStore, partition: Partition, fields: dict[str, bytes]
) -> None:
    claim = await store.claim(partition, "w1")
    with pytest.raises(ValueError, match="flush sets"):
        await store.flush(claim, batch="b1", expected_offset=0, fields=fields)


# What two workers may do to one partition: claim, flush the next batch, or send the last batch once more.
STEPS = st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["claim", "flush", "retry"])), max_size=25)


@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_the_twin_and_the_real_store_never_disagree(valkey: str, steps: list[tuple[str, str]]) -> None:
    """Any interleaving of two workers gets the same answers from both stores."""

    async def both() -> None:
        real = RedisStateStore(valkey, deadline_s=60, socket_timeout_s=20)
        topic = f"law-{id(steps)}-{asyncio.get_running_loop().time()}"
        try:
            memory = await play(MemoryStateStore(), Partition(topic, 0), steps)
            assert await play(real, Partition(topic, 0), steps) == memory
        finally:
            await real.close()

    asyncio.run(both())


async def play(store: StateStore, partition: Partition, steps: list[tuple[str, str]]) -> list[object]:
    """Let two workers act, each believing what its own claim and answers told it."""
    claims: dict[str, Claim] = {}
    believed = {"A": 0, "B": 0}
    sent: dict[str, tuple[str, int]] = {}
    seen: list[object] = []
    for number, (worker, action) in enumerate(steps):
        if action == "claim":
            claims[worker] = await store.claim(partition, worker)
            believed[worker] = int(claims[worker].fields.get("offset", b"0"))
            seen.append(dict(claims[worker].fields))
        elif worker in claims and (action == "flush" or worker in sent):
            if action == "flush":
                sent[worker] = (f"{worker}{number}", believed[worker])
            batch, expected = sent[worker]
            answer = await flush(store, claims[worker], batch, expected, expected + 10, cell=batch.encode())
            if answer is APPLIED:
                believed[worker] = expected + 10
            seen.append(answer)
    seen.append(await stored(store, partition, "offset", "batch", "cell"))
    return seen


async def test_many_fields_of_many_partitions_come_in_their_order(store: StateStore, unique: str) -> None:
    """More than are asked for at once: each partition's are of one moment all the same, and nobody's are another's."""
    partitions = [Partition(unique, number) for number in range(3)]
    names = [f"f{number}" for number in range(700)]
    for partition in partitions[1:]:
        claim = await store.claim(partition, "w1")
        fields = {name: f"{partition.number}-{name}".encode() for name in names}
        assert await flush(store, claim, "b1", 0, 8, **fields) is APPLIED
    rows = await store.read(partitions, names)
    assert rows[0] == [None] * 700
    assert rows[1:] == [[f"{one.number}-{name}".encode() for name in names] for one in partitions[1:]]
    assert await store.read([], names) == []
