"""The trigger's state machine: one transition table, no second hold (the duration is inside the rule)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from monitor.core.errors import TimeWentBack
from monitor.core.sustained import Answer


class Phase(Enum):
    """How far a trigger has come."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


_S, _F, _R, _U = Answer.SUSPECT, Answer.FIRES, Answer.RECOVERED, Answer.UNKNOWN

# Unknown is no evidence: it never completes a hold and never clears a pending or firing trigger.
NEXT: Final = {
    Phase.INACTIVE: {_S: Phase.PENDING, _F: Phase.FIRING, _R: Phase.INACTIVE, _U: Phase.INACTIVE},
    Phase.PENDING: {_S: Phase.PENDING, _F: Phase.FIRING, _R: Phase.INACTIVE, _U: Phase.PENDING},
    Phase.FIRING: {_S: Phase.FIRING, _F: Phase.FIRING, _R: Phase.INACTIVE, _U: Phase.FIRING},
}


@dataclass(frozen=True, slots=True)
class TriggerState:
    """A phase, the tick it began at, and the tick its episode (leaving INACTIVE) began at."""

    phase: Phase
    since_ms: int
    episode_ms: int


def step(state: TriggerState, answer: Answer, *, at_ms: int) -> TriggerState:
    """Return the trigger's state after one tick's answer of the sustained rule, in event time.

    Args:
        at_ms: End of the judged window, epoch milliseconds; never earlier than the last step.

    Raises:
        TimeWentBack: `at_ms` is earlier than `state.since_ms`.

    Source: the pending/firing phases of Prometheus alerting rules; the hold itself is inside the rule.
    """
    if at_ms < state.since_ms:
        raise TimeWentBack(at_ms=at_ms, since_ms=state.since_ms)
    phase = NEXT[state.phase][answer]
    if phase is state.phase:
        return state
    episode_ms = at_ms if state.phase is Phase.INACTIVE else state.episode_ms
    return TriggerState(phase, at_ms, episode_ms)


def diagram() -> str:
    """Return the table as a Mermaid state diagram: the docs show this text, and a test holds them to it."""
    lines = ["stateDiagram-v2", "    [*] --> INACTIVE"]
    for phase, row in NEXT.items():
        by_target: dict[Phase, list[str]] = {}
        for answer, target in row.items():
            by_target.setdefault(target, []).append(answer.name)
        for target, answers in by_target.items():
            lines.append(f"    {phase.name} --> {target.name}: {', '.join(answers)}")
    return "\n".join(lines)
