"""`python -m tests.simulation`: worlds from seeds, for as many steps as asked for; one world with its schedule."""

from __future__ import annotations

import argparse
import os
import random
import sys
from math import inf

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.play import Outcome, Tally, play, play_many


def main(arguments: list[str] | None = None) -> int:
    """Return 0 where every promise was kept, else 1."""
    asked = _parser().parse_args(arguments)
    bug = next((one for one in BUGS if one.name == asked.bug), None)
    seed = random.SystemRandom().randrange(1 << 31) if asked.seed is None else asked.seed
    if asked.trace:
        return _trace(seed, asked.steps, bug)
    return _many(seed, bug, asked)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="The engine in simulated worlds: faults from a seed, held against an oracle.",
    )
    parser.add_argument("--seed", type=int, help="the first world's; a fresh one where none is given")
    parser.add_argument("--steps", type=int, help="how many callbacks to run in all (1,000,000)")
    parser.add_argument("--minutes", type=float, help="stop after so long, whatever is left (no limit)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--jobs", type=int, default=cores, help="worlds at the same time (one for each core)")
    parser.add_argument("--trace", action="store_true", help="one world only, with what happened in it")
    parser.add_argument("--bug", choices=[one.name for one in BUGS], help="plant a bug that has to be found")
    return parser


def _trace(seed: int, steps: int | None, bug: Bug | None) -> int:
    outcome = play(seed, bug=bug, max_steps=steps, wants_notes=True)
    for at_s, text in outcome.notes:
        _say(f"{at_s:10.4f} s  {text}")
    _say(f"seed {seed}: {outcome.steps} steps, schedule {outcome.digest:08x}, {_counted(outcome.counts)}")
    if not outcome.is_whole:
        _say("the steps were used up before the world came to rest, so it was not judged")
    for promise, how in outcome.found:
        _say(f"BROKEN {promise}: {how}")
    return 1 if outcome.found else 0


def _many(seed: int, bug: Bug | None, asked: argparse.Namespace) -> int:
    steps = asked.steps or 1_000_000
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    began_s = _cpu_s()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"from seed {seed}", total=steps)

        def after_each(outcome: Outcome) -> None:
            progress.update(bar, advance=outcome.steps, description=f"seed {outcome.seed}")
            if outcome.found:
                progress.print(f"seed {outcome.seed}:\n{outcome.told()}", markup=False)

        within_s = inf if asked.minutes is None else 60.0 * asked.minutes
        tally = play_many(
            seed, steps, bug=bug, within_s=within_s, processes=asked.jobs, after_each=after_each
        )
    _report(seed, tally, _cpu_s() - began_s)
    return 1 if tally.failed else 0


def _cpu_s() -> float:
    """Return the processor time of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _report(seed: int, tally: Tally, cpu_s: float) -> None:
    failed = [outcome.seed for outcome in tally.failed]
    _say(
        f"{tally.worlds} worlds from seed {seed}, {tally.steps:,} steps, {tally.steps / cpu_s:,.0f} steps/s of CPU; "
        f"{_counted(tally.counts)}; " + (f"FAILED: seeds {failed}" if failed else "every promise kept")
    )


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
