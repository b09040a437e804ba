"""What an assessment says of a slice that nothing could be compared with, because its past is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monitor.core.budget import BaselineMode
from monitor.core.watch import Watch

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

_DISCOVERED = "discovered cohorts are compared with the baseline's traffic of the same minutes only"
_UNKNOWN = "nothing is known of this slice's past"


def with_past_words(evaluator: Evaluator, watch: Watch, row: dict[str, Any]) -> dict[str, Any]:
    """Return a slice's row of the assessment, and why the baseline's past says nothing of it where that matters.

    It matters once the baseline is away. What was found out before stands, so that only the sentence changes.
    """
    why = _why_unknown(evaluator, watch)
    return {**row, "summary": f"{row['summary']}; {why}"} if why else row


def _why_unknown(evaluator: Evaluator, watch: Watch) -> str:
    objective, choice = watch.objective, evaluator.reference
    if not watch.view or objective.baseline_mode is BaselineMode.CONCURRENT:
        return ""
    is_frozen = objective.baseline_mode is BaselineMode.FROZEN
    if not is_frozen and not choice.is_away(objective):
        return ""
    if watch.view not in objective.views():
        return _DISCOVERED
    return "" if choice.has_past(watch.view) else _UNKNOWN
