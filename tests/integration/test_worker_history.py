"""A worker and the history's topic: a past that is there is captured, and hours that end are recorded.

The baseline has no traffic any more; only its past says that the candidate, which serves everybody, got worse.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.history import KafkaHistory, hour_of
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import HISTORY
from monitor.config.budget_file import load_budget
from monitor.core.decision import Type
from monitor.core.history import HistoryHour
from monitor.engine.history import HistoryBook
from monitor.engine.replay import Replay
from tests.engine.worlds import cell
from tests.integration.recorded import last_minute
from tests.integration.stage import listening, staged
from tests.integration.traffic import MINUTE_MS, Arm, encode, requests
from tests.integration.workers import WAIT_S

MINUTES = 95
_BUDGET = """\
release: {prefix}-alone
baseline: {prefix}-base
window: 24h
owner: answers-team
on_call: ada
rollback_budget:
  quality:
    task_success_delta_pct: -5
    max_duration_min: 10
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


def past(baseline: str, before_hour: int) -> list[HistoryHour]:
    """Six days of a baseline with 3,600 requests an hour, nine of ten done."""
    return [
        HistoryHour(baseline, hour, 60, False, cell(3_600, task_success=3_240 + hour % 7))
        for hour in range(before_hour - 6 * 24, before_hour)
    ]


async def kept(access: KafkaAccess, prefix: str) -> list[HistoryHour]:
    """Return the hours of a test's releases that are on the topic now."""
    consumer = AIOKafkaConsumer(HISTORY, **access.client_options(), auto_offset_reset="earliest")
    await bounded(consumer.start(), WAIT_S, "the reader of the history")
    try:
        found: list[HistoryHour] = []
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                hours = (hour_of(record.value) for record in records)
                found += [
                    one for one in hours if isinstance(one, HistoryHour) and one.release.startswith(prefix)
                ]
        return found
    finally:
        await stop_client(consumer)


async def test_a_candidate_alone_is_judged_by_its_baselines_past(
    kafka: str, tmp_path: Path, unique: str
) -> None:
    async with staged(kafka, tmp_path, unique) as stage, listening(stage) as heard:
        text = _BUDGET.format(prefix=unique)
        stage.budget("alone", text)
        end_ms = last_minute()
        start_ms = end_ms - MINUTES * MINUTE_MS
        hours = past(f"{unique}-base", start_ms // (60 * MINUTE_MS))
        log = KafkaLog(stage.access)
        await asyncio.gather(*(KafkaHistory(log).append(one) for one in hours))
        await log.close()
        arm = Arm(f"{unique}-alone", 60, worse_from=60, worse_success=0.3)
        lines = [encode(one) for one in requests([arm], seed=1, start_ms=start_ms, minutes=MINUTES)]
        await stage.produce((number % stage.partitions, line) for number, line in enumerate(lines))
        stage.worker("one", budgets=stage.budgets)
        await heard.until(
            lambda all_: any(one.type == Type.ROLLBACK_REQUESTED.value for one in all_.said), "a rollback"
        )

        book = HistoryBook()
        for one in hours:
            book.note(one)
        replay = Replay([load_budget(text, "budget")], decode, history=book)
        decided = [one for line in lines for one in replay.feed(line)]
        (expected,) = (one for one in decided if one.type is Type.ROLLBACK_REQUESTED)
        (said,) = (one for one in heard.said if one.type == Type.ROLLBACK_REQUESTED.value)
        assert said.id == expected.decision_id
        assert dict(said.data) == dict(expected.data)
        assert said.field("baseline_mode") == "frozen"

        first_hour = start_ms // (60 * MINUTE_MS)
        async with asyncio.timeout(WAIT_S):
            while not (own := [one for one in await kept(stage.access, unique) if one.hour >= first_hour]):
                await heard.listen()
        assert {one.release for one in own} == {f"{unique}-alone"}
        assert all(one.cell.requests == one.minutes * 60 for one in own)
