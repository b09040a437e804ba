"""The ladder of a budget: observe, page, auto; and what becomes of a decision that is only observed.

What an observing budget would ask for is an event of its own type on the topic of decisions: whoever rolls back or
pages by the topics of requests and pages never reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from monitor.core.budget import Mode
from monitor.core.decision import Action, Decision, Type
from monitor.core.ids import decision_id

OBSERVED: Final = "only observed, nothing is done"
MODE_WORDS: Final[Mapping[Mode, str]] = {
    Mode.OBSERVE: "observe: all is judged and recorded, nobody is paged and no flag is turned, for safety too",
    Mode.PAGE: "page: people are asked, and nothing rolls back without a person's order, for safety too",
    Mode.AUTO: "auto: what the budget says is done",
}


def mode_words(data: Mapping[str, Any]) -> str | None:
    """Return what the mode in a decision's data means; None where it is of before there were modes."""
    said = data.get("mode")
    return next((words for mode, words in MODE_WORDS.items() if mode.value == said), None)


def as_observed(decision: Decision) -> Decision:
    """Return what is published of a decision that is only observed: marked, asking for nothing, with its own id."""
    data, arming = decision.data, decision.data.get("arming")
    event_id = decision_id(
        Type.DECISION_OBSERVED.value,
        decision.release,
        arming if isinstance(arming, int) else 0,
        decision.decision_id,
    )
    marked = {
        **data,
        **({"action": Action.WATCH.value} if "action" in data else {}),
        "would_be": decision.type.value,
        "would_be_id": decision.decision_id,
        "summary": f"{OBSERVED}: {data.get('summary')}",
    }
    return Decision(Type.DECISION_OBSERVED, event_id, decision.release, decision.at_ms, marked)


def as_if(decision: Decision) -> Decision:
    """Return the decision that an observed one would be; any other as it is."""
    if decision.type is not Type.DECISION_OBSERVED:
        return decision
    kind = Type(str(decision.data["would_be"]))
    asks = Action.ROLLBACK if kind is Type.ROLLBACK_REQUESTED else Action.PAGE
    data = {**decision.data, **({"action": asks.value} if "action" in decision.data else {})}
    return Decision(kind, str(decision.data["would_be_id"]), decision.release, decision.at_ms, data)
