"""The end of the show: what each story promised, what happened, how long it took, and why."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.console.demo.clock import EventClock
from monitor.console.demo.script import MINUTE_MS, Ending
from monitor.console.demo.show import Result

NEXT_COMMANDS = (
    "rollback-budget validate BUDGET.yaml      check a budget of your own, with the sample sizes it needs",
    "rollback-budget replay --budget BUDGET.yaml --events TRACES.jsonl      what it would have decided",
    "rollback-budget doctor      is everything in place to run it against your Kafka and Redis?",
)


def summary(result: Result, clock: EventClock) -> RenderableType:
    """Return the summary for people."""
    table = Table(box=box.ROUNDED, expand=True, title="what happened", show_lines=True)
    table.add_column("story", ratio=3)
    table.add_column("as promised", justify="center", ratio=3)
    table.add_column("decided after", justify="right", no_wrap=True)
    table.add_column("to flag flip", justify="right", no_wrap=True)
    table.add_column("why", ratio=6)
    for ending in result.endings:
        table.add_row(*_row(ending, clock))
    first = "no breach was seen"
    if result.first_breach_s is not None:
        first = f"first breach visible {result.first_breach_s:.0f} s after the start of traffic"
    counts = Text(f"{result.events:,} requests, {result.event_min:.0f} event minutes; {first}.")
    where = Text("Where to look next:\n" + "\n".join(f"  {command}" for command in NEXT_COMMANDS))
    return Group(table, counts, Text(""), where)


def _row(ending: Ending, clock: EventClock) -> tuple[RenderableType, ...]:
    kept = Text("no: " + "; ".join(ending.missing), style="bold red")
    if not ending.missing:
        kept = Text("yes", style="bold green")
    decided, flip = _spans(ending, clock)
    return (
        Text(f"{ending.story.title} ({ending.story.release})"),
        kept,
        "-" if decided is None else f"{decided:.0f} min",
        "-" if flip is None else f"{flip:.1f} s",
        Text(ending.reason),
    )


def _spans(ending: Ending, clock: EventClock) -> tuple[float | None, float | None]:
    """Return event minutes from the rollout to the decision, and wall seconds from there to the flag's flip."""
    if ending.decided_ms is None:
        return None, None
    decided_min = (ending.decided_ms - ending.started_ms) / MINUTE_MS
    return decided_min, max(0.0, clock.wall_seconds(ending.flipped_ms - ending.decided_ms))


def report(result: Result, clock: EventClock) -> dict[str, object]:
    """Return the summary for programs, JSON-ready."""
    return {
        "as_promised": result.as_promised,
        "events": result.events,
        "event_minutes": round(result.event_min, 1),
        "first_breach_seconds": None if result.first_breach_s is None else round(result.first_breach_s, 1),
        "stories": [_story(ending, clock) for ending in result.endings],
    }


def _story(ending: Ending, clock: EventClock) -> dict[str, object]:
    decided, flip = _spans(ending, clock)
    return {
        "name": ending.story.name,
        "release": ending.story.release,
        "as_promised": not ending.missing,
        "missing": list(ending.missing),
        "decided_after_minutes": None if decided is None else round(decided, 1),
        "flag_flip_seconds": None if flip is None else round(flip, 2),
        "reason": ending.reason,
    }
