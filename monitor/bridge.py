"""The bridge's own composition root: a process that turns OTLP into trace events, beside the workers and without them.

An import contract keeps Redis, Faust, budgets and the workers' root out of it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version

import structlog

from monitor.adapters.closing import close_all
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess, access_of
from monitor.adapters.kafka.span_topics import SpanConsumer
from monitor.adapters.kafka.trace_topic import KafkaTraceTopic, encode
from monitor.adapters.otlp.decode import decode_logs, decode_spans
from monitor.adapters.probes import Probes, ProbeServer
from monitor.adapters.telemetry.bridge_catalog import BRIDGE_INSTRUMENTS
from monitor.adapters.telemetry.bridge_observer import BridgeTelemetry
from monitor.adapters.telemetry.logs import configure_logs
from monitor.adapters.telemetry.setup import CONTENT_TYPE, SERVICE, Telemetry, configure
from monitor.adapters.timebase import SteadyClock
from monitor.config.mapping_file import load_mapping
from monitor.config.settings import Settings
from monitor.core.span import Parts
from monitor.core.span_mapping import SpanMapping
from monitor.engine.bridge import Bridge, BridgePorts, SpanRecord
from monitor.engine.span_join import JoinLimits, SpanJoin


@dataclass(frozen=True, slots=True)
class Bridged:
    """What a bridge has done: counts by name, and an example of what was left out."""

    mapping: str
    counts: Mapping[str, int]
    samples: Mapping[str, str]


def run_bridge(settings: Settings, mapping_name: str | None = None, *, once: bool = False) -> Bridged:
    """Bridge until SIGTERM or SIGINT; with `once` up to the present ends of the topics.

    Raises:
        MonitorError: The mapping cannot be used, or a topic is not there; nothing is waited for before.
    """
    as_json = None if settings.log_format == "auto" else settings.log_format == "json"
    configure_logs(settings.log_level, as_json=as_json)
    tame_library_logs()
    mapping = load_mapping(mapping_name or settings.bridge_mapping)
    return asyncio.run(_run(settings, mapping, once=once))


def limits_of(settings: Settings) -> JoinLimits:
    """Return how long is waited and how much is held."""
    return JoinLimits(
        window_ms=round(settings.bridge_window_s * 1000),
        root_wait_ms=round(settings.bridge_root_wait_s * 1000),
        max_traces=settings.bridge_traces_max,
        max_remembered=settings.bridge_remembered_max,
    )


async def _run(settings: Settings, mapping: SpanMapping, *, once: bool) -> Bridged:
    log, loop, access = (
        structlog.get_logger("monitor.bridge"),
        asyncio.get_running_loop(),
        access_of(settings),
    )
    telemetry = _telemetry(settings)
    spans, traces = _spans(settings, access, once=once), KafkaTraceTopic(access, settings.traces_topic)
    join = SpanJoin(mapping, limits_of(settings))

    def decode(record: SpanRecord) -> Mapping[str, Parts] | str:
        return (decode_logs if record.is_logs else decode_spans)(record.value, mapping.wanted)

    observer = BridgeTelemetry(telemetry.metrics)
    ports = BridgePorts(spans, traces, decode, encode, SteadyClock(), log, observer=observer)
    bridge = Bridge(ports, join, stuck_s=settings.bridge_stuck_s, once=once)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, bridge.stop)
    # Who reads to the end and leaves is waited for, not watched; and it may run beside a bridge that stays.
    pages = None if once else ProbeServer(_probes(bridge, telemetry, mapping), *_address(settings))
    try:
        await traces.check()
        await spans.start()
        log.info(
            f"bridging {settings.bridge_spans_topic} and {settings.bridge_logs_topic} to {settings.traces_topic} on "
            f"{settings.kafka_bootstrap} by {mapping.name}"
        )
        await bridge.run()
    finally:
        await close_all([spans, traces])
        if pages is not None:
            await asyncio.to_thread(pages.close)
        await asyncio.to_thread(telemetry.shutdown)  # exporting waits for a collector that may be gone
    return Bridged(
        mapping.name, dict(sorted(join.counts.of.items())), dict(sorted(join.counts.samples.items()))
    )


def _spans(settings: Settings, access: KafkaAccess, *, once: bool) -> SpanConsumer:
    return SpanConsumer(
        access,
        settings.bridge_spans_topic,
        settings.bridge_logs_topic,
        settings.bridge_group,
        None if once else f"{settings.worker_id}-bridge",
        session_timeout_ms=settings.session_timeout_ms,
        to_end=once,
    )


def _telemetry(settings: Settings) -> Telemetry:
    return configure(
        service_version=version("rollback-budget-monitor"),
        otlp_endpoint=settings.otlp_endpoint,
        instance_id=settings.worker_id,
        service_name=f"{SERVICE}-bridge",
        instruments=BRIDGE_INSTRUMENTS,
    )


def _probes(bridge: Bridge, telemetry: Telemetry, mapping: SpanMapping) -> Probes:
    def status() -> Mapping[str, object]:
        sight = bridge.sight()
        return {"ready": sight.is_ready, "mapping": mapping.name, **asdict(sight)}

    return Probes(
        is_alive=lambda: bridge.is_alive,
        is_ready=lambda: bridge.sight().is_ready,
        status=status,
        metrics=lambda: (telemetry.render_prometheus(), CONTENT_TYPE),
    )


def _address(settings: Settings) -> tuple[str, int]:
    return settings.http_host, settings.bridge_http_port
