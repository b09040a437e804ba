"""OTLP as a service sends it: spans and log events of the OpenTelemetry SDK, encoded by its own exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

START_MS = 1_790_000_000_000
CHAT = "chat"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def trace_id(number: int) -> str:
    """Return a trace's id as the bridge names it."""
    return f"{_trace(number):032x}"


def _trace(number: int) -> int:
    return (0xA5 << 120) | (number + 1)


def _context(trace: int, span: int) -> SpanContext:
    return SpanContext(_trace(trace), span + 1, is_remote=False, trace_flags=_SAMPLED)


def span(
    trace: int,
    number: int,
    parent: int | None,
    at_ms: tuple[float, float],
    attributes: Mapping[str, Any],
    *,
    resource: Mapping[str, Any] | None = None,
    events: Sequence[Event] = (),
    failed: bool = False,
) -> ReadableSpan:
    """Return a finished span; times are milliseconds after `START_MS`."""
    start_ms, end_ms = at_ms
    return ReadableSpan(
        name=f"span {number}",
        context=_context(trace, number),
        parent=None if parent is None else _context(trace, parent),
        resource=Resource(dict(resource or {})),
        attributes=dict(attributes),
        events=events,
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=nanoseconds(start_ms),
        end_time=nanoseconds(end_ms),
    )


def nanoseconds(at_ms: float) -> int:
    """Return epoch nanoseconds of a moment after `START_MS`."""
    return START_MS * 1_000_000 + round(at_ms * 1_000_000)


def log(
    trace: int | None,
    at_ms: float,
    name: str,
    attributes: Mapping[str, Any],
    resource: Mapping[str, Any] | None = None,
) -> ReadableLogRecord:
    """Return a log event of a trace, or of none."""
    context = None if trace is None else set_span_in_context(NonRecordingSpan(_context(trace, 0)))
    record = LogRecord(
        timestamp=nanoseconds(at_ms),
        observed_timestamp=nanoseconds(at_ms),
        context=context,
        attributes=dict(attributes),
        event_name=name,
    )
    return ReadableLogRecord(record, Resource(dict(resource or {})))


def evaluation(trace: int | None, at_ms: float, name: str, **said: Any) -> ReadableLogRecord:
    """Return the result of an evaluation: `label="pass"`, `score=0.8`, and attributes of its own in `beside`."""
    attributes = {"gen_ai.evaluation.name": name, **said.pop("beside", {})}
    if "label" in said:
        attributes["gen_ai.evaluation.score.label"] = said["label"]
    if "score" in said:
        attributes["gen_ai.evaluation.score.value"] = said["score"]
    return log(trace, at_ms, "gen_ai.evaluation.result", attributes)


def spans_value(*spans: ReadableSpan) -> bytes:
    """Return the value of a record of the exporter's topic for spans."""
    return bytes(encode_spans(spans).SerializeToString())


def logs_value(*logs: ReadableLogRecord) -> bytes:
    """Return the value of a record of the exporter's topic for logs."""
    return bytes(encode_logs(logs).SerializeToString())


def request(
    number: int, *, at_ms: float = 0.0, release: str = "model-v42"
) -> tuple[ReadableSpan, ReadableSpan]:
    """Return the usual two spans: a request, and the model call in it, with a prompt nobody needs."""
    resource = {"service.name": "chat", "service.version": release, "host.name": "node-7"}
    root = span(
        number,
        0,
        None,
        (at_ms, at_ms + 900.0 + number % 100),
        {
            "http.request.method": "POST",
            "url.path": "/v1/chat",
            "rollback_budget.tenant": f"tenant-{number % 20:02d}",
            "rollback_budget.intent": f"intent.{number % 10}",
            "session.id": f"session {number}",
        },
        resource=resource,
    )
    model = span(
        number,
        1,
        0,
        (at_ms + 20.0, at_ms + 850.0),
        {
            "gen_ai.operation.name": CHAT,
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-5",
            "gen_ai.response.model": "gpt-5-2026-08-01",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 400 + number % 50,
            "gen_ai.usage.output_tokens": 120,
            "gen_ai.input.messages": "What is the refund policy? " * 8,
        },
        resource=resource,
    )
    return root, model
