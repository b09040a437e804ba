"""The rollback-storm breaker over whole control planes: never one rollback too many, and a person hears of each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.core.cell import Incident
from monitor.core.decision import EVERY_RELEASE, Decision, Reason, Type
from monitor.core.storm import StormLimit
from monitor.core.window import minute_of, tick_ms
from monitor.engine.book import Command
from monitor.engine.breaker import TURN, TURN_MS
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable
from monitor.engine.evaluate import Stage
from monitor.engine.ports import LedgerEntry
from monitor.engine.replay import Replay
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check
from tests.engine.logs import START_MS
from tests.engine.plant import Plant, budget

LIMIT = StormLimit(1, 60)
RELEASES = ("v42", "v43", "v44")


class Storm:
    """Three releases that get worse in the same minute, each evaluated by a worker of its own."""

    def __init__(self, limit: StormLimit = LIMIT) -> None:
        self.limit = limit
        self.plant = Plant(budgets=tuple(budget(("release: v42", f"release: {one}")) for one in RELEASES))
        self.read: Counter[str] = Counter()

    async def begin(self) -> None:
        arms = self.worker("arms")
        await arms.step()
        await arms.leave()
        for minute in range(14):
            for release in RELEASES:
                self.plant.traffic(minute, 1, candidate=release, success=19 if minute < 4 else 8)
        await self.plant.settled(self.plant.feed(self.plant.source()), steps=8)

    def worker(self, name: str) -> Control:
        """Return a control plane that knows the ledger as it is now and reads on only when it has to."""
        made = self.plant.control(name, storm=self.limit)

        async def read() -> None:
            self.read[name] += 1
            await asyncio.sleep(0)
            for entry in list(self.plant.topics.entries):
                made.note(entry)

        made.admission.read_ledger = read
        return made

    async def owned(self) -> list[Control]:
        """Return a worker for every release; none of them hears of the others by itself."""
        workers = []
        for number, release in enumerate(RELEASES):
            assert await self.plant.lease.acquire(f"release:{release}", f"w{number}", 10_000_000)
            workers.append(self.worker(f"w{number}"))
        return workers

    def requested(self) -> list[Decision]:
        return self.plant.topics.of(Type.ROLLBACK_REQUESTED)

    def paged(self) -> list[Decision]:
        pages = self.plant.topics.of(Type.PAGE_OPENED)
        return [one for one in pages if one.data["reason"] == Reason.ROLLBACK_STORM.value]


@pytest.fixture
async def storm() -> Storm:
    made = Storm()
    await made.begin()
    return made


async def test_workers_that_decide_in_the_same_moment_are_never_one_too_many(storm: Storm) -> None:
    workers = await storm.owned()
    for _ in range(3):
        await asyncio.gather(*(one.step() for one in workers))
    assert len(storm.requested()) == LIMIT.max_count
    assert len(storm.paged()) == len(RELEASES) - LIMIT.max_count
    assert {one.release for one in (*storm.requested(), *storm.paged())} == set(RELEASES)


async def test_the_page_says_so_in_plain_words_and_never_acts(storm: Storm) -> None:
    worker = storm.worker("one")
    await worker.step()
    for page in storm.paged():
        check(of_decision(page))
        said = str(page.data["summary"])
        assert said.startswith(
            "breaker open: 1 automatic rollbacks within 60 min over all releases, 1 are allowed."
        )
        assert (page.data["tier"], page.data["action"], page.data["deadline"]) == ("A", "page", None)
        assert worker.live[page.release].evaluator.progress.stage is Stage.WATCHING
    assert len(storm.paged()) == 2
    debts = storm.plant.topics.of(Type.DEBT_CREATED)
    assert {one.release for one in debts} == set(RELEASES)


async def test_whoever_takes_over_comes_to_the_same_and_says_nothing_again(storm: Storm) -> None:
    await storm.worker("dies").step()
    said = Counter(one.decision_id for one in storm.plant.topics.said)
    storm.plant.clock.ms += 60_000
    following = storm.worker("next")
    for _ in range(2):
        await following.step()
    assert Counter(one.decision_id for one in storm.plant.topics.said) == said
    assert following.breaker.standing(minute_of(START_MS) + 14).is_open


async def test_what_is_on_record_stays_as_it_is_when_the_limit_is_another_one(storm: Storm) -> None:
    """A page that came instead is not made into a rollback by a restart with other settings, nor the other way."""
    await storm.worker("dies").step()
    said = Counter(one.decision_id for one in storm.plant.topics.said)
    storm.plant.clock.ms += 60_000
    storm.limit = StormLimit(0, 60)
    await storm.worker("next").step()
    assert Counter(one.decision_id for one in storm.plant.topics.said) == said


async def test_a_person_decides_the_page(storm: Storm) -> None:
    worker = storm.worker("one")
    await worker.step()
    page = storm.paged()[0]
    worker.commands.note(
        Command(
            "decide", "c1", page.release, "ada", "seen", page.at_ms + 1, "rollback", str(page.data["page_id"])
        )
    )
    await worker.step()
    request = storm.requested()[-1]
    assert (request.release, request.data["reason"]) == (page.release, "commander")
    assert worker.breaker.standing(minute_of(START_MS) + 14).rollbacks == 1, "an order is not counted"


async def test_a_person_closes_the_breaker_and_pages_stay_pages(storm: Storm) -> None:
    worker = storm.worker("one")
    await worker.step()
    closing = Command("close_breaker", "c1", EVERY_RELEASE, "ada", "all is well", START_MS + 16 * 60_000)
    worker.commands.note(closing)
    await worker.step()
    (answered,) = [one.decision for one in storm.plant.topics.entries if one.command_id == "c1"]
    assert answered.type is Type.BREAKER_CLOSED
    assert answered.data["forgiven"] == [storm.requested()[0].decision_id]
    assert not worker.breaker.standing(minute_of(START_MS) + 14).is_open
    storm.plant.clock.ms += 60_000
    following = storm.worker("next")
    await following.step()
    assert not following.breaker.standing(minute_of(START_MS) + 14).is_open
    assert len(storm.requested()) == 1, "what a person was asked is not acted upon behind their back"


async def test_it_closes_by_itself() -> None:
    storm = Storm(StormLimit(1, 1))
    await storm.begin()
    worker = storm.worker("one")
    await worker.step()
    (request,) = storm.requested()
    tick = minute_of(request.at_ms)
    assert [worker.breaker.standing(one).is_open for one in (tick, tick + 1)] == [True, False]


async def test_an_unacknowledged_record_keeps_the_turn_until_it_runs_out(
    storm: Storm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not acknowledged may be there all the same: nobody else counts before it is known, or time is up."""
    worker, topics = storm.worker("one"), storm.plant.topics
    append, lost = topics.append, list[str]()

    async def unheard(entry: LedgerEntry) -> None:
        await append(entry)
        if entry.decision.type is Type.ROLLBACK_REQUESTED and not lost:
            lost.append(entry.decision.decision_id)
            raise LogUnreachable("the answer is lost")

    monkeypatch.setattr(topics, "append", unheard)
    with pytest.raises(LogUnreachable):
        await worker.step()
    lease = storm.plant.lease
    assert not await lease.acquire(f"turn:{TURN}", "other", TURN_MS)
    await worker.step()  # it has the turn still, and gives it back
    assert len(storm.requested()) == 1
    assert await lease.acquire(f"turn:{TURN}", "other", TURN_MS)


async def test_without_a_limit_nobody_waits_for_anybody() -> None:
    storm = Storm(StormLimit(0, 60))
    await storm.begin()
    assert await storm.plant.lease.acquire(f"turn:{TURN}", "other", TURN_MS)
    workers = await storm.owned()
    for _ in range(2):
        await asyncio.gather(*(one.step() for one in workers))
    assert (len(storm.requested()), len(storm.paged())) == (3, 0)


async def test_an_incident_that_is_one_too_many_pages_at_once_and_for_good(storm: Storm) -> None:
    """Immediate safety is stopped as well: forged incidents must not roll every release back."""
    worker = storm.worker("one")
    await worker.step()
    held = storm.paged()[0].release
    before = len(storm.paged())
    at_ms = tick_ms(worker.live[held].next_tick or 0) + 1
    severe = Incident(held, "i1", at_ms, minute_of(at_ms), "high", "trace-1", "leak", ())
    worker.hearing.note(severe)
    await worker.decide_now()
    assert len(storm.paged()) == before + 1
    assert storm.paged()[-1].data["metric"] == "high_severity_incidents"
    storm.plant.clock.ms += 60_000
    storm.limit = StormLimit(0, 60)
    following = storm.worker("next")
    following.hearing.note(severe)  # who starts reads the incidents' topic from its beginning
    for _ in range(2):
        await following.step()
        await following.decide_now()
    assert len(storm.requested()) == 1


def test_a_replay_pages_where_the_live_engine_would() -> None:
    budgets = [budget(("release: v42", f"release: {one}")) for one in RELEASES]

    def played(limit: StormLimit) -> Replay:
        replay = Replay(budgets, decode, storm=limit)
        for minute in range(16):
            for number in range(60):
                for release in (*RELEASES, "v41"):
                    fields = {"event_id": f"{release}-{minute}-{number}", "release": release}
                    worse = release != "v41" and minute >= 4 and number % 2 == 0
                    at = START_MS + minute * 60_000 + number * 1_000
                    replay.feed(json.dumps({**fields, "at": at, "task_success": not worse}).encode())
        replay.finish()
        return replay

    free, held = played(StormLimit(0, 60)).counts(), played(StormLimit(2, 60)).counts()
    assert free.decisions["rollback.requested"] == 3
    assert (held.decisions["rollback.requested"], held.decisions["page.opened"]) == (2, 1)
    assert held.breaker is not None
    assert (held.breaker.is_open, held.breaker.withheld) == (True, 1)
