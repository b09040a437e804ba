"""What a worker spends on a topic by how its producers pack it: not at all, gzip, snappy, lz4, zstd.

The product's own `run` over the same events, once in each form, and what they take in Kafka. The forms take turns.

`python -m benchmarks packed`; `EVENTS=50000` for shorter topics, `CODECS=none,lz4` for some (not kept then).
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import Any

from benchmarks.performance import page, results
from benchmarks.performance.meter import Sample, is_here, undisturbed
from benchmarks.performance.stage import Job, Stage, run_product, stage
from benchmarks.performance.traffic import Traffic, budget, fill
from monitor.adapters.kafka.client import tame_library_logs

EVENTS = int(os.environ.get("EVENTS", "500000"))
RUNS = int(os.environ.get("RUNS", "3"))
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")  # all that Kafka has
ONLY = [name for name in os.environ.get("CODECS", "").split(",") if name]


def traffic(codec: str) -> Traffic:
    """Return the events as one codec packs them."""
    return Traffic(EVENTS, compression=None if codec == "none" else codec)


def read(here: Stage, codec: str, number: int, turn: str) -> Sample:
    """Let the product read a topic from its begin."""
    here.empty_store()
    texts = [budget(cohorts=("tenant",))]
    job = Job(f"packed-{codec}-{number}-{turn}", f"bench.packed-{codec}", EVENTS, texts, {}, partitions=4)
    return asyncio.run(run_product(here, job))


def measure(here: Stage, codecs: list[str]) -> list[dict[str, Any]]:
    """Return a row for each codec."""
    end_ms = int(time.time() * 1000)
    for codec in codecs:
        asyncio.run(fill(here.kafka.bootstrap, f"bench.packed-{codec}", traffic(codec), end_ms))
    samples: dict[str, list[Sample]] = {codec: [] for codec in codecs}
    for number in range(RUNS):
        for codec in codecs:
            samples[codec].append(undisturbed(partial(read, here, codec, number)))
    return [
        {"codec": codec, **results.row(found), "kafka_bytes": kafka_bytes(here, codec)}
        for codec, found in samples.items()
    ]


def kafka_bytes(here: Stage, codec: str) -> float:
    """Return what an event takes on the broker's disk."""
    folders = here.log_dir.glob(f"bench.packed-{codec}-*")
    return round(sum(log.stat().st_size for folder in folders for log in folder.glob("*.log")) / EVENTS, 1)


def main() -> int:
    if not is_here():
        print("CPU seconds of processes are read from /proc, which this machine does not have")
        return 1
    tame_library_logs()
    with stage() as here:
        rows = measure(here, ONLY or list(CODECS))
    for row in rows:
        print(
            f"{row['codec']:8}{row['cpu_s']:>8.2f} CPU s a million{row['kafka_bytes']:>8.0f} bytes in Kafka an event"
            f"{row['peak_mib']:>6,} MiB{row['foreign_cores']:>6.2f} cores taken by others"
        )
    if not ONLY:
        results.save("packed", {"rows": rows}, f"EVENTS={EVENTS} RUNS={RUNS} make bench ARGS=packed")
        page.PAGE.write(results.load())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
