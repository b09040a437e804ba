"""Faust: an agent with an empty body (`empty`), or one that keeps a windowed table (`table`).

The table: event time, 60 s tumbling, in memory; an event reads and writes five cells, each write is a record of its
changelog. `table` stops after `BENCH_EVENTS` events or `BENCH_MOST_S` seconds: it is the slowest of all.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import faust

from benchmarks.performance.jobs.event import (
    BOOTSTRAP,
    EVENTS,
    FETCH_BYTES,
    MOST_S,
    STATE,
    TOPIC,
    WINDOW_S,
    add,
    bin_of,
    cell,
    decode,
    ended,
    keys,
    started,
)

PARTITIONS = int(os.environ.get("BENCH_PARTITIONS", "4"))
MODE = os.environ.get("BENCH_MODE", "empty")

app = faust.App(
    f"faust-{MODE}-{time.time_ns()}",
    broker=f"kafka://{BOOTSTRAP}",
    store="memory://",
    datadir=STATE,
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    topic_allow_declare=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    consumer_max_fetch_size=FETCH_BYTES,
    stream_wait_empty=False,
    stream_buffer_maxsize=16_384,
    broker_commit_interval=1.0,
)
topic = app.topic(TOPIC, value_serializer="raw", key_serializer="raw", partitions=PARTITIONS)
now_s = [0.0]
cells: Any = app.Table("cells", default=cell, partitions=PARTITIONS).tumbling(
    float(WINDOW_S), expires=3_600.0
)
windowed = cells.relative_to(lambda _event=None: now_s[0])  # event time comes from the value


@app.agent(topic)
async def count(stream: Any) -> None:
    read, until = 0, 0.0
    async for value in stream:
        if not read:
            started()
            until = time.monotonic() + MOST_S
        if MODE == "table":
            _into_table(value)
        read += 1
        if read >= EVENTS or (MODE == "table" and time.monotonic() > until):
            ended(read)
            os._exit(0)  # a polite end takes Faust seconds, and nothing more is measured


def _into_table(value: bytes) -> None:
    event = decode(value)
    latency_bin = bin_of(event)
    now_s[0] = event.at / 1000
    for key in keys(event):
        found = windowed[key].value()
        add(found, event, latency_bin)
        windowed[key] = found


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "error", "--without-web"]
    app.main()
