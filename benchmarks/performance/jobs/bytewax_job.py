"""Bytewax: Kafka source, five keys an event, a fold over 60 s tumbling windows of event time. No recovery store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import windowing
from bytewax.testing import TestingSink, run_main

from benchmarks.performance.jobs.event import (
    BOOTSTRAP,
    EVENTS,
    FETCH_BYTES,
    TOPIC,
    WINDOW_S,
    Cell,
    Event,
    add,
    bin_of,
    cell,
    decode,
    ended,
    keys,
    started,
)

Item = tuple[Event, str]
read, counted = [0], [0]


def fan(message: Any) -> Iterable[tuple[str, Item]]:
    if not read[0]:
        started()
    read[0] += 1
    event = decode(message.value)
    item = event, bin_of(event)
    return [(key, item) for key in keys(event)]


def fold(into: Cell, item: Item) -> Cell:
    add(into, *item)
    return into


def merge(_one: Cell, _other: Cell) -> Cell:
    raise AssertionError("tumbling windows are never merged")


def count(keyed: tuple[str, tuple[int, Cell]]) -> bool:
    """Add up what the windows of everybody hold; nothing goes on to the sink."""
    key, (_, found) = keyed
    if key.endswith("|all"):
        counted[0] += found[0]  # type: ignore[operator]  # the requests
    return False


class Partition(StatefulSourcePartition):  # type: ignore[misc]  # not installed where types are checked
    """A partition of the topic, as far as it is wanted."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def next_batch(self) -> Any:
        if read[0] >= EVENTS:
            raise StopIteration
        return self._whole.next_batch()

    def snapshot(self) -> Any:
        return self._whole.snapshot()

    def close(self) -> None:
        self._whole.close()


class Source(FixedPartitionedSource):  # type: ignore[misc]
    """The topic up to so many events: the state of all of it would be most of the work."""

    def __init__(self, whole: KafkaSource) -> None:
        self._whole = whole

    def list_parts(self) -> list[str]:
        return list(self._whole.list_parts())

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> Partition:
        return Partition(self._whole.build_part(step_id, for_part, resume_state))


clock = windowing.EventClock(
    ts_getter=lambda item: datetime.fromtimestamp(item[0].at / 1000, UTC),
    wait_for_system_duration=timedelta(
        hours=1
    ),  # partitions are read unevenly, and what is late would be dropped
)
windower = windowing.TumblingWindower(
    length=timedelta(seconds=WINDOW_S), align_to=datetime(2026, 1, 1, tzinfo=UTC)
)
source = KafkaSource(
    [BOOTSTRAP],
    [TOPIC],
    tail=False,
    batch_size=5_000,
    add_config={"check.crcs": "true", "fetch.message.max.bytes": str(FETCH_BYTES)},
)
flow = Dataflow("cells")
keyed = op.flat_map("cohorts", op.input("traces", flow, Source(source)), fan)
windows = windowing.fold_window("fold", keyed, clock, windower, cell, fold, merge)
op.output("results", op.filter("count", windows.down, count), TestingSink([]))
run_main(flow)
ended(counted[0])
