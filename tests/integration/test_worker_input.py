"""What comes in from outside: records that do not fit beside ones that do, and budgets by topic. One worker for all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import pytest

from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.security import KafkaAccess
from monitor.core.decision import Type
from tests.integration.heard import Heard
from tests.integration.recorded import check_counts
from tests.integration.stage import Stage, listening
from tests.integration.traffic import encode
from tests.integration.workers import Worker, eventually

BUDGET = """\
release: {release}
baseline: {release}-base
window: {window}
rollback_budget:
  quality:
    task_success_delta_pct: {limit}
    max_duration_min: 20
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""
FLAG = "flag: {actuator: flagd-file, key: chat, baseline_variation: a, candidate_variation: b}\n"  # no file is set
DAY_MS = 24 * 3_600_000


def budget(release: str, *, limit: str = "-5", window: str = "24h") -> str:
    return BUDGET.format(release=release, limit=limit, window=window)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def stage(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a stage on which one worker runs, with one budget from a file."""
    folder = tmp_path_factory.mktemp("input")
    name = f"input-{time.time_ns():x}"
    with EmbeddedValkey(folder / "valkey") as valkey:
        made = Stage(KafkaAccess(kafka), valkey, folder, name)
        made.budget("file", budget(made.release("both"), limit="-5"))
        made.budget("unturnable", budget(made.release("unturnable")) + FLAG)
        asyncio.run(made.make_topics())
        made.worker("w", budgets=made.budgets)
        yield made
        asyncio.run(made.close())


@pytest.fixture
async def worker(stage: Stage) -> Worker:
    """Return the running worker, ready."""
    (found,) = stage.workers
    await found.ready()
    return found


@pytest.fixture
async def heard(stage: Stage) -> AsyncIterator[Heard]:
    """Return all that the monitor says."""
    async with listening(stage) as all_:
        yield all_


def is_armed(release: str, number: int = 1) -> Callable[[Heard], bool]:
    return lambda all_: any(
        one.decision.data["arming"] == number for one in all_.entry(Type.ARMING_CREATED, release)
    )


async def said(worker: Worker, *words: str) -> None:
    """Return when one line of the worker's log holds all of these words."""

    async def is_there() -> bool:
        return any(all(word in line for word in words) for line in worker.lines(words[0]))

    await eventually(is_there, f"the log says {words}")


def hostile(good: bytes) -> list[tuple[str, bytes | None]]:
    """Return what producers' mistakes and malice look like, each with the reason it must be refused for."""
    open_ = good[:-1]
    event = json.loads(good)
    tomorrow = {**event, "event_id": "tomorrow", "at": event["at"] + DAY_MS}
    return [
        ("empty", None),
        ("empty", b""),
        ("not_utf8", b'{"event_id": "\xff\xfe"}'),
        ("nan", open_ + b', "latency_ms": NaN}'),
        ("nan", open_ + b', "cost_usd": 1e999}'),
        ("out_of_range:latency_ms", open_ + b', "latency_ms": ' + b"9" * 400 + b"}"),
        ("out_of_range:at", open_ + b', "at": ' + b"9" * 400 + b"}"),
        ("too_deep", open_ + b', "x": ' + b"[" * 40 + b"]" * 40 + b"}"),
        ("too_deep", b"[" * 60_000),
        ("too_large", open_ + b', "x": "' + b"y" * 70_000 + b'"}'),
        ("wrong_type:task_success", open_ + b', "task_success": "yes"}'),
        ("too_long:release", open_ + b', "release": "' + b"r" * 200 + b'"}'),
        ("missing_field:release", b'{"event_id": "a", "at": 1}'),
        ("not_a_time:at", open_ + b', "at": "2026-01-01T00:00:00"}'),
        ("lone_surrogate", open_ + b', "x": "\\ud800"}'),
        ("not_an_object", b"[1, 2]"),
        ("not_json", b"\x00\x01\x02 garbage"),
        ("not_json", good[:-5]),
        ("future", encode(tomorrow)),
    ]


async def test_hostile_records_become_dead_letters_and_the_good_ones_beside_them_are_exact(
    stage: Stage, worker: Worker, heard: Heard
) -> None:
    release = stage.release("mixed")
    await stage.load(release, budget(release))
    await heard.until(is_armed(release), "the budget is armed")
    draw = Random("hostile")
    placed: list[tuple[int, bytes | None]] = []
    expected: list[tuple[int, str | None]] = []
    for number in range(1_000):
        good = encode(
            {
                "event_id": f"good-{number}",
                "at": now_ms() - draw.randrange(60_000),
                "release": release,
                "task_success": draw.random() < 0.9,
                "latency_ms": draw.randrange(1, 9_000),
            }
        )
        reason, bad = draw.choice(hostile(good))
        placed += [(number % stage.partitions, good), (number % stage.partitions, bad)]
        expected += [(number, None), (number, reason)]
    offsets = await stage.produce(placed)
    await stage.consumed(len(placed))
    await heard.until(lambda all_: len(all_.letters) >= 1_000, "every dead letter is published")

    refused = [value for (_, reason), (_, value) in zip(expected, placed, strict=True) if reason]
    await check_counts(stage, placed, refused)
    letters = {(one["source_partition"], one["source_offset"]): one["reason"] for one in heard.letters}
    assert letters == {
        place: reason for place, (_, reason) in zip(offsets, expected, strict=True) if reason is not None
    }
    # The records of tomorrow moved no clock; the machine's own may have stepped back a little meanwhile.
    latest_ms = now_ms() + DAY_MS // 2
    assert all(meta.clock_ms <= latest_ms for meta in (await stage.stored()).metas if meta.clock_ms)
    watermark = (await worker.status()).get("watermark")
    assert watermark is None or watermark <= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(latest_ms / 1000))
    assert "Traceback" not in worker.log
    await worker.counted('events_total{result="rejected"}', 1_000)
    await worker.counted('events_total{result="accepted"}', 1_000)


async def test_a_budget_from_the_topic_arms_and_a_broken_one_leaves_it_in_force(
    stage: Stage, worker: Worker, heard: Heard
) -> None:
    """What cannot be used is said with every problem; what was in force stays in force."""
    release = stage.release("topical")
    await stage.load(release, budget(release, limit="-5"))
    await heard.until(is_armed(release), "the budget is armed")
    await stage.load(release, budget(release, limit="+5") + "colour: blue\n")
    await said(worker, "not used", "colour", "task_success_delta_pct")
    await stage.load(release, budget(stage.release("another")))
    await said(worker, "not used", stage.release("another"), "must be equal")
    await heard.to_end()
    assert heard.entry(Type.BUDGET_CHANGED, release) == []
    assert heard.entry(Type.ARMING_ENDED, release) == []


async def test_a_changed_budget_applies_and_a_tombstone_disarms(
    stage: Stage, worker: Worker, heard: Heard
) -> None:
    """Loading the same one again changes nothing; the number of the arming stays until a person arms again."""
    release = stage.release("changing")
    await stage.load(release, budget(release, limit="-5"))
    await heard.until(is_armed(release), "the budget is armed")
    await stage.load(release, budget(release, limit="-5"))
    await stage.load(release, budget(release, limit="-7"))
    changed, ended = Type.BUDGET_CHANGED, Type.ARMING_ENDED
    await heard.until(lambda all_: bool(all_.entry(changed, release)), "the change is on record")
    await stage.load(release, None)
    await heard.until(lambda all_: bool(all_.entry(ended, release)), "it is disarmed")
    assert len({one.decision.decision_id for one in heard.entry(changed, release)}) == 1
    assert {one.decision.data["arming"] for one in heard.entries if one.decision.release == release} == {1}
    await worker.steps(2)

    async def is_let_go() -> bool:
        return release not in (await worker.status()).get("evaluates", [release])

    await eventually(is_let_go, "it is evaluated no more")


async def test_the_topic_wins_over_a_file_and_says_so(stage: Stage, worker: Worker, heard: Heard) -> None:
    release = stage.release("both")
    await heard.until(is_armed(release), "the file's budget is armed")
    await stage.load(release, budget(release, limit="-9"))
    await heard.until(lambda all_: bool(all_.entry(Type.BUDGET_CHANGED, release)), "the topic's applies")
    await said(worker, "the topic wins", release)
    spec = heard.entry(Type.BUDGET_CHANGED, release)[-1].decision.data["spec"]
    assert isinstance(spec, dict)
    assert [one["limit"] for one in spec["objectives"]] == [-9.0]


async def test_a_flag_that_a_rollback_could_not_turn_is_said_when_the_worker_starts(worker: Worker) -> None:
    """It judges all the same: whoever reads the log mends it before the day, and a page says it on the day."""

    async def is_said() -> bool:
        return bool(worker.lines("a rollback could not turn this flag"))

    await eventually(is_said, "the worker says what it could not turn")
    (line,) = worker.lines("a rollback could not turn this flag")
    said = json.loads(line)
    assert (said["level"], said["flag"]) == ("error", "flagd-file chat")
    assert "flagd_file" in said["why"] + said["remedy"]
    assert worker.is_running
