"""The hot path's decoder: one record of the traces topic into an observation, or the reason it is a dead letter.

Three steps, each asked only where the one before could not accept:

1. *exact*: one msgspec decode that forbids unknown fields. All values then have known types, so msgspec itself
   has proved UTF-8, JSON, surrogates, ranges and depth: nothing else needs to be looked at.
2. *tolerant*: unknown fields, and nulls where a field has a default. msgspec skips unknown fields without
   looking at them (bad UTF-8, an overflowing float and any depth pass), so the whole text is decoded once
   without types as proof, and brackets are counted.
3. *reference*: `monitor.wire.trace_event`, the pydantic model. It alone gives reasons, and it accepts the few
   inputs msgspec cannot (a duplicated key whose first value does not fit, a leap second, huge unknown integers).

So a decoder's verdict can differ from the contract's only by accepting too much in step 1 or 2; the
differential property test looks for exactly that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from monitor.core.event import (
    HIGH_SEVERITIES,
    MAX_AT_MS,
    MAX_LATENCY_MS,
    rate_value,
    size_of,
    whole_us,
)
from monitor.wire.json_text import MAX_DEPTH, MAX_RECORD_BYTES
from monitor.wire.rejection import Rejection
from monitor.wire.rfc3339 import parse
from monitor.wire.trace_event import (
    MAX_COHORT_TEXT,
    MAX_COST_USD,
    MAX_EVENT_ID,
    MAX_FAILURE_CLASS,
    MAX_INT,
    MAX_KEYS,
    MAX_REFERENCE,
    MAX_RELEASE,
    TraceEvent,
    read_trace_event,
)

if TYPE_CHECKING:
    _At = int  # what it is once `decode` has returned the record
else:
    _At = Annotated[int, Meta(ge=0, le=MAX_AT_MS)] | str

_Reference = Annotated[str, Meta(max_length=MAX_REFERENCE)]
_CohortText = Annotated[str, Meta(max_length=MAX_COHORT_TEXT)]
_Milliseconds = Annotated[float, Meta(ge=0, le=MAX_LATENCY_MS)]
_TokenCount = Annotated[int, Meta(ge=0, le=MAX_INT)]


class TraceRecord(msgspec.Struct, kw_only=True, gc=False):
    """A trace event as decoded: an `Observation` without a copy.

    gc=False: it holds strings, numbers and flat dicts only, so no cycle can go through it. Fields keep the
    contract's names and units; what is derived from them is computed when asked for.
    """

    event_id: Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID)]
    at_ms: _At = msgspec.field(name="at")
    release: Annotated[str, Meta(min_length=1, max_length=MAX_RELEASE)]
    kind: Literal["request", "outcome"] = "request"
    traffic: Literal["live", "shadow", "rehearsal"] = "live"
    status: Literal["ok", "error", "timeout"] = "ok"
    request_id: _Reference | None = None
    trace_id: _Reference | None = None
    unit_id: _Reference | None = None
    cohort: Annotated[dict[_CohortText, _CohortText], Meta(max_length=MAX_KEYS)] | None = None
    task_success: bool | None = None
    parse_failure: bool | None = None
    citation_valid: bool | None = None
    refusal: bool | None = None
    abstained: bool | None = None
    human_handoff: bool | None = None
    user_retry: bool | None = None
    tool_success: bool | None = None
    fallback_used: bool | None = None
    outcomes: Annotated[dict[str, bool], Meta(max_length=MAX_KEYS)] | None = None
    incident_severity: Literal["low", "medium", "high", "critical"] | None = None
    failure_class: Annotated[str, Meta(max_length=MAX_FAILURE_CLASS)] | None = None
    latency_ms: _Milliseconds | None = None
    stage_ms: Annotated[dict[str, _Milliseconds], Meta(max_length=MAX_KEYS)] | None = None
    cost_usd: Annotated[float, Meta(ge=0, le=MAX_COST_USD)] | None = None
    tokens_in: _TokenCount | None = None
    tokens_out: _TokenCount | None = None

    @property
    def is_outcome(self) -> bool:
        """True where it only brings labels of a request told of before."""
        return self.kind == "outcome"

    @property
    def is_high_severity(self) -> bool:
        """True for an incident that counts as one."""
        return self.incident_severity in HIGH_SEVERITIES

    def labels(self) -> tuple[bool | None, ...]:
        """Return the labels in the order of `core.indicator.LABELS`."""
        return (
            self.task_success,
            self.parse_failure,
            self.citation_valid,
            self.refusal,
            self.abstained,
            self.human_handoff,
            self.user_retry,
            self.tool_success,
            self.fallback_used,
        )

    def shape(self) -> tuple[str | bool | None, ...]:
        """Return release, kind, traffic, incident severity and status, and the labels as `labels` has them."""
        return (
            self.release,
            self.kind,
            self.traffic,
            self.incident_severity,
            self.status,
            self.task_success,
            self.parse_failure,
            self.citation_valid,
            self.refusal,
            self.abstained,
            self.human_handoff,
            self.user_retry,
            self.tool_success,
            self.fallback_used,
        )

    @property
    def latency_us(self) -> int | None:
        """End to end, whole microseconds."""
        latency_ms = self.latency_ms
        return (
            None if latency_ms is None else round(latency_ms * 1_000)
        )  # `whole_us`, written out: every request

    def stage_us(self, stage: str) -> int | None:
        """Return one stage's time, whole microseconds."""
        stage_ms = None if self.stage_ms is None else self.stage_ms.get(stage)
        return None if stage_ms is None else whole_us(stage_ms)

    @property
    def cost_microusd(self) -> int | None:
        """Cost, whole millionths of a dollar."""
        cost_usd = self.cost_usd
        return None if cost_usd is None else round(cost_usd * 1_000_000)  # `whole_microusd`, written out

    @property
    def tokens(self) -> int | None:
        """Tokens in and out together; None unless both are known."""
        if self.tokens_in is None or self.tokens_out is None:
            return None
        return self.tokens_in + self.tokens_out

    def rate_value(self, source: str) -> bool | None:
        """Return what a rate's source says about this request."""
        return rate_value(self, source)

    def size_of(self, source: str) -> int | None:
        """Return the request's size in a distribution."""
        return size_of(self, source)


class _Exact(TraceRecord, kw_only=True, gc=False, forbid_unknown_fields=True):
    """The common form: nothing but known fields."""


class _Tolerant(TraceRecord, kw_only=True, gc=False):
    """The form with unknown fields, or with nulls where a field has a default.

    The three nulls become their defaults before anybody else sees the record.
    """

    kind: Literal["request", "outcome"] | None = "request"  # type: ignore[assignment]  # wider while decoding
    traffic: Literal["live", "shadow", "rehearsal"] | None = "live"  # type: ignore[assignment]
    status: Literal["ok", "error", "timeout"] | None = "ok"  # type: ignore[assignment]


_decode_exact: Final = msgspec.json.Decoder(_Exact).decode
_decode_tolerant: Final = msgspec.json.Decoder(_Tolerant).decode
_decode_untyped: Final = msgspec.json.Decoder().decode
# msgspec lets UnicodeDecodeError (a ValueError) and RecursionError through beside its own errors.
_FAILURES: Final = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


def decode(value: bytes | None) -> TraceRecord | str:
    """Return the observation a record's value holds, or the reason why it is a dead letter.

    Never raises, whatever the bytes. Reasons are those of `monitor.wire.rejection`.

    Args:
        value: A Kafka record's value (None is a tombstone) or one line of a file.
    """
    if value is None or len(value) > MAX_RECORD_BYTES:
        return _reference(value)
    try:
        record = _decode_exact(value)
    except _FAILURES:
        return _with_unknown_fields(value)
    return record if record.at_ms.__class__ is int else _with_moment(record, value)


def _with_moment(record: TraceRecord, value: bytes) -> TraceRecord | str:
    at_ms = parse(record.at_ms)  # type: ignore[arg-type]  # still the string it was sent as
    if at_ms is None or not 0 <= at_ms <= MAX_AT_MS:
        return _reference(value)
    record.at_ms = at_ms
    return record


def _with_unknown_fields(value: bytes) -> TraceRecord | str:
    if value.count(b"{") + value.count(b"[") > MAX_DEPTH:
        return _reference(value)  # perhaps too deep: only the reference tells brackets in strings apart
    try:
        _decode_untyped(value)
        record = _decode_tolerant(value)
    except _FAILURES:
        return _reference(value)
    record.kind = record.kind or "request"
    record.traffic = record.traffic or "live"
    record.status = record.status or "ok"
    return record if record.at_ms.__class__ is int else _with_moment(record, value)


def _reference(value: bytes | None) -> TraceRecord | str:
    event = read_trace_event(value)
    return event.reason if isinstance(event, Rejection) else _record(event)


_FIELDS: Final = tuple(name for name in TraceEvent.model_fields if name != "at")


def _record(event: TraceEvent) -> TraceRecord:
    return TraceRecord(at_ms=event.at, **{name: getattr(event, name) for name in _FIELDS})
