"""How long one tick takes that judges 200 cohorts on five objectives: the bar is one second of one core.

Two releases of 200 tenants after a day of traffic, so that every window up to 24 hours is there. Three cases: all
tenants healthy; all a little beyond their limits, where the evidence comes from long windows and most checks of the
sustained rule are made; all far beyond them. CPU time, best of three.

Some tenants take the day in, minute by minute; what they are then is copied for all others, in memory of its own, with
the minutes that they go on with.

`python -m benchmarks tick`; a day of 200 tenants is about 3 GiB, `COHORTS=50` or `HISTORY_MIN=240` are less.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import time
from collections.abc import Mapping

import numpy as np

from monitor.config.budget_file import load_budget
from monitor.core.aggregate import Aggregate
from monitor.core.breakdown import shard_of
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, by_every, cohort_key, narrowed
from monitor.core.indicator import LABELS
from monitor.core.record import Arming
from monitor.core.sketch import Sketch
from monitor.engine.cohorts import Cohort, WatchedDimension
from monitor.engine.evaluate import Evaluator

COHORTS = int(os.environ.get("COHORTS", "200"))
HISTORY_MIN = int(os.environ.get("HISTORY_MIN", "1440"))
PER_MIN = int(os.environ.get("PER_MIN", "20"))  # requests of one tenant and arm
MADE = 4  # tenants that take the day in; the others are copies
RUNS = 3
START = 29_800_000
WORKFLOW, TENANT = by_every(OVERALL, ("workflow",)), by_every(OVERALL, ("tenant",))
BUDGET = """\
release: model-v42
baseline: model-v41
window: 48h
owner: answers-team
on_call: ada
rollback_budget:
  quality:
    task_success_delta_pct: -2.0
    parse_failures_delta_pct: +50
    max_duration_min: 20
    tier: B
    cohorts: [tenant]
  latency:
    p95_delta_pct: +15
    max_duration_min: 30
    cohorts: [tenant]
  escalation:
    human_handoff_delta_pct: +8
    max_duration_min: 20
    cohorts: [tenant]
  cost:
    cost_per_request_delta_pct: +20
    max_duration_min: 30
    cohorts: [tenant]
decision:
  tier_a_breach: page
  tier_b_breach: incident_commander_decision_within_15m
"""
RATES: Mapping[str, tuple[float, float]] = {  # healthy, and far beyond
    "task_success": (0.9, 0.7),
    "parse_failure": (0.05, 0.2),
    "human_handoff": (0.1, 0.3),
}


def part(draw: np.random.Generator, *, harm: float) -> Aggregate:
    """Return one tenant's minute."""
    made = Aggregate()
    made.requests = PER_MIN
    for name, rates in RATES.items():
        place = LABELS.index(name)
        made.known[place], made.hits[place] = (
            PER_MIN,
            int(draw.binomial(PER_MIN, rates[0] + harm * (rates[1] - rates[0]))),
        )
    for name, middle in (("latency", 800_000), ("cost", 2_500)):
        made.sketches[name] = Sketch()
        for value in middle * (1 + harm) * draw.lognormal(0, 0.6, PER_MIN):
            made.sketches[name].add(round(float(value)))
    return made


def tenant(number: int) -> str:
    return f"tenant-{number:03d}"


def copied(dimension: WatchedDimension, like: Cohort, value: str) -> Cohort:
    """Return a cohort as another one is: what is never changed is shared, minutes and sums are its own."""
    watch = like.watch
    shared = {id(one): one for one in (watch.objective, watch.rule, watch.series.limit)}
    made = copy.deepcopy(like, shared)
    made.watch.view = narrowed(dimension.objective.where, cohort_key({dimension.dimension: value}))
    return made


class World:
    """An evaluator, and the minutes it is given: a few made once, used again and again."""

    def __init__(self, *, harm: float) -> None:
        draw = np.random.default_rng(1)
        budget = load_budget(BUDGET, "budget.yaml")
        self.evaluator = Evaluator(
            budget, Arming(budget.release, 1, budget.digest, at_ms=0), delivered_when_opened=True
        )
        self._minutes = [
            {
                budget.release: self._parts(draw, harm=harm),
                budget.baseline: self._parts(draw, harm=0.0),
            }
            for _ in range(16)
        ]
        self.now = START

    def _parts(self, draw: np.random.Generator, *, harm: float) -> dict[str, Aggregate]:
        return {tenant(number): part(draw, harm=harm) for number in range(min(MADE, COHORTS))}

    def multiply(self) -> None:
        """Have all tenants: each further one is, and goes on as, one of those that took the day in."""
        for dimension in self.evaluator.cohorts.dimensions():
            for number in range(MADE, COHORTS):
                value, like = tenant(number), dimension.cohorts[tenant(number % MADE)]
                dimension.discovery.first_minutes[value] = START
                dimension.cohorts[value] = copied(dimension, like, value)
        for arms in self._minutes:
            for parts in arms.values():
                for number in range(MADE, COHORTS):
                    parts[tenant(number)] = parts[tenant(number % MADE)]

    def tick(self, *, is_judged: bool) -> float:
        """Close one minute; return the CPU seconds it took. The past is taken in without judging it."""
        cells: dict[CellKey, Aggregate] = {}
        for release, parts in self._minutes[self.now % 16].items():
            whole = cells[CellKey(self.now, release, WORKFLOW)] = Aggregate()
            whole.parts["chat"] = Aggregate()
            for tenant, made in parts.items():
                key = CellKey(self.now, release, TENANT, shard=shard_of(tenant))
                cells.setdefault(key, Aggregate()).parts[tenant] = made
                whole.parts["chat"].merge(made)
        self.now += 1
        if not is_judged:
            # A method of this one instance is hidden, which mypy rightly dislikes: there is no other way not to judge.
            self.evaluator.cohorts.judge = lambda *_: []  # type: ignore[method-assign]
        elif "judge" in vars(self.evaluator.cohorts):
            del self.evaluator.cohorts.judge
        began = time.process_time()
        self.evaluator.tick(self.now, cells)
        return time.process_time() - began


def measure(*, harm: float) -> float:
    """Return the seconds of a tick after a day."""
    world = World(harm=harm)
    for _ in range(HISTORY_MIN):
        world.tick(is_judged=False)
    world.multiply()
    world.tick(is_judged=True)  # the first judged one opens the pages
    return min(world.tick(is_judged=True) for _ in range(RUNS))


def main() -> None:
    seconds = {}
    for name, harm in (("healthy", 0.0), ("mild", 0.25), ("plain", 1.0)):
        print(f"a day of {COHORTS} tenants, {name}", flush=True)
        seconds[name] = measure(harm=harm)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{COHORTS} cohorts, five objectives, {HISTORY_MIN} minutes of history, "
        f"{PER_MIN} requests a minute, arm and cohort; best of {RUNS}; peak memory {peak:,.0f} MiB"
    )
    for case, taken in seconds.items():
        print(f"{case:<12}{taken:>8.3f} s of one core")
    rounded = {case: round(taken, 3) for case, taken in seconds.items()}
    print(json.dumps({"benchmark": "tick", "cohorts": COHORTS, "unit": "s", "seconds": rounded}))


if __name__ == "__main__":
    main()
