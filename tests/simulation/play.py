"""One world from beginning to verdict, and many worlds one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

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
    after_each: Callable[[Outcome], None] = lambda _: None,
) -> Tally:
    """Live through the worlds of one seed after another until so many steps are done."""
    tally = Tally()
    seed = first_seed
    while tally.steps < steps and len(tally.failed) < max_failures:
        outcome = play(seed, bug=bug)
        tally.steps += outcome.steps
        tally.worlds += 1
        tally.counts.update(outcome.counts)
        if outcome.found:
            tally.failed.append(outcome)
        after_each(outcome)
        seed += 1
    return tally
