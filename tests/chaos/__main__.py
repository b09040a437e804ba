"""`python -m tests.chaos`: faults from a seed on real servers, the crash points, torn tails; a table in the end."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.adapters.kafka.client import tame_library_logs
from tests.chaos.campaign import Outcome, Struck, live
from tests.chaos.faults import FAULTS
from tests.chaos.report import CAMPAIGNS, Run, as_json, machine, table, write
from tests.chaos.setup import Setup
from tests.chaos.torn import POSITIONS, torn_everywhere, written
from tests.simulation.crash_points import POINTS, Crash, crashes
from tests.simulation.crash_points import POSITIONS as DEATHS

WIDTH = 130  # of a table in a file
PARTS = ("faults", "crash-points", "torn-tails")
SHORT_AT_ONCE = 2  # worlds: one alone keeps less than a core busy


def main(arguments: list[str] | None = None) -> int:
    """Return 0 where every promise was kept, else 1."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 20) if asked.seed is None else asked.seed
    if asked.short:
        asked.only, asked.at_once = ["faults"], max(asked.at_once, SHORT_AT_ONCE)
    parts = asked.only or PARTS
    if asked.fault and not any(fault.fits(_setup(asked, 1)) for fault in FAULTS):
        parser.error(f"no fault of such a world is called {asked.fault}; see docs/reliability.md")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        crashed = _crash_points(progress) if "crash-points" in parts else []
        torn = _torn_tails(progress, seed, asked.positions) if "torn-tails" in parts else {}
        outcomes = _faults(progress, seed, asked) if "faults" in parts else []
    run = Run(_command(asked, seed), machine(), seed, outcomes, crashed, torn)
    found = as_json(run)
    _tell(run, found)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if asked.write:
        write(found)
    return 0 if run.is_right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Faults from a seed on a real Kafka and a real Valkey, held against an oracle.",
        epilog='example: make chaos ARGS="--seed 7 --faults 200"',
    )
    parser.add_argument("--seed", type=int, help="the first world's; a fresh one where none is given")
    parser.add_argument("--faults", type=int, default=40, help="how many in all (40)")
    parser.add_argument("--per-world", type=int, default=20, help="how many in each world (20)")
    parser.add_argument(
        "--at-once", type=int, default=1, help="how many worlds at the same time, each in its own process (1)"
    )
    parser.add_argument("--short", action="store_true", help="the faults alone, two worlds at the same time")
    parser.add_argument("--workers", type=int, default=Setup.workers, help="processes in each world (2)")
    parser.add_argument(
        "--brokers", type=int, choices=(1, 3), default=1, help="one, or a cluster of three (1)"
    )
    parser.add_argument("--cluster", action="store_true", help="a store of six nodes instead of one")
    parser.add_argument("--beside", type=Path, help="a checkout of another version, for the second worker")
    parser.add_argument(
        "--per-min", type=int, default=Setup.per_min, help="requests of each release a minute (60)"
    )
    parser.add_argument("--positions", type=int, default=POSITIONS, help="of the torn file (4096)")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    parser.add_argument(
        "--fault", action="append", default=[], help="this kind alone, by name or as F15; may be repeated"
    )
    parser.add_argument("--keep", type=Path, help="where the logs and files of all worlds stay")
    parser.add_argument("--json", type=Path, help="where the results are written, too")
    parser.add_argument("--write", action="store_true", help="put the results into the docs")
    return parser


def _crash_points(progress: Progress) -> list[Crash]:
    bar, found = progress.add_task("crash points", total=len(POINTS) * len(DEATHS)), []
    for one in crashes():
        found.append(one)
        progress.advance(bar)
        if one.found:
            progress.print(f"{one.point}, seed {one.seed}, passage {one.passage}: {one.found}", markup=False)
    return found


def _torn_tails(progress: Progress, seed: int, positions: int) -> dict[str, int]:
    every, found = max(1, POSITIONS // positions), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="torn-") as temporary:
        kept = written(Path(temporary), seed)
        bar = progress.add_task("torn tails", total=kept.last_bytes // every + 1)
        for one in torn_everywhere(kept, Path(temporary), every=every):
            found[one.seen[0] if one.is_right else "wrong"] += 1
            progress.advance(bar)
            if not one.is_right:
                progress.print(f"{one.missing} bytes missing: {one.seen}", markup=False)
    return dict(found)


def _faults(progress: Progress, seed: int, asked: argparse.Namespace) -> list[Outcome]:
    tame_library_logs()
    logging.getLogger("aiokafka").propagate = False  # brokers go away here all the time
    bar = progress.add_task("faults", total=asked.faults)
    counts = [min(asked.per_world, asked.faults - done) for done in range(0, asked.faults, asked.per_world)]
    worlds = [(seed + at, _setup(asked, count), asked.keep) for at, count in enumerate(counts)]
    outcomes: list[Outcome] = []

    def on_fault(struck: Struck) -> None:
        progress.update(bar, advance=1, description=f"seed {struck.seed}: {struck.name}")

    def on_world(outcome: Outcome) -> None:
        outcomes.append(outcome)
        progress.update(bar, completed=sum(len(one.struck) for one in outcomes))
        if not outcome.is_right:
            progress.print(f"seed {outcome.seed}:\n{outcome.told()}", markup=False)

    if asked.at_once == 1:
        for world in worlds:
            on_world(live(*world, on_fault))
    else:
        with ProcessPoolExecutor(asked.at_once, get_context("spawn"), tame_library_logs) as pool:
            for done in as_completed([pool.submit(live, *world) for world in worlds]):
                on_world(done.result())
    return sorted(outcomes, key=lambda one: one.seed)


def _setup(asked: argparse.Namespace, faults: int) -> Setup:
    return Setup(
        faults=faults,
        workers=asked.workers,
        per_min=asked.per_min,
        brokers=asked.brokers,
        cluster=asked.cluster,
        beside=asked.beside,
        only=tuple(asked.fault),
    )


def _command(asked: argparse.Namespace, seed: int) -> str:
    """Return what has to be typed to run the same again, wherever its results go."""
    usual = _parser().parse_args([])
    names = ("faults", "per_world", "at_once", "workers", "brokers", "per_min", "positions")
    changed = [name for name in names if getattr(asked, name) != getattr(usual, name)]
    words = [f"--seed {seed}", *(f"--{name.replace('_', '-')} {getattr(asked, name)}" for name in changed)]
    words += ["--cluster"] * asked.cluster
    words += [f"--only {part}" for part in asked.only or ()]
    words += [f"--fault '{name}'" for name in asked.fault]
    return f'make chaos ARGS="{" ".join(words)}"'


def _tell(run: Run, found: Mapping[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    if run.outcomes:
        (campaign,) = (found[name] for name in CAMPAIGNS if name in found)
        console.print(table(campaign))
        console.print(f"counted: {campaign['counts']}", markup=False)
    if run.crashes:
        broken = sum(bool(one.found) for one in run.crashes)
        console.print(
            f"crash points: {len(run.crashes) - broken} of {len(run.crashes)} deaths broke no promise"
        )
    if run.torn:
        console.print(f"torn tails: {found['torn_tails']['seen']}", markup=False)
    failed = [one.seed for one in run.outcomes if not one.is_right]
    said = f"FAILED: seeds {failed}" if failed else "FAILED"
    console.print("every promise kept" if run.is_right else said)


if __name__ == "__main__":
    sys.exit(main())
