"""The whole derived state vanishes in the middle, or is altered: a delay, and never another or a second decision."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from monitor.adapters.redis.keys import partition_key
from monitor.core.decision import Type
from monitor.engine.codec import TOKEN_FIELD, cell_key
from monitor.engine.inventory import MANIFEST_PREFIX
from monitor.engine.ports import Partition
from tests.integration.recorded import (
    all_is_decided,
    by_id,
    check_counts,
    check_decisions,
    recorded_on,
)
from tests.integration.stage import Stage, listening, staged
from tests.integration.workers import Worker, eventually


async def test_a_state_that_is_lost_or_altered_is_rebuilt_from_the_log_and_nothing_is_decided_twice(
    kafka: str, tmp_path: Path, unique: str
) -> None:
    """FLUSHALL between two decisions, then a bit of a closed minute while nobody runs: the counts of a recount, the
    decisions of a replay, each id in equal words.
    """
    async with staged(kafka, tmp_path, unique) as stage, listening(stage) as heard:
        recorded = await recorded_on(stage, unique, minutes=30)

        worker = stage.worker("only", budgets=stage.budgets)
        await heard.until(lambda all_: bool(all_.of(Type.BREACH_STARTED)), "a breach is published")
        before = await tokens(stage)
        await flush_all(stage)
        await damage_is_said(worker, "the store has lost it")
        await all_is_decided(worker, recorded.end_ms)
        await stage.consumed(len(recorded.placed))
        assert not await tokens(stage) & before, "rebuilt under new tokens"
        await check_counts(stage, recorded.placed, recorded.broken)
        await check_decisions(heard, recorded)
        await is_live(stage, worker)
        said = set(by_id(heard.said))

        worker.kill()
        await alter_a_closed_minute(stage)
        worker.start()
        await damage_is_said(worker, "its seal is broken")
        await all_is_decided(worker, recorded.end_ms)
        await stage.consumed(len(recorded.placed))
        await check_counts(stage, recorded.placed, recorded.broken)
        await heard.to_end()
        # Minutes without traffic go on passing after the recording's end, and what they say is new.
        more = {key for key, one in by_id(heard.said).items() if one.at_ms <= recorded.end_ms} - said
        assert more == set()
        await is_live(stage, worker)
        assert "Traceback" not in worker.log


def keys(stage: Stage) -> list[str]:
    return [partition_key(Partition(stage.traces, number)) for number in range(stage.partitions)]


@asynccontextmanager
async def store(stage: Stage) -> AsyncIterator[Any]:
    redis = Redis.from_url(stage.valkey.url)
    try:
        yield redis
    finally:
        await redis.aclose()


async def flush_all(stage: Stage) -> None:
    async with store(stage) as redis:
        await redis.flushall()


async def tokens(stage: Stage) -> set[bytes]:
    async with store(stage) as redis:
        return {found for key in keys(stage) if (found := await redis.hget(key, TOKEN_FIELD))}


async def alter_a_closed_minute(stage: Stage) -> None:
    """Flip one bit of the oldest stored cell."""
    key = keys(stage)[0]
    async with store(stage) as redis:
        names = [one.decode() for one in await redis.hkeys(key)]
        cells = (one for one in names if not one.startswith(MANIFEST_PREFIX))
        oldest = min((found.minute, one) for one in cells if (found := cell_key(one)) is not None)[1]
        packed = bytearray(await redis.hget(key, oldest))
        packed[-1] ^= 1
        await redis.hset(key, oldest, bytes(packed))


async def damage_is_said(worker: Worker, why: str) -> None:
    async def is_there() -> bool:
        assert worker.is_running, worker.log[-4_000:]
        lines = worker.lines("state damaged: rebuilding")
        return any(why in json.loads(line)["why"] for line in lines)

    await eventually(is_there, f"the worker says {why!r}")


async def is_live(stage: Stage, worker: Worker) -> None:
    """Return when every partition is seen up to a moment ago, by the probe and by the metrics."""

    async def is_seen() -> bool:
        status, metrics = await worker.status(), await worker.metrics()
        seen = (status.get("sight"), metrics.get('partitions{sight="live"}'), metrics.get("partitions_owned"))
        return seen == ("live", stage.partitions, stage.partitions)

    await eventually(is_seen, "every partition is owned and live")
