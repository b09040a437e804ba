"""The script of the demo: a pure state machine from story to story. Event time comes in, orders to the stage go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from monitor.console.demo.sightings import (
    ASSESSED,
    LEDGER,
    OVERRIDE,
    PAGE_OPENED,
    REQUESTED,
    REQUESTS,
    VERIFIED,
    Sighting,
)
from monitor.console.demo.stories import Plan, Story, missing
from monitor.console.demo.traffic import Harm

MINUTE_MS: Final = 60_000


class Phase(Enum):
    """How far a story has come."""

    ARMING = "arming"  # the budget is with the monitor; everybody is served the baseline
    ROLLOUT = "rollout"  # the candidate serves its share
    SETTLING = "settling"  # everybody is served the baseline again; the last events come in
    OVER = "over"


class Task(Enum):
    """What the stage can be asked to do for a story."""

    ARM = "arm"  # publish its budget
    SERVE = "serve"  # write the flag: the candidate gets its share
    INCIDENT = "incident"  # the candidate's next request is the incident
    WITHDRAW = "withdraw"  # write the flag: everybody gets the baseline
    DISARM = "disarm"  # take its budget back


@dataclass(frozen=True, slots=True)
class Order:
    """One task, and the story it is for."""

    task: Task
    story: Story


@dataclass(frozen=True, slots=True)
class Facts:
    """What the stage sees at one moment.

    Attributes:
        now_ms: Event time, epoch milliseconds.
        share_pct: How many of a hundred users the flag gives to the current story's candidate.
        flag_changed_ms: When the flag's file was last written, wall time.
        seen: Events not handed in before.
    """

    now_ms: int
    share_pct: float
    flag_changed_ms: int = 0
    seen: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How one story ended.

    Attributes:
        missing: What it promised and did not bring; empty = as promised.
        started_ms, flipped_ms: Event time of the rollout's start, and of the flag's return to the baseline.
        decided_ms: Event time of the rollback request's arrival; None where there was none.
        flip_ms: From the rollback request's record to the flag's new file, wall time; None where either is missing.
        reason: The decision in one sentence.
    """

    story: Story
    missing: tuple[str, ...]
    started_ms: int
    flipped_ms: int
    decided_ms: int | None
    paged_ms: int | None
    flip_ms: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the script stands; `advance` returns the next one.

    Attributes:
        since_ms: When the phase began, event time.
        seen: Every event about the current story's release so far.
        withdrawn: The demo itself took the candidate back: nothing else did.
    """

    index: int
    phase: Phase
    since_ms: int
    seen: tuple[Sighting, ...] = ()
    started_ms: int = 0
    flipped_ms: int = 0
    decided_ms: int | None = None
    paged_ms: int | None = None
    flag_changed_ms: int = 0
    incident_sent: bool = False
    withdrawn: bool = False
    endings: tuple[Ending, ...] = ()

    @property
    def is_over(self) -> bool:
        """Tell whether the last story has ended."""
        return self.phase is Phase.OVER

    def story(self, plan: Plan) -> Story:
        """Return the story being told; after the end, the last one."""
        return plan.stories[min(self.index, len(plan.stories) - 1)]


Step = tuple[Progress, tuple[Order, ...]]


def begin(plan: Plan, now_ms: int) -> Step:
    """Return the start of the first story."""
    return Progress(0, Phase.ARMING, now_ms), (Order(Task.ARM, plan.stories[0]),)


def advance(progress: Progress, plan: Plan, facts: Facts) -> Step:
    """Return where the script stands after these facts, and what the stage has to do."""
    if progress.is_over:
        return progress, ()
    progress = _noted(progress, plan, facts)
    step = {Phase.ARMING: _arming, Phase.ROLLOUT: _rollout, Phase.SETTLING: _settling}[progress.phase]
    return step(progress, plan, facts)


def _noted(progress: Progress, plan: Plan, facts: Facts) -> Progress:
    release = progress.story(plan).release
    news = tuple(entry for entry in facts.seen if entry.release == release)
    return replace(
        progress,
        seen=progress.seen + news,
        decided_ms=progress.decided_ms or _arrival(news, REQUESTED, facts.now_ms),
        paged_ms=progress.paged_ms or _arrival(news, PAGE_OPENED, facts.now_ms),
    )


def _arrival(news: Sequence[Sighting], event_type: str, now_ms: int) -> int | None:
    return now_ms if any(e.event_type == event_type and e.topic != LEDGER for e in news) else None


def _arming(progress: Progress, plan: Plan, facts: Facts) -> Step:
    waited_ms = facts.now_ms - progress.since_ms
    armed = any(entry.topic == LEDGER for entry in progress.seen)
    if waited_ms >= plan.arm_min * MINUTE_MS and armed:
        at_ms = facts.now_ms
        return replace(progress, phase=Phase.ROLLOUT, since_ms=at_ms, started_ms=at_ms), (
            Order(Task.SERVE, progress.story(plan)),
        )
    if waited_ms >= plan.arm_at_most_min * MINUTE_MS:
        return _ended(replace(progress, started_ms=facts.now_ms), plan, facts, ("its budget was armed",))
    return progress, ()


def _rollout(progress: Progress, plan: Plan, facts: Facts) -> Step:
    story, lasted_ms = progress.story(plan), facts.now_ms - progress.since_ms
    settling = replace(progress, phase=Phase.SETTLING, since_ms=facts.now_ms, flipped_ms=facts.now_ms)
    if facts.share_pct == 0:
        return replace(settling, flag_changed_ms=facts.flag_changed_ms), ()
    if lasted_ms >= (story.lasts_min or plan.give_up_min) * MINUTE_MS or _is_held(progress):
        return replace(settling, withdrawn=True), (Order(Task.WITHDRAW, story),)
    due = story.harm is Harm.INCIDENT and lasted_ms >= story.incident_after_min * MINUTE_MS
    if due and not progress.incident_sent:
        return replace(progress, incident_sent=True), (Order(Task.INCIDENT, story),)
    return progress, ()


def _is_held(progress: Progress) -> bool:
    """Tell whether a commander said `continue`: then no rollback comes, and the demo goes on by itself."""
    return any(entry.event_type == OVERRIDE for entry in progress.seen)


def _settling(progress: Progress, plan: Plan, facts: Facts) -> Step:
    story, waited_ms = progress.story(plan), facts.now_ms - progress.since_ms
    gone = missing(story, progress.seen, served_baseline=not progress.withdrawn)
    if not story.is_sound and _is_held(progress):
        gone = ()
    proven = story.is_sound or progress.withdrawn or any(e.event_type == VERIFIED for e in progress.seen)
    enough = plan.settle_min if not gone and proven else plan.settle_at_most_min
    if waited_ms < enough * MINUTE_MS:
        return progress, ()
    return _ended(progress, plan, facts, gone)


def _ended(progress: Progress, plan: Plan, facts: Facts, gone: tuple[str, ...]) -> Step:
    story = progress.story(plan)
    ending = Ending(
        story=story,
        missing=gone,
        started_ms=progress.started_ms,
        flipped_ms=progress.flipped_ms or facts.now_ms,
        decided_ms=progress.decided_ms,
        paged_ms=progress.paged_ms,
        flip_ms=_flip_ms(progress),
        reason=_reason(progress, story),
    )
    endings = (*progress.endings, ending)
    # Only after its last events: a budget taken back before would never be assessed.
    orders = (Order(Task.DISARM, story),) if progress.withdrawn or not progress.flipped_ms else ()
    if len(endings) == len(plan.stories):
        return Progress(progress.index + 1, Phase.OVER, facts.now_ms, endings=endings), orders
    following = Order(Task.ARM, plan.stories[len(endings)])
    return Progress(progress.index + 1, Phase.ARMING, facts.now_ms, endings=endings), (*orders, following)


def _flip_ms(progress: Progress) -> int | None:
    asked = (entry.record_ms for entry in progress.seen if entry.topic == REQUESTS)
    asked_ms = next(asked, None)
    return max(0, progress.flag_changed_ms - asked_ms) if asked_ms and progress.flag_changed_ms else None


def _reason(progress: Progress, story: Story) -> str:
    for entry in progress.seen:
        if entry.event_type == REQUESTED and entry.topic != LEDGER:
            return entry.sentence
    if _is_held(progress):
        return "the commander chose to continue; the demo took the candidate back"
    if not story.is_sound:
        return "nothing decided it"
    assessed = (entry.sentence for entry in progress.seen if entry.event_type == ASSESSED)
    return next(assessed, f"{story.lasts_min} minutes of real traffic and nothing to hold against it")
