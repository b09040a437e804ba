"""What OpenTelemetry tells of one trace, as plain values: spans, events, and the facts of a request made of them.

Named tuples and not dataclasses: one is made for every span and event that comes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Value = str | bool | int | float | tuple[str, ...]
Attributes = Mapping[str, Value]

STATUS_ERROR = 2  # Status.STATUS_CODE_ERROR of OTLP


class Event(NamedTuple):
    """A log event, or an event of a span.

    Attributes:
        name: Such as `gen_ai.evaluation.result`.
        time_ns: When it happened, epoch nanoseconds.
    """

    name: str
    time_ns: int
    attributes: Attributes
    resource: Attributes

    @property
    def order(self) -> tuple[int, str, str]:
        """What sorts events the same way, in whichever order they came; equal where one is the other's repeat."""
        return self.time_ns, self.name, repr(sorted(self.attributes.items()))


class Span(NamedTuple):
    """One operation of a request; times are epoch nanoseconds."""

    span_id: str
    is_parentless: bool
    start_ns: int
    end_ns: int
    status: int
    attributes: Attributes
    resource: Attributes

    @property
    def order(self) -> tuple[int, str]:
        """What sorts spans the same way, in whichever order they came."""
        return self.start_ns, self.span_id


class Parts(NamedTuple):
    """What one record has of one trace."""

    spans: list[Span]
    events: list[Event]


class Trace(NamedTuple):
    """One trace with its root; spans and events in their order."""

    trace_id: str
    root: Span
    spans: Sequence[Span]
    events: Sequence[Event]


def root_of(spans: Iterable[Span], marker: str | None) -> Span | None:
    """Return the span that is the request: the earliest that carries the marker, else the earliest without a parent.

    Args:
        marker: An attribute that only the request's span carries; None where it is the one without a parent.
    """
    ordered = sorted(spans, key=lambda span: span.order)
    marked = (span for span in ordered if marker is not None and marker in span.attributes)
    return next(marked, None) or next((span for span in ordered if span.is_parentless), None)


def is_root(span: Span, marker: str | None) -> bool:
    """Tell whether a span may be the request."""
    return span.is_parentless or (marker is not None and marker in span.attributes)


def covered_ns(spans: Iterable[Span]) -> int:
    """Return for how long at least one of these spans ran: what runs side by side, or in another, counts once."""
    covered = end = 0
    for span in sorted(spans, key=lambda span: span.order):
        covered += max(0, span.end_ns - max(span.start_ns, end))
        end = max(end, span.end_ns)
    return covered
