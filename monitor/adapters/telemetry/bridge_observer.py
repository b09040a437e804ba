"""The bridge's observer: what the engine counts anyway, as metrics. Nothing is counted a second time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from monitor.adapters.telemetry.bridge_catalog import REASONS
from monitor.adapters.telemetry.metrics import Metrics
from monitor.engine.bridge_sight import BridgeObserver, BridgeSight, BridgeState

_COUNTERS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "records": ("bridge_records", {}),
    "spans": ("bridge_spans", {}),
    "requests": ("bridge_events", {"kind": "request"}),
    "outcomes": ("bridge_events", {"kind": "outcome"}),
}


class BridgeTelemetry(BridgeObserver):
    """`BridgeObserver` on metrics: a counter grows by what its count has grown since the last look."""

    def __init__(self, metrics: Metrics, wall_s: Callable[[], float] = time.time) -> None:
        self._metrics, self._wall_s = metrics, wall_s
        self._told: Mapping[str, int] = {}

    def looked(self, counts: Mapping[str, int], sight: BridgeSight) -> None:
        """Take note of a look."""
        for name, count in counts.items():
            if more := count - self._told.get(name, 0):
                counter, labels = _COUNTERS.get(name) or ("bridge_left_out", {"reason": _reason(name)})
                self._metrics.count(counter, more, **labels)
        self._told = counts
        for state in BridgeState:
            self._metrics.set("bridge_state", state is sight.state, state=state.value)
        self._metrics.set("bridge_open_traces", sight.open_traces)
        self._metrics.set("bridge_heartbeat_timestamp", self._wall_s() - sight.still_ms / 1000)
        has_nothing = (
            sight.state is BridgeState.STANDBY
        )  # its partitions went elsewhere, and their lag with them
        if sight.unread is not None or has_nothing:
            self._metrics.set("bridge_consumer_lag", sight.unread or 0)
        if sight.behind_ms is not None or has_nothing:
            self._metrics.set("bridge_watermark_lag", (sight.behind_ms or 0) / 1000)


def _reason(name: str) -> str:
    """Return a count's label: fields and reasons that it names are none, or there would be many."""
    return name if name in REASONS else name.partition(":")[0]
