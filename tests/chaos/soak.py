"""`python -m tests.chaos.soak`: steady traffic for hours, a fault every few minutes; what grows, and what stays right.

It ends as a campaign's worlds do, held to the same oracle. Meanwhile each worker's memory, open files and the longest
stay on its event loop are looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import linear_regression
from typing import Any

from rich.console import Console

from monitor.adapters.kafka.client import tame_library_logs
from tests.chaos.campaign import Outcome, drawn, finish, strike
from tests.chaos.hooked import MEASURE
from tests.chaos.report import machine, write
from tests.chaos.setup import Setup
from tests.chaos.world import World, living

SAMPLE_S = 5.0
WARM_S = 30.0  # of a worker's life: until then its memory grows by what it has read for the first time
TELLING_S = 600.0  # of a life, for its slope to mean anything
EVERY_S = 360.0  # between two faults: 2 to 10 minutes
PER_MIN = 20
EVENT_HOURS = 20  # at most: stored minutes are kept for 26, and all of them are recounted
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Life:
    """One life of one worker: moments in seconds, memory in bytes, open files."""

    name: str
    pid: int
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it was looked at."""
        return self.samples[-1][0] - self.samples[0][0]

    @property
    def mb_per_hour(self) -> float | None:
        """How its memory grew once it was warm; None where it did not live for long enough to tell."""
        if self.seconds < TELLING_S:
            return None
        slope = linear_regression(
            [at_s for at_s, *_ in self.warm], [memory for _, memory, _ in self.warm]
        ).slope
        return slope * 3600 / (1 << 20)

    @property
    def warm(self) -> list[tuple[float, int, int]]:
        """What was seen of it once it had begun; at least the last of it."""
        began_s = self.samples[0][0] + WARM_S
        return [one for one in self.samples if one[0] >= began_s] or self.samples[-1:]


@dataclass
class Pulse:
    """What is looked at while everything goes on."""

    lives: list[Life] = field(default_factory=list)
    watched_s: dict[int, float] = field(default_factory=dict)  # by process
    stay_ms: float = 0.0
    stay_of: str = ""
    stay_at: str = ""
    collecting_ms: float = 0.0

    async def take(self, world: World) -> None:
        """Look at every worker again and again."""
        while True:
            for worker in world.running():
                with suppress(OSError, ValueError):  # it ends while we look
                    self._look(world, worker.name, worker.pid)
            await asyncio.sleep(SAMPLE_S)

    def _look(self, world: World, name: str, pid: int) -> None:
        memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        files = len(os.listdir(f"/proc/{pid}/fd"))
        life = next((one for one in self.lives if (one.name, one.pid) == (name, pid)), None)
        if life is None:
            life = Life(name, pid)
            self.lives.append(life)
        life.samples.append((time.monotonic(), memory, files))
        said: dict[str, Any] = json.loads((world.folder / f"{name}.stays").read_text())
        self.watched_s[pid] = said["watched_s"]
        self.collecting_ms = max(self.collecting_ms, said["gc_ms"])
        for stay in said["longest"]:
            if stay["ms"] > self.stay_ms:
                self.stay_ms, self.stay_of = stay["ms"], f"{name}: {stay['what']}"
                self.stay_at = stay["seen at"] or stay["ended at"]


async def soak(seed: int, hours: float, every_s: float, folder: Path) -> tuple[Outcome, Pulse]:
    """Live through so many hours of a seed."""
    speed = max(1, min(20, int(EVENT_HOURS / hours)))
    count = max(1, round(hours * 3600 / every_s))
    setup = Setup(faults=2 * count, speed=speed, per_min=PER_MIN, min_per_fault=hours * 30 * speed / count)
    outcome, pulse, rng = Outcome(seed, setup), Pulse(), Random(f"pauses {seed}")
    os.environ[MEASURE] = "1"
    async with living(seed, setup, folder) as world:
        for worker in world.running():
            await worker.ready()
        looking = asyncio.create_task(pulse.take(world))
        await world.recovered()
        ends_s = time.monotonic() + hours * 3600
        for number, (one, other) in enumerate(drawn(seed, setup), 1):
            pause_s = every_s * rng.uniform(1 / 3, 5 / 3)
            if time.monotonic() + pause_s > ends_s:
                break
            await asyncio.sleep(pause_s)
            outcome.struck += await strike(world, number, one, other)
        await asyncio.sleep(max(0.0, ends_s - time.monotonic()))
        await finish(world, outcome)
        looking.cancel()
    return outcome, pulse


def as_json(outcome: Outcome, pulse: Pulse, command: str, hours: float) -> dict[str, Any]:
    """Return what is kept of a soak."""
    longest = max(pulse.lives, key=lambda life: life.seconds)
    return {
        "command": command,
        "machine": machine(),
        "hours": hours,
        "seed": outcome.seed,
        "faults": [one.name for one in outcome.struck],
        "records": outcome.counts["records"],
        "lost": sum(one.lost for one in outcome.struck),
        "double": sum(one.double for one in outcome.struck),
        "broken": [list(pair) for one in outcome.struck for pair in one.wrong]
        + [list(p) for p in outcome.found],
        "lives": len(pulse.lives),
        "longest life min": round(longest.seconds / 60, 1),
        "memory MB": [round(longest.warm[at][1] / (1 << 20)) for at in (0, -1)],
        "MB per hour": None if longest.mb_per_hour is None else round(longest.mb_per_hour, 1),
        "open files": [longest.warm[0][2], max(files for *_, files in longest.samples), longest.warm[-1][2]],
        "watched s": round(sum(pulse.watched_s.values()), 1),
        "longest stay ms": round(pulse.stay_ms, 1),
        "longest collection ms": round(pulse.collecting_ms, 1),
        "stay of": pulse.stay_of[:160],
        "stay at": pulse.stay_at[:300],
        "recovery max s": round(max((one.recovery_s for one in outcome.struck), default=0.0), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where every promise was kept, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.soak", description=__doc__, epilog="example: make soak HOURS=0.05"
    )
    parser.add_argument("--hours", type=float, default=24.0, help="how long (24)")
    parser.add_argument(
        "--every", type=float, help="seconds between two faults, on average (360; six in a short one)"
    )
    parser.add_argument("--seed", type=int, help="a fresh one where none is given")
    parser.add_argument("--keep", type=Path, help="where the logs and files stay")
    parser.add_argument("--write", action="store_true", help="put the results into the docs")
    asked = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 20) if asked.seed is None else asked.seed
    every_s = asked.every or min(EVERY_S, asked.hours * 600)
    tame_library_logs()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome, pulse = asyncio.run(soak(seed, asked.hours, every_s, folder))
    found = as_json(outcome, pulse, f"make soak HOURS={asked.hours:g} SEED={seed}", asked.hours)
    Console().print_json(json.dumps(found))
    if asked.write:
        write({"soak": found})
    if not outcome.is_right:
        Console().print(outcome.told(), markup=False)
    return 0 if outcome.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
