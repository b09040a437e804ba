"""Commands: each is carried out or refused with its reason, and every one gets an answer."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, OnSilence, Scope, Tier
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Reason, Type
from monitor.core.moment import rfc3339
from monitor.engine.answer import answer
from monitor.engine.evaluate import Stage
from tests.engine.worlds import (
    ACME,
    BAD,
    GOOD,
    HANDOFF,
    HOUR,
    MINUTE,
    SAFETY,
    SUCCESS,
    Drive,
    budget,
    cell,
    command,
    handoff,
    incident,
    incidents,
    names,
    objective,
    only,
)


def _breached(watched: Budget | None = None) -> Drive:
    """A release with a tier-B breach and its page."""
    drive = Drive(budget(handoff()) if watched is None else watched)
    drive.run(5)
    drive.run(4, BAD)
    return drive


def _say(drive: Drive, kind: str, **more: Any) -> list[Decision]:
    return drive.note(answer(drive.evaluator, command(kind, drive.at_ms + 30_000, **more)))


def _roll_back(drive: Drive, **more: Any) -> list[Decision]:
    return _say(drive, "decide", decision="rollback", **more)


def _continue(drive: Drive, **more: Any) -> list[Decision]:
    return _say(drive, "decide", decision="continue", **more)


# Roll back -------------------------------------------------------------------------------------------------------


def test_an_order_to_roll_back_acts_at_once() -> None:
    drive = _breached()
    decisions = _roll_back(drive)
    assert names(decisions) == ["rollback.requested", "page.resolved"]
    data = decisions[0].data
    assert (data["reason"], data["objective"]) == ("commander", HANDOFF)
    assert data["decided_at"] == rfc3339(drive.at_ms + 30_000)
    assert drive.run(60, BAD) == []


@pytest.mark.parametrize("minutes", [0, 3])
def test_an_order_needs_no_breach_and_no_page(minutes: int) -> None:
    drive = Drive(budget(objective(), handoff()))
    drive.run(minutes)
    assert names(_roll_back(drive)) == ["rollback.requested"]
    assert drive.stage() is Stage.LOCKED


def test_an_order_overrules_every_override() -> None:
    drive = _breached()
    _say(drive, "override", until_ms=drive.at_ms + HOUR)
    assert names(_roll_back(drive, command_id="c-2")) == ["rollback.requested", "override.expired"]


def test_an_order_about_an_incident_names_the_incident() -> None:
    drive = Drive(budget(objective(), incidents()))
    drive.note(drive.evaluator.incident(incident(1, drive.at_ms)))
    page = only(drive.log, Type.PAGE_OPENED)
    data = _roll_back(drive, page_id=str(page.data["page_id"]))[0].data
    assert (data["objective"], data["exemplars"]) == (SAFETY, ["trace-1"])


def test_an_order_that_names_none_of_several_pages_is_about_what_is_in_breach() -> None:
    drive = _breached(budget(objective("error", 5.0), objective(tier=Tier.B), handoff()))
    assert names(drive.log).count("page.opened") == 2
    assert _roll_back(drive)[0].data["objective"] == SUCCESS


def _cohort_drive() -> Drive:
    drive = Drive(budget(objective(critical_cohorts=(ACME,), scope=Scope.COHORT, tier=Tier.B)))
    fine = {OVERALL: GOOD, ACME: GOOD}
    drive.run(5, fine, fine)
    drive.run(4, {OVERALL: GOOD, ACME: BAD}, fine)
    return drive


def test_an_order_that_names_a_cohort_s_page_is_about_that_cohort() -> None:
    drive = _cohort_drive()
    page_id = str(only(drive.log, Type.PAGE_OPENED).data["page_id"])
    decisions = _roll_back(drive, page_id=page_id)
    assert names(decisions) == ["rollback.requested", "page.resolved"]
    assert (decisions[0].data["scope"], decisions[0].data["cohort"]) == ("cohort", {"tenant": "acme"})
    assert drive.stage() is Stage.WATCHING


def test_an_order_that_names_nothing_is_about_the_release() -> None:
    drive = _cohort_drive()
    assert _roll_back(drive)[0].data["scope"] == "release"
    assert drive.stage() is Stage.LOCKED


# Continue --------------------------------------------------------------------------------------------------------


def test_continue_resolves_the_page_and_holds_until_it_clears() -> None:
    drive = _breached()
    decisions = _continue(drive)
    assert names(decisions) == ["override.created", "page.resolved"]
    assert (decisions[0].data["objective"], decisions[0].data["until"]) == (HANDOFF, None)
    assert drive.run(120, BAD) == []
    assert names(drive.tick()) == ["breach.cleared", "override.expired"]
    assert "page.opened" in names(drive.run(4, BAD))


def test_continue_until_holds_until_then_and_asks_again() -> None:
    drive = _breached()
    first = only(drive.log, Type.PAGE_OPENED)
    until_ms = drive.at_ms + 30 * MINUTE
    _continue(drive, until_ms=until_ms)
    assert drive.run(29, BAD) == []
    decisions = drive.tick(BAD)
    assert names(decisions) == ["override.expired", "page.opened"]
    again = decisions[1]
    assert again.decision_id != first.decision_id  # or nobody would be told
    assert again.data["page_id"] == first.data["page_id"]
    assert again.data["deadline"] == rfc3339(until_ms + 15 * MINUTE)
    assert drive.run(14, BAD) == []
    assert "rollback.requested" in names(drive.tick(BAD))


def test_continue_lasts_until_the_last_slice_is_clear() -> None:
    drive = Drive(budget(handoff(critical_cohorts=(ACME,))))
    fine, bad = {OVERALL: GOOD, ACME: GOOD}, {OVERALL: BAD, ACME: BAD}
    drive.run(5, fine, fine)
    drive.run(4, bad, fine)
    page_id = next(str(one.data["page_id"]) for one in drive.log if one.type is Type.PAGE_OPENED)
    decisions = _continue(drive, page_id=page_id)
    assert names(decisions) == ["override.created", "page.resolved", "page.resolved"]
    assert names(drive.run(30, {OVERALL: BAD, ACME: GOOD}, fine)) == ["breach.cleared"]
    assert names(drive.tick(fine, fine)) == ["breach.cleared", "override.expired"]


def test_continue_about_silence_does_not_hold_the_next_breach_back() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    drive.run(8, Aggregate())
    assert names(_continue(drive)) == ["page.resolved"]
    drive.run(3)
    assert "rollback.requested" in names(drive.run(4, BAD))


def test_continue_about_an_incident_that_may_be_chance_leaves_safety_on() -> None:
    drive = Drive(budget(incidents()))
    for _ in range(10):
        drive.tick(cell(1_000), cell(1_000, 1))
    drive.tick(cell(1_000, 1), cell(1_000, 1))
    assert names(_continue(drive)) == ["page.resolved"]
    assert "rollback.requested" in names(drive.tick(cell(1_000, 40), cell(1_000, 1)))


# Override and acknowledge ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [None, HANDOFF])
def test_an_override_answers_the_page_it_holds_back(scope: str | None) -> None:
    drive = _breached()
    decisions = _say(drive, "override", objective=scope, until_ms=drive.at_ms + 30 * MINUTE)
    assert names(decisions) == ["override.created", "page.resolved"]
    assert drive.run(29, BAD) == []
    assert names(drive.tick(BAD)) == ["override.expired", "page.opened"]
    assert drive.run(14, BAD) == []
    assert "rollback.requested" in names(drive.tick(BAD))


@pytest.mark.parametrize("more", [{"objective": SUCCESS}, {"limit": 20.0}])
def test_an_override_that_does_not_hold_a_page_leaves_it_open(more: dict[str, Any]) -> None:
    """One of another objective, and one whose limit is passed already: the delta is +150 %."""
    drive = _breached(budget(handoff(), objective(limit=-90.0)))
    assert names(_say(drive, "override", until_ms=drive.at_ms + HOUR, **more)) == ["override.created"]
    assert "rollback.requested" in names(drive.run(15, BAD))


def test_acknowledging_does_not_stop_the_deadline() -> None:
    drive = _breached()
    (decision,) = _say(drive, "acknowledge")
    assert (decision.type, decision.data["author"]) == (Type.PAGE_ACKNOWLEDGED, "ada")
    assert names(drive.run(15, BAD))[:2] == ["page.expired", "rollback.requested"]


def test_disarming_ends_the_watch() -> None:
    drive = _breached()
    assert names(_say(drive, "disarm")) == ["arming.ended", "page.resolved"]
    assert drive.stage() is Stage.ENDED


# Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, more, why",
    [
        ("decide", {"decision": "continue", "page_id": "nobody's"}, "name its page id or objective"),
        ("decide", {"decision": "continue", "until_ms": 1}, "has passed already"),
        ("override", {"until_ms": 1}, "has passed already"),
        ("override", {"objective": "quality.nothing", "until_ms": 1 << 42}, HANDOFF),
        ("acknowledge", {"page_id": "nobody's"}, "name its page id or objective"),
        ("arm", {}, "armed already"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_its_reason(
    kind: str, more: dict[str, Any], why: str
) -> None:
    drive = _breached()
    before = drive.evaluator.commander.pages.copy()
    (refused,) = _say(drive, kind, **more)
    assert refused.type is Type.COMMAND_REFUSED
    assert why in str(refused.data["summary"])
    assert refused.data["command_id"] == "c-1"
    assert drive.evaluator.commander.pages == before
    assert not drive.evaluator.commander.is_overridden


@pytest.mark.parametrize("kind", ["decide", "override", "acknowledge"])
@pytest.mark.parametrize("end, why", [("rollback", "locked"), ("disarm", "arm it first")])
def test_what_is_over_takes_no_orders(kind: str, end: str, why: str) -> None:
    drive = _breached()
    if end == "rollback":
        _roll_back(drive)
    else:
        _say(drive, "disarm")
    (refused,) = _say(drive, kind, decision="rollback", until_ms=drive.at_ms + HOUR)
    assert refused.type is Type.COMMAND_REFUSED
    assert why in str(refused.data["summary"])


def test_a_locked_release_can_be_disarmed() -> None:
    drive = _breached()
    _roll_back(drive)
    assert names(_say(drive, "disarm")) == ["arming.ended"]


def test_an_order_that_names_what_is_no_page_is_about_the_release() -> None:
    """A slip in a name must not make the order smaller than it was meant."""
    drive = _cohort_drive()
    assert _roll_back(drive, objective="quality.nothing")[0].data["scope"] == "release"


def test_the_same_refusal_has_the_same_id() -> None:
    ids = {_say(_breached(), "arm", command_id=name)[0].decision_id for name in ("a", "a", "b")}
    assert len(ids) == 2


# More time -------------------------------------------------------------------------------------------------------


def test_the_commander_takes_more_time_within_the_cap() -> None:
    drive = _breached()
    page = only(drive.log, Type.PAGE_OPENED)
    (first,) = _say(drive, "extend", by_min=10)
    assert first.type is Type.PAGE_EXTENDED
    assert first.data["deadline"] == rfc3339(page.at_ms + 25 * MINUTE)
    assert (first.data["extended_min"], first.data["note"]) == (10, "because")
    (refused,) = _say(drive, "extend", by_min=6, command_id="c-2")
    assert "5 min are left of 15" in str(refused.data["summary"])
    (second,) = _say(drive, "extend", by_min=5, command_id="c-3")
    assert second.decision_id != first.decision_id
    assert second.data["extended_total_min"] == 15
    assert "page.expired" not in names(drive.run(29, BAD))
    assert names(drive.run(1, BAD))[:2] == ["page.expired", "rollback.requested"]


@pytest.mark.parametrize(("allowed", "says"), [(0, "allows none"), (3, "3 min are left of 3")])
def test_the_budget_says_how_much_more(allowed: int, says: str) -> None:
    drive = _breached(budget(handoff(), max_extension_min=allowed))
    (refused,) = _say(drive, "extend", by_min=4)
    assert refused.type is Type.COMMAND_REFUSED
    assert says in str(refused.data["summary"])


def test_what_never_runs_out_or_has_run_out_is_not_extended() -> None:
    drive = Drive(budget(objective(), incidents(), on_silence=OnSilence.HOLD))
    drive.note(drive.evaluator.incident(incident(1, drive.at_ms)))
    (refused,) = _say(drive, "extend", by_min=1)
    assert "never runs out" in str(refused.data["summary"])
    drive = _breached(budget(handoff(), on_silence=OnSilence.HOLD))
    drive.run(16, BAD)
    (refused,) = _say(drive, "extend", by_min=1)
    assert "has passed already" in str(refused.data["summary"])


# The first valid decision wins -----------------------------------------------------------------------------------


def test_who_decides_second_is_told_what_stands() -> None:
    drive = _breached()
    page_id = str(only(drive.log, Type.PAGE_OPENED).data["page_id"])
    first = _continue(drive, page_id=page_id)
    ended = only(first, Type.PAGE_RESOLVED)
    (refused,) = _roll_back(drive, page_id=page_id, command_id="c-2")
    assert refused.data["stands"] == ended.decision_id
    assert "ada holds back" in str(refused.data["summary"])
    (request, *_) = _roll_back(drive, command_id="c-3")  # an order of its own needs no page
    assert request.type is Type.ROLLBACK_REQUESTED
    (late,) = _continue(drive, page_id=page_id, command_id="c-4")
    assert late.data["stands"] == request.decision_id
    assert "ordered by ada" in str(late.data["summary"])


# Who it was ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["decide", "override", "acknowledge", "extend", "disarm", "arm", "assess"])
def test_an_order_that_is_not_its_author_s_does_nothing(kind: str) -> None:
    drive = _breached()
    (refused,) = _say(
        drive, kind, decision="rollback", signed=False, fault=("wrong_signature", "by another key")
    )
    assert refused.type is Type.COMMAND_REFUSED
    assert refused.data["refused"] == "wrong_signature"
    assert [page.is_open for page in drive.evaluator.commander.pages.values()] == [True]
    assert drive.stage() is Stage.WATCHING


@pytest.mark.parametrize("signed", [True, False, None])
def test_what_was_ordered_says_by_whom(signed: bool | None) -> None:
    drive = _breached()
    for decision in _roll_back(drive, signed=signed):
        assert decision.data["ordered_by"] == {"command_id": "c-1", "author": "ada", "signed": signed}


# Locked releases -------------------------------------------------------------------------------------------------


def test_a_page_about_a_rollback_that_is_not_proven_is_acknowledged_while_the_release_is_locked() -> None:
    drive = _breached()
    _roll_back(drive)
    refused = _say(drive, "acknowledge", command_id="c-2")
    assert names(refused) == ["command.refused"]
    commander = drive.evaluator.commander
    (page,) = commander.open_release_page(Reason.ROLLBACK_FAILED, drive.at_ms, "it is still served")
    (seen,) = _say(drive, "acknowledge", page_id=str(page.data["page_id"]), command_id="c-3")
    assert seen.type is Type.PAGE_ACKNOWLEDGED
    assert "never acts by itself" in str(seen.data["summary"])
    drive.evaluator.progress.stage = Stage.ENDED  # its window is over, and the page is not
    assert names(_say(drive, "acknowledge", command_id="c-4")) == ["page.acknowledged"]
