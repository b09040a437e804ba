"""A breach as it is told of: that it has started, with first evidence, or that it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.core.decision import Action, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.record import Finding, finding_data
from monitor.core.watch import Watch
from monitor.core.wording import finding_words

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator


def breach_event(
    evaluator: Evaluator,
    type_: Type,
    watch: Watch,
    finding: Finding,
    at_ms: int,
    episode_ms: int | None = None,
) -> Decision:
    """Return the event that a breach has started or cleared; its episode is the trigger's unless given."""
    budget, arming = evaluator.budget, evaluator.arming
    event_id = decision_id(
        type_.value,
        budget.release,
        arming.number,
        finding.objective.objective_id,
        dict(finding.view),
        watch.trigger.episode_ms if episode_ms is None else episode_ms,
    )
    data = finding_data(
        budget,
        arming,
        finding,
        action=Action.WATCH,
        reason=Reason.BREACH if type_ is Type.BREACH_STARTED else Reason.RECOVERED,
        at_ms=at_ms,
        summary=finding_words(finding),
    )
    return Decision(type_, event_id, budget.release, at_ms, data)
