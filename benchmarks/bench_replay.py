"""How fast recorded events are judged: the engine alone, and the whole verb `replay` as people run it.

A generated file (seeded), a budget of five objectives: one rate, one percentile, one incident count, one hand-over rate
and one cost, with a critical cohort. Best of three runs; the machine's other work only ever adds time.

`python -m benchmarks replay`; `EVENTS=50000` for a smaller file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.engine.replay import Replay

EVENTS = int(os.environ.get("EVENTS", "200000"))
RUNS = 3
BATCH = 700  # lines in a chunk of a file
MINUTES = 120
START_MS = 1_790_000_000_000 // 60_000 * 60_000
BUDGET = """\
release: model-v42
baseline: model-v41
window: 24h
owner: answers-team
on_call: ada
rollback_budget:
  quality:
    task_success_delta_pct: -2.0
    max_duration_min: 20
    cohorts: [tenant=north]
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
  latency:
    p95_delta_pct: +15
    max_duration_min: 30
  escalation:
    human_handoff_delta_pct: +8
    max_duration_min: 20
  cost:
    cost_per_request_delta_pct: +20
    max_duration_min: 30
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


def lines() -> list[bytes]:
    """Return a recording: one request in ten is the candidate's, and nothing is wrong with it."""
    draw = Random("replay")
    return [_line(draw, number) for number in range(EVENTS)]


def _line(draw: Random, number: int) -> bytes:
    event = {
        "event_id": f"e{number}",
        "at": START_MS + number * MINUTES * 60_000 // EVENTS,
        "release": "model-v42" if draw.random() < 0.1 else "model-v41",
        "trace_id": f"t{number:08x}",
        "cohort": {
            "workflow": draw.choice(("chat", "code")),
            "tenant": draw.choice(("north", "south", "west")),
        },
        "task_success": draw.random() < 0.9,
        "human_handoff": draw.random() < 0.1,
        "latency_ms": round(800 * draw.lognormvariate(0, 0.6), 1),
        "cost_usd": round(draw.lognormvariate(-6, 0.5), 6),
        "tokens_in": draw.randrange(100, 4_000),
        "tokens_out": draw.randrange(10, 800),
    }
    return json.dumps(event).encode()


def engine(recording: Sequence[bytes]) -> None:
    """Run the engine over lines in memory."""
    replay = Replay([load_budget(BUDGET, "budget.yaml")], decode)
    for at in range(0, len(recording), BATCH):
        replay.feed_many(recording[at : at + BATCH])
    replay.finish()
    accepted = replay.counts().accepted
    assert accepted == len(recording), f"{accepted} of {len(recording)} events were judged"


def decoding(recording: Sequence[bytes]) -> None:
    """Decode the lines and do nothing with them."""
    for line in recording:
        decode(line)


def verb(budget: Path, events: Path) -> None:
    """Run the command in a process of its own, from its start to its exit."""
    command = [sys.executable, "-m", "monitor", "replay", "--budget", str(budget), "--events", str(events)]
    subprocess.run(command, check=True, capture_output=True)


def best_rate(run: Callable[[], None]) -> float:
    """Return events per second of the best run."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return EVENTS / min(seconds)


def main() -> None:
    recording = lines()
    with tempfile.TemporaryDirectory() as name:
        budget, events = Path(name) / "budget.yaml", Path(name) / "events.jsonl"
        budget.write_text(BUDGET, encoding="utf-8")
        events.write_bytes(b"\n".join(recording) + b"\n")
        rates = {
            "decode": best_rate(lambda: decoding(recording)),
            "engine": best_rate(lambda: engine(recording)),
            "verb": best_rate(lambda: verb(budget, events)),
        }
    print(f"{EVENTS:,} events of {MINUTES} minutes, five objectives, one critical cohort; best of {RUNS}")
    for step, rate in rates.items():
        print(f"{step:<8}{rate:>12,.0f} events/s")
    per_second = {step: round(rate) for step, rate in rates.items()}
    print(json.dumps({"benchmark": "replay", "events": EVENTS, "unit": "events/s", "rates": per_second}))


if __name__ == "__main__":
    main()
