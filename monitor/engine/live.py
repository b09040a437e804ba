"""A release that an instance evaluates, and what of its decisions is still to be put on record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.engine.evaluate import Evaluator
from monitor.engine.ports import LedgerEntry


@dataclass(slots=True)
class Live:
    """A release this instance evaluates now."""

    evaluator: Evaluator
    recalled: deque[LedgerEntry]
    next_tick: int | None = None
    term: int = 0
    unsent: deque[LedgerEntry] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # a tick and an incident never at the same time

    def is_sending(self, decision_id: str) -> bool:
        """Tell whether a decision of this evaluation is being put on record."""
        return any(one.decision.decision_id == decision_id for one in self.unsent)


def live_from(arming: LedgerEntry, evaluator: Evaluator, known: Iterable[LedgerEntry], term: int) -> Live:
    """Return a release that is taken over.

    Args:
        arming: The record it begins with.
        known: What the ledger holds of this arming.
        term: Of the lease.
    """
    inputs = sorted(known, key=lambda one: (one.after_tick or 0, one.decision.at_ms))
    first = arming.decision.data.get("from_minute")
    return Live(evaluator, deque(inputs), first if isinstance(first, int) else None, term)
