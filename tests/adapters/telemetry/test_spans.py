"""Spans, and the trace context in Kafka headers; exporting is tried against a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from monitor.adapters.telemetry.setup import Telemetry, configure
from monitor.adapters.telemetry.spans import Headers, extracted, injected
from monitor.app import Prepared, Worker
from monitor.config.settings import Settings
from monitor.core.decision import Decision, Type
from monitor.engine.act import Outcome
from monitor.wire.cloudevent import of_decision, to_binary

TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Where finished spans end up."""
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Iterator[Telemetry]:
    """Telemetry whose spans can be looked at."""
    made = configure(service_version="1.2.3", span_processors=[SimpleSpanProcessor(exporter)])
    yield made
    made.shutdown()


def test_each_kind_of_work_has_its_span(telemetry: Telemetry, exporter: InMemorySpanExporter) -> None:
    spans = telemetry.spans
    with spans.ingest_batch("llm.traces.v1", 3, 500), spans.tick("v42", 60_000):
        with spans.decision("page.opened", "d1", "v42"):
            pass
        with spans.effect("rollback", "d2", "v42"):
            pass
    seen = {span.name: (span.kind, dict(span.attributes or {})) for span in exporter.get_finished_spans()}
    assert seen == {
        "ingest batch": (SpanKind.CONSUMER, {
            "messaging.system": "kafka", "messaging.destination.name": "llm.traces.v1",
            "messaging.destination.partition.id": "3", "messaging.batch.message_count": 500,
        }),
        "evaluation tick": (SpanKind.INTERNAL, {"rb.release": "v42", "rb.tick_ms": 60_000}),
        "decision page.opened": (SpanKind.PRODUCER, {
            "rb.decision.type": "page.opened", "rb.decision.id": "d1", "rb.release": "v42",
        }),
        "effect rollback": (SpanKind.CLIENT, {
            "rb.decision.type": "rollback", "rb.decision.id": "d2", "rb.release": "v42",
        }),
    }  # fmt: skip


def test_an_effect_belongs_to_the_decision_whose_headers_travelled_through_kafka(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    with telemetry.spans.decision("rollback.requested", "d1", "v42"):
        headers = injected([("ce_id", b"d1")])
    with telemetry.spans.effect("rollback", "d1", "v42", headers):
        pass
    decision, effect = exporter.get_finished_spans()
    assert dict(headers)["ce_id"] == b"d1"
    assert effect.parent is not None
    assert (effect.parent.trace_id, effect.parent.span_id) == (
        decision.context.trace_id,
        decision.context.span_id,
    )


def test_a_failure_inside_is_marked_and_passes_through(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(ZeroDivisionError), telemetry.spans.tick("v42", 60_000):
        raise ZeroDivisionError
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


def test_an_older_trace_context_is_replaced_not_doubled(telemetry: Telemetry) -> None:
    with telemetry.spans.decision("page.opened", "d1", "v42"):
        headers = injected([("Traceparent", TRACEPARENT), ("x", b"1")])
    assert [name.lower() for name, _ in headers] == ["x", "traceparent"]
    assert dict(headers)["traceparent"] != TRACEPARENT


def test_outside_of_any_span_headers_stay_as_they_are() -> None:
    assert injected([("x", b"1")]) == [("x", b"1")]


@given(
    st.lists(
        st.tuples(st.sampled_from(["traceparent", "Traceparent", "tracestate", "x"]), st.binary(max_size=60))
    )
)
@settings(max_examples=150)
def test_no_header_can_break_reading_the_trace_context(headers: Headers) -> None:
    extracted(headers)


def test_a_valid_header_is_read() -> None:
    context = get_current_span(extracted([("traceparent", TRACEPARENT)])).get_span_context()
    assert (
        f"{context.trace_id:032x}-{context.span_id:016x}"
        == "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
    )


async def test_what_a_worker_does_about_a_decision_is_in_the_decisions_trace(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    """Through the worker's own reading of a record: the flag is turned in the trace that asked for it."""
    message = to_binary(
        of_decision(Decision(Type.ROLLBACK_REQUESTED, "d" * 64, "v42", 0, {"release": "v42"}))
    )
    with telemetry.spans.decision("rollback.requested", "d" * 64, "v42"):
        headers = injected(message.headers)
    seen: list[Mapping[str, Any]] = []

    async def act(event: Mapping[str, Any]) -> Outcome:
        seen.append(event)
        return Outcome.DONE

    worker = Worker(Settings(), Prepared((), ()), telemetry, {})
    worker._built = cast(Any, SimpleNamespace(act=SimpleNamespace(on_request=act)))
    effects = worker.effects()
    event = effects.decode(message.value, headers)
    assert event is not None
    assert await effects.on_request(event)
    assert await effects.on_request({key: one for key, one in event.items() if not key.startswith("_")})
    decision, effect, without = exporter.get_finished_spans()
    assert effect.parent is not None
    assert effect.parent.span_id == decision.context.span_id
    assert without.parent is None
    assert seen[0]["id"] == "d" * 64


async def test_spans_and_metrics_reach_a_collector() -> None:
    got: dict[str, bytes] = {}

    async def collect(request: web.Request) -> web.Response:
        got[request.path] = await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", collect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        telemetry = configure(service_version="1.2.3", otlp_endpoint=endpoint, instance_id="worker-1")
        telemetry.metrics.count("events", 7, result="accepted")
        with telemetry.spans.tick("v42", 60_000):
            pass
        await asyncio.to_thread(telemetry.shutdown)
    finally:
        await runner.cleanup()
    traces = ExportTraceServiceRequest.FromString(got["/v1/traces"])
    metrics = ExportMetricsServiceRequest.FromString(got["/v1/metrics"])
    assert traces.resource_spans[0].scope_spans[0].spans[0].name == "evaluation tick"
    attributes = {one.key: one.value.string_value for one in metrics.resource_metrics[0].resource.attributes}
    assert (attributes["service.name"], attributes["service.instance.id"]) == ("rollback-budget", "worker-1")
    names = {one.name for one in metrics.resource_metrics[0].scope_metrics[0].metrics}
    assert "rollback_budget.events" in names
