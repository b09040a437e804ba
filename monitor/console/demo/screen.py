"""The one screen of the demo, 100 columns by 30 lines, from one `View`."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.console.demo.live import SHOWN_MIN
from monitor.console.demo.script import Phase
from monitor.console.demo.sightings import BREACH_STARTED, DEBT, FAILED, PAGE_OPENED, REQUESTED, VERIFIED
from monitor.console.demo.stories import BASELINE, FLAG_KEY
from monitor.console.demo.view import LOG_LINES, LogLine, Row, View, clock
from monitor.core.budget import Unit
from monitor.core.moment import rfc3339
from monitor.core.wording import indicator_words, unit_words, value_words

WIDTH: Final = 100
HEIGHT: Final = 30
_STATES: Final = {
    "within": "green",
    "beyond": "yellow",
    "breach": "bold red",
    "rollback": "bold magenta",
    "-": "dim",
}
_EVENTS: Final = {
    BREACH_STARTED: "yellow",
    PAGE_OPENED: "bold yellow",
    REQUESTED: "bold magenta",
    VERIFIED: "green",
    FAILED: "bold red",
    DEBT: "cyan",
}
_PHASES: Final = {
    Phase.ARMING: "budget armed, rollout next",
    Phase.ROLLOUT: "rolling out",
    Phase.SETTLING: "baseline serves everybody",
    Phase.OVER: "over",
}


def screen(view: View) -> RenderableType:
    """Return the whole screen."""
    return Group(
        _header(view),
        _objectives(view),
        _served(view),
        _log(view),
        Text(view.footer, style="dim", no_wrap=True, overflow="ellipsis"),
    )


def _header(view: View) -> RenderableType:
    story = view.story
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"Story {view.number}/{view.total}: {story.title}", style="bold")
    line.append(f"   {_PHASES[view.phase]} {clock(view.in_phase_ms)}")
    second = Text(no_wrap=True, overflow="ellipsis")
    second.append(f"release {story.release} against {BASELINE}, share {story.share_pct} %   ")
    second.append(f"event time {rfc3339(view.now_ms)[:19]}Z at {view.speed:g}x", style="dim")
    return Panel(
        Group(line, second),
        title="rollback budget: live demo (Ctrl-C ends it)",
        box=box.ROUNDED,
        padding=(0, 1),
    )


def _objectives(view: View) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(f"what the app saw\nin the last {SHOWN_MIN} min", no_wrap=True)
    counts = {"baseline": view.requests[0], "candidate": view.requests[1]}
    for arm, count in counts.items():
        table.add_column(f"{arm}\nn={count:,}", justify="right", no_wrap=True, min_width=11)
    for name in ("delta", "limit", "held", "tier"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True, min_width=8)
    for row in view.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> tuple[RenderableType, ...]:
    objective, reading = row.objective, row.reading
    wanted = "at once" if objective.immediate else f"{objective.hold_min}m"
    held = wanted if row.held_ms is None else f"{clock(row.held_ms)}/{wanted}"
    return (
        indicator_words(objective),
        "-" if reading.baseline is None else value_words(objective, reading.baseline),
        "-" if reading.candidate is None else value_words(objective, reading.candidate),
        "-" if reading.delta is None else f"{reading.delta:+.1f}{_unit(objective.unit)}",
        f"{objective.limit:+g}{_unit(objective.unit)}",
        held,
        objective.tier.value,
        Text(row.state, style=_STATES[row.state]),
    )


def _unit(unit: Unit) -> str:
    return "" if unit is Unit.COUNT else f" {unit_words(unit)}"


def _served(view: View) -> RenderableType:
    flag = Text(no_wrap=True, overflow="ellipsis")
    flag.append(f"flag {FLAG_KEY}  ", style="bold")
    filled = round(view.share_pct / 5)
    flag.append("█" * filled, style="yellow")
    flag.append("█" * (20 - filled), style="green")
    flag.append(f"  candidate {view.share_pct:.0f} %, baseline {100 - view.share_pct:.0f} %")
    if view.flipped_at_ms is not None:
        flag.append(f"   flipped {rfc3339(view.flipped_at_ms)[11:19]}", style="bold green")
    why = Text(view.reason or "nothing to report")
    # A fixed height: the screen must not jump when a sentence takes its second line.
    return Panel(Group(flag, _commander(view), why), box=box.ROUNDED, padding=(0, 1), height=6)


def _commander(view: View) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("commander        ", style="bold")
    if view.page is None:
        return text.append("no open page", style="dim")
    text.append(f"paged for {view.page.objective}", style="bold yellow")
    if view.page.deadline_ms is not None:
        left_ms = view.page.deadline_ms - view.now_ms
        # The event says the earliest moment: the clock itself runs from the page's delivery, and ends at a tick.
        left = f"{clock(left_ms)} left, then" if left_ms > 0 else "the time is up:"
        text.append(f"   {left} silence decides: rollback", style="yellow")
    return text


def _log(view: View) -> RenderableType:
    lines = [_log_line(line) for line in view.log]
    lines += [Text("")] * (LOG_LINES - len(lines))
    return Panel(Group(*lines), title="events", box=box.ROUNDED, padding=(0, 1))


def _log_line(line: LogLine) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{rfc3339(line.at_ms)[11:19]} ", style="dim")
    text.append(f"{line.event_type.removesuffix('.v1'):<19} ", style=_EVENTS.get(line.event_type, ""))
    return text.append(line.text)
