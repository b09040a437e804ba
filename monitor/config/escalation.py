"""What the steps of a budget's `escalation` say about each other and about the commander's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from monitor.config.budget_model import BudgetFile, DecisionSpec, EscalationSpec
from monitor.config.duration import in_words
from monitor.config.source import Path, Source
from monitor.core.budget import EscalationStep

KEY: Final = "escalation"


def check_escalation(kept: Mapping[str, Any], refused: Iterable[Path], source: Source) -> None:
    """Report steps that call nobody, or that stand in no order; where one was refused, that comes first.

    Args:
        kept: What fits the models of the file.
    """
    given = kept.get(KEY)
    if not isinstance(given, list) or any(path[:1] == (KEY,) for path in refused):
        return
    steps = [EscalationSpec.model_validate(one) for one in given]
    clock_min = _clock_min(kept)
    before_min = 0
    for position, step in enumerate(steps):
        place = (KEY, position)
        if not step.pagers and step.on_call is None:
            source.error(place, "this step calls nobody; name pagers, on_call, or both")
        after = in_words(step.after)
        if step.after <= before_min:
            message = (
                f"{after} is not after the step before it, {in_words(before_min)}; put the soonest first"
            )
            source.error((*place, "after"), message)
        elif clock_min is not None and step.after >= clock_min:
            message = (
                f"{after} is not before the commander's clock runs out, {in_words(clock_min)}: "
                "a page with a clock is decided by then"
            )
            source.warning((*place, "after"), message)
        before_min = step.after


def steps_of(file: BudgetFile) -> tuple[EscalationStep, ...]:
    """Return the steps as the core knows them."""
    return tuple(
        EscalationStep(one.after, tuple(sorted(set(one.pagers))), one.on_call) for one in file.escalation
    )


def _clock_min(kept: Mapping[str, Any]) -> int | None:
    decision = kept.get("decision", {})
    clock = decision.get("tier_b_breach") if isinstance(decision, dict) else None
    spec = DecisionSpec.model_validate({} if clock is None else {"tier_b_breach": clock})
    return spec.tier_b_breach
