"""Who may put an automatic rollback on record: one instance at a time, and what it had to wait for is got ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from monitor.adapters.memory.lease import MemoryLease
from monitor.core.decision import Decision, Reason, Type
from monitor.core.storm import StormLimit
from monitor.engine.book import LedgerBook
from monitor.engine.breaker import TURN, TURN_MS, Admission, Breaker
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.ports import LedgerEntry
from monitor.engine.tenure import Tenure
from tests.engine.plant import Plant, budget

LIMIT = StormLimit(1, 60)


class Incidental:
    """A plant with a release that an incident rolls back, and the instance that hears of one."""

    def __init__(self) -> None:
        self.plant = Plant(budgets=(budget(),))
        self.control = self.plant.control(storm=LIMIT)
        self.reads = 0
        self.is_reading = asyncio.Event()
        self.control.admission.read_ledger = self._read

    @classmethod
    async def heard(cls) -> Incidental:
        made = cls()
        await made.control.step()
        made.plant.traffic(0, 10)
        feed = made.plant.feed(made.plant.source(), hearing=made.control.hearing)
        await made.plant.settled(feed)
        await made.control.step()
        made.plant.log.event(0, "i1", made.plant.log.now_ms, "v42", incident_severity="high", trace_id="t1")
        await made.plant.settled(feed)
        made.reads = 0
        made.is_reading.clear()
        return made

    async def _read(self) -> None:
        self.reads += 1
        self.is_reading.set()

    def requested(self) -> int:
        return len(self.plant.topics.of(Type.ROLLBACK_REQUESTED))

    async def is_turn_free(self) -> bool:
        return await self.plant.lease.acquire(f"turn:{TURN}", "other", TURN_MS)


async def test_the_turn_and_the_ledger_are_got_beside_the_orders_and_given_back() -> None:
    """Each waits for an answer, and every millisecond stands between an incident and its rollback."""
    made = await Incidental.heard()
    made.control.read_commands = _until(made.is_reading)
    async with asyncio.timeout(5):
        await made.control.decide_now()
    assert (made.reads, made.requested()) == (1, 1)
    assert await made.is_turn_free()


async def test_while_another_instance_has_the_turn_a_rollback_waits_and_reads_the_ledger_again() -> None:
    made = await Incidental.heard()
    assert await made.is_turn_free()  # and it is the other's now
    judging = asyncio.create_task(made.control.decide_now())
    await asyncio.wait_for(made.is_reading.wait(), 5)
    await asyncio.sleep(0.05)
    assert made.requested() == 0
    await made.plant.lease.release(f"turn:{TURN}", "other")
    await asyncio.wait_for(judging, 5)
    assert (made.reads, made.requested()) == (2, 1)
    assert await made.is_turn_free()


async def test_a_turn_that_was_taken_long_ago_is_taken_anew() -> None:
    """What another instance recorded since it ran out would not be known."""
    made = await Incidental.heard()

    async def slowly() -> None:
        await made.is_reading.wait()
        await asyncio.sleep(0.01)
        made.plant.clock.ms += TURN_MS // 2

    made.control.read_commands = slowly
    await asyncio.wait_for(made.control.decide_now(), 5)
    assert (made.reads, made.requested()) == (2, 1)


async def test_an_incident_whose_orders_cannot_be_read_gives_the_turn_back() -> None:
    made = await Incidental.heard()

    async def unread() -> None:
        raise LogUnreachable("no answer")

    made.control.read_commands = unread
    with pytest.raises(LogUnreachable):
        await made.control.decide_now()
    assert (made.reads, made.requested()) == (1, 0)
    assert await made.is_turn_free()


async def test_nobody_who_only_pages_needs_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker is open, so a person is asked; that the store is away is no reason to tell nobody."""
    made = await Incidental.heard()
    monkeypatch.setattr(made.control.breaker, "is_open", lambda _at_ms: True)

    async def away(_name: str, _owner: str, _ttl_ms: int) -> bool:
        raise StoreUnreachable("no answer")

    monkeypatch.setattr(made.plant.lease, "acquire", away)
    await made.control.decide_now()
    (page,) = made.plant.topics.of(Type.PAGE_OPENED)
    assert page.data["reason"] == Reason.ROLLBACK_STORM.value
    assert made.requested() == 0


def _until(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await event.wait()

    return wait


class Gate:
    """An admission by itself, whose ledger and lease may be away."""

    def __init__(self) -> None:
        self.lease = MemoryLease(lambda: 0)
        self.is_store_away = self.is_log_away = False
        self.reads = 0
        self.admission = Admission(
            Breaker(StormLimit(9, 60)), LedgerBook(), Tenure(self, "one", 1_000, lambda: 0.0)
        )
        self.admission.read_ledger = self._read

    async def _read(self) -> None:
        self.reads += 1
        if self.is_log_away:
            raise LogUnreachable("no answer")

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> bool:
        if self.is_store_away:
            raise StoreUnreachable("no answer")
        return await self.lease.acquire(name, owner, ttl_ms)

    async def release(self, name: str, owner: str) -> None:
        await self.lease.release(name, owner)

    async def close(self) -> None:
        await self.lease.close()

    async def record(self, release: str) -> None:
        """Put a rollback on record."""
        asked = Decision(Type.ROLLBACK_REQUESTED, release * 8, release, 0, {"reason": Reason.IMMEDIATE.value})
        async with self.admission.admitted([LedgerEntry(asked, None)]):
            pass

    async def is_turn_free(self) -> bool:
        free = await self.lease.acquire(f"turn:{TURN}", "other", TURN_MS)
        if free:
            await self.lease.release(f"turn:{TURN}", "other")
        return free


async def test_what_was_got_ahead_serves_all_that_follow_until_it_is_given_back() -> None:
    gate = Gate()
    await gate.admission.get_ready()
    for release in ("v42", "v43"):
        await gate.record(release)
        assert not await gate.is_turn_free()
    assert gate.reads == 1
    await gate.admission.stand_back()
    assert await gate.is_turn_free()
    await gate.record("v44")
    assert gate.reads == 2


@pytest.mark.parametrize("away", ["store", "log"])
async def test_what_could_not_be_got_ahead_is_got_by_whoever_records(away: str) -> None:
    """Though a moment ago it could: nobody records on what was known then."""
    gate = Gate()
    await gate.admission.get_ready()
    await gate.admission.stand_back()
    gate.is_store_away, gate.is_log_away = away == "store", away == "log"
    if away == "store":
        await gate.admission.get_ready()
        with pytest.raises(StoreUnreachable):
            await gate.record("v42")
    else:
        with pytest.raises(LogUnreachable):
            await gate.admission.get_ready()
        with pytest.raises(LogUnreachable):
            await gate.record("v42")
    gate.is_store_away = gate.is_log_away = False
    before = gate.reads
    await gate.record("v42")
    assert gate.reads == before + 1
    await gate.admission.stand_back()
    assert await gate.is_turn_free()


async def test_who_waits_for_another_instance_in_vain_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, waits = Gate(), list[float]()
    assert await gate.lease.acquire(f"turn:{TURN}", "other", TURN_MS)

    async def slept(pause_s: float) -> None:
        waits.append(pause_s)

    monkeypatch.setattr("monitor.engine.breaker.asyncio.sleep", slept)
    with pytest.raises(StoreUnreachable, match="another worker has been recording a rollback for 5"):
        await gate.record("v42")
    assert sum(waits) == pytest.approx(5, abs=0.03)
    assert gate.reads == 0


async def test_who_keeps_up_reads_the_ledger_and_takes_no_turn() -> None:
    gate = Gate()
    await gate.admission.keep_up()
    assert gate.reads == 1
    assert await gate.is_turn_free()


async def test_who_never_got_ready_gives_back_no_turn_of_another_coroutine() -> None:
    gate = Gate()
    assert await gate.lease.acquire(f"turn:{TURN}", "one", TURN_MS)
    await gate.admission.stand_back()
    assert not await gate.is_turn_free()
