"""What an item of the checklist can be, and how one is answered."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Self

from monitor.core.checklist_facts import Answered, Unseen

SHOWN_MAX: Final = 5
"""How many of a list are named in a sentence; the others are counted."""


class State(StrEnum):
    """How an item stands; of several that all have to hold, the first in this list is what is said."""

    GAP = "gap"
    UNKNOWN = "unknown"
    READY = "ready"


class ItemId(StrEnum):
    """The items: a closed list."""

    LOADS = "budget_loads"
    OWNER = "owner_named"
    ON_CALL = "on_call_named"
    ACTS = "acts_by_itself"
    SAFETY = "safety_limited"
    TIER_A = "tier_a_limited"
    COHORTS = "cohorts_judged"
    HOLD_BACK = "baseline_kept"
    DECIDABLE = "limits_decidable"
    FLAG_SET = "flag_named"
    FLAG_ANSWERS = "flag_answers"
    REHEARSED = "rehearsed"
    LAST_ROLLBACK = "last_rollback_verified"
    PAGER = "pager_answers"
    ESCALATION = "escalation_named"
    SILENCE = "silence_ruled"
    EVAL_DEBT = "eval_debt_paid"
    LIVE = "monitor_live"
    WATCHER = "watcher_pings"
    BREAKER = "breaker_closed"


class Seen(NamedTuple):
    """An answer: the state, what was seen in one sentence, and the command or key that mends it."""

    state: State
    words: str
    mend: str = ""

    @classmethod
    def unseen(cls, why: Unseen) -> Self:
        """Return what could not be seen: never ready."""
        return cls(State.UNKNOWN, why.why, why.mend)

    @classmethod
    def told(cls, answer: Answered | Unseen, mend: str) -> Self:
        """Return what another part said of itself."""
        if isinstance(answer, Unseen):
            return cls.unseen(answer)
        return cls(State.READY if answer.is_well else State.GAP, answer.words, mend)

    @classmethod
    def yes_if(cls, holds: bool, yes: str, no: str, mend: str) -> Self:
        """Return what a budget alone answers."""
        return cls(State.READY, yes) if holds else cls(State.GAP, no, mend)


def all_of(states: Sequence[State]) -> State:
    """Return what several come to that all have to hold: one gap is a gap, and what is unknown is not ready."""
    order = list(State)
    return min(states, key=order.index, default=State.READY)


def any_of(states: Sequence[State]) -> State:
    """Return what several come to of which one is enough."""
    order = list(State)
    return max(states, key=order.index, default=State.GAP)


def listed(texts: Sequence[str]) -> str:
    """Return texts in one sentence, the first few of many."""
    more = len(texts) - SHOWN_MAX
    return "; ".join(texts[:SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")
