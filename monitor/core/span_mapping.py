"""From a trace to the contract's facts about its request: for each field the first source that is there.

What does not fit the contract (a cohort's value that is too long, a negative cost) is left out of the event and
named, so that one odd attribute never costs a whole request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite
from typing import Any, Final

from monitor.core.event import MAX_AT_MS, MAX_LATENCY_MS
from monitor.core.ids import canonical_json
from monitor.core.span import Event, Span, Trace, Value
from monitor.core.span_sources import Entry, Evaluation, EventAttribute, Scaled, Source, Translated, text_of

Facts = dict[str, Any]
"""A trace event by the names of the contract, absent fields left out."""

Convert = Callable[[Value], object | None]
"""Returns a value as its field wants it; None where it does not fit."""

_TRUTHS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Field:
    """One fact of the contract and where it may stand.

    Attributes:
        into: The object it is an entry of: `cohort`, `outcomes`, `stage_ms`; empty for a field of its own.
        is_label: It may become known later: an `outcome` may carry it.
    """

    name: str
    sources: tuple[Source, ...]
    convert: Convert
    into: str = ""
    is_label: bool = False

    def read(self, trace: Trace, refused: list[str]) -> object | None:
        """Return the fact; None where no source has one that fits."""
        for source in self.sources:
            value = source.read(trace)
            if value is not None:
                fact = self.convert(value)
                if fact is not None:
                    return fact
                refused.append(self.path)
        return None

    @property
    def path(self) -> str:
        """Its name as people write it: `cohort.tenant`."""
        return f"{self.into}.{self.name}" if self.into else self.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """The names that a mapping looks at; nothing else is ever taken out of a record."""

    attributes: frozenset[str]
    resource: frozenset[str]
    events: frozenset[str]
    event_attributes: frozenset[str]


@dataclass(frozen=True, slots=True)
class SpanMapping:
    """A mapping as it is used.

    Attributes:
        name: Such as `otel-genai.v1`.
        marker: An attribute that only the request's span carries; None: it is the one without a parent.
        late: The labels, each with only those of its sources that are events: what may become known later.
        outcome_at: Where an event that names its release says when its request ended, epoch milliseconds.
    """

    name: str
    marker: str | None
    fields: tuple[Field, ...]
    late: tuple[Field, ...]
    outcome_at: tuple[Source, ...]
    wanted: Wanted


def request_id_of(trace_id: str) -> str:
    """Return the event id of a trace's request."""
    return f"otel-{trace_id}"


def request_of(mapping: SpanMapping, trace: Trace, refused: list[str]) -> Facts | str:
    """Return the trace event of a request, or the reason why there is none.

    Args:
        refused: Gets the path of every fact that was there and did not fit.
    """
    root = trace.root
    at_ms = root.end_ns // 1_000_000
    if root.end_ns <= 0 or root.end_ns < root.start_ns or at_ms > MAX_AT_MS:
        return "no_end"
    facts: Facts = {"event_id": request_id_of(trace.trace_id), "at": at_ms, "trace_id": trace.trace_id}
    for field in mapping.fields:
        if (fact := field.read(trace, refused)) is not None:
            _put(facts, field, fact)
    return facts if "release" in facts else "no_release"


def labels_of(mapping: SpanMapping, trace_id: str, event: Event) -> list[tuple[Field, object]]:
    """Return the labels that an event alone gives: what is known of a request after it was told of."""
    alone = Trace(trace_id, _named_by(event), (), (event,))
    return [(field, fact) for field in mapping.late if (fact := field.read(alone, [])) is not None]


def late_labels(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Return the labels that events can give, each with these sources alone."""
    kept = ((field, tuple(filter(reads_events, field.sources))) for field in fields if field.is_label)
    return tuple(replace(field, sources=sources) for field, sources in kept if sources)


def request_named_by(mapping: SpanMapping, trace_id: str, event: Event) -> Facts | None:
    """Return what an event says of its own request by its own attributes; None where it names no release.

    Its resource is not asked: it is the evaluator's, and not that of the service that answered.
    """
    trace = Trace(trace_id, _named_by(event), (), ())
    facts: Facts = {"at": event.time_ns // 1_000_000, "trace_id": trace_id}
    for source in mapping.outcome_at:
        value = source.read(trace)
        if isinstance(value, int) and 0 <= value <= MAX_AT_MS:
            facts["at"] = int(value)
            break
    for field in mapping.fields:
        if field.name in ("release", "traffic") or field.into == "cohort":
            if (fact := field.read(trace, [])) is not None:
                _put(facts, field, fact)
    return facts if "release" in facts else None


def outcome_of(base: Facts, labels: list[tuple[Field, object]]) -> Facts:
    """Return the `outcome` event that brings labels of a request; its id is derived from all that it says."""
    facts = {**base, "kind": "outcome"}
    for field, fact in labels:
        _put(facts, field, fact)
    said = canonical_json(["otel", facts])
    return {"event_id": sha256(said.encode()).hexdigest(), **facts}


def repeated_by_outcomes(facts: Facts) -> Facts:
    """Return what an `outcome` repeats of its request."""
    names = ("at", "trace_id", "release", "traffic", "request_id", "unit_id", "cohort")
    return {name: facts[name] for name in names if name in facts}


def said_by(facts: Facts, mapping: SpanMapping) -> set[str]:
    """Return the paths of the labels that an event already has."""
    return {
        field.path
        for field in mapping.fields
        if field.is_label and field.name in ((facts.get(field.into) or {}) if field.into else facts)
    }


def reads_events(source: Source) -> bool:
    """Tell whether a source reads events, and so may become known later."""
    if isinstance(source, Translated | Scaled | Entry):
        return reads_events(source.source)
    return isinstance(source, Evaluation | EventAttribute)


def _named_by(event: Event) -> Span:
    return Span("", True, event.time_ns, event.time_ns, 0, event.attributes, {})


def _put(facts: Facts, field: Field, fact: object) -> None:
    if field.into:
        entries = facts[field.into] = {**facts.get(field.into, {})}
        entries[field.name] = fact
    else:
        facts[field.name] = fact


def as_text(most: int) -> Convert:
    """Return what makes a text of at most so many characters."""

    def convert(value: Value) -> str | None:
        text = text_of(value)
        return text if text and len(text) <= most else None

    return convert


def as_choice(*allowed: str) -> Convert:
    """Return what lets only these texts through."""
    return lambda value: value if value in allowed else None


def as_truth(value: Value) -> bool | None:
    """Return true or false; also where they were written as texts."""
    return (
        value if isinstance(value, bool) else _TRUTHS.get(value.lower()) if isinstance(value, str) else None
    )


def as_number(most: float) -> Convert:
    """Return what lets numbers from 0 to `most` through."""

    def convert(value: Value) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if isfinite(value) and 0 <= value <= most else None

    return convert


def as_count(most: int) -> Convert:
    """Return what lets whole numbers from 0 to `most` through."""

    def convert(value: Value) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return None
        return int(value) if value == int(value) and 0 <= value <= most else None

    return convert


def as_hashed(value: Value) -> str | None:
    """Return the SHA-256 of a text: users and sessions are told apart and not named."""
    text = text_of(value)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else None


as_milliseconds: Final = as_number(MAX_LATENCY_MS)
