"""What the engine tells about itself: counted and logged outside, decided nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from monitor.core.decision import Decision
from monitor.core.sight import Sight, SightState
from monitor.core.storm import BreakerStanding
from monitor.engine.ports import DeadLetter, FlushAnswer, Partition


@dataclass(frozen=True, slots=True)
class Seen:
    """How well one partition is seen.

    Attributes:
        behind_ms: Real milliseconds from what is read to the log's own time; None where nothing is known.
    """

    state: SightState
    behind_ms: int | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one look found.

    Attributes:
        at_ms: The steady clock that the states' ages refer to.
        overall: The worst of all; None before there is a partition.
        releases: How many releases are `armed`, `locked`, `blind`, `rebuilding`.
        unread: Records that this instance has still to read.
        owned: Partitions that it reads.
        modes: How many releases evaluated here have which mode.
        open_pages: Open pages about these releases; those of drills are none.
    """

    at_ms: int
    partitions: Mapping[Partition, Seen]
    overall: SightState | None
    releases: Mapping[str, int]
    unread: int
    owned: int
    modes: Mapping[str, int] = field(default_factory=dict)
    open_pages: int = 0

    def as_data(self) -> dict[str, object]:
        """Return it JSON-ready, ages in seconds: the whole, and every partition that is not live."""
        rows = (
            {"partition": f"{one.topic}/{one.number}", **_row(seen.state, self.at_ms)}
            | {"behind_s": None if seen.behind_ms is None else seen.behind_ms / 1000}
            for one, seen in sorted(self.partitions.items())
            if seen.state.sight is not Sight.LIVE
        )
        whole = {} if self.overall is None else _row(self.overall, self.at_ms)
        return {**whole, "not_live": list(rows)}


def _row(state: SightState, at_ms: int) -> dict[str, object]:
    cause = None if state.cause is None else state.cause.value
    return {"sight": state.sight.value, "cause": cause, "sight_age_s": state.age_ms(at_ms) / 1000}


class Observer:
    """Hears of everything an operator may want to count, see or be woken by; this one tells nobody."""

    def batch(self, partition: Partition, records: int) -> AbstractContextManager[object]:
        """Around decoding, folding and storing one batch."""
        return nullcontext()

    def tick(self, release: str, at_ms: int) -> AbstractContextManager[object]:
        """Around the evaluation of one minute of one release."""
        return nullcontext()

    def deciding(self, decision: Decision) -> AbstractContextManager[object]:
        """Around recording and publishing one decision."""
        return nullcontext()

    def partition_claimed(self, partition: Partition, offset: int) -> None:
        """A partition is ours from this offset on."""

    def partition_lost(self, partition: Partition, why: str) -> None:
        """A partition went to somebody else while we took it over."""

    def state_damaged(self, partition: Partition, why: str) -> None:
        """A partition's state did not add up; it is rebuilt from the log."""

    def suspected(self, partition: Partition, deaths: int) -> None:
        """So many owners of a partition came to no write: perhaps a record of it kills whoever decodes it."""

    def set_aside(self, partition: Partition, offset: int) -> None:
        """A record kills its decoder: it becomes a dead letter that nobody decodes."""

    def folded(self, partition: Partition, records: int) -> None:
        """Records were folded."""

    def counted(self, *, accepted: int, late: int, duplicate: int, rejected: int) -> None:
        """The totals of stored records grew by this much."""

    def rejected(self, letters: Sequence[DeadLetter]) -> None:
        """Records became dead letters."""

    def flushed(self, partition: Partition, answer: FlushAnswer, *, is_bare: bool) -> None:
        """The store answered a write; one that is bare had no room for the exemplars of watched values."""

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

    def halted(self, release: str, defect: Exception) -> None:
        """A defect of ours stopped the judgement of a release; the others go on."""

    def sighted(self, sighting: Sighting) -> None:
        """A look at what the monitor can see of every partition."""

    def breaker(self, standing: BreakerStanding) -> None:
        """How the rollback-storm breaker stands at the newest tick."""
