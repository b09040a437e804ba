"""Recovery from the ledger: what people and incidents caused comes back from its entries, once, and only that."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.config.canonical import canonical, from_canonical
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Reason, Type
from monitor.core.page import Page
from monitor.core.record import Arming
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.ports import LedgerEntry
from monitor.engine.recall import recall
from tests.engine.plant import budget

AT_MS = 1_790_000_000_000
LATENCY = "latency.p95_delta_pct"
SAFETY = "safety.high_severity_incidents_increase"


def evaluator() -> Evaluator:
    made = budget()
    return Evaluator(made, Arming(made.release, 1, made.digest, 0), delivered_when_opened=False)


def entry(type_: Type, decision_id: str = "d", **data: object) -> LedgerEntry:
    return LedgerEntry(Decision(type_, decision_id, "v42", AT_MS, data), None, True)


def twice(target: Evaluator, one: LedgerEntry) -> None:
    """Recall an entry two times: the second must change nothing."""
    recall(target, one, from_canonical)
    recall(target, one, from_canonical)


def with_page(target: Evaluator) -> Page:
    page = Page("p", "e", LATENCY, OVERALL, Reason.BREACH, AT_MS, AT_MS - 1, clock_ms=900_000)
    target.commander.pages[LATENCY, OVERALL, Reason.BREACH] = page
    return page


def page_of(target: Evaluator) -> Page:
    (page,) = target.commander.pages.values()
    return page


def test_a_delivery_starts_the_clock_of_its_page() -> None:
    target = evaluator()
    with_page(target)
    twice(target, entry(Type.PAGE_DELIVERED, event_id="e"))
    assert page_of(target).delivered_ms == AT_MS


def test_an_acknowledgement_stops_reminders() -> None:
    target = evaluator()
    with_page(target)
    twice(target, entry(Type.PAGE_ACKNOWLEDGED, page_id="p"))
    assert page_of(target).acknowledged_ms == AT_MS


def test_a_page_that_was_resolved_by_a_person_is_closed() -> None:
    target = evaluator()
    with_page(target)
    twice(target, entry(Type.PAGE_RESOLVED, page_id="p"))
    assert not page_of(target).is_open


@pytest.mark.parametrize(("reason", "pages"), [(Reason.IMMEDIATE, 1), (Reason.BREACH, 0)])
def test_only_a_page_that_an_incident_opened_is_put_back_the_ticks_open_the_others(
    reason: Reason, pages: int
) -> None:
    target = evaluator()
    twice(target, entry(Type.PAGE_OPENED, page_id="p", objective=SAFETY, cohort={}, reason=reason.value))
    assert len(target.commander.pages) == pages


def test_an_override_holds_again_until_its_end() -> None:
    target = evaluator()
    data: dict[str, Any] = {
        "override_id": "o",
        "objective": LATENCY,
        "limit": 60,
        "until": "2026-09-21T14:20:00.000Z",
    }
    twice(target, entry(Type.OVERRIDE_CREATED, **data, author="ada", note="a known slow region"))
    (override,) = target.commander.overrides
    assert override.limit == 60.0
    assert override.until_ms == 1_790_000_400_000
    assert (override.author, override.from_ms) == ("ada", AT_MS)


@pytest.mark.parametrize(
    ("type_", "stage"), [(Type.ROLLBACK_REQUESTED, Stage.LOCKED), (Type.ARMING_ENDED, Stage.ENDED)]
)
def test_a_request_locks_and_an_end_ends(type_: Type, stage: Stage) -> None:
    target = evaluator()
    twice(target, entry(type_, cohort={}))
    assert target.progress.stage is stage


def test_a_lock_does_not_wake_what_has_ended() -> None:
    target = evaluator()
    recall(target, entry(Type.ARMING_ENDED), from_canonical)
    recall(target, entry(Type.ROLLBACK_REQUESTED, cohort={}), from_canonical)
    assert target.progress.stage is Stage.ENDED


def test_a_changed_budget_is_in_force_again() -> None:
    target = evaluator()
    changed = budget(("-10", "-12"))
    twice(target, entry(Type.BUDGET_CHANGED, spec=canonical(changed)))
    assert target.budget.digest == changed.digest


@pytest.mark.parametrize("type_", [Type.BREACH_STARTED, Type.DEBT_CREATED, Type.RELEASE_ASSESSED])
def test_what_ticks_say_again_by_themselves_is_not_put_back(type_: Type) -> None:
    target = evaluator()
    recall(target, entry(type_, objective=LATENCY, cohort={}), from_canonical)
    assert target.commander.pages == {}
    assert target.progress.stage is Stage.WAITING
