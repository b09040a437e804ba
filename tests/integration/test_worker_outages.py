"""Servers that are not there yet, or go away for a while: said clearly, waited for, and every count stays exact."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from monitor.adapters.embedded.process import free_port
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.security import KafkaAccess
from tests.integration.recorded import check_counts
from tests.integration.stage import Stage
from tests.integration.traffic import encode
from tests.integration.workers import Worker, eventually

BUDGET = """\
release: {release}
baseline: {release}-base
window: 24h
rollback_budget:
  quality:
    task_success_delta_pct: -5
    max_duration_min: 20
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""
AWAY_S = 5.0


@asynccontextmanager
async def door(port: int, to: str) -> AsyncIterator[None]:
    """Open a port that leads to a server: before this, the server is not there for whoever knows this address only."""
    host, _, number = to.partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            writer.close()

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(number))
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(both, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


async def says(worker: Worker, address: str) -> str:
    """Return the first line of the worker's log, above mere information, that names an address."""
    found: list[str] = []

    async def is_said() -> bool:
        assert worker.is_running, worker.log[-4_000:]
        found[:] = [line for line in worker.lines(address) if json.loads(line)["level"] != "info"]
        return bool(found)

    await eventually(is_said, f"the log names {address}")
    return str(json.loads(found[0])["event"])


def records(stage: Stage, name: str, count: int) -> list[tuple[int, bytes | None]]:
    at_ms = time.time_ns() // 1_000_000
    release = stage.release("steady")
    return [
        (
            number % stage.partitions,
            encode(
                {
                    "event_id": f"{name}-{number}",
                    "at": at_ms,
                    "release": release,
                    "task_success": number % 3 > 0,
                }
            ),
        )
        for number in range(count)
    ]


async def test_a_worker_waits_for_its_servers_survives_their_absence_and_leaves_in_order(
    kafka: str, tmp_path: Path, unique: str
) -> None:
    """A start without Kafka and Redis, five seconds without Redis, an orderly end: every count is exact."""
    port = free_port()
    valkey = EmbeddedValkey(tmp_path / "valkey").start()
    stage = Stage(KafkaAccess(kafka), valkey, tmp_path, unique)
    try:
        await stage.make_topics()
        stage.budget("steady", BUDGET.format(release=stage.release("steady")))
        redis_url = valkey.url
        valkey.stop()
        worker = stage.worker("w", kafka_bootstrap=f"127.0.0.1:{port}", budgets=stage.budgets)
        told = await says(worker, f"127.0.0.1:{port}")
        assert "next try in" in told
        assert "Traceback" not in worker.log
        async with door(port, kafka):
            told = await says(worker, redis_url.removeprefix("redis://").partition("/")[0])
            assert "is the server up" in told
            assert "next try in" in told
            assert "Traceback" not in worker.log
            await asyncio.to_thread(valkey.start)
            await worker.ready()
            placed = await without_redis(stage, worker)
            await check_counts(stage, placed, frozenset())
            await in_order(stage, worker, placed)
    finally:
        await stage.close()
        valkey.stop()


async def without_redis(stage: Stage, worker: Worker) -> list[tuple[int, bytes | None]]:
    """Take the store away for five seconds while records go on coming; return all of them."""
    loop = asyncio.get_running_loop()
    placed = records(stage, "before", 2_000)
    await stage.produce(placed)
    await stage.consumed(1)
    await asyncio.to_thread(stage.valkey.stop)
    back_at, rounds = loop.time() + AWAY_S, 0
    while loop.time() < back_at:
        more = records(stage, f"away-{rounds}", 40)
        await stage.produce(more)
        placed += more
        rounds += 1
        assert await code(worker, "/livez") in (200, None), "an outage is no reason to be restarted"
    await asyncio.to_thread(stage.valkey.start)
    after = records(stage, "after", 500)
    await stage.produce(after)
    await stage.consumed(len(placed) + len(after))
    assert "Traceback" not in worker.log
    return [*placed, *after]


async def code(worker: Worker, path: str) -> int | None:
    """Return what a probe says; None where it did not come to it in time."""
    answer = await worker.get(path)
    return None if answer is None else answer.status_code


async def in_order(stage: Stage, worker: Worker, placed: list[tuple[int, bytes | None]]) -> None:
    """Look at the probes, and end the worker with records in its memory that the store does not have yet."""
    await worker.ready()
    await worker.counted('events_total{result="accepted"}', len(placed))
    assert await worker.terminate() == 0

    late = stage.worker("w2", budgets=stage.budgets, flush_interval_ms=60_000)
    await late.ready()
    last = records(stage, "last", 400)
    await stage.produce(last)

    async def are_folded() -> bool:
        return (await late.metrics()).get("batch_events_sum", 0) >= len(last)

    await eventually(are_folded, "the last records are in memory")
    assert await late.terminate() == 0
    await check_counts(stage, [*placed, *last], frozenset())
