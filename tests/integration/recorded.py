"""A recording, what a replay of it decides, and how a live run's events are held to that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from random import Random
from typing import NamedTuple

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.decision import Decision, Reason, Type
from monitor.engine.replay import Replay
from monitor.engine.seal import StateDamaged
from tests.integration.heard import Heard, Said
from tests.integration.stage import Stage
from tests.integration.traffic import MINUTE_MS, Arm, encode, recount, requests, spread
from tests.integration.workers import Worker, eventually

COMPARED = (
    Type.BREACH_STARTED,
    Type.BREACH_CLEARED,
    Type.ROLLBACK_REQUESTED,
    Type.PAGE_OPENED,
    Type.DEBT_CREATED,
)
"""What a replay and a live run both decide; deliveries and deadlines depend on when people were told."""

UNSAFE = "unsafe"  # the one release with an incident
NAMES = ("slow", "failing", UNSAFE, "masked", "sound")
_BUDGET = """\
release: {prefix}-{name}
baseline: {prefix}-{name}-base
window: 24h
owner: answers-team
on_call: ada
rollback_budget:
  quality:
    task_success_delta_pct: -5
    max_duration_min: 10
    cohorts: [tenant]
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
  latency:
    p95_delta_pct: +30
    max_duration_min: 10
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
on_commander_silence: hold
"""


def budgets(prefix: str) -> dict[str, str]:
    """Return the budget of each release, by its name."""
    return {name: _BUDGET.format(prefix=prefix, name=name) for name in NAMES}


def arms(prefix: str) -> list[Arm]:
    """Return five releases with their baselines: slower, failing, unsafe, failing for one tenant alone, and sound."""
    return [
        *(Arm(f"{prefix}-{name}-base", per_min=120) for name in NAMES),
        Arm(f"{prefix}-slow", 60, worse_from=8, worse_latency_ms=2_000),
        Arm(f"{prefix}-failing", 60, worse_from=12, worse_success=0.5),
        Arm(f"{prefix}-unsafe", 60, incident_at_min=15),
        Arm(f"{prefix}-masked", 60, worse_from=10, worse_success=0.45, worse_tenant="tenant-07"),
        Arm(f"{prefix}-sound", 60),
    ]


def recording(prefix: str, end_ms: int, minutes: int) -> tuple[list[bytes], frozenset[bytes]]:
    """Return the lines, with repeats, late ones and broken ones among them, and which are broken."""
    draw = Random("a recording")
    lines: list[bytes] = []
    broken: set[bytes] = set()
    start_ms = end_ms - minutes * MINUTE_MS
    for number, event in enumerate(requests(arms(prefix), seed=1, start_ms=start_ms, minutes=minutes)):
        line = encode(event)
        lines.append(line)
        if number % 500 == 100:
            lines.append(line)  # sent twice by its producer
        if number % 700 == 350 and number > 8_000:
            late_ms = int(str(event["at"])) - draw.randrange(8, 10) * MINUTE_MS
            lines.append(encode({**event, "event_id": f"late-{number}", "at": late_ms}))
        if number % 900 == 450:
            wrong = b'{"event_id": "broken-%d", "at": ' % number
            broken.add(wrong)
            lines.append(wrong)
    return lines, frozenset(broken)


class Recorded(NamedTuple):
    """A recording that lies on the log, and what it is judged by.

    Attributes:
        texts: The budgets.
        placed: The lines with their partitions, in the order they were produced in.
    """

    texts: Collection[str]
    end_ms: int
    lines: list[bytes]
    broken: frozenset[bytes]
    placed: list[tuple[int, bytes]]


async def recorded_on(stage: Stage, prefix: str, minutes: int) -> Recorded:
    """Give a stage the budgets of all releases, and produce a recording that has just ended."""
    texts = budgets(prefix)
    for name, text in texts.items():
        stage.budget(name, text)
    end_ms = last_minute()
    lines, broken = recording(prefix, end_ms, minutes)
    placed = list(spread(lines, stage.partitions))
    await stage.produce(placed)
    return Recorded(texts.values(), end_ms, lines, broken, placed)


def replayed(texts: Iterable[str], lines: Iterable[bytes], end_ms: int) -> dict[str, Decision]:
    """Return what a replay of the file, and of an hour without traffic after its end, decides, by id.

    A live run goes on when a recording is over: minutes pass without traffic, and a suspicion may clear in them.
    """
    replay = Replay([load_budget(text, "budget") for text in texts], decode)
    hour_later = {"event_id": "an-hour-later", "at": end_ms + 60 * MINUTE_MS, "release": "of-nobody"}
    decided = [decision for line in (*lines, encode(hour_later)) for decision in replay.feed(line)]
    decided += replay.finish()
    return {one.decision_id: one for one in decided if one.type in COMPARED}


def last_minute() -> int:
    """Return a minute that has just passed, epoch milliseconds: a recording that ends there can be read at once."""
    return int(time.time() // 60 - 3) * MINUTE_MS


async def all_is_decided(worker: Worker, end_ms: int) -> None:
    """Return when the watermark has passed the end of the recording and every tick before it is evaluated."""
    end = time.strftime("%Y-%m-%dT%H:%M", time.gmtime(end_ms / 1000))

    async def passed() -> bool:
        assert worker.is_running, worker.log[-4_000:]
        return str((await worker.status()).get("watermark") or "") > end

    await eventually(passed, f"the watermark passes {end}")
    await worker.steps(3)


def by_id(said: Iterable[Said]) -> dict[str, Said]:
    """Return events by their ids; repeats of one id must say the same."""
    found: dict[str, Said] = {}
    for one in said:
        assert found.setdefault(one.id, one) == one, "an id was published twice with different words"
    return found


async def check_decisions(heard: Heard, recorded: Recorded) -> None:
    """Hold what was published to a replay: equal ids, equal data of every tick decision, none missing, none more.

    Up to the recording's end all of it must be there; how far a live run is beyond that depends on the moment.
    """
    expected = await asyncio.to_thread(replayed, recorded.texts, recorded.lines, recorded.end_ms)
    kinds = {kind.value for kind in COMPARED}
    due = {key: one for key, one in expected.items() if one.at_ms <= recorded.end_ms}
    with suppress(AssertionError):  # said below, with what is missing
        await heard.until(lambda all_: due.keys() <= {one.id for one in all_.said}, "all that is due")
    await heard.to_end()
    decided = by_id(one for one in heard.said if one.type in kinds)
    assert {one.type for one in decided.values()} >= kinds - {Type.BREACH_CLEARED.value}
    assert [one for one in decided.values() if one.data.get("cohort")], "no watched cohort was paged"
    strange = (one for one in decided.values() if one.id not in expected and not _paged_unseen(one))
    made_up = [_told(one, recorded) for one in strange]
    missed = [_told(one, recorded) for key, one in due.items() if key not in decided]
    assert (made_up, missed) == ([], []), f"made up: {made_up}; missed: {missed}"
    for decision_id, one in decided.items():
        # An incident is judged when it is heard, or with its minute: the id is the same, the numbers need not be.
        if not one.release.endswith(UNSAFE):
            assert dict(one.data) == dict(expected[decision_id].data), one.type


def _paged_unseen(one: Said) -> bool:
    """Tell whether this pages an incident that waited half a minute for the minutes before it (`engine.hearing`).

    A machine that takes so long to read a recording judges it by what it knows: people hear of it first.
    """
    is_page = one.type == Type.PAGE_OPENED.value and one.field("reason") == Reason.IMMEDIATE.value
    return is_page and one.release.endswith(UNSAFE)


def _told(one: Said | Decision, recorded: Recorded) -> tuple[str, str, float]:
    """Return whose decision it is, which one, and how many minutes after the recording's end."""
    return one.release, str(one.type), (one.at_ms - recorded.end_ms) / MINUTE_MS


async def check_counts(
    stage: Stage, placed: Iterable[tuple[int, bytes | None]], broken: Collection[bytes | None]
) -> None:
    """Hold the state in the store to a recount: every record is in exactly one count, every cell is exact.

    A state that is just being made anew is on its way there; what it comes to is what counts.
    """
    parts: list[list[bytes | None]] = [[] for _ in range(stage.partitions)]
    for number, value in placed:
        parts[number].append(value)
    tally = recount(parts, frozenset(broken))
    assert tally.records == sum(map(len, parts))

    async def is_exact() -> bool:
        try:
            stored = await stage.stored()
            return stored.offset == tally.records and stored.tally() == tally
        except StateDamaged:
            return False

    with suppress(AssertionError):  # said below, with the difference
        await eventually(is_exact, "the state is the recount's")
    stored = await stage.stored()
    assert stored.tally() == tally
    assert stored.offset == tally.records
