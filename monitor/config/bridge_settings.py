"""The settings of `bridge`: part of all settings, in a module of their own for their length."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from monitor.config.setting_values import KafkaName


class BridgeSettings(BaseSettings):
    """What only `bridge` reads."""

    bridge_spans_topic: KafkaName = Field(
        "otlp_spans",
        description="`bridge`: where the collector's Kafka exporter writes spans, as otlp_proto or otlp_json.",
    )
    bridge_logs_topic: KafkaName = Field(
        "otlp_logs",
        description="`bridge`: where it writes log records; a topic that is not there is left out.",
    )
    bridge_group: KafkaName = Field(
        "rollback-budget-bridge", description="`bridge`: the Kafka consumer group of all bridges."
    )
    bridge_mapping: str = Field(
        "otel-genai.v1",
        min_length=1,
        description="`bridge`: a mapping that is shipped, by its name, or a file.",
    )
    bridge_window_s: float = Field(
        30.0,
        ge=1,
        le=90,
        description="`bridge`: how long after a trace's root the rest of it is waited for. Labels that come later are "
        "`outcome` events; the monitor's own lateness is 120 s.",
    )
    bridge_root_wait_s: float = Field(
        90.0,
        ge=1,
        le=3_600,
        description="`bridge`: how long a trace's root is waited for after its first record; so much may be read again "
        "after a restart.",
    )
    bridge_traces_max: int = Field(
        50_000, ge=100, le=10_000_000, description="`bridge`: traces that are open at a time."
    )
    bridge_remembered_max: int = Field(
        100_000,
        ge=100,
        le=10_000_000,
        description="`bridge`: requests that late labels are still known to belong to.",
    )
    bridge_stuck_s: float = Field(
        120.0, ge=10, le=3_600, description="`bridge`: it ends with 1 when nothing has moved for so long."
    )
    bridge_http_port: int = Field(
        6068,
        ge=0,
        le=65_535,
        description="`bridge`: the port of its probes and metrics, at `http_host`; 0 takes a free one.",
    )
