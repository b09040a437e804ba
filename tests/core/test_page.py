"""The commander's clock, as a table: what runs out when, what waits, and what reopens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.budget import Accounting, Tier
from monitor.core.cohort import OVERALL
from monitor.core.decision import Reason
from monitor.core.page import REOPEN_MS, Page, clock_of
from tests.engine.worlds import budget, objective

MIN = 60_000
OPENED = 1_000 * MIN
CLOCK = 15 * MIN
PAGE = Page("p-1", "e-1", "escalation.human_handoff_delta_pct", OVERALL, Reason.BREACH, OPENED, OPENED, CLOCK)


@pytest.mark.parametrize(
    "delivered_ms, deadline_ms",
    [
        (None, OPENED + CLOCK),
        (OPENED - 5 * MIN, OPENED + CLOCK),  # an older delivery does not shorten the time
        (OPENED, OPENED + CLOCK),
        (OPENED + 1, OPENED + CLOCK + 1),
        (OPENED + 40 * MIN, OPENED + 40 * MIN + CLOCK),  # catching up: the person's time counts
    ],
)
def test_the_deadline_is_the_later_of_tick_and_delivery(delivered_ms: int | None, deadline_ms: int) -> None:
    page = PAGE if delivered_ms is None else PAGE.delivered(delivered_ms)
    assert page.deadline_ms == deadline_ms
    assert not page.is_due(deadline_ms - 1)
    assert page.is_due(deadline_ms) is (delivered_ms is not None)


def test_a_page_nobody_has_seen_never_runs_out() -> None:
    assert not PAGE.is_due(OPENED + 1_000 * CLOCK)


def test_only_the_first_delivery_counts() -> None:
    assert PAGE.delivered(OPENED + 1).delivered(OPENED + 9).delivered_ms == OPENED + 1


def test_acknowledging_does_not_stop_the_deadline() -> None:
    seen = PAGE.delivered(OPENED).acknowledged(OPENED + MIN)
    assert seen.deadline_ms == PAGE.deadline_ms
    assert seen.is_due(OPENED + CLOCK)
    assert seen.acknowledged(OPENED + 2 * MIN).acknowledged_ms == OPENED + MIN


def test_a_page_without_a_clock_never_runs_out() -> None:
    page = Page("p", "e", "o", OVERALL, Reason.NO_DATA, OPENED, OPENED).delivered(OPENED)
    assert page.deadline_ms is None
    assert not page.is_due(OPENED + 1_000 * CLOCK)


@pytest.mark.parametrize("end", ["expired", "resolved"])
def test_what_is_over_is_not_due_again(end: str) -> None:
    page = getattr(PAGE.delivered(OPENED), end)(OPENED + CLOCK)
    assert not page.is_due(OPENED + 9 * CLOCK)
    assert page.is_open is (end == "expired")


@pytest.mark.parametrize(
    "after_ms, reopens", [(0, True), (REOPEN_MS - 1, True), (REOPEN_MS, True), (REOPEN_MS + 1, False)]
)
def test_a_breach_that_comes_back_within_six_hours_reopens_its_page(after_ms: int, reopens: bool) -> None:
    assert REOPEN_MS == 6 * 60 * MIN
    assert not PAGE.can_reopen(OPENED)
    assert PAGE.resolved(OPENED).can_reopen(OPENED + after_ms) is reopens


def test_a_reopened_page_keeps_its_id_and_gets_a_new_clock() -> None:
    old = PAGE.delivered(OPENED).acknowledged(OPENED).expired(OPENED + CLOCK).resolved(OPENED + CLOCK)
    at_ms = OPENED + 60 * MIN
    page = old.reopened("e-2", Reason.BREACH, at_ms, at_ms, CLOCK)
    assert (page.page_id, page.event_id, page.is_open) == ("p-1", "e-2", True)
    assert page.deadline_ms == at_ms + CLOCK
    assert not page.is_due(at_ms + CLOCK)  # its own delivery has to come first
    assert page.delivered(at_ms).is_due(at_ms + CLOCK)
    assert (page.acknowledged_ms, page.expired_ms, page.resolved_ms) == (None, None, None)


def test_half_of_the_time_counts_from_the_delivery_and_with_what_was_added() -> None:
    page = PAGE.delivered(OPENED + MIN).extended_to(5 * MIN)
    assert page.deadline_ms == OPENED + 21 * MIN
    assert page.half_time_ms == OPENED + 11 * MIN
    assert replace(page, clock_ms=None).half_time_ms is None


@pytest.mark.parametrize(
    ("tier", "accounting", "reason", "minutes"),
    [
        (Tier.B, Accounting.SUSTAINED, Reason.BREACH, 15),
        (Tier.A, Accounting.SUSTAINED, Reason.BREACH, None),
        (Tier.B, Accounting.SUSTAINED, Reason.NO_DATA, None),
        (Tier.B, Accounting.CUMULATIVE, Reason.CUMULATIVE, 15),
        (Tier.B, Accounting.SUSTAINED, Reason.CUMULATIVE, None),
    ],
)
def test_only_the_page_of_a_breach_in_tier_b_runs_out(
    tier: Tier, accounting: Accounting, reason: Reason, minutes: int | None
) -> None:
    asked = objective(tier=tier, accounting=accounting)
    assert clock_of(replace(budget(asked), decide_within_min=15), asked, reason) == (
        minutes and minutes * MIN
    )
