"""A range of a Kafka topic as a recording: read-only, without a group, its partitions merged by record time.

Written as a URL: `kafka://host:port/topic?from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z`, or with offsets
`kafka://host:port/topic?offsets=0:100-250,1:80-`. Without a host the configured servers are meant; who logs in,
and how, comes from the settings in any case.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.adapters.kafka.drain import drain_bare
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.recordings import RecordingBroken, RecordingUnreadable
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import SourceRecord
from monitor.wire.rfc3339 import parse_strictly

SCHEME: Final = "kafka://"
_FORM: Final = f"{SCHEME}host:port/topic?from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z"
_ASK_S: Final = 20.0
_SILENCE_S: Final = 30.0  # without a record although there must be one
_POLL_MS: Final = 500
_FETCH_RECORDS: Final = 2_000
_SPAN: Final = re.compile(r"(?P<partition>[0-9]{1,6}):(?P<first>[0-9]{0,18})-(?P<end>[0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class TopicRange:
    """What a URL asks for.

    Attributes:
        bootstrap: The servers it names; None where the settings' are meant.
        from_ms, to_ms: Record times, epoch milliseconds; from included, to not.
        offsets: First (None: the oldest) and end (not included; None: the newest) per partition; empty: all of them.
    """

    bootstrap: str | None
    topic: str
    from_ms: int | None = None
    to_ms: int | None = None
    offsets: Mapping[int, tuple[int | None, int | None]] = field(default_factory=dict)


class RangeRecord(NamedTuple):
    """One record of a range: which of its partitions, counted from 0; the record's own time; its value."""

    lane: int
    at_ms: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class RangeBatch:
    """Records in the order of their times, and the partitions that have no more after them."""

    records: list[RangeRecord]
    ended: tuple[int, ...] = ()


def topic_range(url: str) -> TopicRange:
    """Return what a URL asks for.

    Raises:
        RecordingUnreadable: It is no such URL; the message shows the form.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets without an address in them
        shown = f"{SCHEME}…{url.rpartition('@')[2].removeprefix(SCHEME)}" if "@" in url else url
        raise _refused(shown, f"is no address: {error}") from error
    topic = parts.path.removeprefix("/")
    if "@" in parts.netloc:
        shown = f"{SCHEME}…@{parts.netloc.rpartition('@')[2]}{parts.path}"  # a password goes into no log
        raise _refused(shown, "names a user; user and password come from ROLLBACK_BUDGET_KAFKA_*")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
        raise _refused(url, f"{topic!r} is no topic")
    given = _query(url, parts.query)
    if "offsets" in given and len(given) > 1:
        raise _refused(url, "give either times (from, to) or offsets")
    return TopicRange(
        bootstrap=parts.netloc or None,
        topic=topic,
        from_ms=_moment(url, "from", given.get("from")),
        to_ms=_moment(url, "to", given.get("to")),
        offsets=_offsets(url, given.get("offsets")),
    )


def _query(url: str, query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in ("from", "to", "offsets") or name in given or not value:
            raise _refused(url, f"{part!r} is not understood; known are from, to and offsets, each once")
        given[name] = unquote(value)
    return given


def _moment(url: str, name: str, text: str | None) -> int | None:
    if text is None:
        return None
    at_ms = int(text) if text.isascii() and text.isdecimal() else parse_strictly(text)
    if at_ms is None or at_ms < 0:
        raise _refused(
            url, f"{name}={text} is no moment; write RFC 3339 with an offset, or epoch milliseconds"
        )
    return at_ms


def _offsets(url: str, text: str | None) -> dict[int, tuple[int | None, int | None]]:
    spans: dict[int, tuple[int | None, int | None]] = {}
    for part in (text or "").split(",") if text else ():
        found = _SPAN.fullmatch(part)
        if found is None or int(found["partition"]) in spans:
            raise _refused(
                url, f"offsets={part} is not understood; write partition:first-end, such as 0:100-250,1:80-"
            )
        first, end = (int(found[name]) if found[name] else None for name in ("first", "end"))
        spans[int(found["partition"])] = (first, end)
    return spans


def _refused(url: str, why: str) -> RecordingUnreadable:
    return RecordingUnreadable(f"{url}: {why}; the form is {_FORM}")


class RangeReader:
    """Reads a range once, up to the ends that its partitions have at the start; nothing is committed anywhere."""

    def __init__(self, access: KafkaAccess, wanted: TopicRange) -> None:
        self._access = access
        self._wanted = wanted
        self._consumer = AIOKafkaConsumer(
            **access.client_options(), group_id=None, enable_auto_commit=False, auto_offset_reset="none"
        )
        self._ends: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._first = 0

    async def start(self) -> int:
        """Find the bounds and return how many partitions have records in them.

        Raises:
            LogUnreachable: No answer in time.
            RecordingUnreadable: No such topic or partition, or offsets that the log does not hold.
        """
        await bounded(self._consumer.start(), _ASK_S, f"connecting to {self._access.bootstrap}")
        drain_bare(self._consumer)
        raws = [TopicPartition(self._wanted.topic, number) for number in await self._numbers()]
        self._consumer.assign(raws)
        firsts = await self._ask(self._consumer.beginning_offsets(raws))
        ends = await self._ask(self._consumer.end_offsets(raws))
        for raw in raws:
            first, end = await self._bounds(raw, firsts[raw], ends[raw])
            if first < end:
                self._positions[raw], self._ends[raw] = first, end
        self._consumer.assign(list(self._ends))
        for raw, first in self._positions.items():
            self._consumer.seek(raw, first)
        self._first = sum(self._positions.values())
        return len(self._ends)

    @property
    def total(self) -> int:
        """Records of the range as offsets count them; compaction leaves gaps."""
        return sum(self._ends.values()) - self._first

    @property
    def done(self) -> int:
        """How many of these were fetched or stepped over."""
        return sum(min(at, self._ends[raw]) for raw, at in self._positions.items()) - self._first

    async def batches(self) -> AsyncIterator[RangeBatch]:
        """Yield the records, merged by their times as far as each partition's own order allows.

        Raises:
            LogUnreachable: No record came although the range is not at its end.
            RecordingBroken: Retention overtook the reading.
        """
        waiting: dict[int, deque[SourceRecord]] = {}
        raws = dict(enumerate(self._ends))
        while raws:
            hungry = {raws[index]: index for index in raws if not waiting.get(index)}
            if hungry:
                for raw, records in (await self._fetched(hungry)).items():
                    waiting[hungry[raw]] = deque(records)
            ended = tuple(index for raw, index in hungry.items() if not waiting[index] and self._is_over(raw))
            for index in ended:
                del raws[index], waiting[index]
            yield RangeBatch(merged(waiting) if all(waiting.values()) else [], ended)

    async def stop(self) -> None:
        """Leave, within bounds."""
        await stop_client(self._consumer)

    def _is_over(self, raw: TopicPartition) -> bool:
        return self._positions[raw] >= self._ends[raw]

    async def _fetched(
        self, hungry: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, list[SourceRecord]]:
        """Return records for each of these partitions; none only for one that is at its end."""
        found: dict[TopicPartition, list[SourceRecord]] = {raw: [] for raw in hungry}
        silent_polls = 0
        while needy := [raw for raw in hungry if not found[raw] and not self._is_over(raw)]:
            before = self.done
            for raw, records in (await self._polled(needy)).items():
                found[raw] = [record for record in records if record.offset < self._ends[raw]]
                self._positions[raw] = records[-1].offset + 1
            for raw in needy:  # behind the last record there may be only markers of transactions
                position = await bounded(self._consumer.position(raw), _ASK_S, f"position of {raw}")
                self._positions[raw] = max(self._positions[raw], int(position))
            silent_polls = 0 if self.done > before else silent_polls + 1
            if silent_polls * _POLL_MS > _SILENCE_S * 1000:
                raise LogUnreachable(f"{self._wanted.topic}: no record within {_SILENCE_S:g} s")
        return found

    async def _polled(self, raws: list[TopicPartition]) -> dict[TopicPartition, list[SourceRecord]]:
        try:
            batches: dict[TopicPartition, list[SourceRecord]] = await self._consumer.getmany(
                *raws, timeout_ms=_POLL_MS, max_records=_FETCH_RECORDS
            )
        except KafkaError as error:
            raise RecordingBroken(
                f"{self._wanted.topic}: reading broke off: {error!r}; replay it anew"
            ) from error
        return batches

    async def _bounds(self, raw: TopicPartition, oldest: int, newest: int) -> tuple[int, int]:
        wanted = self._wanted
        first, end = wanted.offsets.get(raw.partition, (None, None))
        for offset in (first, end):
            if offset is not None and not oldest <= offset <= newest:
                held = f"it holds {oldest} to {newest}"
                raise RecordingUnreadable(
                    f"{raw.topic}/{raw.partition}: offset {offset} is not in the log; {held}"
                )
        if wanted.from_ms is not None:
            first = await self._offset_at(raw, wanted.from_ms, newest)
        if wanted.to_ms is not None:
            end = await self._offset_at(raw, wanted.to_ms, newest)
        return oldest if first is None else first, newest if end is None else min(end, newest)

    async def _offset_at(self, raw: TopicPartition, at_ms: int, newest: int) -> int:
        found = await self._ask(self._consumer.offsets_for_times({raw: at_ms}))
        return newest if found.get(raw) is None else int(found[raw].offset)

    async def _numbers(self) -> list[int]:
        admin = AIOKafkaAdminClient(**self._access.client_options())
        try:
            await bounded(admin.start(), _ASK_S, f"connecting to {self._access.bootstrap}")
            (found,) = await self._ask(admin.describe_topics([self._wanted.topic]))
        finally:
            await stop_client(admin)
        numbers = sorted(int(one["partition"]) for one in found["partitions"])
        if found["error_code"] or not numbers:
            raise RecordingUnreadable(
                f"{self._wanted.topic} does not exist on {self._access.bootstrap}, or may not be read"
            )
        if strangers := sorted(set(self._wanted.offsets) - set(numbers)):
            there = f"it has 0 to {numbers[-1]}"
            raise RecordingUnreadable(f"{self._wanted.topic} has no partition {strangers[0]}; {there}")
        return sorted(self._wanted.offsets) or numbers

    async def _ask(self, call: Any) -> Any:
        return await bounded(call, _ASK_S, f"asking for the range of {self._wanted.topic}")


class Fetched(Protocol):
    """What of a fetched record counts here."""

    @property
    def timestamp(self) -> int:
        """The record's own time, epoch milliseconds."""

    @property
    def value(self) -> bytes | None:
        """Its payload; None for a tombstone."""


_Fetched = TypeVar("_Fetched", bound=Fetched)


def merged(waiting: Mapping[int, deque[_Fetched]]) -> list[RangeRecord]:
    """Return records in the order of their times until one partition's run out; partitions keep their own order."""
    heads = [(records[0].timestamp, index) for index, records in waiting.items()]
    heapify(heads)
    merged: list[RangeRecord] = []
    while heads:
        at_ms, index = heads[0]
        records = waiting[index]
        merged.append(RangeRecord(index, at_ms, records.popleft().value))
        if not records:
            break
        heapreplace(heads, (records[0].timestamp, index))
    return merged
