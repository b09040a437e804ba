"""How long a decision takes to reach an application: on record in the ledger, served by the official evaluator.

One worker in a process of its own, one broker and one Valkey on this machine. Each trial is one high-severity incident
of a release with a flag of its own in flagd's file: decision, request, flag, and the evaluator serving the baseline
(flagd's official one, in process, which looks at the file every 100 ms). Trials come one after the other.

`python -m benchmarks flag_latency`; `TRIALS=20` for fewer trials (then nothing is kept).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType

from benchmarks.effects import results
from benchmarks.performance.incidents import (
    BUDGET,
    PARTITIONS,
    WAIT_S,
    Watcher,
    armed,
    clean_baseline,
    quantiles,
    settings,
    trial,
)
from monitor.adapters.demo.workers import Worker
from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import BUDGETS, LEDGER, product_topics

FULL = 250
TRIALS = int(os.environ.get("TRIALS", str(FULL)))
WARM_UP = 10
REFRESH_MS = 100  # how often the evaluator looks at its file
AIM_P95_MS = 1_000.0
COMMAND = "make bench ARGS=flag_latency"
OLD, NEW = "model-v41", "candidate"
FLAG = "flag: {{actuator: flagd-file, key: {release}, baseline_variation: old, candidate_variation: new}}\n"
_SHARES = {"p50_ms": 0.50, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}


@dataclass(frozen=True)
class Way:
    """Milliseconds since the decision was on record: the flag's file has it, the evaluator serves it."""

    written: float
    served: float


def flags(releases: Sequence[str]) -> str:
    """Return a file with a flag per release, each serving the candidate."""
    one = {"state": "ENABLED", "variants": {"old": OLD, "new": NEW}, "defaultVariant": "new"}
    return json.dumps({"flags": dict.fromkeys(releases, one)})


def written_ms(file: Path) -> float:
    """Return when a file was written last, epoch milliseconds."""
    return file.stat().st_mtime_ns / 1e6


async def tried(
    producer: AIOKafkaProducer,
    watcher: Watcher,
    releases: Sequence[str],
    file: Path,
    client: OpenFeatureClient,
) -> list[Way]:
    """Let incidents happen one after the other, each until the evaluator serves the baseline."""
    seen: dict[str, tuple[float, float]] = {}
    for number, release in enumerate(releases):
        assert client.get_string_value(release, "") == NEW
        await trial(producer, watcher, release, number)
        async with asyncio.timeout(WAIT_S):
            while client.get_string_value(release, "") != OLD:  # noqa: ASYNC110 - the evaluator is asked, as users do
                await asyncio.sleep(0.002)
        seen[release] = (written_ms(file), time.time() * 1000)
    await asyncio.sleep(1)  # the last records of the ledger
    decided = {release: watcher.stamps[LEDGER, release] for release in releases}
    return [
        Way(*(max(0.0, at_ms - decided[release]) for at_ms in seen[release]))
        for release in releases[WARM_UP:]
    ]


async def measure(bootstrap: str, redis_url: str, folder: Path) -> list[Way]:
    access, file = KafkaAccess(bootstrap), folder / "flags.json"
    releases = [f"candidate-{number:04d}" for number in range(WARM_UP + TRIALS)]
    file.write_text(flags(releases), encoding="utf-8")
    await ensure_topics(access, product_topics(trace_partitions=PARTITIONS), 1)
    producer = AIOKafkaProducer(**access.client_options(), acks="all", enable_idempotence=True)
    await producer.start()
    for release in releases:
        text = (BUDGET + FLAG).format(release=release)
        await producer.send(BUDGETS, text.encode(), key=release.encode())
    own = settings(bootstrap, redis_url) | {"ROLLBACK_BUDGET_FLAGD_FILE": str(file)}
    worker, watcher = Worker("bench", folder, own), Watcher(access)
    worker.start()
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(file), deadline_ms=REFRESH_MS
    )
    api.set_provider_and_wait(provider, "flag-latency")
    try:
        async with clean_baseline(producer):
            await worker.wait_until_ready()
            await watcher.start()
            await armed(watcher, worker, releases)
            return await tried(producer, watcher, releases, file, api.get_client("flag-latency"))
    finally:
        api.shutdown()
        await watcher.stop()
        await producer.stop()
        await asyncio.to_thread(worker.stop)


def row(values: Sequence[float]) -> dict[str, float]:
    """Return the quantiles of a step, milliseconds."""
    return {"trials": len(values), **quantiles(values, _SHARES, 1)}


def main() -> int:
    """Measure, print and keep; return 1 where the aim is missed."""
    tame_library_logs()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka_folder = folder / "kafka"
        with (
            EmbeddedKafka(kafka_folder, quick_start=False) as kafka,
            EmbeddedValkey(folder / "valkey") as valkey,
        ):
            ways = asyncio.run(measure(kafka.bootstrap, valkey.url, folder))
    rows = {
        "the flag's file": row([one.written for one in ways]),
        f"flagd's official evaluator, which looks every {REFRESH_MS} ms": row([one.served for one in ways]),
    }
    for name, one in rows.items():
        print(f"decision on record -> {name}: {one}")
    if TRIALS == FULL:
        for name, one in rows.items():
            results.save("latency", name, one, seed=0, command=COMMAND)
    beyond_ms = rows["the flag's file"]["p95_ms"]
    print(
        f"aim: p95 <= {AIM_P95_MS:g} ms beyond the client's refresh: {'met' if beyond_ms <= AIM_P95_MS else 'NOT met'}"
    )
    return int(beyond_ms > AIM_P95_MS)


if __name__ == "__main__":
    sys.exit(main())
