"""Joins what belongs to one trace, in a window of the records' own time: no clock, no broker, no bytes.

A trace's request is told of when the log has moved the window past the record of its root span. Which records belong
to it is a matter of their stamps alone: in whichever order partitions were read, in whichever batches, and however
often a record comes, the same events come out. What an evaluation says after that is an `outcome` event.

A place in the log is held from when its record was read until all that came of it is acknowledged; where reading may go
on after a crash is the first place of a partition that is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final, NamedTuple

from monitor.core.span import Event, Parts, Span, Trace, is_root, root_of
from monitor.core.span_mapping import (
    Facts,
    SpanMapping,
    labels_of,
    outcome_of,
    repeated_by_outcomes,
    request_id_of,
    request_named_by,
    request_of,
    said_by,
)
from monitor.core.span_sources import EVALUATION_EVENT, EVALUATION_NAME
from monitor.engine.ports import Partition

MAX_SPANS: Final = 1_000  # of one trace: more is an agent that never ends, or an id used twice
MAX_EVENTS: Final = 256
_SAMPLE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class JoinLimits:
    """How long is waited, and how much is held.

    Attributes:
        window_ms: How long after the record of the root span others are waited for.
        root_wait_ms: How long after a trace's first record its root is waited for: a span is sent when it ends, and the
            root ends last. Both bound how long a place is held, and so what is read again after a crash.
        max_traces: Open at a time.
        max_remembered: Requests that late labels are still known to belong to.
    """

    window_ms: int = 30_000
    root_wait_ms: int = 90_000
    max_traces: int = 50_000
    max_remembered: int = 100_000


class Place(NamedTuple):
    """Where a record stands."""

    partition: Partition
    offset: int


class Outgoing(NamedTuple):
    """One event of the traces topic; its key is the trace's id."""

    trace_id: str
    facts: Facts


class Batch(NamedTuple):
    """Events to be sent, and the places that are free when all of them are acknowledged."""

    events: list[Outgoing]
    places: list[Place]


class Counts:
    """What was counted, by name, and the newest example of each."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self.samples: dict[str, str] = {}

    def add(self, name: str, count: int = 1, sample: str = "") -> None:
        """Count something."""
        self.of[name] = self.of.get(name, 0) + count
        if sample:
            self.samples[name] = sample[:_SAMPLE_CHARS]


@dataclass(slots=True)
class _Open:
    """A trace of which more may come. Spans and events have the stamp of the earliest record that brought them."""

    first_ms: int
    root_ms: int | None = None
    spans: dict[str, tuple[int, Span]] = field(default_factory=dict)
    events: dict[tuple[int, str, str], tuple[int, Event]] = field(default_factory=dict)
    places: set[Place] = field(default_factory=set)


@dataclass(slots=True)
class _Told:
    """A request that was told of: what outcomes repeat of it, and the labels it has."""

    base: Facts
    said: set[str]


class _Late(NamedTuple):
    """An event that came after its trace was told of; judged in the order of stamps, whichever partition it came by."""

    stamp_ms: int
    order: tuple[int, str, str]
    trace_id: str
    number: int  # so that events themselves are never compared
    event: Event
    places: tuple[Place, ...]


class SpanJoin:
    """The open traces and the remembered requests of one bridge."""

    def __init__(self, mapping: SpanMapping, limits: JoinLimits) -> None:
        self._mapping, self._limits = mapping, limits
        self._open: dict[str, _Open] = {}
        self._due: list[tuple[int, str]] = []
        self._told: dict[str, _Told] = {}
        self._late: list[_Late] = []
        self._numbers = count()
        self._positions: dict[Partition, int] = {}
        self._held: dict[Partition, dict[int, int]] = {}
        self._events: list[Outgoing] = []
        self._places: list[Place] = []
        self.counts = Counts()

    @property
    def open_count(self) -> int:
        """How many traces wait for more."""
        return len(self._open)

    def add(self, place: Place, stamp_ms: int, traces: Mapping[str, Parts]) -> None:
        """Take in a record; those of a partition come in the order of their offsets.

        Args:
            stamp_ms: The record's own time.
            traces: What it holds; empty for a record that is of no use.
        """
        self._positions[place.partition] = place.offset + 1
        for trace_id, parts in traces.items():
            if trace_id not in self._told:
                self._keep(trace_id, place, stamp_ms, parts)
                continue
            if parts.spans:
                self.counts.add("late_spans", len(parts.spans), f"trace {trace_id}")
            for event in parts.events:
                self._hold(place)
                self._put_late(stamp_ms, trace_id, event, (place,))
        while len(self._open) > self._limits.max_traces:
            oldest = next(iter(self._open))
            self.counts.add("closed_early", 1, f"trace {oldest}")
            self._close(oldest)
        while len(self._late) > self._limits.max_traces:
            self._tell_late(heappop(self._late))

    def _keep(self, trace_id: str, place: Place, stamp_ms: int, parts: Parts) -> None:
        trace = self._open.get(trace_id)
        if trace is None:
            trace = self._open[trace_id] = _Open(stamp_ms)
            heappush(self._due, (stamp_ms + self._limits.root_wait_ms, trace_id))
        trace.first_ms = min(trace.first_ms, stamp_ms)
        if place not in trace.places:
            trace.places.add(place)
            self._hold(place)
        for span in parts.spans:
            self._keep_span(trace_id, trace, stamp_ms, span)
        for event in parts.events:
            order = event.order
            known = trace.events.get(order)
            if known is None and len(trace.events) >= MAX_EVENTS:
                self.counts.add("events_over", 1, f"trace {trace_id}")
            elif known is None or stamp_ms < known[0]:
                trace.events[order] = (stamp_ms, event)

    def _keep_span(self, trace_id: str, trace: _Open, stamp_ms: int, span: Span) -> None:
        may_be_root = is_root(span, self._mapping.marker)
        known = trace.spans.get(span.span_id)
        if known is None and len(trace.spans) >= MAX_SPANS and not may_be_root:
            self.counts.add("spans_over", 1, f"trace {trace_id}")
            return
        if known is None or stamp_ms < known[0]:
            trace.spans[span.span_id] = (stamp_ms, span)
        if may_be_root and (trace.root_ms is None or stamp_ms < trace.root_ms):
            trace.root_ms = stamp_ms
            heappush(self._due, (stamp_ms + self._limits.window_ms, trace_id))

    def close(self, watermark_ms: int) -> None:
        """Tell of the traces whose window is over.

        Args:
            watermark_ms: Every record with an earlier stamp has been taken in.
        """
        while self._due and self._due[0][0] < watermark_ms:
            due_ms, trace_id = heappop(self._due)
            trace = self._open.get(trace_id)
            if trace is not None and due_ms == self._deadline(trace):
                self._close(trace_id)
            elif trace is not None and trace.root_ms is None and self._deadline(trace) < watermark_ms:
                self._close(trace_id)  # an earlier record of it was read later
        while self._late and self._late[0].stamp_ms < watermark_ms:
            self._tell_late(heappop(self._late))

    def close_all(self) -> None:
        """Tell of everything: the input has ended."""
        for trace_id in list(self._open):
            self._close(trace_id)
        while self._late:
            self._tell_late(heappop(self._late))

    def _deadline(self, trace: _Open) -> int:
        if trace.root_ms is None:
            return trace.first_ms + self._limits.root_wait_ms
        return trace.root_ms + self._limits.window_ms

    def _close(self, trace_id: str) -> None:
        trace = self._open.pop(trace_id)
        deadline = self._deadline(trace)
        spans = [span for stamp_ms, span in trace.spans.values() if stamp_ms <= deadline]
        events = sorted(trace.events.values(), key=lambda one: one[1].order)
        late = [one for one in events if one[0] > deadline]
        root = root_of(spans, self._mapping.marker)
        if root is None:
            if trace.spans:
                self.counts.add("no_root", 1, f"trace {trace_id}, {len(trace.spans)} spans")
            late = events
        else:
            if len(spans) < len(trace.spans):
                self.counts.add("late_spans", len(trace.spans) - len(spans), f"trace {trace_id}")
            spans.sort(key=lambda span: span.order)
            in_time = [event for stamp_ms, event in events if stamp_ms <= deadline]
            self._tell(Trace(trace_id, root, spans, in_time))
        places = tuple(trace.places)
        for stamp_ms, event in sorted(late, key=lambda one: (-one[0], one[1].order)):
            self._put_late(stamp_ms, trace_id, event, places)  # the last to be judged frees the places
            places = ()
        self._places.extend(places)

    def _put_late(self, stamp_ms: int, trace_id: str, event: Event, places: tuple[Place, ...]) -> None:
        heappush(self._late, _Late(stamp_ms, event.order, trace_id, next(self._numbers), event, places))

    def _tell(self, trace: Trace) -> None:
        refused: list[str] = []
        facts = request_of(self._mapping, trace, refused)
        for path in dict.fromkeys(refused):
            self.counts.add(f"refused:{path}", 1, f"trace {trace.trace_id}")
        for event in trace.events:
            if event.name == EVALUATION_EVENT and not labels_of(self._mapping, trace.trace_id, event):
                name = event.attributes.get(EVALUATION_NAME, "")
                self.counts.add("evaluation_without_label", 1, f"trace {trace.trace_id}, {name}")
        if isinstance(facts, str):
            self.counts.add(facts, 1, f"trace {trace.trace_id}")
            return
        self.counts.add("requests")
        self._events.append(Outgoing(trace.trace_id, facts))
        self._remember(trace.trace_id, facts)

    def recall(self, facts: Facts) -> None:
        """Take note of an event that is on the traces topic: what was told of is not told again, and is remembered."""
        trace_id = facts.get("trace_id")
        if not isinstance(trace_id, str):
            return
        told = self._told.get(trace_id)
        if told is not None:
            told.said |= said_by(facts, self._mapping)
        elif facts.get("event_id") == request_id_of(trace_id):
            self._remember(trace_id, facts)

    def _remember(self, trace_id: str, facts: Facts) -> None:
        self._told[trace_id] = _Told(repeated_by_outcomes(facts), said_by(facts, self._mapping))
        if len(self._told) > self._limits.max_remembered:
            self._told.pop(next(iter(self._told)))
            self.counts.add("forgotten")

    def _tell_late(self, late: _Late) -> None:
        self._places.extend(late.places)
        event, trace_id = late.event, late.trace_id
        labels = labels_of(self._mapping, trace_id, event)
        name = event.attributes.get(EVALUATION_NAME, "") if event.name == EVALUATION_EVENT else ""
        sample = f"trace {trace_id}, {event.name} {name}".rstrip()
        told = self._told.get(trace_id)
        base = request_named_by(self._mapping, trace_id, event) if told is None else told.base
        if told is not None:
            fresh = [(field, fact) for field, fact in labels if field.path not in told.said]
            if labels and not fresh:
                self.counts.add("labelled_before", 1, sample)
                return
            labels = fresh
            told.said.update(field.path for field, _ in labels)
        if not labels:
            self.counts.add("late_without_label", 1, sample)
        elif base is None:
            self.counts.add("unmatched", 1, sample)
        else:
            self.counts.add("outcomes")
            self._events.append(Outgoing(trace_id, outcome_of(base, labels)))

    def take(self) -> Batch:
        """Return what is to be sent since the last call."""
        batch = Batch(self._events, self._places)
        self._events, self._places = [], []
        return batch

    def acknowledged(self, batch: Batch) -> None:
        """Free the places of a batch: all that came of them is on the traces topic."""
        for partition, offset in batch.places:
            held = self._held.get(partition, {})
            left = held.get(offset, 0) - 1
            if left > 0:
                held[offset] = left
            else:
                held.pop(offset, None)

    def safe_offsets(self) -> dict[Partition, int]:
        """Return, per partition, where reading may go on after a crash without losing anything."""
        return {
            partition: next(iter(self._held.get(partition, ())), position)
            for partition, position in self._positions.items()
        }

    def forget_places(self) -> None:
        """Drop all that is open: its records are read again, from where was committed. Told requests stay known."""
        assert not self._events, "what was told of is sent before anything is forgotten"
        self._open.clear()
        self._due.clear()
        self._late.clear()
        self._positions.clear()
        self._held.clear()
        self._places = []

    def _hold(self, place: Place) -> None:
        held = self._held.setdefault(place.partition, {})
        held[place.offset] = held.get(place.offset, 0) + 1
