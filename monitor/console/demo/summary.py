"""The end of the show: what each story promised, what happened, how long it took, and why."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.console.demo.script import MINUTE_MS, Ending
from monitor.console.demo.show import Result

_GRAIN_MS = 10
NEXT_COMMANDS = (
    "rollback-budget validate BUDGET.yaml      check a budget of your own, and say what it means",
    "rollback-budget replay --budget BUDGET.yaml --events TRACES.jsonl      what it would have decided",
    "rollback-budget status      what is armed, breached, paged and held back, from the ledger",
)


def summary(result: Result) -> RenderableType:
    """Return the summary for people."""
    table = Table(box=box.ROUNDED, expand=True, title="what happened", show_lines=True)
    table.add_column("story", ratio=3)
    table.add_column("as promised", justify="center", ratio=3)
    table.add_column("decided after", justify="right", no_wrap=True)
    table.add_column("to flag flip", justify="right", no_wrap=True)
    table.add_column("why", ratio=6)
    for ending in result.endings:
        table.add_row(*_row(ending))
    first = "no breach was seen"
    if result.first_breach_s is not None:
        first = f"first breach visible {result.first_breach_s:.0f} s after the start of traffic"
    if not result.told:
        first = f"ended before the last story; {first}"
    counts = Text(f"{result.events:,} requests, {result.event_min:.0f} event minutes; {first}.")
    where = Text("Where to look next:\n" + "\n".join(f"  {command}" for command in NEXT_COMMANDS))
    return Group(table, counts, Text(""), where)


def _row(ending: Ending) -> tuple[RenderableType, ...]:
    kept = Text("no: " + "; ".join(ending.missing), style="bold red")
    if not ending.missing:
        kept = Text("yes", style="bold green")
    decided_min = _decided_min(ending)
    return (
        Text(f"{ending.story.title} ({ending.story.release})"),
        kept,
        "-" if decided_min is None else f"{decided_min:.0f} min",
        _in_words(ending.flip_ms),
        Text(ending.reason),
    )


def _decided_min(ending: Ending) -> float | None:
    """Return the event minutes from the rollout to the rollback request."""
    return None if ending.decided_ms is None else (ending.decided_ms - ending.started_ms) / MINUTE_MS


def _in_words(flip_ms: int | None) -> str:
    """Return a span; below the grain of a file's time stamp, only that it was below."""
    if flip_ms is None:
        return "-"
    return f"{flip_ms / 1000:.2f} s" if flip_ms >= _GRAIN_MS else f"< {_GRAIN_MS / 1000:g} s"


def _flip_s(ending: Ending) -> float | None:
    """Return the wall seconds from the rollback request's record to the flag's new file."""
    return None if ending.flip_ms is None else ending.flip_ms / 1000


def report(result: Result) -> dict[str, object]:
    """Return the summary for programs, JSON-ready."""
    return {
        "as_promised": result.as_promised,
        "events": result.events,
        "event_minutes": round(result.event_min, 1),
        "first_breach_seconds": None if result.first_breach_s is None else round(result.first_breach_s, 1),
        "stories": [_story(ending) for ending in result.endings],
    }


def _story(ending: Ending) -> dict[str, object]:
    decided_min = _decided_min(ending)
    return {
        "name": ending.story.name,
        "release": ending.story.release,
        "as_promised": not ending.missing,
        "missing": list(ending.missing),
        "decided_after_minutes": None if decided_min is None else round(decided_min, 1),
        "flag_flip_seconds": _flip_s(ending),
        "reason": ending.reason,
    }
