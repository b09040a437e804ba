"""What the screen shows, gathered from the script, the flag, the app's numbers and the monitor's events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.console.demo.live import Reading, Recent
from monitor.console.demo.script import Phase, Progress
from monitor.console.demo.sightings import (
    ASSESSED,
    BREACH_CLEARED,
    BREACH_STARTED,
    LEDGER,
    PAGE_EXPIRED,
    PAGE_OPENED,
    PAGE_RESOLVED,
    REQUESTED,
    Sighting,
)
from monitor.console.demo.stories import Plan, Story
from monitor.core.budget import Budget, Objective

LOG_LINES = 10
"""Events the screen shows; the plain output shows all of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One objective.

    Attributes:
        held_ms: How long a breach has been open, by the monitor's own event; None = no open breach.
        state: `within`, `beyond` (our point estimate), `breach` (the monitor says so), `rollback`, or `-`.
    """

    objective: Objective
    reading: Reading
    held_ms: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Page:
    """The commander's open page."""

    objective: str
    deadline_ms: int | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event, with the event time at which the demo saw it."""

    at_ms: int
    text: str
    event_type: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the screen at one moment; times are event time, epoch milliseconds."""

    now_ms: int
    speed: float
    number: int
    total: int
    story: Story
    phase: Phase
    in_phase_ms: int
    share_pct: float
    flipped_at_ms: int | None
    requests: tuple[int, int]
    rows: tuple[Row, ...]
    page: Page | None
    log: tuple[LogLine, ...]
    reason: str
    footer: str


@dataclass(slots=True)
class Seen:
    """The events so far, and where each of them stands in the show."""

    log: list[LogLine] = field(default_factory=list)
    first_breach_ms: int | None = None

    def add(self, at_ms: int, entries: Sequence[Sighting]) -> list[LogLine]:
        """Note events and return the lines they make; the ledger repeats what stands elsewhere."""
        lines = [
            LogLine(at_ms, entry.sentence, entry.event_type)
            for entry in entries
            if entry.topic != LEDGER and entry.event_type
        ]
        if self.first_breach_ms is None and any(line.event_type == BREACH_STARTED for line in lines):
            self.first_breach_ms = at_ms
        self.log.extend(lines)
        return lines


def view(
    progress: Progress,
    plan: Plan,
    budget: Budget,
    *,
    now_ms: int,
    speed: float,
    share_pct: float,
    recent: Recent,
    seen: Seen,
    footer: str,
) -> View:
    """Return what to show now."""
    story = progress.story(plan)
    return View(
        now_ms=now_ms,
        speed=speed,
        number=min(progress.index + 1, len(plan.stories)),
        total=len(plan.stories),
        story=story,
        phase=progress.phase,
        in_phase_ms=now_ms - progress.since_ms,
        share_pct=share_pct,
        flipped_at_ms=progress.flipped_ms or None,
        requests=recent.counts(budget.baseline, budget.release),
        rows=tuple(_row(objective, budget, progress, recent, now_ms) for objective in budget.objectives),
        page=open_page(progress.seen),
        log=tuple(seen.log[-LOG_LINES:]),
        reason=_reason(progress),
        footer=footer,
    )


def _row(objective: Objective, budget: Budget, progress: Progress, recent: Recent, now_ms: int) -> Row:
    reading = recent.reading(objective, budget.baseline, budget.release)
    mine = [entry for entry in progress.seen if entry.text("objective") == objective.objective_id]
    started_ms = _open_since(mine)
    if any(entry.event_type == REQUESTED for entry in mine):
        state = "rollback"
    elif started_ms is not None:
        state = "breach"
    elif reading.delta is None:
        state = "-"
    else:
        state = "beyond" if reading.is_beyond(objective) else "within"
    held_ms = None if started_ms is None else max(0, (progress.flipped_ms or now_ms) - started_ms)
    return Row(objective, reading, held_ms, state)


def _open_since(entries: Sequence[Sighting]) -> int | None:
    """Return since when the monitor sees a breach, by its newest word on it."""
    since: int | None = None
    for entry in entries:
        if entry.event_type == BREACH_STARTED:
            since = entry.moment_ms("breach_started_at") or entry.moment_ms("decided_at")
        elif entry.event_type == BREACH_CLEARED:
            since = None
    return since


def open_page(entries: Sequence[Sighting]) -> Page | None:
    """Return the page that waits for the commander, if one does."""
    page: Page | None = None
    for entry in entries:
        if entry.topic == LEDGER:
            continue
        if entry.event_type == PAGE_OPENED and entry.text("deadline"):
            page = Page(entry.text("objective"), entry.moment_ms("deadline"))
        elif entry.event_type in (PAGE_EXPIRED, PAGE_RESOLVED, REQUESTED):
            page = None
    return page


def _reason(progress: Progress) -> str:
    """Return the sentence of the weightiest event so far, the newest one where several weigh the same."""
    said = [entry for entry in progress.seen if entry.topic != LEDGER]
    for weight in (REQUESTED, PAGE_OPENED, BREACH_STARTED, ASSESSED):
        for entry in reversed(said):
            if entry.event_type == weight:
                return entry.sentence
    return ""


def clock(ms: int) -> str:
    """Return a span as `12:05`, minutes and seconds; negative ones count as none."""
    minutes, seconds = divmod(max(0, ms) // 1000, 60)
    return f"{minutes:d}:{seconds:02d}"
