"""What the monitor puts on its topics about a test's releases, as consumers read it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.ledger import ledger_entry
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import (
    DEAD_LETTERS,
    DECISIONS,
    EVAL_DEBT,
    LEDGER,
    PAGES,
    REQUESTS,
    product_topics,
)
from monitor.core.decision import Type
from monitor.engine.ports import LedgerEntry, Record
from monitor.wire.cloudevent import from_binary
from tests.integration.workers import WAIT_S

_TOPICS = (DECISIONS, REQUESTS, PAGES, EVAL_DEBT, LEDGER, DEAD_LETTERS)


@dataclass(frozen=True)
class Said:
    """One event of the monitor as consumers read it."""

    topic: str
    type: str
    id: str
    release: str
    at_ms: int
    data: Mapping[str, Any]

    def field(self, name: str) -> Any:
        """Return a field of its data."""
        return self.data.get(name)


@dataclass
class Heard:
    """All that the monitor has put on its topics about a stage's releases, in the order it was read."""

    access: KafkaAccess
    prefix: str
    said: list[Said] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    _consumer: AIOKafkaConsumer | None = None

    async def start(self) -> Heard:
        """Begin at the first record of every topic."""
        consumer = AIOKafkaConsumer(
            **self.access.client_options(), auto_offset_reset="earliest", enable_auto_commit=False
        )
        await bounded(consumer.start(), WAIT_S, "the reader of the outputs")
        topics = {t.name: t.partitions for t in product_topics()}
        consumer.assign([TopicPartition(name, number) for name in _TOPICS for number in range(topics[name])])
        self._consumer = consumer
        return self

    async def stop(self) -> None:
        """Leave."""
        if self._consumer is not None:
            await stop_client(self._consumer)

    async def listen(self, timeout_ms: int = 100) -> None:
        """Take in what is there, waiting a moment for the first."""
        assert self._consumer is not None, "start() first"
        for records in (await self._consumer.getmany(timeout_ms=timeout_ms)).values():
            for record in records:
                self._take(record)

    async def until(self, holds: Callable[[Heard], bool], what: str, wait_s: float = WAIT_S) -> None:
        """Listen until a condition holds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while not holds(self):
            assert loop.time() < deadline, f"not within {wait_s:g} s: {what}; {self.story()}"
            await self.listen()

    async def to_end(self) -> None:
        """Take in everything that is there now."""
        assert self._consumer is not None, "start() first"
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        while any([await self._consumer.position(one) < end for one, end in ends.items()]):
            await self.listen()

    def story(self) -> str:
        """Return what is on record, oldest first: for a person who asks why something did not happen."""
        lines = [
            f"{one.decision.release} {one.decision.type.value} after {one.after_tick}: "
            f"{one.decision.data.get('summary')}"
            for one in self.entries
        ]
        return "\n  ".join([f"heard {self.counts()}; on record:", *lines[-60:]])

    def counts(self) -> Counter[str]:
        """Return how many events there are of each type."""
        return Counter(one.type for one in self.said)

    def of(self, type_: Type, release: str | None = None) -> list[Said]:
        """Return the events of a type, of one release or of all, without repeats."""
        found = {one.id: one for one in self.said if one.type == type_.value}
        return [one for one in found.values() if release in (None, one.release)]

    def entry(self, type_: Type, release: str) -> list[LedgerEntry]:
        """Return a release's ledger entries of a type."""
        return [
            one for one in self.entries
            if one.decision.type is type_ and one.decision.release == release
        ]  # fmt: skip

    def _take(self, raw: Any) -> None:
        if raw.topic == DEAD_LETTERS:
            letter = json.loads(raw.value)
            if letter["source_topic"].startswith(self.prefix):
                self.letters.append(letter)
        elif raw.topic == LEDGER:
            entry = ledger_entry(Record(raw.topic, raw.partition, raw.offset, raw.timestamp, None, raw.value))
            assert not isinstance(entry, str), entry
            if entry.decision.release.startswith(self.prefix):
                self.entries.append(entry)
        else:
            event = from_binary(raw.value, raw.headers)
            if event.subject.startswith(self.prefix):
                said = Said(raw.topic, event.name, event.id, event.subject, event.time_ms, event.data)
                self.said.append(said)
