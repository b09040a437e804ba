"""What every job in Python does with one event: decode it, name its five cohorts, add it to a cell.

Needs the standard library and msgspec only: it is run by each system's own environment.
"""

from __future__ import annotations

import math
import os
import sys

import msgspec

BOOTSTRAP = os.environ.get("BENCH_BOOTSTRAP", "")
TOPIC = os.environ.get("BENCH_TOPIC", "")
EVENTS = int(os.environ.get("BENCH_EVENTS", "0"))
MOST_S = float(os.environ.get("BENCH_MOST_S", "60"))
STATE = os.environ.get("BENCH_STATE", "")  # a folder of this run's own
WINDOW_S = 60
FETCH_BYTES = 4 << 20
_PER_BIN = 1 / math.log(1.05)


class Cohort(msgspec.Struct, gc=False):
    tenant: str
    workflow: str
    intent: str
    language: str


class Event(msgspec.Struct, gc=False):
    """What the job needs of an event; the rest is skipped."""

    at: int
    release: str
    cohort: Cohort
    task_success: bool
    human_handoff: bool
    latency_ms: float
    cost_usd: float
    incident_severity: str | None = None


decode = msgspec.json.Decoder(Event).decode

Cell = list[int | dict[str, int]]
"""requests, successes, hand-offs, incidents, cost in millionths of a dollar, and the latency's histogram."""


def cell() -> Cell:
    return [0, 0, 0, 0, 0, {}]


def keys(event: Event) -> tuple[str, str, str, str, str]:
    """Return the five cohorts an event is counted in."""
    release, cohort = event.release, event.cohort
    return (
        f"{release}|all",
        f"{release}|tenant|{cohort.tenant}",
        f"{release}|workflow|{cohort.workflow}",
        f"{release}|intent|{cohort.intent}",
        f"{release}|language|{cohort.language}",
    )


def bin_of(event: Event) -> str:
    """Return the latency's bin, 5 % wide; as text, since some stores keep JSON."""
    return str(int(math.log(max(1.0, event.latency_ms)) * _PER_BIN))


def add(to: Cell, event: Event, latency_bin: str) -> None:
    requests, successes, handoffs, incidents, cost, bins = to
    assert isinstance(bins, dict)
    to[0] = requests + 1  # type: ignore[operator]  # a list of mixed types is what stores take
    to[1] = successes + event.task_success  # type: ignore[operator]
    to[2] = handoffs + event.human_handoff  # type: ignore[operator]
    to[3] = incidents + (event.incident_severity is not None)  # type: ignore[operator]
    to[4] = cost + round(event.cost_usd * 1_000_000)  # type: ignore[operator]
    bins[latency_bin] = bins.get(latency_bin, 0) + 1


def say(text: str) -> None:
    """Tell the harness; past whatever a framework made of `sys.stdout`."""
    os.write(sys.__stdout__.fileno() if sys.__stdout__ else 1, f"\n{text}\n".encode())


def started() -> None:
    """The first record is here."""
    say("START")


def ended(events: int) -> None:
    """All that was read is durable, as far as this system makes it so."""
    say(f"END {events}")
