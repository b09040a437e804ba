"""OTLP of the SDK's own encoder comes out as plain spans and events, and nothing that no mapping looks at."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Event

from benchmarks.otlp_payloads import (
    START_MS,
    evaluation,
    log,
    logs_value,
    nanoseconds,
    request,
    span,
    spans_value,
    trace_id,
)
from monitor.adapters.otlp.decode import Decoded, decode_logs, decode_spans
from monitor.config.mapping_file import load_mapping

WANTED = load_mapping("otel-genai.v1").wanted


def found(decoded: Decoded | str) -> Decoded:
    assert not isinstance(decoded, str), decoded
    return decoded


def test_spans_come_with_times_status_parent_and_the_attributes_that_are_wanted() -> None:
    root, model = request(3)
    decoded = found(decode_spans(spans_value(root, model, span(4, 0, None, (1, 2), {}, failed=True)), WANTED))
    assert set(decoded) == {trace_id(3), trace_id(4)}
    first, second = decoded[trace_id(3)].spans
    assert (first.is_parentless, second.is_parentless) == (True, False)
    assert (first.start_ns, first.end_ns) == (START_MS * 1_000_000, nanoseconds(903))
    assert first.resource == {"service.version": "model-v42"}
    assert second.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.usage.input_tokens": 403,
        "gen_ai.usage.output_tokens": 120,
    }, "neither the prompt nor the model's name"
    assert [one.status for one in decoded[trace_id(4)].spans] == [2]


def test_values_keep_their_types_and_what_is_too_long_is_left_out() -> None:
    said = {
        "rollback_budget.cost_usd": 0.25,
        "rollback_budget.task_success": False,
        "rollback_budget.tenant": "x" * 2_000,
        "rollback_budget.intent": ("a", "b"),
    }
    (one,) = found(decode_spans(spans_value(span(1, 0, None, (0, 1), said)), WANTED))[trace_id(1)].spans
    assert one.attributes == {
        "rollback_budget.cost_usd": 0.25,
        "rollback_budget.task_success": False,
        "rollback_budget.intent": ("a", "b"),
    }


def test_events_of_spans_and_logs_are_alike() -> None:
    said = {"gen_ai.evaluation.name": "task_success", "gen_ai.evaluation.score.label": "pass"}
    event = Event("gen_ai.evaluation.result", said, timestamp=nanoseconds(5))
    other = Event("exception", {"exception.message": "no"}, timestamp=nanoseconds(5))
    by_span = found(decode_spans(spans_value(span(1, 0, None, (0, 9), {}, events=[event, other])), WANTED))
    by_log = found(decode_logs(logs_value(evaluation(1, 5, "task_success", label="pass")), WANTED))
    assert by_span[trace_id(1)].events == by_log[trace_id(1)].events
    assert by_log[trace_id(1)].events[0].attributes == said


def test_the_old_place_of_an_events_name_is_read_too() -> None:
    said = {"event.name": "gen_ai.evaluation.result", "gen_ai.evaluation.name": "task_success"}
    decoded = found(decode_logs(logs_value(log(1, 5, "", said)), WANTED))
    assert [event.name for event in decoded[trace_id(1)].events] == ["gen_ai.evaluation.result"]


def test_other_logs_and_logs_of_no_trace_are_nothing_and_no_fault() -> None:
    others = logs_value(log(1, 5, "app.started", {}), evaluation(None, 5, "task_success", label="pass"))
    assert decode_logs(others, WANTED) == {}


def as_json(value: bytes, request: Message) -> bytes:
    """Return a record in OTLP's JSON form: protobuf's own, and ids in hexadecimal digits."""
    request.ParseFromString(value)

    def with_digits(found: dict[str, Any]) -> dict[str, Any]:
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in found:
                found[name] = b64decode(found[name]).hex()
        return found

    return json.dumps(json.loads(MessageToJson(request), object_hook=with_digits)).encode()


def test_the_json_form_says_the_same_as_protobuf() -> None:
    said: dict[str, Any] = {"gen_ai.evaluation.name": "task_success", "gen_ai.evaluation.score.value": 0.5}
    event = Event("gen_ai.evaluation.result", said, timestamp=nanoseconds(5))
    others = {
        "rollback_budget.cost_usd": 0.25,
        "rollback_budget.task_success": False,
        "x": b"\x00",
        "y": ("a", "b"),
    }
    spans = spans_value(*request(3), span(4, 0, None, (1, 2), others, failed=True, events=[event]))
    logs = logs_value(evaluation(1, 5, "task_success", label="pass"), evaluation(None, 5, "task_success"))
    assert decode_spans(as_json(spans, ExportTraceServiceRequest()), WANTED) == decode_spans(spans, WANTED)
    assert decode_logs(as_json(logs, ExportLogsServiceRequest()), WANTED) == decode_logs(logs, WANTED)


def test_the_example_of_the_specification_is_read() -> None:
    """Upper-case ids, times as numbers, a kind as a number, and a field that no version had."""
    text = {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.version", "value": {"stringValue": "v42"}}]},
                "scopeSpans": [
                    {
                        "scope": {"name": "my.library", "version": "1.0.0"},
                        "spans": [
                            {
                                "traceId": "5B8EFFF798038103D269B633813FC60C",
                                "spanId": "EEE19B7EC3C1B174",
                                "parentSpanId": "",
                                "name": "a server span",
                                "startTimeUnixNano": "1544712660000000000",
                                "endTimeUnixNano": 1544712661000000000,
                                "kind": 2,
                                "laterThanUs": {"deep": [1]},
                            }
                        ],
                    }
                ],
            }
        ]
    }
    decoded = found(decode_spans(json.dumps(text).encode(), WANTED))
    (one,) = decoded["5b8efff798038103d269b633813fc60c"].spans
    assert (one.is_parentless, one.resource) == (True, {"service.version": "v42"})
    assert one.end_ns - one.start_ns == 1_000_000_000


@pytest.mark.parametrize("digits", ["", "5B8EFFF7", "00" * 16])
def test_an_id_of_another_length_is_none_in_json_too(digits: str) -> None:
    text = {
        "resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": digits, "spanId": "EEE19B7EC3C1B174"}]}]}]
    }
    assert decode_spans(json.dumps(text).encode(), WANTED) == "bad_trace_id"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"{}", "empty"),
        (b"\xff" * 30, "not_otlp"),
        (b'{"resourceSpans": [], "resourceLogs": [', "not_otlp"),
        (b'{"resourceSpans": "many", "resourceLogs": "many"}', "not_otlp"),
        (b"{" * 100_000, "not_otlp"),
        (b'{"resourceSpans": ' + b"[" * 100_000, "not_otlp"),
        (b'{"x": {"traceId": "not hexadecimal"}}', "not_otlp"),
        (b"\xff{", "not_otlp"),
    ],
)
def test_what_is_no_otlp_has_a_reason(value: bytes | None, reason: str) -> None:
    assert decode_spans(value, WANTED) == reason
    assert decode_logs(value, WANTED) == reason
