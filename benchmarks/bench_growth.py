"""How costs grow: with tenants, partitions, releases, the window and workers; and what the state takes in Redis.

Each point is the product's own `run` over a topic of its own, on one broker: CPU and memory of the workers, bytes to
Redis and bytes kept there, bytes in Kafka. Only one thing differs from the middle of the road: 120 tenants, 4
partitions, one candidate, a window of 24 h, one worker, tenants watched. Tenants are varied twice, in a topic of
`EVENTS` and in a `BUSY` one; so are workers in that one, which keeps them at work for longer than they take to start.

`python -m benchmarks growth`; `EVENTS=50000 BUSY=200000` for shorter topics; `AXES=tenants,workers` for some, which are
not kept then.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.performance import page, results
from benchmarks.performance.meter import Sample, is_here, undisturbed
from benchmarks.performance.stage import Job, Stage, Stuck, run_product, stage
from benchmarks.performance.traffic import Traffic, budget, fill
from monitor.adapters.demo.workers import WorkerEnded
from monitor.adapters.kafka.client import tame_library_logs

EVENTS = int(os.environ.get("EVENTS", "300000"))
BUSY = int(os.environ.get("BUSY", "2000000"))
RUNS = int(os.environ.get("RUNS", "3"))
ONLY = [name for name in os.environ.get("AXES", "").split(",") if name]
RELEASES = os.environ.get("RELEASES", "1,10,100,1000")  # candidates; a thousand take most of an hour
MEMORY_TENANTS = 50
MEMORY_MINUTES = (15, 45)
MEMORY_PER_MIN = 2_000  # so many that each tenant of the candidate is met in nearly every minute


@dataclass(frozen=True)
class Point:
    """One place on one axis."""

    axis: str
    value: int
    traffic: Traffic
    window: str = "24h"
    workers: int = 1

    @property
    def name(self) -> str:
        return f"{self.axis.replace(',', '').replace(' ', '-')}-{self.value}"


def points() -> Iterator[Point]:
    for tenants in (10, 1_000, 100_000):
        yield Point("tenants", tenants, Traffic(EVENTS, tenants=tenants))
    for tenants in (10, 1_000, 100_000):
        yield Point("tenants, busy", tenants, Traffic(BUSY, tenants=tenants))
    for partitions in (1, 4, 16, 64):
        yield Point("partitions", partitions, Traffic(EVENTS, partitions=partitions))
    for candidates in map(int, RELEASES.split(",")):
        yield Point("releases", candidates, Traffic(EVENTS, candidates=candidates))
    for hours in (1, 6, 24):
        yield Point("window, hours", hours, Traffic(EVENTS), window=f"{hours}h")
    for workers in (1, 2):
        yield Point("workers, busy", workers, Traffic(BUSY), workers=workers)


class Weight:
    """What the servers hold, and what went there."""

    def __init__(self, here: Stage, topic: str) -> None:
        self._here, self._topic = here, topic
        self._empty, self._sent = self._used(), self._input()
        self.redis_bytes = self.redis_in = self.kafka_bytes = 0

    def take(self) -> None:
        self.redis_bytes = self._used() - self._empty
        self.redis_in = self._input() - self._sent
        folders = self._here.log_dir.glob(f"{self._topic}-*")
        self.kafka_bytes = sum(log.stat().st_size for folder in folders for log in folder.glob("*.log"))

    def _info(self, section: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = redis.Redis.from_url(self._here.valkey.url).info(section)
        return found

    def _used(self) -> int:
        return int(self._info("memory")["used_memory"])

    def _input(self) -> int:
        return int(self._info("stats")["total_net_input_bytes"])


def measure(here: Stage, point: Point) -> dict[str, Any]:
    """Fill a topic and let the product read it, a few times; return the medians."""
    topic, traffic = f"bench.{point.name}", point.traffic
    asyncio.run(fill(here.kafka.bootstrap, topic, traffic, int(time.time() * 1000)))
    texts = [budget(number, cohorts=("tenant",), window=point.window) for number in range(traffic.candidates)]
    samples, weights = list[Sample](), list[Weight]()

    def run(turn: str) -> Sample:
        here.empty_store()
        weights.append(Weight(here, topic))
        job = Job(
            f"{point.name}-{len(samples)}-{turn}",
            topic,
            traffic.events,
            texts,
            {},
            partitions=traffic.partitions,
            workers=point.workers,
            at_end=weights[-1].take,
        )
        return asyncio.run(run_product(here, job))

    for _ in range(RUNS):
        samples.append(undisturbed(run))
    weight = weights[-1]
    return {
        "axis": point.axis,
        "value": point.value,
        **results.row(samples),
        "redis_mib": round(weight.redis_bytes / (1 << 20), 2),
        "redis_bytes_in": round(weight.redis_in / traffic.events, 1),
        "kafka_bytes": round(weight.kafka_bytes / traffic.events, 1),
    }


def memory(here: Stage) -> dict[str, Any]:
    """Store two stretches of event time, and return what one more cohort-minute takes."""
    found = []
    for minutes in MEMORY_MINUTES:
        traffic = Traffic(minutes * MEMORY_PER_MIN, tenants=MEMORY_TENANTS, partitions=1, span_min=minutes)
        row = measure(here, Point("memory", minutes, traffic))
        cells = minutes * 2 * (1 + MEMORY_TENANTS)
        found.append({"minutes": minutes, "cells": cells, "bytes": round(row["redis_mib"] * (1 << 20))})
    first, last = found[0], found[-1]
    per_cell = (last["bytes"] - first["bytes"]) / (last["cells"] - first["cells"])
    return {"points": found, "per_cell": round(per_cell), "objectives": 5, "dimensions": 1}


def main() -> int:
    if not is_here():
        print("CPU seconds of processes are read from /proc, which this machine does not have")
        return 1
    tame_library_logs()
    done: list[dict[str, Any]] = []
    part: dict[str, Any] = {"points": done, "events": EVENTS, "busy": BUSY}
    failed = 0
    with stage() as here:
        for point in points():
            if ONLY and point.axis.partition(",")[0] not in ONLY:
                continue
            try:
                row = measure(here, point)
            except (Stuck, WorkerEnded) as why:
                failed = 1
                print(f"{point.axis:15}{point.value:>8,} {why}", flush=True)
                continue
            done.append(row)
            print(line(row), flush=True)
            keep(part)
        if not ONLY or "memory" in ONLY:
            part["memory"] = memory(here)
            print(f"memory: {part['memory']['per_cell']} bytes a cohort and minute", flush=True)
            keep(part)
    return failed


def keep(part: dict[str, Any]) -> None:
    if not ONLY:
        command = f"EVENTS={EVENTS} BUSY={BUSY} RUNS={RUNS} RELEASES={RELEASES} make bench ARGS=growth"
        results.save("growth", part, command)
        page.PAGE.write(results.load())


def line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['axis']:15}{row['value']:>8,}{row['cpu_s']:>10.2f} CPU s a million"
        f"{row['wall_events_per_s']:>12,} events/s{row['peak_mib']:>6,} MiB{row['redis_mib']:>9,.1f} MiB in Redis"
        f"{row['redis_bytes_in']:>8,.0f} B to Redis{row['kafka_bytes']:>6,.0f} B in Kafka an event"
        f"{row['foreign_cores']:>6.2f} cores taken by others"
    )


if __name__ == "__main__":
    raise SystemExit(main())
