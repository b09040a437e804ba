"""OTLP, as the collector's Kafka exporter writes it, into plain spans and events: protobuf, or its JSON form.

Only names that the mapping looks at are taken over: prompts and answers that spans may carry are never read. Walking
spans in Python is what a bridge's time goes into, so it is done once, and attributes are asked for their name first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from monitor.adapters.otlp.json_form import NotOtlpJson, is_json, read_json
from monitor.core.span import Event, Parts, Span, Value
from monitor.core.span_mapping import Wanted

_NO_TRACE: Final = b"\0" * 16
_NO_SPAN: Final = b"\0" * 8
_EVENT_NAME: Final = "event.name"  # where a log's event name stood before `LogRecord.event_name`
MAX_ATTRIBUTE_CHARS: Final = 1_024  # the longest text that any field could use has 128
MAX_LIST: Final = 64

Decoded = Mapping[str, Parts]
"""What a record has, by trace id in lower-case hexadecimal digits."""


def decode_spans(value: bytes | None, wanted: Wanted) -> Decoded | str:
    """Return the spans of a record and their events, or the reason why there are none."""
    if value is None:
        return "tombstone"
    request = ExportTraceServiceRequest()
    if not _is_read(value, request):
        return "not_otlp"
    found: dict[str, Parts] = {}
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes, wanted.resource)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if not _add_span(found, span, resource, wanted):
                    return "bad_trace_id"
    return found if found else "empty"


def decode_logs(value: bytes | None, wanted: Wanted) -> Decoded | str:
    """Return the events of a record that a mapping looks at; none for other logs, and for those of no trace."""
    if value is None:
        return "tombstone"
    request = ExportLogsServiceRequest()
    if not _is_read(value, request):
        return "not_otlp"
    found: dict[str, Parts] = {}
    logs = 0
    for resource_logs in request.resource_logs:
        resource = _attributes(resource_logs.resource.attributes, wanted.resource)
        for scope_logs in resource_logs.scope_logs:
            for log in scope_logs.log_records:
                logs += 1
                name = log.event_name or _named(log.attributes)
                if name in wanted.events and len(log.trace_id) == 16 and log.trace_id != _NO_TRACE:
                    at_ns = log.time_unix_nano or log.observed_time_unix_nano
                    held = _attributes(log.attributes, wanted.event_attributes)
                    _parts(found, log.trace_id).events.append(Event(name, at_ns, held, resource))
    return found if logs else "empty"


def _is_read(value: bytes, request: Message) -> bool:
    """Read a record into an empty request, in either form; False where it is none."""
    try:
        if is_json(value):
            read_json(value, request)
        else:
            request.ParseFromString(value)
    except (DecodeError, NotOtlpJson):
        return False
    return True


def _add_span(found: dict[str, Parts], span: Any, resource: Mapping[str, Value], wanted: Wanted) -> bool:
    trace_id, parent = span.trace_id, span.parent_span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return False
    parts = _parts(found, trace_id)
    held = _attributes(span.attributes, wanted.attributes)
    is_parentless = not parent or parent == _NO_SPAN
    parts.spans.append(
        Span(
            span.span_id.hex(),
            is_parentless,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code,
            held,
            resource,
        )
    )
    for event in span.events:
        if event.name in wanted.events:
            said = _attributes(event.attributes, wanted.event_attributes)
            parts.events.append(Event(event.name, event.time_unix_nano, said, resource))
    return True


def _parts(found: dict[str, Parts], trace_id: bytes) -> Parts:
    text = trace_id.hex()
    parts = found.get(text)
    if parts is None:
        parts = found[text] = Parts([], [])
    return parts


def _named(attributes: Any) -> str:
    for one in attributes:
        if one.key == _EVENT_NAME:
            return str(one.value.string_value)
    return ""


def _attributes(attributes: Any, names: frozenset[str]) -> Mapping[str, Value]:
    held: dict[str, Value] = {}
    for one in attributes:
        key = one.key
        if key in names:
            value = _value(one.value)
            if value is not None:
                held[key] = value
    return held


def _value(value: Any) -> Value | None:
    """Return a plain value; None for what has none: a map, bytes, a text longer than any field."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text: str = value.string_value
        return text if len(text) <= MAX_ATTRIBUTE_CHARS else None
    if kind in ("int_value", "double_value", "bool_value"):
        plain: Value = getattr(value, kind)
        return plain
    if kind == "array_value" and len(value.array_value.values) <= MAX_LIST:
        return tuple(one.string_value for one in value.array_value.values)
    return None
