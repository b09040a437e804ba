"""Starting and stopping OpenTelemetry: nothing global, so two monitors (or a hundred tests) fit in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from monitor.adapters.telemetry.catalog import INSTRUMENTS, SCOPE, Instrument
from monitor.adapters.telemetry.metrics import Metrics
from monitor.adapters.telemetry.spans import Spans

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SERVICE = "rollback-budget"
_EXPORT_TIMEOUT_S = 5.0
_EXPORT_EVERY_MS = 15_000
_SHUTDOWN_MS = 5_000


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What the rest of the monitor records with."""

    metrics: Metrics
    spans: Spans
    registry: CollectorRegistry
    meter_provider: MeterProvider
    tracer_provider: TracerProvider

    def render_prometheus(self) -> bytes:
        """Return `/metrics` in the Prometheus text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def shutdown(self) -> None:
        """Export what is left and stop the exporting threads, within seconds; the collector may be gone already."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown(timeout_millis=_SHUTDOWN_MS)


def configure(
    *,
    service_version: str,
    otlp_endpoint: str | None = None,
    instance_id: str | None = None,
    max_release_labels: int = 0,
    span_processors: Sequence[SpanProcessor] = (),
    service_name: str = SERVICE,
    instruments: Sequence[Instrument] = INSTRUMENTS,
) -> Telemetry:
    """Set telemetry up.

    Args:
        service_version: The monitor's own version, on every span and metric.
        otlp_endpoint: Base URL of a collector's OTLP/HTTP receiver, e.g. `http://collector:4318`; None exports
            nothing. `/metrics` exists either way.
        instance_id: Tells workers apart, e.g. host and process id.
        max_release_labels: See `Metrics`.
        span_processors: Further receivers of spans.
        service_name: Tells the kinds of processes apart.
        instruments: What this process has to show.
    """
    attributes = {"service.name": service_name, "service.version": service_version}
    if instance_id is not None:
        attributes["service.instance.id"] = instance_id
    resource = Resource.create(attributes)
    registry = CollectorRegistry()
    readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False, registry=registry)]
    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for processor in span_processors:
        tracer_provider.add_span_processor(processor)
    if otlp_endpoint is not None:
        base = otlp_endpoint.rstrip("/")
        metrics_to = OTLPMetricExporter(f"{base}/v1/metrics", timeout=_EXPORT_TIMEOUT_S)
        readers.append(PeriodicExportingMetricReader(metrics_to, export_interval_millis=_EXPORT_EVERY_MS))
        spans_to = OTLPSpanExporter(f"{base}/v1/traces", timeout=_EXPORT_TIMEOUT_S)
        tracer_provider.add_span_processor(BatchSpanProcessor(spans_to))
    meter_provider = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    meter = meter_provider.get_meter(SCOPE, service_version)
    return Telemetry(
        metrics=Metrics(meter, max_release_labels=max_release_labels, instruments=instruments),
        spans=Spans(tracer_provider.get_tracer(SCOPE, service_version)),
        registry=registry,
        meter_provider=meter_provider,
        tracer_provider=tracer_provider,
    )
