"""A whole instance in memory: a log that tests write, a store, and both planes over it; outages on demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.adapters.kafka.decode import decode
from monitor.adapters.memory.lease import MemoryLease
from monitor.adapters.memory.store import MemoryStateStore
from monitor.config.budget_file import load_budget
from monitor.config.canonical import canonical, from_canonical
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cell import CellKey, Incident
from monitor.core.cohort import EVERY, CohortKey
from monitor.core.decision import Decision, Type
from monitor.core.partition import Totals
from monitor.core.plan import plan_for
from monitor.engine.book import BudgetBook
from monitor.engine.breaker import NO_LIMIT
from monitor.engine.caution import NoTrial, Trial
from monitor.engine.codec import META_FIELD, OFFSET_FIELD, cell_key, decode_cell, decode_meta
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.feed import Feed, FeedOptions
from monitor.engine.hearing import Hearing
from monitor.engine.observer import Observer
from monitor.engine.ports import Claim, DeadLetter, FlushAnswer, LedgerEntry, Partition, Stamp
from monitor.engine.replay import Decode
from monitor.engine.tenure import Tenure
from tests.engine.logs import START_MS, Log, LogNow, LogSource


class Store(MemoryStateStore):
    """The store in memory, away for some writes: before they are done, or after (a lost answer)."""

    def __init__(self) -> None:
        super().__init__()
        self.away = 0
        self.lost_answers = 0

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        if self.away:
            self.away -= 1
            raise StoreUnreachable("the store is away")
        answer = await super().flush(claim, batch=batch, expected_offset=expected_offset, fields=fields)
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreUnreachable("the answer was lost")
        return answer


@dataclass
class Topics:
    """`Outputs` and `Ledger` in lists; away for so many calls."""

    said: list[Decision] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    outputs_away: int = 0
    ledger_away: int = 0
    hand_over_away: int = 0
    journal: list[str] = field(default_factory=list)

    async def publish(self, decision: Decision) -> Stamp | None:
        if self.outputs_away:
            self.outputs_away -= 1
            raise LogUnreachable("the outputs are away")
        self.said.append(decision)
        self.journal.append(f"publish {decision.type.value}")
        return None

    async def publish_incident(self, incident: Incident) -> None:
        self._hand_over()
        self.incidents.append(incident)

    async def publish_dead_letter(self, letter: DeadLetter) -> None:
        self._hand_over()
        self.letters.append(letter)

    def _hand_over(self) -> None:
        if self.hand_over_away:
            self.hand_over_away -= 1
            raise LogUnreachable("the internal topics are away")

    async def append(self, entry: LedgerEntry) -> None:
        if self.ledger_away:
            self.ledger_away -= 1
            raise LogUnreachable("the ledger is away")
        self.entries.append(entry)
        self.journal.append(f"record {entry.decision.type.value}")

    def of(self, type_: Type) -> list[Decision]:
        return [one for one in self.said if one.type is type_]


class Told(Observer):
    """An observer that remembers what an operator would be woken by."""

    def __init__(self) -> None:
        self.damaged: list[Partition] = []
        self.answers: list[FlushAnswer] = []
        self.away = 0
        self.suspects: list[tuple[Partition, int]] = []
        self.aside: list[tuple[Partition, int]] = []
        self.defects: list[tuple[str, str]] = []

    def halted(self, release: str, defect: Exception) -> None:
        self.defects.append((release, str(defect)))

    def suspected(self, partition: Partition, deaths: int) -> None:
        self.suspects.append((partition, deaths))

    def set_aside(self, partition: Partition, offset: int) -> None:
        self.aside.append((partition, offset))

    def state_damaged(self, partition: Partition, why: str) -> None:
        self.damaged.append(partition)

    def flushed(self, partition: Partition, answer: FlushAnswer, *, is_bare: bool) -> None:
        self.answers.append(answer)

    def store_away(self, why: str) -> None:
        self.away += 1


@dataclass
class Ticking:
    """A clock that tests move, in milliseconds and in seconds."""

    ms: int = 0

    def now_ms(self) -> int:
        return self.ms

    def seconds(self) -> float:
        return self.ms / 1000


@dataclass
class Plant:
    """The log, the store and the topics, and instances over them."""

    budgets: tuple[Budget, ...] = ()
    log: Log = field(default_factory=Log)
    store: Store = field(default_factory=Store)
    topics: Topics = field(default_factory=Topics)
    clock: Ticking = field(default_factory=Ticking)
    told: Told = field(default_factory=Told)
    lease: MemoryLease = field(init=False)

    def __post_init__(self) -> None:
        self.lease = MemoryLease(self.clock.now_ms)

    def source(self) -> LogSource:
        return LogSource(self.log, self.log.names)

    def feed(
        self,
        source: LogSource,
        name: str = "w1",
        hearing: Hearing | None = None,
        decode: Decode = decode,
        trial: Trial = NoTrial(),  # noqa: B008 - it has no state
    ) -> Feed:
        plan = plan_for(self.budgets)
        return Feed(
            source=source,
            store=self.store,
            outputs=self.topics,
            decode=decode,
            plan=lambda: plan,
            event_time=lambda ms: ms,
            clock=self.clock,
            broker_clock=LogNow(self.log),
            observer=self.told,
            options=FeedOptions(name, flush_interval_ms=0, max_ids=1_000_000, partitions_expected=1),
            hearing=hearing or Hearing(),
            trial=trial,
        )

    def control(self, name: str = "w1", **more: Any) -> Control:
        """Return a control plane that has read the ledger to its end."""
        made = Control(
            store=self.store,
            tenure=Tenure(self.lease, name, 10_000, self.clock.seconds),
            ledger=self.topics,
            outputs=self.topics,
            clock=LogWall(self.log),
            observer=self.told,
            budgets=BudgetBook(more.pop("files", self.budgets)),
            encode_budget=canonical,
            decode_budget=from_canonical,
            partitions=lambda: self.log.names,
            hearing=Hearing(self.clock.seconds),
            history=more.pop("history", None),
            storm=more.pop("storm", NO_LIMIT),
        )
        for entry in self.topics.entries:
            made.note(entry)
        return made

    def traffic(
        self, first: int, minutes: int, *, success: int = 19, latency_ms: int = 800, candidate: str = "v42"
    ) -> None:
        """Write minutes of traffic and let time pass: 40 requests of the baseline in each, 20 of the candidate.

        Args:
            first: Minutes since the beginning.
            success: How many of the candidate's 20 requests succeed; of the baseline's 40 it is 38.
            latency_ms: The candidate's latency; the baseline's is 800.
        """
        for minute in range(first, first + minutes):
            for number in range(60):
                at_ms = START_MS + minute * 60_000 + number * 1_000
                is_candidate = number % 3 == 0
                good = number // 3 < success if is_candidate else number > 2
                self.log.event(
                    number % self.log.partitions,
                    f"{candidate}-{minute}-{number}",
                    at_ms,
                    candidate if is_candidate else "v41",
                    task_success=good,
                    latency_ms=(latency_ms if is_candidate else 800)
                    + number * 10,  # spread over bins, as real ones are
                )
        self.log.now_ms = max(self.log.now_ms, START_MS + (first + minutes) * 60_000)

    async def settled(self, feed: Feed, steps: int = 4) -> None:
        """Let the data plane read to the end, flush, and say so."""
        for _ in range(steps):
            await feed.look_around()
            await feed.step()

    async def totals(self) -> Totals:
        """Return the stored totals of all partitions."""
        whole = Totals()
        for row in await self.store.read(self.log.names, [META_FIELD]):
            if row[0] is not None:
                meta = decode_meta(row[0])
                for name in ("accepted", "late", "duplicates", "rejected", "gaps"):
                    setattr(whole, name, getattr(whole, name) + getattr(meta, name))
        return whole

    async def offsets(self) -> list[int]:
        return [int(row[0] or 0) for row in await self.store.read(self.log.names, [OFFSET_FIELD])]

    async def cells(self) -> dict[CellKey, Aggregate]:
        """Return the stored cells, merged over partitions; a slice that is broken down is put together again."""
        merged: dict[CellKey, Aggregate] = {}
        for partition in self.log.names:
            claim = await MemoryStateStore.claim(_copy(self.store), partition, "reader")
            for name, packed in claim.fields.items():
                key = cell_key(name)
                if key is not None:
                    whole = CohortKey(tuple(pair for pair in key.view if pair[1] != EVERY))
                    slot = key._replace(view=whole, shard=0)
                    merged.setdefault(slot, Aggregate()).add_total(decode_cell(packed))
        return merged


@dataclass
class LogWall:
    """The control plane's wall clock: the broker's time."""

    log: Log

    def now_ms(self) -> int:
        return self.log.now_ms


def _copy(store: MemoryStateStore) -> MemoryStateStore:
    """Return a copy to be claimed without fencing anybody."""
    made = MemoryStateStore()
    made._hashes = {name: dict(fields) for name, fields in store._hashes.items()}
    return made


BUDGET = """\
release: v42
baseline: v41
window: 24h
rollback_budget:
  quality:
    task_success_delta_pct: -10
    max_duration_min: 5
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
  latency:
    p95_delta_pct: +40
    max_duration_min: 5
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


def budget(*changes: tuple[str, str]) -> Budget:
    """Return the tests' budget, with words of it replaced."""
    text = BUDGET
    for old, new in changes:
        text = text.replace(old, new)
    return load_budget(text, "budget.yaml")
