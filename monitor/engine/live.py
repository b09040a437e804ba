"""One release as an instance evaluates it now: its evaluator, where it stands, and what is on its way out."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from monitor.core.decision import Type
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


def urgency(entry: LedgerEntry) -> bool:
    """Sort rollbacks before all else."""
    return entry.decision.type is not Type.ROLLBACK_REQUESTED


async def nothing_to_do() -> None:
    """Stand in for what a halted release obeys."""


async def nothing_to_read() -> None:
    """Stand in for whoever reads the commands topic to its end, where there is none."""
