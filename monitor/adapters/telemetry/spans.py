"""Spans around the four things the monitor does, and the trace context that travels in Kafka headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter
from opentelemetry.trace import Link, Span, SpanKind, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

Headers = Sequence[tuple[str, bytes]]
TRACE = "_trace"  # of an event that was read: the headers of the span that published it, for the effect it leads to

_PROPAGATOR = TraceContextTextMapPropagator()  # `traceparent` and `tracestate`, W3C Trace Context


class _HeaderGetter(Getter[Headers]):
    def get(self, carrier: Headers, key: str) -> list[str] | None:
        """Return the values of a header; one that is not ASCII is no trace context."""
        return [value.decode("ascii", "replace") for name, value in carrier if name.lower() == key] or None

    def keys(self, carrier: Headers) -> list[str]:
        """Return the names of all headers."""
        return [name for name, _ in carrier]


class _HeaderSetter(Setter[list[tuple[str, bytes]]]):
    def set(self, carrier: list[tuple[str, bytes]], key: str, value: str) -> None:
        """Put a header in place of an earlier one of that name."""
        carrier[:] = [(name, held) for name, held in carrier if name.lower() != key]
        carrier.append((key, value.encode("ascii")))


def extracted(headers: Headers) -> Context:
    """Return the trace context of a record's headers; an empty one where there is none or it is malformed."""
    return _PROPAGATOR.extract(headers, context=Context(), getter=_HeaderGetter())


def trace_of(headers: Headers) -> Headers:
    """Return the headers that hold a trace context."""
    return [(name, value) for name, value in headers if name.lower() in _PROPAGATOR.fields]


def injected(headers: Iterable[tuple[str, bytes]] = ()) -> list[tuple[str, bytes]]:
    """Return the headers with the current span's trace context added; unchanged where there is no span."""
    carrier = list(headers)
    _PROPAGATOR.inject(carrier, setter=_HeaderSetter())
    return carrier


class Spans:
    """One context manager per kind of work. Attributes are ids and counts, never content of requests."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def ingest_batch(self, topic: str, partition: int, count: int) -> Iterator[Span]:
        """Around decoding, folding and storing one batch of `count` records."""
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(partition),
            "messaging.batch.message_count": count,
        }
        with self._tracer.start_as_current_span(
            "ingest batch", kind=SpanKind.CONSUMER, attributes=attributes
        ) as span:
            yield span

    @contextmanager
    def tick(self, release: str, at_ms: int) -> Iterator[Span]:
        """Around the evaluation of one minute (its end, epoch milliseconds) of one release."""
        attributes: dict[str, AttributeValue] = {"rb.release": release, "rb.tick_ms": at_ms}
        with self._tracer.start_as_current_span("evaluation tick", attributes=attributes) as span:
            yield span

    @contextmanager
    def decision(self, kind: str, decision_id: str, release: str) -> Iterator[Span]:
        """Around recording and publishing one decision; `injected()` inside gives its headers."""
        attributes = _decision(kind, decision_id, release)
        with self._tracer.start_as_current_span(
            f"decision {kind}", kind=SpanKind.PRODUCER, attributes=attributes
        ) as span:
            yield span

    @contextmanager
    def effect(self, kind: str, decision_id: str, release: str, headers: Headers = ()) -> Iterator[Span]:
        """Around turning a flag or telling a person, as a child of the decision whose headers came along."""
        parent = extracted(headers)
        caused_by = get_current_span(parent).get_span_context()
        with self._tracer.start_as_current_span(
            f"effect {kind}",
            context=parent,
            kind=SpanKind.CLIENT,
            attributes=_decision(kind, decision_id, release),
            links=[Link(caused_by)] if caused_by.is_valid else [],
        ) as span:
            yield span


def _decision(kind: str, decision_id: str, release: str) -> dict[str, AttributeValue]:
    return {"rb.decision.type": kind, "rb.decision.id": decision_id, "rb.release": release}
