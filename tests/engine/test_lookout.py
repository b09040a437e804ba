"""The monitor says when it cannot see, once, with its cause, and when it sees again; meanwhile nothing is decided."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.decision import EVERY_RELEASE, Reason, Type
from monitor.core.sight import BLIND_MS, STUCK_MS, Cause, Sight
from monitor.engine.effect_ledger import EffectLedger
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.feed import FENCED_WAIT_MS
from monitor.engine.lookout import LOG_GRACE_MS
from monitor.engine.ports import Partition
from monitor.wire.ledger import LedgerLine, from_ledger, to_ledger
from tests.engine.logs import TOPIC
from tests.engine.plant import Plant, budget
from tests.engine.post import BLIND, RECOVERED, SECOND_MS, Post, monitors_own, post, watching

HOUR_MS = 3_600_000


def without_store(monkeypatch: pytest.MonkeyPatch, made: Plant) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnreachable("the store is away")

    for name in ("read", "flush", "claim"):
        monkeypatch.setattr(made.store, name, away)
    monkeypatch.setattr(made.lease, "acquire", away)


def without_log(monkeypatch: pytest.MonkeyPatch, one: Post) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise LogUnreachable("the log is away")

    monkeypatch.setattr(one.feed, "look_around", away)
    monkeypatch.setattr(one.made.topics, "append", away)
    monkeypatch.setattr(one.made.topics, "publish", away)


async def test_what_is_read_up_to_a_moment_ago_is_live() -> None:
    (one,) = await watching()
    assert one.sees() == (Sight.LIVE, None)
    assert one.sighting.releases == {"armed": 1}
    assert (one.sighting.owned, one.sighting.unread) == (2, 0)
    assert monitors_own(one.made) == []
    shown = one.sighting.as_data()
    assert (shown["sight"], shown["cause"], shown["not_live"]) == ("live", None, [])


async def test_open_pages_are_counted_where_their_release_is_evaluated() -> None:
    (one,) = await watching()
    assert one.sighting.open_pages == 0
    (live,) = one.control.live.values()
    live.evaluator.commander.open_release_page(Reason.NO_DATA, 60_000, "nothing comes")
    await one.seconds(1)
    assert one.sighting.open_pages == 1


async def test_a_store_that_is_away_is_late_at_first_then_blind_and_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one,) = await watching()
    said = len(one.made.topics.said)
    with monkeypatch.context() as outage:
        without_store(outage, one.made)
        await one.seconds(20)
        assert one.sees() == (Sight.LATE, None)
        assert monitors_own(one.made) == []
        await one.seconds(30)
        assert one.sees() == (Sight.BLIND, Cause.REDIS)
        one.made.traffic(4, 10, success=8)
    (blind,) = monitors_own(one.made)
    assert blind.release == EVERY_RELEASE
    assert (blind.data["cause"], blind.data["releases"], blind.data["release"]) == ("redis", ["v42"], None)
    assert blind.data["partitions"] == [f"{TOPIC}/0", f"{TOPIC}/1"]
    assert len(one.made.topics.said) == said + 1, "nothing else is said of what is not seen"
    await one.seconds(5)
    assert one.sees() == (Sight.LIVE, None)
    _, recovered = monitors_own(one.made)
    assert recovered.data["page_id"] == blind.decision_id
    assert float(str(recovered.data["blind_seconds"])) >= 30
    assert one.made.topics.of(Type.ROLLBACK_REQUESTED), "what was missed is judged afterwards"


async def test_a_log_that_is_away_is_told_about_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the topics nothing can be said meanwhile: the sight, the metrics and the probes say it."""
    (one,) = await watching()
    with monkeypatch.context() as outage:
        without_log(outage, one)
        await one.seconds((BLIND_MS + LOG_GRACE_MS) // SECOND_MS + 5, reads=False)
        assert one.sees() == (Sight.BLIND, Cause.KAFKA)
        assert monitors_own(one.made) == []
    await one.seconds(4)
    assert [one.type for one in monitors_own(one.made)] == [BLIND, RECOVERED]
    assert monitors_own(one.made)[0].data["cause"] == "kafka"


async def test_a_partition_nobody_reads_is_stuck_whoever_is_alive() -> None:
    """Progress is what counts: this instance answers, holds its leases and makes its steps."""
    (one,) = await watching()
    await one.seconds(40, reads=False)
    assert one.sees() == (Sight.BLIND, Cause.STUCK)
    assert [row["sight"] for row in rows(one)] == ["blind", "blind"]
    assert one.sighting.releases == {"blind": 1}
    await one.seconds(3)
    assert one.sees() == (Sight.LIVE, None)
    assert [one.type for one in monitors_own(one.made)] == [BLIND, RECOVERED]


def rows(one: Post) -> list[dict[str, object]]:
    found = one.sighting.as_data()["not_live"]
    assert isinstance(found, list)
    return found


async def test_what_is_read_and_far_behind_is_lag() -> None:
    (one,) = await watching()
    one.made.log.now_ms += 3_600_000
    await one.seconds(1, reads=False)
    assert one.sees() == (Sight.BLIND, Cause.LAG)
    (blind,) = monitors_own(one.made)
    assert blind.data["cause"] == "lag"
    await one.seconds(2)
    assert one.sees() == (Sight.LIVE, None)


@pytest.mark.parametrize("seconds, told", [(5, 0), (10, 0), (34, 2)])
async def test_lost_state_is_rebuilding_and_said_where_it_takes_long(seconds: int, told: int) -> None:
    (one,) = await watching()
    decided = len(one.made.topics.said)
    one.made.store.lose_everything()
    await one.seconds(seconds, reads=False)
    expected = (Sight.REBUILDING, Cause.REBUILDING) if seconds < 20 else (Sight.BLIND, Cause.STUCK)
    assert one.sees() == expected
    assert one.control.watermark is None
    await one.seconds(FENCED_WAIT_MS // SECOND_MS + 8)
    assert one.sees() == (Sight.LIVE, None)
    assert len(monitors_own(one.made)) == told
    assert len(one.made.topics.said) == decided + told


async def test_a_log_whose_clock_was_ahead_is_no_live_one_until_its_time_is_reached() -> None:
    """Its minutes were closed before their time: what comes for them is late, so nothing is judged meanwhile."""
    (one,) = await watching()
    one.made.log.now_ms += HOUR_MS
    await one.seconds(2)
    assert one.sees() == (Sight.LIVE, None)
    one.made.log.now_ms -= HOUR_MS
    await one.seconds(STUCK_MS // SECOND_MS)
    assert one.sees() == (Sight.LIVE, None)  # one look may err
    await one.seconds(2)
    assert one.sees() == (Sight.BLIND, Cause.CLOCK)
    (blind,) = monitors_own(one.made)
    assert blind.data["cause"] == "clock"
    one.made.log.now_ms += HOUR_MS
    await one.seconds(2)
    assert one.sees() == (Sight.LIVE, None)
    assert [said.type for said in monitors_own(one.made)] == [BLIND, RECOVERED]


async def test_instances_that_all_would_tell_give_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the store nobody holds a lease; the ids are equal, and who finds it on record is silent."""
    first, second = await watching("w1", "w2")
    second.follow()
    without_store(monkeypatch, first.made)
    for _ in range(40):
        await first.seconds(1)
        await second.seconds(1, follows=False)
    assert len({one.decision_id for one in first.made.topics.of(BLIND)}) == 1
    assert len(first.made.topics.of(BLIND)) == 2, "both told before they heard of each other"
    await post(first.made, "w3").seconds(50)
    assert len(first.made.topics.of(BLIND)) == 2


async def test_with_the_store_there_only_the_holder_of_the_lease_tells() -> None:
    first, second = await watching("w1", "w2")
    for _ in range(25):
        await first.seconds(1, reads=False)
        await second.seconds(1, reads=False)
    assert len(first.made.topics.of(BLIND)) == 1


async def test_whoever_comes_next_says_that_it_is_over_and_not_before_it_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one,) = await watching()
    await one.seconds(40, reads=False)
    next_ = post(one.made, "next")
    with monkeypatch.context() as outage:
        without_store(outage, one.made)
        await next_.seconds(15)
        assert [one.type for one in monitors_own(one.made)] == [BLIND]
    await next_.seconds(15)
    assert [one.type for one in monitors_own(one.made)] == [BLIND, RECOVERED]


async def test_a_crash_between_record_and_publication_is_made_good() -> None:
    (one,) = await watching()
    one.made.topics.outputs_away = 1_000
    await one.seconds(35, reads=False)
    one.made.topics.outputs_away = 0
    assert [entry.is_published for entry in one.control.book.of(EVERY_RELEASE)] == [False]
    next_ = post(one.made, "next")
    await next_.seconds(15, reads=False)
    assert [one.type for one in monitors_own(one.made)] == [BLIND]
    assert [entry.is_published for entry in next_.control.book.of(EVERY_RELEASE)] == [True]


async def test_a_second_blindness_of_a_minute_is_another_event() -> None:
    (one,) = await watching()
    for _ in range(2):
        one.made.clock.ms += 1
        one.lookout._watched[Partition(TOPIC, 0)].is_lost = True
        one.made.log.now_ms += 40_000
        await one.seconds(1, reads=False)
        one.made.log.now_ms -= 41_000
        await one.seconds(2)
    assert len({one.decision_id for one in monitors_own(one.made)}) == 4


async def test_where_nothing_is_armed_nobody_is_woken() -> None:
    made = Plant()
    one = post(made)
    await one.seconds(3)
    await one.seconds(40, reads=False)
    assert one.sees() == (Sight.BLIND, Cause.STUCK)
    assert monitors_own(made) == []


async def test_that_people_heard_of_it_is_on_record_and_can_be_read_again() -> None:
    """It is about no single release, and a record without a subject could not be read."""
    (one,) = await watching()
    await one.seconds(35, reads=False)
    effects = EffectLedger(one.control, one.made.topics, one.made.topics, one.made.clock)
    await effects.record(
        Type.PAGE_DELIVERED, "d" * 64, "", {"event_id": monitors_own(one.made)[0].decision_id}
    )
    entry = one.made.topics.entries[-1]
    _, value = to_ledger(LedgerLine(entry.decision, None, True, None))
    assert from_ledger(value).decision.release == EVERY_RELEASE
    assert await effects.known("d" * 64)


@pytest.mark.parametrize(("mode", "open_pages"), [("auto", 1), ("observe", 0)])
async def test_the_pages_that_people_have_are_counted_and_what_is_only_observed_is_none(
    mode: str, open_pages: int
) -> None:
    made = Plant(budgets=(budget(("window: 24h", f"window: 24h\nmode: {mode}")),))
    one = post(made)
    await one.seconds(2)
    assert one.sighting.open_pages == 0
    made.traffic(0, 20, latency_ms=1_600)
    await one.seconds(10)
    assert made.topics.of(Type.PAGE_OPENED) or mode == "observe"
    assert one.sighting.open_pages == open_pages
