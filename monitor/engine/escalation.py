"""A step of a budget's escalation path: when it is due, and what its event says, whatever the page is about."""

from __future__ import annotations

from monitor.core.budget import EscalationStep
from monitor.core.window import BUCKET_MS


def due_ms(step: EscalationStep, begins_ms: int) -> int:
    """Return when a step is due on a path that is walked from a moment on."""
    return begins_ms + step.after_min * BUCKET_MS


def goes_to(step: EscalationStep, number: int, steps: int) -> str:
    """Return to whom a page goes, in words.

    Args:
        number: The step's, from 1, of so many `steps`.
    """
    to = " by ".join(part for part in (step.on_call, ", ".join(step.pagers)) if part)
    return f"it goes to {to} (step {number} of {steps})"


def step_data(step: EscalationStep, number: int) -> dict[str, object]:
    """Return what `page.escalated` says of its step."""
    return {"step": number, "pagers": list(step.pagers), "on_call": step.on_call}
