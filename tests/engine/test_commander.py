"""The commander's book: one page per breach, one clock per page, and an answer that ends both."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.budget import Accounting, Objective, OnSilence, Tier
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.override import Override
from monitor.core.page import REOPEN_MS, Page
from monitor.core.record import Arming, Finding, Observed
from monitor.engine.commander import Commander
from tests.engine.worlds import (
    ACME,
    CANDIDATE,
    HANDOFF,
    HOUR,
    MINUTE,
    START_MS,
    budget,
    handoff,
    held,
    incidents,
    names,
    objective,
)

CLOCK = 15 * MINUTE
ARMING = Arming(CANDIDATE, 1, "0" * 64, at_ms=0)


def _commander(*, live: bool = False, **more: Any) -> Commander:
    watched = budget(handoff(critical_cohorts=(ACME,)), objective(), incidents(), **more)
    return Commander(watched, ARMING, delivered_when_opened=not live)


def _finding(judged: Objective | None = None, view: CohortKey = OVERALL) -> Finding:
    judged = handoff() if judged is None else judged
    return Finding(judged, view, Observed(0.2, 0.5, 150.0, samples=(10, 10)), START_MS, 4, ())


def _open(
    commander: Commander,
    at_ms: int = START_MS,
    *,
    judged: Objective | None = None,
    reason: Reason = Reason.BREACH,
    episode_ms: int | None = None,
    view: CohortKey = OVERALL,
) -> list[Decision]:
    episode_ms = at_ms if episode_ms is None else episode_ms
    decisions = commander.open_page(_finding(judged, view), reason, episode_ms, at_ms, "look")
    for decision in decisions:
        held(decision)
    return decisions


def _page(commander: Commander) -> Page:
    (page,) = commander.pages.values()
    return page


def _expire(commander: Commander, at_ms: int, *, waits: bool = False) -> list[str]:
    decisions, silences = commander.expire_due(at_ms, lambda _: waits)
    for decision in decisions:
        held(decision)
    return [*names(decisions), *(f"rollback={silence.rolls_back}" for silence in silences)]


@pytest.mark.parametrize(
    "judged, reason, has_clock",
    [
        (handoff(), Reason.BREACH, True),
        (handoff(accounting=Accounting.CUMULATIVE), Reason.CUMULATIVE, True),
        (handoff(), Reason.CUMULATIVE, False),  # minutes that add up without a sustained breach
        (handoff(), Reason.NO_DATA, False),
        (objective(), Reason.BREACH, False),  # tier A, where the budget says page
        (incidents(), Reason.IMMEDIATE, False),
        (incidents(immediate=False, tier=Tier.B), Reason.BREACH, True),
        (incidents(immediate=False, tier=Tier.B), Reason.INSUFFICIENT_EVIDENCE, False),
    ],
)
def test_only_a_tier_b_breach_runs_out(judged: Objective, reason: Reason, has_clock: bool) -> None:
    commander = _commander()
    (opened,) = _open(commander, judged=judged, reason=reason)
    assert (opened.data["deadline"] is not None) is has_clock
    assert (_page(commander).deadline_ms == START_MS + CLOCK) is has_clock
    assert (_expire(commander, START_MS + 100 * CLOCK) != []) is has_clock


def test_a_breach_that_goes_on_is_one_page() -> None:
    commander = _commander()
    assert names(_open(commander)) == ["page.opened"]
    assert _open(commander, START_MS + MINUTE, episode_ms=START_MS) == []


def test_a_page_about_adding_up_becomes_the_breach_s_own_with_its_clock() -> None:
    commander = _commander()
    (first,) = _open(commander, reason=Reason.CUMULATIVE)
    (second,) = _open(commander, START_MS + 5 * MINUTE, episode_ms=START_MS)
    assert first.data["page_id"] == second.data["page_id"]
    assert first.decision_id != second.decision_id
    assert _page(commander).deadline_ms == START_MS + 5 * MINUTE + CLOCK


@pytest.mark.parametrize("after_ms, same", [(1, True), (REOPEN_MS, True), (REOPEN_MS + 1, False)])
def test_a_breach_that_comes_back_reopens_its_page_and_its_clock(after_ms: int, same: bool) -> None:
    commander = _commander()
    (first,) = _open(commander)
    over_ms = START_MS + 9 * MINUTE
    commander.resolve(HANDOFF, OVERALL, over_ms, Reason.RECOVERED, "over")
    (again,) = _open(commander, over_ms + after_ms)
    assert (again.data["page_id"] == first.data["page_id"]) is same
    assert again.decision_id != first.decision_id
    assert _page(commander).deadline_ms == over_ms + after_ms + CLOCK


def test_asking_again_about_the_same_breach_is_an_event_of_its_own() -> None:
    """Its first event is on record: one with the same id would never be published."""
    commander = _commander()
    ids = set()
    for hour in range(3):
        (opened,) = _open(commander, START_MS + hour * HOUR, episode_ms=START_MS)
        ids.add(opened.decision_id)
        (resolved,) = commander.resolve(
            HANDOFF, OVERALL, START_MS + hour * HOUR + 1, Reason.COMMANDER, "go on"
        )
        ids.add(resolved.decision_id)
    assert len(ids) == 6


def test_each_event_of_a_page_says_what_it_was_opened_with() -> None:
    commander = _commander()
    (opened,) = _open(commander)
    (page,) = commander.meant(None, HANDOFF)
    decisions, _ = commander.expire_due(START_MS + CLOCK, lambda _: False)
    later = [
        *decisions,
        commander.page_event(Type.PAGE_ACKNOWLEDGED, page, START_MS, Reason.COMMANDER, "seen", author="ada"),
        *commander.close(START_MS + CLOCK, Reason.WINDOW_ENDED, "over"),
    ]
    assert names(later) == ["page.expired", "page.acknowledged", "page.resolved"]
    said_once = {
        "action",
        "reason",
        "decided_at",
        "deadline",
        "summary",
        "evidence",
        "on_silence",
        "baseline_mode",
    }
    for event in later:
        held(event)
        assert {name: event.data.get(name) for name in opened.data if name not in said_once} == {
            name: told for name, told in opened.data.items() if name not in said_once
        }
    again = commander.open_page(_finding(), Reason.BREACH, START_MS + HOUR, START_MS + HOUR, "look")[0]
    (page,) = commander.meant(None, HANDOFF)
    assert page.said == again.data


def test_slices_have_pages_of_their_own() -> None:
    commander = _commander()
    ids = {_open(commander, view=view)[0].data["page_id"] for view in (OVERALL, ACME)}
    assert len(ids) == len(commander.pages) == 2
    resolved = commander.resolve_slice(ACME, START_MS + 1, Reason.ROLLED_BACK, "gone")
    assert [one.data["cohort"] for one in resolved] == [dict(ACME)]


def test_without_a_delivery_nothing_runs_out() -> None:
    commander = _commander(live=True)
    (opened,) = _open(commander)
    assert _expire(commander, START_MS + 10 * CLOCK) == []
    commander.delivered(opened.decision_id, START_MS + 10 * CLOCK)
    assert _expire(commander, START_MS + 11 * CLOCK - 1) == []
    assert _expire(commander, START_MS + 11 * CLOCK) == ["page.expired", "rollback=True"]
    assert _expire(commander, START_MS + 12 * CLOCK) == []


def test_a_delivery_may_be_known_before_its_page() -> None:
    """Recovery reads the ledger: the page that a tick opens again was delivered long ago."""
    commander = _commander(live=True)
    event_id = decision_id("page.opened", CANDIDATE, 1, HANDOFF, {}, START_MS)
    commander.delivered(event_id, START_MS + MINUTE)
    _open(commander)
    assert _page(commander).deadline_ms == START_MS + MINUTE + CLOCK


def test_a_reopened_page_needs_a_delivery_of_its_own() -> None:
    commander = _commander(live=True)
    (first,) = _open(commander)
    commander.delivered(first.decision_id, START_MS)
    commander.resolve(HANDOFF, OVERALL, START_MS + 1, Reason.COMMANDER, "go on")
    _open(commander, START_MS + HOUR, episode_ms=START_MS)
    assert _page(commander).delivered_ms is None
    assert _expire(commander, START_MS + 9 * HOUR) == []


def test_what_waits_does_not_run_out() -> None:
    commander = _commander()
    _open(commander)
    assert _expire(commander, START_MS + CLOCK, waits=True) == []
    assert _expire(commander, START_MS + 2 * CLOCK) == ["page.expired", "rollback=True"]


def test_silence_means_what_the_budget_says() -> None:
    commander = _commander(on_silence=OnSilence.HOLD)
    _open(commander)
    assert _expire(commander, START_MS + CLOCK) == ["page.expired", "rollback=False"]


def test_acknowledging_does_not_stop_the_clock() -> None:
    commander = _commander()
    (opened,) = _open(commander)
    assert commander.acknowledge(str(opened.data["page_id"]), START_MS + 1)
    assert not commander.acknowledge("another", START_MS + 1)
    assert _expire(commander, START_MS + CLOCK) == ["page.expired", "rollback=True"]


def test_a_page_is_never_resolved_before_it_was_opened() -> None:
    """An incident's page is dated by the incident, which may lie ahead of the tick that ends the watch."""
    commander = _commander()
    _open(commander, START_MS + 90_000)
    (resolved,) = commander.close(START_MS, Reason.ROLLED_BACK, "gone")
    assert resolved.at_ms == START_MS + 90_000


def test_the_end_closes_pages_and_overrides() -> None:
    commander = _commander()
    _open(commander)
    commander.add_override(
        Override("o", None, START_MS, START_MS + HOUR, None, "ada", "we know"), START_MS, "held"
    )
    closed = commander.close(START_MS + MINUTE, Reason.ROLLED_BACK, "gone")
    assert names(closed) == ["page.resolved", "override.expired"]
    assert commander.end_overrides(START_MS + HOUR) == []
    assert not commander.is_overridden


def test_an_override_ends_once_at_its_time() -> None:
    commander = _commander()
    override = Override("o", HANDOFF, START_MS, START_MS + HOUR, None, "ada", "we know")
    held(commander.add_override(override, START_MS, "held"))
    assert commander.held_by(handoff(), None) == override
    assert commander.held_by(objective(), None) is None
    assert commander.end_overrides(START_MS + HOUR - 1) == []
    ((_, expired),) = commander.end_overrides(START_MS + HOUR)
    held(expired)
    assert expired.type is Type.OVERRIDE_EXPIRED
    assert commander.held_by(handoff(), None) is None


def test_only_an_open_ended_override_ends_with_its_breach() -> None:
    commander = _commander()
    for number, (scope, until_ms) in enumerate(
        [(HANDOFF, None), (HANDOFF, START_MS + HOUR), (None, START_MS + HOUR)]
    ):
        override = Override(f"o-{number}", scope, START_MS + number, until_ms, None, "ada", "we know")
        commander.add_override(override, START_MS, "held")
    assert [one.data["override_id"] for one in commander.end_continued(HANDOFF, START_MS + 9)] == ["o-0"]


@pytest.mark.parametrize(
    "page_id, objective_id, found",
    [
        (None, None, False),
        ("p", None, False),
        (None, HANDOFF, False),
        (None, "quality.task_success_delta_pct", True),
    ],
)
def test_a_page_is_found_where_one_alone_is_meant(
    page_id: str | None, objective_id: str | None, found: bool
) -> None:
    commander = _commander()
    _open(commander)
    _open(commander, view=ACME)
    (third,) = _open(commander, judged=objective())
    assert (commander.find(page_id, objective_id) is not None) is found
    assert commander.find(str(third.data["page_id"]), None) is not None
