"""One world from beginning to verdict, and many worlds one after another."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import inf
from multiprocessing import get_context

from tests.simulation.bugs import Bug
from tests.simulation.nemesis import havoc
from tests.simulation.verdict import judge
from tests.simulation.world import Make, Setup, World


@dataclass(frozen=True)
class Outcome:
    """What came of one world.

    Attributes:
        is_whole: It came to rest and was judged; else the steps were used up before.
        digest: Of the whole schedule: equal for equal seeds.
    """

    seed: int
    steps: int
    digest: int
    is_whole: bool
    found: list[tuple[str, str]]
    counts: Counter[str]
    notes: list[tuple[float, str]]

    def told(self) -> str:
        """Return what is wrong, and how to see it again."""
        lines = [f"{promise}: {how}" for promise, how in self.found[:6]]
        return "\n".join([*lines, f"replay it: python -m tests.simulation --seed {self.seed} --trace"])


def play(
    seed: int,
    *,
    setup: Setup = Setup(),  # noqa: B008 - frozen
    bug: Bug | None = None,
    max_steps: int | None = None,
    wants_notes: bool = False,
) -> Outcome:
    """Live through the world of a seed, and hold it against the oracle."""
    world = World(seed, setup, bug.make if bug else Make(), wants_notes)
    with closing(world):
        if bug is None:
            world.run(havoc, max_steps)
        else:
            with bug.patch(world):
                world.run(havoc, max_steps, is_hunt=True)
        steps, digest, is_whole = world.loop.steps, world.loop.digest, world.is_at_rest
        found = judge(world) if is_whole else world.violations
        world.counts["records"] += sum(len(log.rows) for log in world.broker.traces)
        world.counts["flags turned"] += len(world.flags.changes)
        return Outcome(seed, steps, digest, is_whole, list(found), world.counts, world.notes)


@dataclass
class Tally:
    """What came of many worlds."""

    steps: int = 0
    worlds: int = 0
    failed: list[Outcome] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def play_many(
    first_seed: int,
    steps: int,
    *,
    bug: Bug | None = None,
    max_failures: int = 5,
    within_s: float = inf,
    processes: int = 1,
    after_each: Callable[[Outcome], None] = lambda _: None,
) -> Tally:
    """Live through the worlds of one seed after another until so many steps are done, or the time is over.

    Args:
        processes: Worlds at the same time, one where a bug is planted; which worlds are played stays the same.
    """
    tally, ends_s = Tally(), time.monotonic() + within_s
    with _played(count(first_seed), bug, processes) as outcomes:
        for outcome in outcomes:
            tally.steps += outcome.steps
            tally.worlds += 1
            tally.counts.update(outcome.counts)
            if outcome.found:
                tally.failed.append(outcome)
            after_each(outcome)
            if tally.steps >= steps or len(tally.failed) >= max_failures or time.monotonic() >= ends_s:
                return tally
    return tally


@contextmanager
def _played(seeds: Iterable[int], bug: Bug | None, processes: int) -> Iterator[Iterator[Outcome]]:
    """Give the worlds of these seeds in their order."""
    if bug is not None or processes == 1:
        yield (play(seed, bug=bug) for seed in seeds)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"))
    try:
        yield _ahead(pool, seeds, 2 * processes)
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: Executor, seeds: Iterable[int], ahead: int) -> Iterator[Outcome]:
    waiting: deque[Future[Outcome]] = deque()
    for seed in seeds:
        waiting.append(pool.submit(play, seed))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
