"""What the engine needs from the outside, as Protocols: no vendor is named here.

Every port has a real adapter and a twin in `monitor.adapters.memory`; one contract suite runs over both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import NamedTuple, Protocol

from monitor.core.budget import RollbackBy
from monitor.core.cell import Incident
from monitor.core.decision import Decision
from monitor.core.history import HistoryHour


class Partition(NamedTuple):
    """One partition of a source topic."""

    topic: str
    number: int


class FlushAnswer(Enum):
    """What a store says to a flush; a retry after a lost reply must not look like a lost lease."""

    APPLIED = "applied"
    ALREADY_MINE = "already_mine"  # this very batch was applied before: go on
    FENCED = "fenced"  # somebody else owns the partition now: stop


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write one partition's state, and the state as it was when the right was taken.

    Attributes:
        token: Names this writer; every flush carries it, and an older one is fenced.
        fields: The whole stored hash but the token: `ingest` knows what the fields mean. Empty at first start.
        unwritten: How many claims came before this one since the partition was written last.
    """

    partition: Partition
    token: str
    fields: Mapping[str, bytes]
    unwritten: int = 0


class StateStore(Protocol):
    """The derived state of every partition: one map of fields each, replaced in one atomic write."""

    async def check(self) -> None:
        """Raise `StoreUnusable`, with the remedy, where the server could lose state silently."""

    async def claim(self, partition: Partition, owner: str) -> Claim:
        """Take the partition over: from now on every earlier token is fenced."""

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        """Set the fields in one atomic write, if the token still holds and `offset` is `expected_offset`.

        Args:
            batch: Names this write; sending it again after a lost reply answers `ALREADY_MINE`.
            expected_offset: The stored `offset` this batch builds on; 0 where nothing is stored yet.
            fields: Absolute values, among them the new `offset`; at most `MAX_FLUSH_FIELDS` and `MAX_FLUSH_BYTES`.
        """

    async def read(self, partitions: Sequence[Partition], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return, per partition, the values of the named fields (None where there is none), read at one moment each."""

    async def drop(self, claim: Claim, fields: Sequence[str]) -> None:
        """Delete fields that no window needs any more; doing it twice is harmless."""

    async def reset(self, claim: Claim) -> None:
        """Forget the state that was found at the claim, where it does not add up; a fenced caller forgets nothing.

        It may take several writes, the stored `offset` going first: what is left by a crash has none.
        """

    async def condemn(self, partition: Partition, token: str) -> bool:
        """Strike the stored offset out in one write: the state beside it is damaged, and must not be built on.

        That fences its writer; whoever claims the partition next finds no offset and rebuilds it. Any instance may.

        Args:
            token: The writer's whose state was found damaged, as read together with it; else nothing is done.
        """

    async def close(self) -> None:
        """Give the connections back."""


MAX_FLUSH_FIELDS = 3_900  # 4,000 fields fail in Lua's `unpack` (measured, shared notes of the design)
# 3,900 fields of 1 kB take 24 ms of the store (measured). Folding stops at a quarter of it; a run of records may add.
MAX_FLUSH_BYTES = 4 * 1024 * 1024


class Lease(Protocol):
    """The right to evaluate a release, held by one instance at a time.

    What makes a double owner harmless is not the lease but the decision id.
    """

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew the lease; False while somebody else holds it."""

    async def release(self, name: str, owner: str) -> None:
        """Give the lease back, if it is still ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a small control topic (budgets, commands, ledger, incidents)."""

    topic: str
    partition: int
    offset: int
    at_ms: int  # the record's own time, epoch milliseconds
    key: str | None
    value: bytes | None  # None = tombstone
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where the broker put a record, and the broker's time of it."""

    partition: int
    offset: int
    at_ms: int


class Log(Protocol):
    """The control plane's topics: few records, each acknowledged by all in-sync replicas before the answer."""

    async def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Stamp:
        """Append one record and wait until it is acknowledged, at most the configured deadline.

        Raises:
            LogUnreachable: Not acknowledged in time; the record may or may not be there.
        """

    def follow(self, topic: str) -> Follower:
        """Read a whole topic from its first record and go on following it."""


class Follower(Protocol):
    """A reader of one whole control topic; every instance reads every record."""

    async def start(self) -> None:
        """Find the partitions and begin at their first records."""

    async def read_to_end(self) -> list[Record]:
        """Return all records not yet returned, up to the end that the topic has at the time of the call."""

    async def read_ahead(self) -> list[Record]:
        """Return records not yet returned that have arrived by now; asks nobody, waits for nothing, never fails."""

    def __aiter__(self) -> AsyncIterator[list[Record]]:
        """Yield records in batches as they arrive, for ever; within a partition in order."""

    async def stop(self) -> None:
        """Leave."""


class Clock(Protocol):
    """Wall time, for scheduling and for delivery stamps; never for a decision."""

    def now_ms(self) -> int:
        """Return epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class RollbackOrder:
    """The wish "this flag serves the baseline", with the decision it comes from. A desired state, never a toggle."""

    decision_id: str
    release: str
    baseline: str
    reason: str
    actuator: str
    flag_key: str
    baseline_variation: str
    candidate_variation: str
    scope: str | None = None
    cohort: Mapping[str, str] = field(default_factory=dict)
    rollback_by: RollbackBy = RollbackBy.SERVE_VARIATION


@dataclass(frozen=True, slots=True)
class Effect:
    """What an actuator found, did and read back.

    Attributes:
        changed: False where the flag already served the baseline.
        before, after: The flag as it was and as it was read back, for the audit.
    """

    changed: bool
    before: Mapping[str, object]
    after: Mapping[str, object]


class Actuator(Protocol):
    """What turns a flag, in one vendor's system."""

    async def probe(self, order: RollbackOrder) -> None:
        """Raise `ActuatorFailed` where the flag could not be turned when it matters."""

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Make the flag serve the baseline, read it back, and return only when it does.

        Raises:
            ActuatorFailed: With `retryable` and the remedy; repeating the call is always safe.
        """


class About(StrEnum):
    """What a notice is about."""

    PAGE = "page"
    ROLLED_BACK = "rolled_back"
    NOT_APPLIED = "not_applied"
    NOT_PROVEN = "not_proven"
    NOT_HELPED = "not_helped"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class PageNotice:
    """What a person is told; `monitor.engine.page_words` puts it into words.

    Attributes:
        page_id: Stays the same while a page is open, reopened or resolved: the pager's dedup key.
        state: `opened`, `reminded`, `escalated`, `acknowledged`, `extended`, `expired`, `resolved`, or `informed` (a
            rollback happened).
        release: The candidate; `EVERY_RELEASE` where it is about the monitor as a whole.
        text: One sentence: what broke, for whom, since when, how sure, what happens next.
        event: The CloudEvent's data, for pagers that pass it on.
        opened: The data of the page's newest opening, for a later change of it; empty where that is not known.
        pagers: Whom alone it is for; empty: every pager.
    """

    event_id: str
    page_id: str
    state: str
    release: str
    text: str
    deadline_ms: int | None
    event: Mapping[str, object]
    about: About = About.PAGE
    opened: Mapping[str, object] = field(default_factory=dict)
    pagers: tuple[str, ...] = ()


class Pager(Protocol):
    """What reaches a person."""

    async def notify(self, notice: PageNotice) -> None:
        """Deliver the notice; return only when the system confirmed it.

        Raises:
            PagerFailed: With `retryable`; the same notice may be sent again (same ids).
        """


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A decision on record. The ledger is what prevents repeats and what recovery runs on.

    Attributes:
        after_tick: The last tick (minutes since the epoch) evaluated before it; None before the first.
        is_published: Whether the output topics have it; what is not published yet is the outbox.
        command_id: The command it answers, for decisions that a person caused.
    """

    decision: Decision
    after_tick: int | None
    is_published: bool = False
    command_id: str | None = None


class Ledger(Protocol):
    """The compacted record of every decision, shared by all instances."""

    async def append(self, entry: LedgerEntry) -> None:
        """Put an entry on record; return when it is acknowledged.

        Raises:
            LogUnreachable: Not acknowledged in time; appending it again is harmless.
        """


class HistoryLog(Protocol):
    """The compacted record of what every watched release did, hour by hour, shared by all instances."""

    async def append(self, hour: HistoryHour) -> None:
        """Put an hour on record; return when it is acknowledged.

        Raises:
            LogUnreachable: Not acknowledged in time; appending it again is harmless.
        """


class Outputs(Protocol):
    """The topics that consumers read."""

    async def publish(self, decision: Decision) -> Stamp | None:
        """Publish a decision on its topic; None for types that only the ledger has."""

    async def publish_incident(self, incident: Incident) -> None:
        """Hand an incident to the release's evaluator, whichever instance that is."""

    async def publish_dead_letter(self, letter: DeadLetter) -> None:
        """Publish a record that could not be used."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that does not fit the contract."""

    partition: Partition
    offset: int
    reason: str
    size: int
    sha256: str
    at_ms: int


class Source(Protocol):
    """The trace topic as a member of the consumer group reads it."""

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions the group gave us and has not taken back; ours to claim, paused until resumed."""

    @property
    def generation(self) -> int:
        """Grows with every rebalance, also with one that gives back what we had: those come paused again."""

    async def start_offset(self, partition: Partition) -> int:
        """Return where a partition begins that has no state yet."""

    async def first_offset(self, partition: Partition) -> int:
        """Return the oldest offset that the log still has."""

    async def end_offsets(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Return the offsets the next records will get, as they are after this call was made."""

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        """Go on reading at an offset, and prove that the position is there before any record comes."""

    def pause(self, partition: Partition) -> None:
        """Hand out no more records of the partition until it is resumed."""

    async def position(self, partition: Partition) -> int | None:
        """Return the offset of the next record `getmany` can return; None where that is not known just now."""

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> Mapping[Partition, Sequence[SourceRecord]]:
        """Return the next records of the owned, resumed partitions; empty after the time-out."""

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the group how far we are: a witness only, nothing depends on it."""


class SourceRecord(Protocol):
    """One record of a partition, as a Kafka client hands it over."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """The record's own time, epoch milliseconds."""

    @property
    def value(self) -> bytes | None:
        """Its payload; None for a tombstone."""


class BrokerClock(Protocol):
    """How far the log's own time has come."""

    async def now_ms(self) -> int:
        """Return the broker's time, epoch milliseconds, of a moment before the answer.

        Raises:
            LogUnreachable: Not answered in time.
        """
