"""What a worker spends on an event, by step, as ratios to bare decoding in the same run: decode, ids, fold and writes.

The floor is decode and the duplicate check, and nothing else. Above it: the fold and the packing of what is written,
for five objectives as a whole and for the same five watched by tenant, workflow, intent and language. CPU time of
this process; each figure is the best of some short runs, because what else the machine does only ever adds.

`python -m benchmarks ingest`; `EVENTS=2000` for less.
"""

from __future__ import annotations

import json
import os
import time
from collections import namedtuple
from collections.abc import Callable, Sequence
from random import Random

from benchmarks.bench_replay import BUDGET
from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.config.budget_file import load_budget
from monitor.core.plan import Plan, plan_for
from monitor.core.seen import SeenIds
from monitor.engine.feed import SLICE_RECORDS
from monitor.engine.ingest import PartitionIngest
from monitor.engine.ports import Claim, Partition

EVENTS = int(os.environ.get("EVENTS", "20000"))
RUNS = 7
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


def decoding(records: Sequence[Row]) -> list[TraceRecord | str]:
    """Decode and do nothing else."""
    return [decode(record.value) for record in records]


def floor(records: Sequence[Row]) -> None:
    """Decode, and look for duplicates."""
    seen = SeenIds(1_000_000)
    for at in range(0, len(records), SLICE_RECORDS):
        run = records[at : at + SLICE_RECORDS]
        ids = [event.event_id for event in decoding(run) if not isinstance(event, str)]
        seen.are_new(ids, [START_MS] * len(ids))


def ingest(records: Sequence[Row], wanted: Plan) -> None:
    """Fold the records as a partition's owner does, and pack every write; nothing is sent."""
    claim = Claim(Partition("traces", 0), "1", {})
    owner = PartitionIngest(
        claim, wanted, decode, start_offset=0, max_ids=1_000_000, event_time=lambda at_ms: at_ms
    )
    done = 0
    while done < len(records):
        done += owner.take(records[done : done + SLICE_RECORDS])
        owner.handed_over(len(owner.incidents), len(owner.letters))
        if owner.is_full:
            owner.flushed(owner.flush())
    owner.flushed(owner.flush())
    assert owner.fold.totals.accepted == len(records), owner.fold.totals


def best(run: Callable[[], object]) -> float:
    """Return CPU seconds of the best run."""
    seconds = []
    for _ in range(RUNS):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    return min(seconds)


def main() -> None:
    records = rows()
    whole, watched = plan(watched=False), plan(watched=True)
    spent = {
        "decode": best(lambda: decoding(records)),
        "floor": best(lambda: floor(records)),
        "ingest": best(lambda: ingest(records, whole)),
        "ingest, four dimensions": best(lambda: ingest(records, watched)),
    }
    print(f"{EVENTS:,} events, five objectives, best of {RUNS}; microseconds of CPU per event")
    for step, seconds in spent.items():
        print(f"{step:<24}{seconds / EVENTS * 1e6:>8.2f}{seconds / spent['decode']:>8.2f} x decode")
    ratios = {step: round(seconds / spent["decode"], 2) for step, seconds in spent.items()}
    print(json.dumps({"benchmark": "ingest", "events": EVENTS, "unit": "x decode", "ratios": ratios}))


if __name__ == "__main__":
    main()
