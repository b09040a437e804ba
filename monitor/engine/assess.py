"""The assessment of a release: what each objective came to, per slice, at the end of a watch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.proof import verdict_evidence
from monitor.core.record import observed_data, release_data, samples_data
from monitor.core.rules import rules_for
from monitor.core.verdict import verdict_words
from monitor.core.watch import HEALTHY_NATS, Watch
from monitor.core.window import tick_ms
from monitor.engine.assess_cohorts import assess_cohorts
from monitor.engine.past_words import with_past_words

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator


class Asked(NamedTuple):
    """Who asks in the middle of a watch: a pipeline's stage, by an order."""

    stage: str
    command_id: str


def assessment(
    evaluator: Evaluator, now: int, late_count: int, *, complete: bool, asked: Asked | None = None
) -> Decision:
    """Return `release.assessed` at a tick; nothing is changed by it.

    Args:
        complete: Whether the budget's whole window was watched.
        asked: Of a stage; the watch goes on.
    """
    budget, arming = evaluator.budget, evaluator.arming
    rows = [
        with_past_words(
            evaluator,
            watch,
            evaluator.lacking.qualified(
                watch,
                evaluator.conditions.qualified(
                    watch, _row(watch, now - watch.objective.label_delay_min, late_count)
                ),
            ),
        )
        for watch in _watches(evaluator, now)
    ]
    rows += [safety.assessed(late_count) for safety in evaluator.safety]
    watched, said, words = assess_cohorts(evaluator, now, late_count, _row)
    if doubts := evaluator.conditions.warnings(late_count):
        capped = said.get("warnings")
        said["warnings"] = [*doubts, *(capped if isinstance(capped, list) else ())]
    verdicts = [str(row["verdict"]) for row in rows]
    at_ms = tick_ms(now)
    data = {
        **release_data(budget, arming),
        "stage": asked.stage if asked else "window" if complete else "input",
        "complete": complete,
        "decided_at": rfc3339(at_ms),
        "armed_late": arming.armed_late,
        "late_count": late_count,
        "objectives": [*rows, *watched],
        **said,
        "summary": _summary(budget.release, verdicts, evaluator) + words,
    }
    of = asked.command_id if asked else None
    event_id = decision_id(Type.RELEASE_ASSESSED.value, budget.release, arming.number, of, {}, at_ms)
    return Decision(Type.RELEASE_ASSESSED, event_id, budget.release, at_ms, data)


def _watches(evaluator: Evaluator, now: int) -> Iterator[Watch]:
    """Yield the watch of every objective and slice, an empty one where the candidate had no request at all."""
    rules = rules_for(evaluator.budget)
    for objective in evaluator.budget.objectives:
        for view in objective.views() if objective.is_guarded else ():
            key = (objective.objective_id, view)
            yield evaluator.watches.get(key) or Watch(objective, view, rules[key], now)


def _row(watch: Watch, now: int, late_count: int) -> dict[str, object]:
    seen, objective = watch.observe_all(now), watch.objective
    return {
        "objective": objective.objective_id,
        "metric": objective.indicator.name,
        "cohort": dict(watch.view),
        "tier": objective.tier.value,
        "verdict": watch.verdict(now),
        "limit": objective.limit,
        "baseline_mode": watch.baseline_mode(watch.first_minute).value,
        "observed": observed_data(seen, objective.unit),
        "samples": samples_data(seen),
        "mde": seen.mde,
        "phi": watch.phi_all(now),
        "minutes_spent": watch.spend.minutes,
        "late_count": late_count,
        "evidence": verdict_evidence(watch, now, HEALTHY_NATS),
        "summary": verdict_words(watch, now),
    }


def _summary(release: str, verdicts: list[str], evaluator: Evaluator) -> str:
    counts = {name: verdicts.count(name) for name in ("breach", "inconclusive", "no_data", "healthy")}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing to judge"
    ending = "; a rollback was requested" if evaluator.progress.requested else ""
    return f"{release}: {told}{ending}"
