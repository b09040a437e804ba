"""Quix Streams: five keys an event, grouped over a topic of its own, 60 s tumbling windows, RocksDB and changelog.

Stops after `BENCH_EVENTS` events or `BENCH_MOST_S` seconds, whichever comes first.
"""

from __future__ import annotations

import os
import time
from typing import Any

from quixstreams import Application

from benchmarks.performance.jobs.event import (
    BOOTSTRAP,
    EVENTS,
    FETCH_BYTES,
    MOST_S,
    STATE,
    TOPIC,
    WINDOW_S,
    bin_of,
    decode,
    ended,
    keys,
    started,
)

read, folded = [0], [0]
until = [0.0]


def fan(value: bytes) -> list[dict[str, Any]]:
    if not read[0]:
        started()
    read[0] += 1
    event = decode(value)
    facts = {
        "success": event.task_success,
        "handoff": event.human_handoff,
        "incident": event.incident_severity is not None,
        "cost": round(event.cost_usd * 1_000_000),
        "bin": bin_of(event),
    }
    return [facts | {"key": key} for key in keys(event)]


def first(facts: dict[str, Any]) -> list[Any]:
    return fold([0, 0, 0, 0, 0, {}], facts)


def fold(into: list[Any], facts: dict[str, Any]) -> list[Any]:
    into[0] += 1
    into[1] += facts["success"]
    into[2] += facts["handoff"]
    into[3] += facts["incident"]
    into[4] += facts["cost"]
    into[5][facts["bin"]] = into[5].get(facts["bin"], 0) + 1
    until[0] = (
        until[0] or time.monotonic() + MOST_S
    )  # from the first fold: all is read before anything is folded
    folded[0] += 1
    if folded[0] >= 5 * EVENTS or time.monotonic() > until[0]:
        ended(folded[0] // 5)
        os._exit(0)  # a polite end commits once more, and nothing more is measured
    return into


app = Application(
    broker_address=BOOTSTRAP,
    consumer_group=f"quix-{time.time_ns()}",
    auto_offset_reset="earliest",
    commit_interval=1.0,
    state_dir=STATE,
    loglevel="ERROR",
    consumer_extra_config={"check.crcs": True, "fetch.message.max.bytes": FETCH_BYTES},
)
traces = app.topic(TOPIC, value_deserializer="bytes", timestamp_extractor=lambda value, *_: decode(value).at)
stream = app.dataframe(traces).apply(fan, expand=True).group_by("key")
stream.tumbling_window(duration_ms=WINDOW_S * 1_000, grace_ms=3_600_000).reduce(
    reducer=fold, initializer=first
).final()
app.run()
