"""A commander's day at a hundred times the speed: pages, silence, orders, overrides, arming again, and the flag.

Traffic is written as it happens, in event time that runs a hundred times faster than the clock, so that the fifteen
minutes of a page pass in nine seconds. The whole play runs once; each test looks at one promise. The only worker is
killed and started again while a page's clock runs.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType

from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.timebase import Timebase
from monitor.core.decision import Type
from monitor.core.moment import rfc3339
from tests.adapters.receiver import SECRET, Sent, receiver
from tests.integration.heard import Heard
from tests.integration.stage import Stage, listening
from tests.integration.traffic import MINUTE_MS, encode
from tests.integration.workers import eventually

SPEED = 100
HEALTHY_MIN = 3
PER_MIN = 60
PUMP_S = 0.05
DECIDE_MIN = 15
PATIENT_MIN = 60  # whoever is to decide gets the time to, on a machine that has much else to do
HELD_MIN = 40

BUDGET = """\
release: {release}
baseline: {baseline}
window: 24h
owner: answers-team
on_call: ada
rollback_budget:
  quality:
    task_success_delta_pct: -10
    max_duration_min: 5
  latency:
    p95_delta_pct: +40
    max_duration_min: 5
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_{within_min}m
flag:
  actuator: flagd-file
  key: {release}
  baseline_variation: old
  candidate_variation: new
verify:
  within: 24h
"""
SLOW = ("silent", "continued")
FAILING = ("held", "again")
TURNED = ("silent", "held", "again")
PAST_THE_FLAG = "again"  # somebody serves it whatever its flag says: else it could not break twice


@dataclass
class Traffic:
    """Writes what four releases and their baseline do, as it happens."""

    stage: Stage
    timebase: Timebase
    start_ms: int
    client: OpenFeatureClient
    written: int = 0
    _draw: Random = field(default_factory=lambda: Random("a day"))

    def now_ms(self) -> int:
        """Event time."""
        return self.timebase.event_ms(time.time_ns() // 1_000_000)

    async def run(self) -> None:
        """Write until cancelled."""
        done_ms, owed = self.start_ms, 0.0
        async with self.stage.producer() as producer:
            while True:
                now_ms = self.now_ms()
                owed += (now_ms - done_ms) * PER_MIN / MINUTE_MS
                whole, owed = int(owed), owed % 1
                releases = [name for name in (*SLOW, *FAILING) if self._is_served(name)]
                for number in range(whole):
                    at_ms = done_ms + (now_ms - done_ms) * (number + 1) // whole
                    for release in ("base", "base", *releases):
                        partition = self.written % self.stage.partitions
                        await producer.send(
                            self.stage.traces, self._event(release, at_ms), partition=partition
                        )
                        self.written += 1
                done_ms = now_ms
                await asyncio.sleep(PUMP_S)  # the pace of the traffic, nothing is waited for

    def _is_served(self, name: str) -> bool:
        return name == PAST_THE_FLAG or served(self.client, self.stage.release(name)) == "new"

    def _event(self, release: str, at_ms: int) -> bytes:
        is_worse = at_ms - self.start_ms > HEALTHY_MIN * MINUTE_MS
        median_ms = 2_500 if is_worse and release in SLOW else 800
        success = 0.4 if is_worse and release in FAILING else 0.95
        return encode(
            {
                "event_id": f"e{self.written}",
                "at": at_ms,
                "release": self.stage.release(release),
                "trace_id": f"t{self.written}",
                "task_success": self._draw.random() < success,
                "latency_ms": median_ms * self._draw.lognormvariate(0.0, 0.4),
            }
        )


@dataclass
class Played:
    """What was seen of the play.

    Attributes:
        pages: What the paging system was sent.
        flags: By release, what an application got from the official evaluator before the play and after it.
    """

    stage: Stage
    heard: Heard
    until_ms: int
    pages: list[Sent] = field(default_factory=list)
    flags: dict[str, tuple[str, str]] = field(default_factory=dict)

    def release(self, name: str) -> str:
        return self.stage.release(name)


@pytest.fixture(scope="module")
def played(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("day")
    with EmbeddedValkey(folder / "valkey") as valkey:
        stage = Stage(KafkaAccess(kafka), valkey, folder, f"day-{time.time_ns():x}")
        with flags_of(stage) as client:
            yield asyncio.run(play(stage, client))


def flag_file(stage: Stage) -> Path:
    return stage.folder / "flags.json"


@contextmanager
def flags_of(stage: Stage) -> Iterator[OpenFeatureClient]:
    """Write a flag per release, on the candidate, and ask for them as an application does."""
    one = {"state": "ENABLED", "variants": {"old": "old", "new": "new"}, "defaultVariant": "new"}
    flags = {stage.release(name): one for name in (*SLOW, *FAILING)}
    flag_file(stage).write_text(json.dumps({"flags": flags}))
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(flag_file(stage)), deadline_ms=20
    )
    try:
        api.set_provider_and_wait(provider, "commander")
        yield api.get_client("commander")
    finally:
        api.shutdown()
        api.clear_providers()


def served(client: OpenFeatureClient, release: str) -> str:
    return client.get_string_value(release, "default in the code")


@asynccontextmanager
async def running(traffic: Traffic) -> AsyncIterator[None]:
    task = asyncio.create_task(traffic.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


async def play(stage: Stage, client: OpenFeatureClient) -> Played:
    wall_ms = time.time_ns() // 1_000_000
    timebase = Timebase(SPEED, wall_ms, wall_ms)
    try:
        await stage.make_topics()
        for name in (*SLOW, *FAILING):
            release, baseline = stage.release(name), stage.release("base")
            within_min = DECIDE_MIN if name == "silent" else PATIENT_MIN
            await stage.load(
                release, BUDGET.format(release=release, baseline=baseline, within_min=within_min)
            )
        async with receiver() as pager, listening(stage) as heard:
            settings = {
                "event_time_speed": SPEED,
                "event_time_origin_ms": wall_ms,
                "wall_origin_ms": wall_ms,
                "flagd_file": flag_file(stage),
                "pager_webhook_url": pager.url,
                "pager_webhook_secret": SECRET,
                "webhook_allow_private": "true",
            }
            worker = stage.worker("w", **settings)
            await worker.ready()
            held_until_ms = timebase.event_ms(time.time_ns() // 1_000_000) + HELD_MIN * MINUTE_MS
            played = Played(stage, heard, held_until_ms)
            await hold_back(played)
            start_ms = timebase.event_ms(time.time_ns() // 1_000_000)
            traffic = Traffic(stage, timebase, start_ms, client)
            played.flags = {name: (served(client, stage.release(name)), "") for name in (*SLOW, *FAILING)}
            async with running(traffic):
                await the_day(played)
            played.pages = [one for one in pager.got if one.json["release"].startswith(stage.name)]
        await eventually(
            lambda: all_turned(client, played), "the application sees every flag that was turned"
        )
        for name, (before, _) in played.flags.items():
            played.flags[name] = (before, served(client, stage.release(name)))
        assert "Traceback" not in worker.log
        return played
    except BaseException as failure:
        failure.add_note("\n".join(f"{one.name} wrote last:\n{one.log[-6_000:]}" for one in stage.workers))
        raise
    finally:
        await stage.close()


async def hold_back(played: Played) -> None:
    """Override a release before it has any traffic: an order that comes after the breach comes too late."""
    held = played.release("held")
    await played.stage.command("override", held, until=rfc3339(played.until_ms))
    await played.heard.until(lambda all_: bool(all_.of(Type.OVERRIDE_CREATED, held)), "it is held back")


async def all_turned(client: OpenFeatureClient, played: Played) -> bool:
    return all(served(client, played.release(name)) == "old" for name in TURNED)


async def the_day(played: Played) -> None:
    """What the commander does, and when; over when all that it has caused is done."""
    stage, heard = played.stage, played.heard
    (worker,) = stage.workers
    held, again = stage.release("held"), stage.release("again")
    silent, continued = stage.release("silent"), stage.release("continued")
    await heard.until(lambda all_: bool(all_.of(Type.PAGE_OPENED, continued)), "the slow release is paged")
    await stage.command("assess", continued, stage="canary")
    await heard.until(lambda all_: bool(all_.of(Type.RELEASE_ASSESSED, continued)), "its stage is assessed")
    await stage.command("decide", continued, decision="continue")
    await heard.until(lambda all_: bool(delivered(all_, silent)), "the page has reached the commander")
    worker.kill()
    worker.start()
    await heard.until(
        lambda all_: bool(all_.of(Type.ROLLBACK_REQUESTED, again)), "the failing release is rolled back"
    )
    await stage.command("arm", again)
    for release, count in ((silent, 1), (held, 1), (again, 2)):
        await heard.until(
            lambda all_, release=release, count=count: len(told_of_rollbacks(all_, release)) == count,  # type: ignore[misc]
            f"{release} is rolled back and the commander told, {count} times in all",
        )
    for release in (silent, held):
        await heard.until(
            lambda all_, release=release: bool(all_.of(Type.ROLLBACK_VERIFIED, release)),  # type: ignore[misc]
            f"the traffic shows that {release} is gone",
        )
    await heard.until(is_done, "every flag is turned, and the commander told of everything")


def is_done(heard: Heard) -> bool:
    """Tell whether every rollback that was asked for is applied, and every page and rollback delivered."""
    requests = {one.id for one in heard.of(Type.ROLLBACK_REQUESTED)}
    pages = {one.id for one in heard.of(Type.PAGE_OPENED)}
    applied = {one.field("request_id") for one in heard.said if one.type == "rollback.applied"}
    told = {
        one.decision.data["event_id"] for one in heard.entries if one.decision.type is Type.PAGE_DELIVERED
    }
    return requests <= applied and requests | pages <= told


def told_of_rollbacks(heard: Heard, release: str) -> set[str]:
    """Return the requests of a release that the commander was told of."""
    requests = {one.id for one in heard.of(Type.ROLLBACK_REQUESTED, release)}
    return requests & {
        str(one.decision.data["event_id"]) for one in heard.entry(Type.PAGE_DELIVERED, release)
    }


def delivered(heard: Heard, release: str) -> list[Mapping[str, Any]]:
    """Return the deliveries of a release's breach pages."""
    opened = {one.id for one in heard.of(Type.PAGE_OPENED, release)}
    return [
        one.decision.data
        for one in heard.entry(Type.PAGE_DELIVERED, release)
        if one.decision.data["event_id"] in opened
    ]


def test_silence_rolls_back_at_the_deadline_and_not_before(played: Played) -> None:
    """Also where the worker that opened the page was killed: the delivery is on record, and starts the clock."""
    release = played.release("silent")
    pages = {one.field("page_id"): one for one in played.heard.of(Type.PAGE_OPENED, release)}
    (requested,) = played.heard.of(Type.ROLLBACK_REQUESTED, release)
    expired = next(one for one in played.heard.of(Type.PAGE_EXPIRED, release) if one.at_ms == requested.at_ms)
    page = pages[
        expired.field("page_id")
    ]  # a slow machine may page for the minutes spent before it does for the breach
    told_ms = min(
        one.decision.at_ms
        for one in played.heard.entry(Type.PAGE_DELIVERED, release)
        if one.decision.data["event_id"] == page.id
    )
    deadline_ms = max(page.at_ms, told_ms) + DECIDE_MIN * MINUTE_MS
    assert requested.field("reason") == "commander_silent"
    assert deadline_ms <= requested.at_ms < deadline_ms + MINUTE_MS


def test_a_commander_who_decides_to_go_on_is_obeyed(played: Played) -> None:
    release = played.release("continued")
    (override,) = played.heard.of(Type.OVERRIDE_CREATED, release)
    (resolved,) = played.heard.of(Type.PAGE_RESOLVED, release)
    assert override.field("objective") == "latency.p95_delta_pct"
    assert resolved.field("reason") == "commander"
    assert played.heard.of(Type.ROLLBACK_REQUESTED, release) == []
    assert played.heard.of(Type.PAGE_EXPIRED, release) == []
    assert played.flags["continued"] == ("new", "new")


def test_a_pipeline_is_told_how_far_a_release_is_and_the_watch_goes_on(played: Played) -> None:
    release = played.release("continued")
    (assessed,) = played.heard.of(Type.RELEASE_ASSESSED, release)
    assert (assessed.field("stage"), assessed.field("complete")) == ("canary", False)
    verdicts = {row["objective"]: row["verdict"] for row in assessed.data["objectives"]}
    assert verdicts["latency.p95_delta_pct"] == "breach"
    assert played.heard.of(Type.OVERRIDE_CREATED, release), "it was decided about afterwards"


def test_an_override_holds_a_rollback_until_its_end_and_not_longer(played: Played) -> None:
    release = played.release("held")
    assert played.heard.of(Type.OVERRIDE_CREATED, release)
    (ended,) = played.heard.of(Type.OVERRIDE_EXPIRED, release)
    (requested,) = played.heard.of(Type.ROLLBACK_REQUESTED, release)
    assert played.until_ms <= ended.at_ms < played.until_ms + MINUTE_MS
    (breach, *_) = played.heard.of(Type.BREACH_STARTED, release)
    due_ms = max(ended.at_ms, breach.at_ms)  # a slow machine: the breach comes after the override's end
    assert ended.at_ms <= requested.at_ms <= due_ms + 2 * MINUTE_MS
    assert requested.field("tier") == "A"


def test_a_release_is_locked_after_a_rollback_until_it_is_armed_again(played: Played) -> None:
    release = played.release("again")
    armings = {one.decision.data["arming"] for one in played.heard.entry(Type.ARMING_CREATED, release)}
    assert armings == {1, 2}
    first, second = sorted(played.heard.of(Type.ROLLBACK_REQUESTED, release), key=lambda one: one.at_ms)
    assert (first.field("arming"), second.field("arming")) == (1, 2)
    assert first.id != second.id


def test_the_flag_is_turned_once_per_rollback_and_the_application_sees_it(played: Played) -> None:
    for name, times in (("silent", 1), ("held", 1), ("again", 2)):
        release = played.release(name)
        assert played.flags[name] == ("new", "old")
        of_release = (one for one in played.heard.said if one.release == release)
        applied = [one for one in of_release if one.type == "rollback.applied"]
        assert len({one.id for one in applied}) == len(applied) == times
        requests = {one.id for one in played.heard.of(Type.ROLLBACK_REQUESTED, release)}
        assert {one.field("request_id") for one in applied} == requests


def test_the_commander_is_told_of_every_page_and_rollback(played: Played) -> None:
    """Signed, and told apart by ids: a repeat after a crash has the same."""
    for one in played.pages:
        one.verify()
    told = {(one.json["event_id"], one.json["state"]) for one in played.pages}
    pages = {(one.id, "opened") for one in played.heard.of(Type.PAGE_OPENED)}
    rollbacks = {(one.id, "informed") for one in played.heard.of(Type.ROLLBACK_REQUESTED)}
    assert pages | rollbacks <= told


def test_the_traffic_proves_a_rollback_once_and_only_where_the_candidate_is_gone(played: Played) -> None:
    """Silent was rolled back by the worker that was started again: it knows of the flag from the ledger."""
    for name in ("silent", "held"):
        release = played.release(name)
        (requested,) = played.heard.of(Type.ROLLBACK_REQUESTED, release)
        (verified,) = {one.id: one for one in played.heard.of(Type.ROLLBACK_VERIFIED, release)}.values()
        assert verified.field("request_id") == requested.id
        assert verified.field("share_after") == 0
        assert verified.at_ms - requested.at_ms == verified.field("seconds") * 1000 > 0
    assert played.heard.of(Type.ROLLBACK_VERIFIED, played.release(PAST_THE_FLAG)) == []
