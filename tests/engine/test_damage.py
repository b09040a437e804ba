"""State that is damaged, lost or behind: found before it is used, rebuilt from the log, and never decided on twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from monitor.core.cell import CellKey
from monitor.core.decision import Type
from monitor.engine.codec import (
    META_FIELD,
    OFFSET_FIELD,
    TOKEN_FIELD,
    cell_field,
    cell_key,
    decode_meta,
    encode_meta,
)
from monitor.engine.control import Control
from monitor.engine.feed import FENCED_WAIT_MS, Feed
from monitor.engine.inventory import MANIFEST_PREFIX, Inventory, manifest_field, name_hash, names_in
from monitor.engine.ports import Claim, Partition
from monitor.engine.seal import StateDamaged, is_sealed, seal, seal_of, unseal
from monitor.engine.state_reader import StateBehind, StateReader
from tests.engine.logs import START_MIN, TOPIC
from tests.engine.plant import Plant, Store, budget

SECOND = Partition(TOPIC, 1)
LATE_MIN = 7
Hash = dict[str, bytes]


async def plant(minutes: int = 14) -> tuple[Plant, Feed, Control]:
    """Return an instance whose candidate has been worse since the fifth minute; nothing was evaluated yet."""
    made = Plant(budgets=(budget(),))
    control = made.control()
    await control.step()
    feed = made.feed(made.source())
    await made.settled(feed)
    made.traffic(0, 4)
    made.traffic(4, minutes - 4, success=8)
    await made.settled(feed)
    return made, feed, control


def said(made: Plant) -> Counter[str]:
    return Counter(one.decision_id for one in made.topics.said)


async def undisturbed() -> set[str]:
    """Return the ids that the same traffic leads to where nothing is damaged."""
    made, _, control = await plant()
    for _ in range(3):
        await control.step()
    return set(said(made))


def closed_cell(stored: Hash) -> str:
    """Return the field of an overall cell that a tick needs and no event can change any more."""
    return next(
        one for one in sorted(stored) if (key := cell_key_of(one)) and key.minute == START_MIN + LATE_MIN
    )


def cell_key_of(field: str) -> CellKey | None:
    return None if field.startswith(MANIFEST_PREFIX) else cell_key(field)


def flip(name: Callable[[Hash], str], at: int = -1) -> Callable[[Hash], None]:
    def damage(stored: Hash) -> None:
        field = name(stored)
        packed = bytearray(stored[field])
        packed[at] ^= 1
        stored[field] = bytes(packed)

    return damage


def lose(name: Callable[[Hash], str]) -> Callable[[Hash], None]:
    def damage(stored: Hash) -> None:
        del stored[name(stored)]

    return damage


def swap(stored: Hash) -> None:
    """Put one minute's cell in the place of the same cell of another: whole, and not this one's."""
    field = closed_cell(stored)
    key = cell_key(field)
    assert key is not None
    stored[field] = stored[cell_field(key._replace(minute=key.minute - 1))]


def manifest(_: Hash) -> str:
    return manifest_field(START_MIN + LATE_MIN)


DAMAGE: dict[str, Callable[[Hash], None]] = {
    "a bit of a cell": flip(closed_cell),
    "a bit of a seal": flip(closed_cell, at=2),
    "a mark of a seal": flip(closed_cell, at=0),
    "another minute's cell": swap,
    "a lost cell": lose(closed_cell),
    "a bit of a manifest": flip(manifest),
    "a lost manifest": lose(manifest),
    "a bit of the meta data": flip(lambda _: META_FIELD),
    "lost meta data": lose(lambda _: META_FIELD),
    "another offset": lambda stored: stored.update({OFFSET_FIELD: b"1"}),
    "no offset": lose(lambda _: OFFSET_FIELD),
    "a lost partition": lambda stored: stored.clear(),
}
PARTS = pytest.mark.parametrize("what", DAMAGE)


@PARTS
async def test_damage_that_an_evaluator_meets_is_rebuilt_by_the_owner_and_decides_nothing_meanwhile(
    what: str,
) -> None:
    """Another instance reads it than writes it. After the rebuild the decisions are the same, each once."""
    expected = await undisturbed()
    made, feed, control = await plant()
    before = await made.cells()
    DAMAGE[what](made.store._hashes[SECOND])
    for _ in range(3):
        await quietly(control)
    assert made.topics.said == []
    await rebuilt(made, feed)
    assert await made.cells() == before
    for _ in range(3):
        await control.step()
    assert said(made) == Counter(expected)
    assert made.topics.of(Type.ROLLBACK_REQUESTED)
    assert made.told.damaged == [SECOND] * made.told.damaged.count(SECOND)
    assert made.told.damaged


@PARTS
async def test_damage_is_found_by_whoever_takes_the_partition_over(what: str) -> None:
    """All of a partition's state is checked at a claim, closed minutes included."""
    made, _, _ = await plant()
    before = await made.cells()
    DAMAGE[what](made.store._hashes[SECOND])
    await made.settled(made.feed(made.source(), "takes over"))
    assert made.told.damaged == ([] if what == "a lost partition" else [SECOND])
    assert await made.cells() == before


async def test_what_is_older_than_the_rest_is_found_by_whoever_takes_over() -> None:
    """A whole cell as it was before its last write: its own seal is right, and the sum of all seals is not."""
    made, feed, _ = await plant(minutes=4)
    stored = made.store._hashes[SECOND]
    field = next(one for one in sorted(stored, reverse=True) if cell_key_of(one))
    old = stored[field]
    key = cell_key(field)
    assert key is not None
    made.log.event(1, "one more", key.minute * 60_000 + 59_999, key.release, task_success=True)
    await made.settled(feed)
    assert stored[field] != old
    stored[field] = old
    await made.settled(made.feed(made.source(), "takes over"))
    assert made.told.damaged == [SECOND]


async def test_a_store_that_loses_everything_in_the_middle_delays_and_repeats_nothing() -> None:
    """Half of it is decided before. The evaluator goes on where it was, or anew after a crash: the same ids."""
    expected = await undisturbed()
    for crashes in (False, True):
        made, feed, control = await plant(minutes=9)
        await control.step()
        assert made.topics.of(Type.BREACH_STARTED)
        first = said(made)
        made.store.lose_everything()
        made.traffic(9, 5, success=8)
        if crashes:
            made.clock.ms += 60_000
            control = made.control("next")
        for _ in range(3):
            await quietly(control)
        assert said(made) == first
        await rebuilt(made, feed)
        for _ in range(3):
            await control.step()
        assert said(made) == Counter(expected)


async def test_a_loss_between_the_watermark_and_the_cells_is_no_minute_without_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cells are read with the meta data they belong to, so what is gone by then is not taken for zero."""
    made, feed, control = await plant()
    read = Store.read
    reads = 0

    async def lossy(self: Store, partitions: list[Partition], fields: list[str]) -> list[list[bytes | None]]:
        nonlocal reads
        reads += 1
        if reads == 2:
            self.lose_everything()
        return await read(self, partitions, fields)

    monkeypatch.setattr(Store, "read", lossy)
    with pytest.raises(StateBehind):
        await control.step()
    assert made.topics.said == []
    await rebuilt(made, feed)
    for _ in range(3):
        await control.step()
    assert set(said(made)) == await undisturbed()


async def test_only_the_state_that_was_found_damaged_is_condemned() -> None:
    """Whoever read it before it was rebuilt must not condemn the new one."""
    made, feed, _ = await plant()
    old = made.store._hashes[SECOND][TOKEN_FIELD].decode()
    assert await made.store.condemn(SECOND, old)
    await rebuilt(made, feed)
    assert not await made.store.condemn(SECOND, old)
    assert not await made.store.condemn(Partition(TOPIC, 9), "")
    assert made.store._hashes[SECOND][OFFSET_FIELD].isdigit()


async def test_state_of_an_older_version_is_read_and_gets_its_seals_with_the_next_write() -> None:
    """Without seals, manifests and counts, as it was stored before they were."""
    made, _, control = await plant(minutes=6)
    for stored in made.store._hashes.values():
        meta = decode_meta(stored[META_FIELD])
        stored[META_FIELD] = encode_meta(structs.replace(meta, kept_from=0, fields=None, seals=0))
        for field in list(stored):
            if field.startswith(MANIFEST_PREFIX):
                del stored[field]
            elif is_sealed(stored[field]):
                stored[field] = unseal(field, stored[field])
    before = await made.cells()
    made.traffic(6, 8, success=8)
    await made.settled(made.feed(made.source(), "takes over"))
    for _ in range(3):
        await control.step()
    assert made.told.damaged == []
    assert before.keys() <= (await made.cells()).keys()
    assert made.topics.of(Type.ROLLBACK_REQUESTED)
    await made.settled(made.feed(made.source(), "and again"))
    assert made.told.damaged == []


async def test_a_manifest_that_is_none_is_damage() -> None:
    reader = StateReader(Store(), lambda: [SECOND], Plant().told)
    assert (await reader.look()).metas == [None]
    with pytest.raises(StateDamaged):
        list(Inventory().finding({"n|x": b""}, None))
    for packed in (b"12345678", seal("n|1", b"1234567")):
        with pytest.raises(StateDamaged):
            names_in("n|1", packed)
    assert names_in("n|1", seal("n|1", b"12345678")) == frozenset({b"12345678"})


fields = st.dictionaries(st.text(min_size=1, max_size=4), st.binary(max_size=8), max_size=6)


@given(st.text(max_size=8), st.binary(max_size=40), st.integers(0, 400), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_sealed_value_comes_back_whole_or_not_at_all(field: str, packed: bytes, at: int, bits: int) -> None:
    stored = seal(field, packed)
    assert unseal(field, stored) == packed
    broken = bytearray(stored)
    broken[1 + at % (len(stored) - 1)] ^= bits
    with pytest.raises(StateDamaged):
        unseal(field, bytes(broken))
    with pytest.raises(StateDamaged):
        unseal(field + "|", stored)


@given(st.lists(st.tuples(st.integers(0, 5), fields), max_size=8), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_the_tally_depends_on_what_is_stored_alone(
    writes: list[tuple[int, dict[str, bytes]]], kept_from: int
) -> None:
    """Law: however the writes were cut, it is count and sum of what is there; old minutes count no more."""
    inventory, stored = Inventory(), {}
    for minute, cells in writes:
        named = {f"c|{minute}|{name}|[]": packed for name, packed in cells.items()}
        stored.update(inventory.sealed({minute: named} if named else {}))
    inventory.keep_from(kept_from)
    kept = {name: packed for name, packed in stored.items() if int(name.split("|")[1]) >= kept_from}
    assert inventory.tally == (len(kept), sum(seal_of(name, packed) for name, packed in kept.items()))
    for name, packed in stored.items():
        if name.startswith(MANIFEST_PREFIX):
            names = unseal(name, packed)
            minute_cells = [one for one in stored if one.startswith(f"c|{name[2:]}|")]
            assert names == b"".join(sorted(map(name_hash, minute_cells)))


async def quietly(control: Control) -> None:
    """Step as the supervisor does: damage that was said is waited for."""
    try:
        await control.step()
    except StateDamaged:
        return


async def rebuilt(made: Plant, feed: Feed) -> None:
    """Let the owner notice that it is fenced, claim the partition again, and read it from the log."""
    made.log.now_ms += 1
    await made.settled(feed)
    made.clock.ms += FENCED_WAIT_MS
    await made.settled(feed, steps=8)
    assert all(isinstance(one.claim, Claim) for one in feed.ingests.values())
    assert len(feed.ingests) == made.log.partitions
