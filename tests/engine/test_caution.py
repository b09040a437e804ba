"""A record that kills whoever decodes it: three workers die of it, then it is a dead letter, and all else counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.core.event import Observation
from monitor.engine.caution import CAREFUL_RECORDS, UNWRITTEN, Caution
from monitor.engine.codec import DEADLY_FIELD, META_FIELD, decode_deadly, encode_deadly
from monitor.engine.ports import Claim, Partition
from monitor.engine.seal import StateDamaged
from monitor.wire.rejection import Fault
from tests.engine.logs import START_MS, TOPIC, Row
from tests.engine.plant import Plant, Told
from tests.engine.test_feed import exact, plant, write

FIRST = Partition(TOPIC, 0)
DEADLY = b"deadly"


class Died(BaseException):
    """The process is gone."""


def deadly_decode(value: bytes | None) -> Observation | str:
    if value == DEADLY:
        raise Died
    return decode(value)


class Trial:
    """Tries records as a child process does, and counts how many."""

    def __init__(self) -> None:
        self.tried = 0

    async def deadly(self, values: Sequence[bytes | None]) -> frozenset[int]:
        self.tried += len(values)
        return frozenset(index for index, value in enumerate(values) if value == DEADLY)


def infested() -> Plant:
    made = plant()
    made.log.write(0, DEADLY, START_MS + 120_000)
    write(made, "after", 10)
    return made


async def deaths(made: Plant, trial: Trial, most: int = 9) -> int:
    """Let one worker after another begin until one does not die of it; return how many did."""
    for died in range(most):
        feed = made.feed(made.source(), f"w{died}", decode=deadly_decode, trial=trial)
        try:
            await made.settled(feed)
        except Died:
            continue
        return died
    return most


async def test_after_three_deaths_it_is_set_aside_and_all_else_counts() -> None:
    made, trial = infested(), Trial()
    assert await deaths(made, trial) <= 3
    assert [letter.reason for letter in made.topics.letters] == [Fault.CRASHES_DECODER.value]
    await exact(made, 50, rejected=1)
    assert made.told.aside == [(FIRST, made.topics.letters[0].offset)]


async def test_whoever_takes_over_reads_it_again_and_does_not_decode_it() -> None:
    """The last two minutes are read again for the ids: with them a record that is known to kill."""
    made, trial = infested(), Trial()
    await deaths(made, trial)
    tried = trial.tried
    write(made, "again", 10)
    assert await deaths(made, trial) == 0
    assert trial.tried == tried  # nothing has to be suspected
    await exact(made, 60, rejected=1)


async def test_a_partition_that_is_written_is_never_suspected() -> None:
    made, trial = plant(), Trial()
    for number in range(5):
        write(made, f"life{number}-", 10)
        await made.settled(made.feed(made.source(), f"w{number}", trial=trial))
    assert (trial.tried, made.told.suspects) == (0, [])


async def test_what_is_suspected_in_vain_counts_as_ever() -> None:
    """Owners that come to no write for another reason cost time, and no record."""
    made, trial = plant(), Trial()
    for number in range(UNWRITTEN):
        await made.store.claim(FIRST, f"unlucky{number}")
    await made.settled(made.feed(made.source(), trial=trial))
    assert made.told.suspects == [(FIRST, UNWRITTEN)]
    assert trial.tried == 20
    await exact(made, 40)


async def test_trust_returns_after_so_many_records() -> None:
    trial, told = Trial(), Told()
    caution = Caution(trial, told)
    caution.claimed(Claim(FIRST, "3:w", {}, unwritten=UNWRITTEN))
    record, good = Row(7, START_MS, DEADLY), [Row(8, START_MS, b"{}")] * (CAREFUL_RECORDS - 1)
    assert await caution.deadly(FIRST, good) == []
    assert await caution.deadly(FIRST, [record]) == [record.offset]  # found: careful for as long again
    assert await caution.deadly(FIRST, good) == []
    assert await caution.deadly(FIRST, good[:1]) == []
    tried = trial.tried
    assert await caution.deadly(FIRST, [record]) == []
    assert trial.tried == tried


def test_the_field_is_sealed_and_what_is_no_offset_is_damage() -> None:
    assert decode_deadly(encode_deadly({7, 11})) == {7, 11}
    assert decode_deadly(encode_deadly(())) == decode_deadly(None) == set()
    packed = encode_deadly({7})
    for damaged in (packed[:-1] + b"8", b"seven"):
        with pytest.raises(StateDamaged, match="deadly"):
            decode_deadly(damaged)


async def test_a_damaged_field_is_rebuilt_from_the_log() -> None:
    made, trial = infested(), Trial()
    await deaths(made, trial)
    hash_of = made.store._hashes[FIRST]
    hash_of[DEADLY_FIELD] = hash_of[DEADLY_FIELD][:-1] + b"x"
    assert await deaths(made, trial) <= 3
    await exact(made, 50, rejected=1)
    assert META_FIELD in made.store._hashes[FIRST]
