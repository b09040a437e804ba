"""What a worker spends on an event, by step: taking it out of a fetch, decoding, ids, fold and packing of writes.

The floor is what nobody can do without: the client's own records, the contract's decoder and the duplicate check, and
nothing else. Beside it the whole of what a worker does, for five objectives as a whole and for the same five watched by
tenant, workflow, intent and language. CPU time of this process, without sockets: a fetch is bytes in memory, nothing is
sent. Steps take turns, and each figure is the best of some short runs: what else the machine does only ever adds.

`python -m benchmarks ingest`; `EVENTS=5000` for less.
"""

from __future__ import annotations

import json
import os
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from benchmarks.bench_replay import BUDGET
from monitor.adapters.collector import looking_seldom
from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.adapters.kafka.drain import BareRecords
from monitor.config.budget_file import load_budget
from monitor.core.plan import Plan, plan_for
from monitor.core.seen import SeenIds
from monitor.engine.ingest import PartitionIngest
from monitor.engine.pace import SLICE_RECORDS
from monitor.engine.ports import Claim, Partition

EVENTS = int(os.environ.get("EVENTS", "40000"))
RUNS = 15
BATCH = 800  # records in a batch of the log
TAKEN = 4_000  # from the client at once
START_MS = 1_790_000_000_000 // 60_000 * 60_000
PER_SECOND = 500
WATCHED = "    cohorts: [tenant, workflow, intent, language]\n"
Row = namedtuple("Row", "offset timestamp value")


def rows() -> list[Row]:
    """Return records of one partition: one request in ten is the candidate's."""
    draw = Random("ingest")
    return [_row(draw, number) for number in range(EVENTS)]


def _row(draw: Random, number: int) -> Row:
    at_ms = START_MS + number * 1_000 // PER_SECOND
    event = {
        "event_id": f"{draw.getrandbits(64):016x}{number:08x}",
        "at": at_ms - draw.randrange(2_000),
        "release": "model-v42" if draw.random() < 0.1 else "model-v41",
        "cohort": {
            "tenant": f"tenant-{int(120 * draw.random() ** 2):05d}",
            "workflow": f"workflow-{draw.randrange(40):02d}",
            "intent": f"intent.{draw.randrange(30):02d}",
            "language": draw.choice(("en", "en", "en", "de", "fr", "es", "it", "pt", "ja", "zh")),
        },
        "task_success": draw.random() < 0.97,
        "human_handoff": draw.random() < 0.02,
        "latency_ms": round(draw.lognormvariate(6.6, 0.7), 1),
        "cost_usd": round(0.0005 + draw.randrange(1024) / 1e6, 6),
        "tokens_in": draw.randrange(2_048),
        "tokens_out": draw.randrange(512),
    }
    return Row(number, at_ms, json.dumps(event, separators=(",", ":")).encode())


def plan(*, watched: bool) -> Plan:
    """Return what is folded: the five objectives as a whole, or by four dimensions too."""
    text = BUDGET.replace("    cohorts: [tenant=north]\n", "")
    if watched:
        text = text.replace("    max_duration_min", f"{WATCHED}    max_duration_min")
    return plan_for([load_budget(text, "budget.yaml")])


class _Assigned:
    """What the client keeps of a partition that is assigned."""

    active, paused, position = True, False, 0

    def state_value(self, _place: TopicPartition) -> _Assigned:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def fetch(records: Sequence[Row]) -> bytes:
    """Return records as a broker answers with them."""
    data = bytearray()
    for start in range(0, len(records), BATCH):
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
        for index, record in enumerate(records[start : start + BATCH]):
            assert builder.append(index, record.timestamp, None, record.value, [])
        data += start.to_bytes(8, "big") + builder.build()[8:]
    return bytes(data)


def drained(data: bytes, *, bare: bool) -> Iterator[list[Any]]:
    """Yield the records of a fetch as the client does, so many at a time."""
    place = TopicPartition("traces", 0)
    records = PartitionRecords(place, MemoryRecords(data), [], 0, None, None, True, 0)
    held = BareRecords.of(records) if bare else records
    result = FetchResult(place, assignment=_Assigned(), partition_records=held, backoff=0)
    while result.has_more():
        yield result.getall(TAKEN)


def drain(data: bytes, *, bare: bool) -> None:
    """Take records out of a fetch and do nothing else."""
    for _ in drained(data, bare=bare):
        pass


def decoded(records: Sequence[Any]) -> list[TraceRecord | str]:
    return list(map(decode, [record.value for record in records]))


def decoding(records: Sequence[Any]) -> None:
    """Decode as many at a time as a worker does, and do nothing else."""
    for at in range(0, len(records), SLICE_RECORDS):
        decoded(records[at : at + SLICE_RECORDS])


def floor(data: bytes) -> None:
    """Take the client's records, decode, and look for duplicates."""
    seen = SeenIds(1_000_000)
    for records in drained(data, bare=False):
        for at in range(0, len(records), SLICE_RECORDS):
            ids = [
                one.event_id for one in decoded(records[at : at + SLICE_RECORDS]) if not isinstance(one, str)
            ]
            seen.are_new(ids, np.full(len(ids), START_MS))


def ingest(data: bytes, wanted: Plan) -> None:
    """Fold the records as a partition's owner does, and pack every write; nothing is sent."""
    claim = Claim(Partition("traces", 0), "bench", {})
    owner = PartitionIngest(
        claim, wanted, decode, start_offset=0, max_ids=1_000_000, event_time=lambda at_ms: at_ms
    )
    for records in drained(data, bare=True):
        done = 0
        while done < len(records):
            done += owner.take(records[done : done + SLICE_RECORDS])
            owner.handed_over(len(owner.incidents), len(owner.letters))
            if owner.is_full:
                owner.flushed(owner.flush())
    owner.flushed(owner.flush())
    assert owner.fold.totals.accepted == EVENTS, owner.fold.totals


def best(steps: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return CPU seconds of each step's best run."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(RUNS):
        for name, run in steps.items():
            began = time.process_time()
            run()
            seconds[name].append(time.process_time() - began)
    return {name: min(found) for name, found in seconds.items()}


def main() -> None:
    records = rows()
    data, whole, watched = fetch(records), plan(watched=False), plan(watched=True)
    steps: dict[str, Callable[[], object]] = {
        "client's records": lambda: drain(data, bare=False),
        "bare records": lambda: drain(data, bare=True),
        "decode": lambda: decoding(records),
        "floor": lambda: floor(data),
        "ingest": lambda: ingest(data, whole),
        "ingest, four dimensions": lambda: ingest(data, watched),
    }
    with looking_seldom():  # as in a worker; the floor is as much the better for it
        spent = best(steps)
    print(
        f"{EVENTS:,} events, five objectives, best of {RUNS}; CPU microseconds per event, and the floor's part of it"
    )
    for step, seconds in spent.items():
        print(f"{step:<24}{seconds / EVENTS * 1e6:>8.2f}{spent['floor'] / seconds:>8.2f}")
    ratios = {step: round(spent["floor"] / seconds, 2) for step, seconds in spent.items()}
    print(json.dumps({"benchmark": "ingest", "events": EVENTS, "unit": "floor / step", "ratios": ratios}))


if __name__ == "__main__":
    main()
