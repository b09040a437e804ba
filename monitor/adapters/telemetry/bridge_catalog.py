"""Every instrument of the bridge, as data, beside the workers' own: a process shows what it has, and nothing else."""

from __future__ import annotations

from typing import Final

from monitor.adapters.telemetry.catalog import OTHER, Instrument, Kind
from monitor.engine.bridge_sight import BridgeState

REASONS: Final = (
    "record:tombstone", "record:not_otlp", "record:empty", "record:bad_trace_id", "no_root", "no_release", "no_end",
    "refused", "unfit", "evaluation_without_label", "late_without_label", "unmatched", "labelled_before", "late_spans",
    "closed_early", "spans_over", "events_over", "forgotten", OTHER,
)  # fmt: skip
"""The counts of docs/otlp.md; what a count names beside (a field, a reason of ours) is in the log and no label."""

BRIDGE_INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    Instrument("bridge_records", Kind.COUNTER, "{record}", "Records of the collector's topics that were read."),
    Instrument("bridge_spans", Kind.COUNTER, "{span}", "Spans in them."),
    Instrument(
        "bridge_events", Kind.COUNTER, "{event}",
        "Trace events written: a request of each trace, an outcome of each late label.",
        {"kind": ("request", "outcome")},
    ),
    Instrument(
        "bridge_left_out", Kind.COUNTER, "{count}", "What was left out or cut short, by the counts of docs/otlp.md.",
        {"reason": REASONS},
    ),
    Instrument("bridge_open_traces", Kind.GAUGE, "{trace}", "Traces that wait for more."),
    Instrument(
        "bridge_consumer_lag", Kind.GAUGE, "{record}", "Records not yet read, over all partitions this bridge has.",
    ),
    Instrument(
        "bridge_watermark_lag", Kind.GAUGE, "s", "How far the time up to which all of them are read is behind ours.",
    ),
    Instrument(
        "bridge_state", Kind.GAUGE, "{bridge}", "1 for what the bridge is doing.",
        {"state": tuple(state.value for state in BridgeState)},
    ),
    Instrument(
        "bridge_heartbeat_timestamp", Kind.GAUGE, "s",
        "When a record came last, or the time up to which all are read moved.",
    ),
)  # fmt: skip
