"""The four stories of the demo and what each of them promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.console.demo.pools import data_folder
from monitor.console.demo.sightings import (
    ASSESSED,
    BREACH_STARTED,
    DEBT,
    DECISIONS,
    EVAL_DEBT,
    LEDGER,
    PAGE_OPENED,
    PAGES,
    REQUESTED,
    REQUESTS,
    Sighting,
)
from monitor.console.demo.traffic import Harm

BASELINE: Final = "chat-v41"
FLAG_KEY: Final = "chat-model"


@dataclass(frozen=True, slots=True)
class Promise:
    """One event that a story must bring.

    Attributes:
        topic: Where it must stand.
        objective: Which limit it must be about; None = any.
        reasons: Which reasons it may give; empty = any.
    """

    words: str
    topic: str
    event_type: str
    objective: str | None = None
    tier: str | None = None
    reasons: tuple[str, ...] = ()

    def kept_by(self, seen: Sighting) -> bool:
        """Tell whether this event is the promised one."""
        return (
            seen.topic == self.topic
            and seen.event_type == self.event_type
            and self.objective in (None, seen.text("objective"))
            and self.tier in (None, seen.text("tier"))
            and (not self.reasons or seen.text("reason") in self.reasons)
        )


@dataclass(frozen=True, slots=True)
class Story:
    """One release's way through the flag.

    Attributes:
        name: Also names its budget, `data/budgets/<name>.yaml`.
        share_pct: How many of a hundred users the candidate serves while the story lasts.
        promises: Events that must come.
        lasts_min: Event minutes of a rollout that nothing stops; None = until the flag serves the baseline.
        incident_after_min: When the one high-severity request happens, for `Harm.INCIDENT`.
    """

    name: str
    title: str
    release: str
    share_pct: int
    harm: Harm
    promises: tuple[Promise, ...] = ()
    lasts_min: int | None = None
    incident_after_min: int = 4

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is wrong with the release: then nothing may be said against it either."""
        return self.harm is Harm.NONE


@dataclass(frozen=True, slots=True)
class Plan:
    """All stories, and the event minutes between and around them.

    Attributes:
        budgets: The folder under `data/` that the budgets come from.
        arm_min: A budget is armed at least so long before its candidate gets traffic.
        arm_at_most_min: Without a word of it in the ledger after so long, the story is given up.
        settle_min: Clean traffic after a story, at least.
        settle_at_most_min: So long the story's last events are waited for.
        give_up_min: A rollout that nothing decided is taken back after so long.
        expected_min: How long everything takes when all goes as promised.
    """

    stories: tuple[Story, ...]
    budgets: str
    expected_min: int
    arm_min: int = 2
    arm_at_most_min: int = 30
    settle_min: int = 4
    settle_at_most_min: int = 12
    give_up_min: int = 75


_LATENCY: Final = "latency.p95_delta_pct"
_SUCCESS: Final = "quality.task_success_delta_pct"
_SAFETY: Final = "safety.high_severity_incidents_increase"
_DEBT: Final = Promise("an eval debt was opened", EVAL_DEBT, DEBT)

HEALTHY_PROMISES: Final = (Promise("it was assessed at the end of its window", DECISIONS, ASSESSED),)
LATENCY_PROMISES: Final = (
    Promise("a breach of the p95 latency limit began", DECISIONS, BREACH_STARTED, _LATENCY),
    Promise("the commander was paged (tier B)", PAGES, PAGE_OPENED, _LATENCY, "B"),
    Promise(
        "the commander's silence or command rolled it back",
        REQUESTS,
        REQUESTED,
        reasons=("commander_silent", "commander"),
    ),
    _DEBT,
)
INCIDENT_PROMISES: Final = (
    Promise(
        "the first high-severity incident rolled it back", REQUESTS, REQUESTED, _SAFETY, "A", ("immediate",)
    ),
    _DEBT,
)
SUCCESS_PROMISES: Final = (
    Promise("a breach of the task success limit began", DECISIONS, BREACH_STARTED, _SUCCESS),
    Promise("the sustained loss rolled it back (tier A)", REQUESTS, REQUESTED, _SUCCESS, "A", ("breach",)),
    _DEBT,
)


def _stories(healthy_min: int, incident_after_min: int) -> tuple[Story, ...]:
    return (
        Story(
            "healthy", "a healthy release", "chat-v42", 40, Harm.NONE, HEALTHY_PROMISES, lasts_min=healthy_min
        ),
        Story("latency", "a release that breaks latency", "chat-v43", 40, Harm.LATENCY, LATENCY_PROMISES),
        Story(
            "incident",
            "a release with one high-severity incident",
            "chat-v44",
            30,
            Harm.INCIDENT,
            INCIDENT_PROMISES,
            incident_after_min=incident_after_min,
        ),
        Story(
            "success",
            "a release that quietly loses task success",
            "chat-v45",
            50,
            Harm.SUCCESS,
            SUCCESS_PROMISES,
        ),
    )


FULL: Final = Plan(_stories(healthy_min=20, incident_after_min=6), budgets="budgets", expected_min=125)
SHORT: Final = Plan(_stories(healthy_min=10, incident_after_min=3), budgets="budgets/short", expected_min=80)


def renamed(plan: Plan, suffix: str) -> Plan:
    """Return the plan with other release names: on servers that outlive a show, an earlier show's are locked."""
    return replace(
        plan, stories=tuple(replace(story, release=story.release + suffix) for story in plan.stories)
    )


def budget_text(plan: Plan, story: Story) -> str:
    """Return the story's budget as it is published, for the release's name in this plan."""
    text = data_folder().joinpath(plan.budgets, f"{story.name}.yaml").read_text(encoding="utf-8")
    written = next(
        line.removeprefix("release: ") for line in text.splitlines() if line.startswith("release: ")
    )
    return text.replace(written, story.release)


def missing(story: Story, seen: Sequence[Sighting], *, served_baseline: bool) -> tuple[str, ...]:
    """Return what the story promised and did not bring, in words; empty = it ended as promised.

    Args:
        seen: Every event about the story's release.
        served_baseline: Whether somebody else than the demo made the flag serve the baseline.
    """
    lost = [promise.words for promise in story.promises if not any(map(promise.kept_by, seen))]
    if story.is_sound:
        against = sorted({entry.event_type for entry in seen if entry.event_type in _AGAINST})
        lost += [f"nothing may be said against it, but there was {event_type}" for event_type in against]
        return tuple(lost + ["nothing may flip its flag, but something did"] * served_baseline)
    if not served_baseline:
        lost.append("the flag serves the baseline again")
    requested = {entry.event_id for entry in seen if entry.topic == REQUESTS}
    if len(requested) > 1:
        lost.append(f"one rollback request per release, not {len(requested)}")
    if requested - {entry.event_id for entry in seen if entry.topic == LEDGER}:
        lost.append("the rollback request stands in the ledger")
    return tuple(lost)


# A breach that only began is not held against it: first evidence, which the monitor itself takes back.
_AGAINST: Final = frozenset({PAGE_OPENED, REQUESTED})
