"""The commander's clock: when a page runs out, when it waits, and when a breach that returns reopens it.

Only a page for a tier-B breach runs out; all other pages escalate and never act. The deadline is N minutes
after the tick, but never earlier than N minutes after the page was delivered: catching up after an outage
must not expire a page nobody saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from monitor.core.budget import Accounting, Budget, Objective, Tier
from monitor.core.cohort import CohortKey
from monitor.core.decision import Reason

REOPEN_MS: Final = 6 * 3_600_000  # a breach that comes back within this time reopens the same page


@dataclass(frozen=True, slots=True)
class Page:
    """One question to the incident commander.

    Attributes:
        page_id: The id of its first `page.opened`: stays the same when it reopens.
        objective_id: None where it is about the release as a whole.
        event_id: The id of its newest `page.opened`: its delivery is what starts the clock.
        clock_ms: The commander's time to decide; None for a page that never runs out.
        delivered_ms: When it reached a person; None while nobody is known to have seen it.
        extended_ms: What the commander has added to that time, in all.
        answer: What a person decided about it, in a sentence; None while nobody has.
        said: What its newest `page.opened` says.
    """

    page_id: str
    event_id: str
    objective_id: str | None
    cohort: CohortKey
    reason: Reason
    episode_ms: int
    opened_ms: int
    clock_ms: int | None = None
    delivered_ms: int | None = None
    acknowledged_ms: int | None = None
    expired_ms: int | None = None
    resolved_ms: int | None = None
    extended_ms: int = 0
    answer: str | None = None
    said: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_open(self) -> bool:
        """Tell whether a person still has to look at it."""
        return self.resolved_ms is None

    @property
    def deadline_ms(self) -> int | None:
        """The moment it runs out, as far as known now; None for a page that never does."""
        if self.clock_ms is None:
            return None
        return self.begins_ms + self.clock_ms + self.extended_ms

    @property
    def begins_ms(self) -> int:
        """The moment its clock starts, as far as known now: a person has to have it."""
        return max(self.opened_ms, self.delivered_ms or 0)

    @property
    def half_time_ms(self) -> int | None:
        """The moment half of the time to decide is over; None for a page that never runs out."""
        return None if self.clock_ms is None else self.begins_ms + (self.clock_ms + self.extended_ms) // 2

    def is_due(self, at_ms: int) -> bool:
        """Tell whether it runs out at this tick. An undelivered page never does."""
        if not self.is_open or self.expired_ms is not None or self.delivered_ms is None:
            return False
        deadline_ms = self.deadline_ms
        return deadline_ms is not None and deadline_ms <= at_ms

    def delivered(self, at_ms: int) -> Page:
        """Return the page as delivered; only the first delivery counts."""
        return self if self.delivered_ms is not None else replace(self, delivered_ms=at_ms)

    def acknowledged(self, at_ms: int) -> Page:
        """Return the page as seen by a person: reminders stop, the deadline does not."""
        return self if self.acknowledged_ms is not None else replace(self, acknowledged_ms=at_ms)

    def extended_to(self, total_ms: int) -> Page:
        """Return the page with so much time added in all; hearing of an extension twice changes nothing."""
        return replace(self, extended_ms=max(self.extended_ms, total_ms))

    def expired(self, at_ms: int) -> Page:
        """Return the page as run out."""
        return replace(self, expired_ms=at_ms)

    def resolved(self, at_ms: int, answer: str | None = None) -> Page:
        """Return the page as closed, by a person's answer or without one."""
        return replace(self, resolved_ms=at_ms, answer=answer)

    def asked(self, said: Mapping[str, object]) -> Page:
        """Return the page with what its `page.opened` says."""
        return replace(self, said=said)

    def can_reopen(self, at_ms: int) -> bool:
        """Tell whether a breach that starts again now belongs to this page."""
        return self.resolved_ms is not None and at_ms - self.resolved_ms <= REOPEN_MS

    def reopened(
        self, event_id: str, reason: Reason, at_ms: int, episode_ms: int, clock_ms: int | None
    ) -> Page:
        """Return the same page with its clock started again."""
        return replace(
            self,
            event_id=event_id,
            reason=reason,
            clock_ms=clock_ms,
            episode_ms=episode_ms,
            opened_ms=at_ms,
            delivered_ms=None,
            acknowledged_ms=None,
            expired_ms=None,
            resolved_ms=None,
            extended_ms=0,
            answer=None,
        )


def clock_of(budget: Budget, objective: Objective, reason: Reason) -> int | None:
    """Return the time to decide, in milliseconds: only a tier-B breach's page has one."""
    is_breach = reason is Reason.BREACH or (
        reason is Reason.CUMULATIVE and objective.accounting is Accounting.CUMULATIVE
    )
    runs_out = objective.tier is Tier.B and is_breach
    return budget.decide_within_min * 60_000 if runs_out else None
