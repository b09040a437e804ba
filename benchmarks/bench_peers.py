"""The same job on one broker and one topic: this product's own `run` beside the stream processors people use.

The job: consume JSON events of about 330 bytes, count them by event time in windows of 60 s for everybody and for
each value of four dimensions, with a sum of costs and a histogram of latencies, and make the result durable. The
product does it with the whole contract, five armed objectives, duplicates, dead letters and the evaluator. Systems
take turns, so that whatever else the machine does meets all of them; a run beside much other work is taken again.

`python -m benchmarks peers`; `EVENTS=200000` for a shorter topic, `RUNS=3`, `SYSTEMS=product,getmany` for some systems
(then nothing is kept).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from benchmarks.performance import page, results
from benchmarks.performance.compete import NoResult, run_system
from benchmarks.performance.meter import Sample, is_here, undisturbed
from benchmarks.performance.stage import Job, Stage, Stuck, run_product, stage
from benchmarks.performance.systems import OURS, SYSTEMS, NotHere
from benchmarks.performance.traffic import Traffic, budget, fill
from monitor.adapters.demo.workers import WorkerEnded
from monitor.adapters.kafka.client import tame_library_logs

EVENTS = int(os.environ.get("EVENTS", "1000000"))
RUNS = int(os.environ.get("RUNS", "3"))
ONLY = [name for name in os.environ.get("SYSTEMS", "").split(",") if name]
TOPIC = "bench.traces"
DIMENSIONS = ("tenant", "workflow", "intent", "language")
Run = Callable[[str], Sample]


def product(here: Stage, cohorts: tuple[str, ...], name: str, ticks: int) -> Run:
    return lambda run: asyncio.run(
        run_product(here, Job(f"{name}-{run}", TOPIC, EVENTS, [budget(cohorts=cohorts)], {}, ticks=ticks))
    )


def prepared(here: Stage, absent: dict[str, str], ticks: int) -> dict[str, Run]:
    """Return how each system is run, the installed ones; the others are noted with their reason.

    Args:
        ticks: Minutes that the product has to judge.
    """
    runs: dict[str, Run] = {
        "product": product(here, DIMENSIONS, "product", ticks),
        "product-overall": product(here, (), "product-overall", ticks),
    }
    for system in SYSTEMS:
        if ONLY and system.slug not in ONLY:
            continue
        print(f"preparing {system.title}", flush=True)
        try:
            command = system.command()
        except NotHere as why:
            absent[system.slug] = str(why)
            continue
        runs[system.slug] = lambda _run, system=system, command=command: run_system(  # type: ignore[misc]
            here, system, command, topic=TOPIC, events=EVENTS
        )
    return {name: run for name, run in runs.items() if not ONLY or name in ONLY}


def rounds(
    runs: dict[str, Run], absent: dict[str, str], keep: Callable[[dict[str, list[Sample]]], None]
) -> None:
    """Let the systems take turns; who fails once is not asked again."""
    samples: dict[str, list[Sample]] = {}
    for number in range(RUNS):
        for name, run in runs.items():
            if name in absent:
                continue
            try:
                sample = undisturbed(lambda turn, run=run, number=number: run(f"{number}-{turn}"))  # type: ignore[misc]
            except (NoResult, Stuck, WorkerEnded) as why:
                absent[name] = str(why)
                print(f"{name:16} {why}", flush=True)
                continue
            samples.setdefault(name, []).append(sample)
            print(line(name, sample), flush=True)
        keep(samples)


def line(name: str, sample: Sample) -> str:
    per_million = sample.cpu_s / sample.events * 1e6
    return (
        f"{name:16}{sample.events:>10,} events{per_million:>10.2f} CPU s a million"
        f"{sample.events / sample.wall_s:>12,.0f} events/s wall{sample.peak_mib:>8,.0f} MiB"
        f"{sample.foreign_cores:>6.2f} cores taken by others"
    )


def main() -> int:
    if not is_here():
        print("CPU seconds of processes are read from /proc, which this machine does not have")
        return 1
    tame_library_logs()
    absent: dict[str, str] = {}
    with stage() as here:
        traffic, end_ms = Traffic(EVENTS), int(time.time() * 1000)
        runs = prepared(here, absent, traffic.closed_minutes(end_ms))
        print(f"{EVENTS:,} events into one topic of 4 partitions", flush=True)
        size = asyncio.run(fill(here.kafka.bootstrap, TOPIC, traffic, end_ms))

        def keep(samples: dict[str, list[Sample]]) -> None:
            if not ONLY:
                measured = {name: results.row(some) for name, some in samples.items() if name not in absent}
                part = {
                    "events": EVENTS,
                    "bytes": round(size / EVENTS),
                    "systems": measured,
                    "absent": absent,
                }
                results.save("peers", part, f"EVENTS={EVENTS} RUNS={RUNS} make bench ARGS=peers")
                page.PAGE.write(results.load())

        rounds(runs, absent, keep)
    for name, why in absent.items():
        print(f"not run: {name}: {why}")
    return int(any(name in absent for name in OURS))


if __name__ == "__main__":
    raise SystemExit(main())
