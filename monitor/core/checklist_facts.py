"""What a checklist before a release goes by: one budget, and what could be seen around it. Plain values, no I/O."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.core.budget import Budget, FlagTarget
from monitor.core.decision import Decision, Type
from monitor.core.moment import rfc3339
from monitor.core.outlook import Outlook
from monitor.core.rehearsal import is_rehearsal


@dataclass(frozen=True, slots=True)
class Unseen:
    """What could not be seen: why, and the command or key that would show it."""

    why: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What another part of the product answered for itself, in its own words."""

    is_well: bool
    words: str


@dataclass(frozen=True, slots=True)
class PagerSeen:
    """A pager that wakes somebody; `answers` is None where its system was not asked."""

    name: str
    answers: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The newest real rollback of a flag; `failure` is what the flag system or the traffic said against it."""

    release: str
    requested_at: str
    is_verified: bool
    failure: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when somebody asks.

    Attributes:
        file: The budget's, as it was named.
        budget: None where it has errors; these are `errors`.
        warnings: What `validate` warns of, by the path in the file.
        outlook: What the plan says at the traffic that was given.
        share: The candidate's part of the traffic as the command was told, 0 to 1; None where it was not.
        past_days: Days of the baseline's past that the newest arming against it has captured.
        flag: The doctor's own look at the budget's flag.
        rehearsed: The newest drill, as the gate judges it.
        returned: The newest real rollback of this flag, if there was one.
        pagers: Those of the doctor that wake somebody; the log is none.
        debts: Evaluation cases owed from before, a line each.
        sight: How the traffic is seen now.
        has_switch: The settings name a dead-man's switch for `watch`.
        breaker: How the rollback-storm breaker stands.
    """

    file: str
    budget: Budget | None
    outlook: Outlook | Unseen
    past_days: int | Unseen
    flag: Answered | Unseen
    rehearsed: Answered | Unseen
    returned: Returned | Unseen | None
    pagers: Sequence[PagerSeen] | Unseen
    debts: Sequence[str] | Unseen
    sight: Answered | Unseen
    breaker: Answered | Unseen
    has_switch: bool = False
    share: float | None = None
    errors: Sequence[str] = ()
    warnings: Mapping[str, str] = field(default_factory=dict)

    @property
    def validate_command(self) -> str:
        """What shows every problem of the file with its place."""
        return f"rollback-budget validate {shlex.quote(self.file)}"


def last_rollback(decisions: Iterable[Decision], flag: FlagTarget) -> Returned | None:
    """Return the newest rollback that was asked of a flag, a drill left out; None where there was none.

    Their order and repeats mean nothing.
    """
    known = {one.decision_id: one for one in decisions}
    asked = (
        one
        for one in known.values()
        if one.type is Type.ROLLBACK_REQUESTED
        and not is_rehearsal(one.release)
        and _is_of(one.data.get("flag"), flag)
    )
    newest = max(asked, key=lambda one: (one.at_ms, one.decision_id), default=None)
    if newest is None:
        return None
    after = [one for one in known.values() if one.data.get("request_id") == newest.decision_id]
    failed = max(
        (one for one in after if one.type is Type.ROLLBACK_FAILED),
        key=lambda one: (one.at_ms, one.decision_id),
        default=None,
    )
    return Returned(
        newest.release,
        rfc3339(newest.at_ms),
        any(one.type is Type.ROLLBACK_VERIFIED for one in after),
        None if failed is None else str(failed.data.get("message")),
    )


def past_days(decisions: Iterable[Decision], baseline: str) -> int | None:
    """Return how many days of a baseline's past the newest arming against it captured; None where none says so."""
    captured = [
        (one.at_ms, one.decision_id, reference.get("days"))
        for one in decisions
        if one.type in (Type.ARMING_CREATED, Type.BUDGET_CHANGED)
        and one.data.get("baseline") == baseline
        and isinstance(reference := one.data.get("reference"), Mapping)
    ]
    days = max(captured, key=lambda one: one[:2], default=(0, "", None))[2]
    return days if isinstance(days, int) else None


def _is_of(named: object, flag: FlagTarget) -> bool:
    if not isinstance(named, Mapping):
        return False
    return (named.get("actuator"), named.get("key"), named.get("scope")) == (
        flag.actuator,
        flag.key,
        flag.scope,
    )
