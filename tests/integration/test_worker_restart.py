"""The only worker is killed at the worst moments and comes back under the same name: nothing lost or repeated."""

from __future__ import annotations

import time
from pathlib import Path

from monitor.core.decision import Type
from tests.integration.heard import Heard
from tests.integration.recorded import (
    all_is_decided,
    check_counts,
    check_decisions,
    recorded_on,
    replayed,
)
from tests.integration.stage import listening, staged
from tests.integration.traffic import encode

REQUESTED = Type.ROLLBACK_REQUESTED


async def test_a_worker_killed_between_its_decisions_loses_and_repeats_none(
    kafka: str, tmp_path: Path, unique: str
) -> None:
    """Killed as a breach is published, and as a request is on record: each id comes again at most in equal words."""
    async with staged(kafka, tmp_path, unique) as stage, listening(stage) as heard:
        recorded = await recorded_on(stage, unique, minutes=30)
        all_decided = replayed(recorded.texts, recorded.lines, recorded.end_ms).values()
        due = {one.release for one in all_decided if one.type is REQUESTED and one.at_ms <= recorded.end_ms}
        assert due
        worker = stage.worker("only", budgets=stage.budgets)
        await heard.until(lambda all_: bool(all_.of(Type.BREACH_STARTED)), "a breach is published")
        worker.kill()
        await heard.to_end()
        known = rolled_back(heard)
        worker.start()
        # Where this process was stopped for a while, the worker had time to decide everything before it was killed.
        await heard.until(
            lambda all_: rolled_back(all_) > known or rolled_back(all_) >= due,
            "one more request is on record",
        )
        worker.kill()
        worker.start()
        await all_is_decided(worker, recorded.end_ms)
        await check_decisions(heard, recorded)

        more = [
            (
                number % stage.partitions,
                encode({"event_id": f"now-{number}", "at": _now_ms(), "release": f"{unique}-sound"}),
            )
            for number in range(200)
        ]
        await stage.produce(more)
        await stage.consumed(len(recorded.placed) + len(more))
        await check_counts(stage, [*recorded.placed, *more], recorded.broken)
        assert "Traceback" not in worker.log


def rolled_back(heard: Heard) -> set[str]:
    """Return the releases whose rollback is on record as asked for."""
    return {one.decision.release for one in heard.entries if one.decision.type is REQUESTED}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
