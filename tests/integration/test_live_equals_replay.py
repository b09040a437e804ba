"""The same log gives the same decisions: two workers, one killed half way, against a replay of the same file.

And every record is in exactly one count: totals and cells are held to an independent recount.
"""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis

from tests.integration.heard import Heard
from tests.integration.recorded import (
    all_is_decided,
    check_counts,
    check_decisions,
    recorded_on,
)
from tests.integration.stage import Stage, listening, staged
from tests.integration.workers import Worker

ATTEMPTS = 3


async def started_together(stage: Stage, folder: Path) -> list[Worker]:
    """Start two workers and hold the store back until both are in the group, so that each has work to do."""
    store = Redis.from_url(stage.valkey.url)
    await store.execute_command("CLIENT", "PAUSE", "600000", "WRITE")  # type: ignore[no-untyped-call]
    workers = [stage.worker(name, budgets=folder) for name in ("one", "two")]
    await stage.members(2)
    await store.execute_command("CLIENT", "UNPAUSE")  # type: ignore[no-untyped-call]
    await store.aclose()
    return workers


async def test_two_workers_one_killed_decide_what_a_replay_decides(
    kafka: str, tmp_path: Path, unique: str
) -> None:
    """Equal ids, equal data of every tick decision, none missing, none more; and no record lost or counted twice."""
    for attempt in range(ATTEMPTS):
        name = f"{unique}-{attempt}"
        async with staged(kafka, tmp_path / name, name) as stage, listening(stage) as heard:
            was_in_time = await killed_half_way(stage, heard)
        if was_in_time:
            return
    raise AssertionError("the worker was killed too late to prove anything, again and again")


async def killed_half_way(stage: Stage, heard: Heard) -> bool:
    """Play it; tell whether there was work left when the worker was killed.

    A machine that stops this process for seconds while the workers run lets them come to the end before.
    """
    recorded = await recorded_on(stage, stage.name, minutes=60)
    killed, survivor = await started_together(stage, stage.budgets)
    await stage.consumed(len(recorded.lines) // 4)
    killed.kill()
    at_kill = (await stage.stored()).offset
    await stage.consumed(len(recorded.lines))
    await all_is_decided(survivor, recorded.end_ms)
    await check_decisions(heard, recorded)
    await check_counts(stage, recorded.placed, recorded.broken)
    return at_kill < len(recorded.lines)
