"""What the engine tells about itself: counted and logged outside, decided nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from monitor.core.decision import Decision
from monitor.engine.ports import DeadLetter, FlushAnswer, Partition


class Observer(Protocol):
    """Hears of everything an operator may want to count, see or be woken by."""

    def batch(self, partition: Partition, records: int) -> AbstractContextManager[object]:
        """Around decoding, folding and storing one batch."""

    def tick(self, release: str, at_ms: int) -> AbstractContextManager[object]:
        """Around the evaluation of one minute of one release."""

    def deciding(self, decision: Decision) -> AbstractContextManager[object]:
        """Around recording and publishing one decision."""

    def partition_claimed(self, partition: Partition, offset: int) -> None:
        """A partition is ours from this offset on."""

    def partition_lost(self, partition: Partition, why: str) -> None:
        """A partition went to somebody else while we took it over."""

    def state_damaged(self, partition: Partition, why: str) -> None:
        """A partition's state did not add up; it is rebuilt from the log."""

    def folded(self, partition: Partition, records: int) -> None:
        """Records were folded."""

    def counted(self, *, accepted: int, late: int, duplicate: int, rejected: int) -> None:
        """The totals of stored records grew by this much."""

    def rejected(self, letters: Sequence[DeadLetter]) -> None:
        """Records became dead letters."""

    def flushed(self, partition: Partition, answer: FlushAnswer, fields: int) -> None:
        """The store answered a write."""

    def store_away(self, why: str) -> None:
        """The store did not answer; reading waits for it."""

    def log_away(self, why: str) -> None:
        """The log did not answer; the watermark waits for it."""

    def ticked(self, ticks: int, seconds: float, watermark_ms: int | None, now_ms: int, held: int) -> None:
        """A step of the control plane is done; the watermark stands here, event time `now_ms`, leases held."""

    def decided(self, decision: Decision) -> None:
        """A decision is on record."""

    def capped(self, release: str, what: str) -> None:
        """A release has more cohorts or strata than are judged by themselves."""

    def refused(self, what: str, why: str) -> None:
        """A budget or command from a topic could not be used; what was in force stays in force."""

    def forgotten(self, release: str) -> None:
        """The ledger has a release as armed and no budget in force names it, so that nobody watches it."""


class Silent:
    """An observer for tests and replays that tells nobody."""

    def batch(self, partition: Partition, records: int) -> AbstractContextManager[object]:
        """Tell nobody."""
        return nullcontext()

    def tick(self, release: str, at_ms: int) -> AbstractContextManager[object]:
        """Tell nobody."""
        return nullcontext()

    def deciding(self, decision: Decision) -> AbstractContextManager[object]:
        """Tell nobody."""
        return nullcontext()

    def partition_claimed(self, partition: Partition, offset: int) -> None:
        """Tell nobody."""

    def partition_lost(self, partition: Partition, why: str) -> None:
        """Tell nobody."""

    def state_damaged(self, partition: Partition, why: str) -> None:
        """Tell nobody."""

    def folded(self, partition: Partition, records: int) -> None:
        """Tell nobody."""

    def counted(self, *, accepted: int, late: int, duplicate: int, rejected: int) -> None:
        """Tell nobody."""

    def rejected(self, letters: Sequence[DeadLetter]) -> None:
        """Tell nobody."""

    def flushed(self, partition: Partition, answer: FlushAnswer, fields: int) -> None:
        """Tell nobody."""

    def store_away(self, why: str) -> None:
        """Tell nobody."""

    def log_away(self, why: str) -> None:
        """Tell nobody."""

    def ticked(self, ticks: int, seconds: float, watermark_ms: int | None, now_ms: int, held: int) -> None:
        """Tell nobody."""

    def decided(self, decision: Decision) -> None:
        """Tell nobody."""

    def refused(self, what: str, why: str) -> None:
        """Tell nobody."""

    def forgotten(self, release: str) -> None:
        """Tell nobody."""

    def capped(self, release: str, what: str) -> None:
        """Tell nobody."""
