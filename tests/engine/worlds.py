"""Small worlds for the tests of the core and the engine: observations, cells, budgets, and an evaluator to drive.

Lifecycles use `evidence: off` and a hold of four minutes, where the letter of the rule decides: ten requests a
minute are enough, and every test can say at which tick what happens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, EvidenceMode, Objective, Tier, Unit
from monitor.core.cell import CellKey, Incident
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.decision import Decision, Type
from monitor.core.exemplar import Exemplar
from monitor.core.ids import canonical_json
from monitor.core.indicator import INCIDENTS, LABELS, Direction, indicator
from monitor.core.partition import Fate, PartitionFold
from monitor.core.plan import Plan, plan_for
from monitor.core.record import Arming
from monitor.core.seen import SeenIds
from monitor.core.sketch import Sketch
from monitor.core.window import tick_ms
from monitor.engine.book import Command
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.replay import Replay
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check

CANDIDATE, BASELINE = "model-v42", "model-v41"
T0 = 29_000_000  # a minute of February 2025
START_MS = tick_ms(T0)
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
SUCCESS = "quality.task_success_delta_pct"
HANDOFF = "escalation.human_handoff_delta_pct"
SAFETY = "safety.high_severity_incidents_increase"
ACME = CohortKey((("tenant", "acme"),))

LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How laws are tried: no machine is too busy to hold them."""

Arm = Aggregate | Mapping[CohortKey, Aggregate] | None


# Observations ----------------------------------------------------------------------------------------------------


def seen(event_id: str, at_ms: int, release: str = CANDIDATE, **fields: Any) -> TraceRecord:
    """One observation, as the hot path's decoder makes them."""
    return TraceRecord(event_id=event_id, at_ms=at_ms, release=release, **fields)


def minute_of(
    minute: int, release: str, requests: int, hits: int, *, label: str = "task_success", **fields: Any
) -> list[TraceRecord]:
    """A minute's requests, spread over it, of which `hits` have the label true; the rest have it false."""
    return [
        seen(
            f"{release}-{minute}-{number}-{json.dumps(fields, sort_keys=True)}"[:64],
            tick_ms(minute) + number * MINUTE // requests,
            release,
            **{label: number * hits // requests < (number + 1) * hits // requests},
            **fields,
        )
        for number in range(requests)
    ]


def folded(
    events: Iterable[TraceRecord], plan: Plan, *, record_ms: int | None = None, ids: int = 100_000
) -> tuple[PartitionFold, list[Fate]]:
    """A new partition with these events folded, and what became of each."""
    fold = PartitionFold(plan, SeenIds(ids))
    return fold, [fold.fold(event, record_ms) for event in events]


# Budgets ---------------------------------------------------------------------------------------------------------


def objective(
    metric: str = "task_success",
    limit: float = -2.0,
    *,
    group: str = "quality",
    unit: Unit = Unit.PERCENT,
    hold: int = 4,
    tier: Tier = Tier.A,
    evidence: EvidenceMode = EvidenceMode.OFF,
    **more: Any,
) -> Objective:
    """One limit; the letter decides, and at once after four minutes, unless the test says otherwise."""
    found = indicator(metric)
    worse = found.worse or (Direction.LOWER_IS_WORSE if limit < 0 else Direction.HIGHER_IS_WORSE)
    suffix = {Unit.PERCENT: "delta_pct", Unit.POINTS: "delta_pp", Unit.COUNT: "increase"}[unit]
    return Objective(
        f"{group}.{metric}_{suffix}", found, worse, limit, unit, hold, tier, evidence=evidence, **more
    )


def handoff(limit: float = 8.0, **more: Any) -> Objective:
    """A tier-B limit: the commander is asked."""
    return objective("human_handoff", limit, group="escalation", **{"tier": Tier.B, **more})


def incidents(limit: int = 0, *, immediate: bool = True, **more: Any) -> Objective:
    """A limit of severe incidents, which acts at once."""
    more = {"tier": Tier.A, **more}
    return objective(
        INCIDENTS, limit, group="safety", unit=Unit.COUNT, hold=0, immediate=immediate,
        evidence=EvidenceMode.DEFAULT, **more,
    )  # fmt: skip


def budget(*objectives: Objective, window_min: int = 24 * 60, **more: Any) -> Budget:
    """A budget of these objectives."""
    return Budget(
        CANDIDATE, BASELINE, more.pop("digest", "0" * 64), window_min, objectives or (objective(),), **more
    )


# Cells -----------------------------------------------------------------------------------------------------------


def cell(requests: int = 10, incidents: int = 0, *, slow: int = 0, fast: int = 0, **labels: int) -> Aggregate:
    """A minute of one slice: how many requests, and how many of them had which label true.

    Args:
        slow, fast: Latencies of 800 ms and of 400 ms.
    """
    made = Aggregate()
    made.requests, made.incidents = requests, incidents
    made.first_at_ms = START_MS
    for name, hits in labels.items():
        place = LABELS.index(name)
        made.known[place], made.hits[place] = requests, hits
    if slow or fast:
        made.sketches["latency"] = Sketch()
        for count, value_us in ((slow, 800_000), (fast, 400_000)):
            for _ in range(count):
                made.sketches["latency"].add(value_us)
    if incidents:
        made.exemplars[INCIDENTS] = [Exemplar(START_MS, f"trace-{n}", "leak") for n in range(incidents)]
    return made


GOOD = cell(task_success=9, human_handoff=2)
BAD = cell(task_success=7, human_handoff=5)
EQUAL = cell(requests=1000, task_success=882, human_handoff=216)  # exactly -2 % of 0.9 and +8 % of 0.2
THOUSAND = cell(requests=1000, task_success=900, human_handoff=200)


def incident(number: int, at_ms: int, *, minute: int | None = None, **cohort: str) -> Incident:
    """A severe incident of the candidate, as a fold tells of it."""
    return Incident(
        release=CANDIDATE,
        event_id=f"incident-{number}",
        at_ms=at_ms,
        minute=at_ms // MINUTE if minute is None else minute,
        severity="high",
        exemplar=f"trace-{number}",
        failure_class="leak",
        cohort=tuple(sorted(cohort.items())),
    )


# An evaluator to drive -------------------------------------------------------------------------------------------


class Drive:
    """An evaluator with its clock. Every decision that comes out is held against the published models.

    Attributes:
        now: The last tick that was evaluated.
        log: Every decision so far.
    """

    def __init__(self, watched: Budget, *, start: int = T0, live: bool = False, number: int = 1) -> None:
        arming = Arming(watched.release, number, watched.digest, at_ms=0)
        self.evaluator = Evaluator(watched, arming, delivered_when_opened=not live)
        self.now = start
        self.log: list[Decision] = []

    @property
    def at_ms(self) -> int:
        return tick_ms(self.now)

    def stage(self) -> Stage:
        return self.evaluator.progress.stage

    def tick(self, candidate: Arm = GOOD, baseline: Arm = GOOD, late: int = 0) -> list[Decision]:
        """Close one minute of both arms: a cell of everybody, or a cell per slice."""
        cells: dict[CellKey, Aggregate] = {}
        for release, arm in ((CANDIDATE, candidate), (BASELINE, baseline)):
            slices = {OVERALL: arm} if isinstance(arm, Aggregate) else arm or {}
            cells |= {CellKey(self.now, release, view): one for view, one in slices.items()}
        return self.tick_cells(cells, late)

    def tick_cells(self, cells: Mapping[CellKey, Aggregate], late: int = 0) -> list[Decision]:
        self.now += 1
        return self.note(self.evaluator.tick(self.now, cells, late))

    def run(self, minutes: int, candidate: Arm = GOOD, baseline: Arm = GOOD) -> list[Decision]:
        return [decision for _ in range(minutes) for decision in self.tick(candidate, baseline)]

    def note(self, decisions: Sequence[Decision]) -> list[Decision]:
        for decision in decisions:
            held(decision)
        self.log += decisions
        return list(decisions)


def held(decision: Decision) -> None:
    """Hold a decision against the models of what is published, and against JSON."""
    check(of_decision(decision))
    assert json.loads(canonical_json(dict(decision.data))) == decision.data


def names(decisions: Iterable[Decision]) -> list[str]:
    return [decision.type.value for decision in decisions]


def only(decisions: Iterable[Decision], type_: Type) -> Decision:
    """The one decision of a type."""
    found = [decision for decision in decisions if decision.type is type_]
    assert len(found) == 1, names(decisions)
    return found[0]


def command(kind: str, at_ms: int, *, command_id: str = "c-1", **more: Any) -> Command:
    return Command(
        kind=kind, command_id=command_id, release=CANDIDATE, author="ada", reason="because", at_ms=at_ms, **more
    )  # fmt: skip


# Replay ----------------------------------------------------------------------------------------------------------


def replayed(
    budgets: Budget | Sequence[Budget],
    events: Sequence[TraceRecord],
    *,
    partitions: int = 1,
    place: Any = lambda number: 0,
) -> tuple[Replay, list[Decision]]:
    """Replay events that need no decoding; `place` says which partition the n-th one is in."""
    chosen = [budgets] if isinstance(budgets, Budget) else list(budgets)
    replay = Replay(chosen, lambda value: events[int(value or b"")], partitions=partitions)
    out: list[Decision] = []
    for number in range(len(events)):
        out += replay.feed(str(number).encode(), partition=place(number))
    out += replay.finish()
    for decision in out:
        held(decision)
    return replay, out


def plan_of(*objectives: Objective, strata: tuple[str, ...] = ()) -> Plan:
    """What is folded for these objectives; in one cell per slice unless there are strata."""
    return plan_for([budget(*objectives, strata=strata)])
