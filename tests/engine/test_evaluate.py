"""One armed release, tick by tick: what it decides, once, and what it never decides."""

from __future__ import annotations

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import (
    Accounting,
    FlagTarget,
    OnNoData,
    OnSilence,
    Tier,
    TierAction,
)
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.decision import Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.window import tick_ms
from monitor.engine.evaluate import Stage
from tests.engine.worlds import (
    BAD,
    CANDIDATE,
    EQUAL,
    GOOD,
    HANDOFF,
    MINUTE,
    SUCCESS,
    T0,
    THOUSAND,
    Drive,
    budget,
    cell,
    handoff,
    incidents,
    names,
    objective,
    only,
)

EMPTY = Aggregate()


# Tier A ----------------------------------------------------------------------------------------------------------


def test_a_tier_a_breach_asks_for_the_rollback_at_once() -> None:
    drive = Drive(budget(objective(), flag=FlagTarget("flagd", "model", "v41", "v42")))
    drive.run(5)
    assert names(drive.tick(BAD)) == ["breach.started"]
    assert drive.run(2, BAD) == []
    assert names(drive.tick(BAD)) == ["evaldebt.created", "rollback.requested"]
    data = only(drive.log, Type.ROLLBACK_REQUESTED).data
    assert (data["tier"], data["action"], data["reason"], data["scope"]) == (
        "A",
        "rollback",
        "breach",
        "release",
    )
    assert (data["held_min"], data["breach_started_at"]) == (4, rfc3339(tick_ms(T0 + 5)))
    assert data["decided_at"] == rfc3339(drive.at_ms)
    assert data["flag"] == {"actuator": "flagd", "key": "model", "scope": None}


def test_one_request_however_many_limits_break() -> None:
    drive = Drive(budget(objective(), objective("human_handoff", 8.0), objective("p95", 15.0), incidents()))
    drive.run(5, cell(100, task_success=90, human_handoff=20, fast=100), THOUSAND)
    bad = cell(100, 1, task_success=10, human_handoff=90, slow=100)
    drive.run(30, bad, cell(100, task_success=90, human_handoff=20, fast=100))
    assert names(drive.log).count("rollback.requested") == 1


def test_nothing_follows_a_request_but_the_assessment() -> None:
    drive = Drive(budget(objective(), handoff(), incidents(), window_min=60))
    drive.run(5)
    drive.run(4, BAD)
    assert drive.stage() is Stage.LOCKED
    before = len(drive.log)
    drive.run(20, cell(10, 3, task_success=1, human_handoff=9))
    drive.run(20, EMPTY)
    drive.run(11)
    assert names(drive.log[before:]) == ["release.assessed"]
    assert drive.stage() is Stage.ENDED
    assert drive.run(5, BAD) == []


def test_tier_a_can_page_instead() -> None:
    drive = Drive(budget(objective(), tier_a=TierAction.PAGE))
    drive.run(5)
    decisions = drive.run(60, BAD)
    assert names(decisions) == ["breach.started", "page.opened", "evaldebt.created"]
    assert only(decisions, Type.PAGE_OPENED).data["deadline"] is None  # it escalates and never acts


def test_equality_is_no_breach() -> None:
    drive = Drive(budget(objective(), handoff()))
    assert drive.run(60, EQUAL, THOUSAND) == []


def test_there_is_no_breach_before_the_candidate_s_first_request() -> None:
    drive = Drive(budget(objective()))
    assert drive.run(30, EMPTY) == []
    assert drive.stage() is Stage.WAITING
    drive.run(3, BAD)
    assert "rollback.requested" not in names(drive.log)  # three bad minutes are not four
    drive.tick(BAD)
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert request.data["breach_started_at"] == rfc3339(tick_ms(T0 + 30))


def test_a_breach_that_clears_says_so_and_may_come_again() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    first = drive.run(2, BAD) + drive.run(1)
    second = drive.run(2, BAD) + drive.run(1)
    assert names(first) == names(second) == ["breach.started", "breach.cleared"]
    assert len({one.decision_id for one in first + second}) == 4
    assert first[0].data["objective"] == first[1].data["objective"] == SUCCESS


def test_silence_neither_completes_a_breach_nor_clears_it() -> None:
    drive = Drive(budget(objective()))
    drive.run(5)
    drive.run(3, BAD)
    assert drive.run(5, EMPTY) == []
    assert names(drive.run(1)) == ["breach.cleared"]


# Ids -------------------------------------------------------------------------------------------------------------


def test_ids_name_what_was_decided_and_nothing_else() -> None:
    """Neither the digest nor the name of the budget, nor where it was evaluated, is in an id."""
    runs = [
        Drive(budget(objective(), handoff())),
        Drive(budget(objective(), handoff(), digest="f" * 64, name="chat"), live=True),
    ]
    for drive in runs:
        drive.run(5)
        drive.run(4, BAD)
    one, other = (
        [decision.decision_id for decision in drive.log if decision.type is not Type.PAGE_RESOLVED]
        for drive in runs
    )
    assert one == other
    started_ms = tick_ms(T0 + 6)
    assert decision_id("rollback.requested", CANDIDATE, 1) in one
    assert decision_id("breach.started", CANDIDATE, 1, SUCCESS, {}, started_ms) in one
    assert decision_id("evaldebt.created", CANDIDATE, 1, SUCCESS, {}, started_ms) in one


def test_another_arming_has_other_ids() -> None:
    drives = [Drive(budget(objective()), number=number) for number in (1, 2)]
    ids = [{one.decision_id for one in drive.run(5) + drive.run(4, BAD)} for drive in drives]
    assert ids[0].isdisjoint(ids[1])


# Tier B ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("silence", OnSilence)
def test_the_commander_s_silence_means_what_the_budget_says(silence: OnSilence) -> None:
    drive = Drive(budget(handoff(), on_silence=silence, decide_within_min=15))
    drive.run(5)
    drive.run(4, BAD)
    opened = only(drive.log, Type.PAGE_OPENED)
    assert opened.data["deadline"] == rfc3339(opened.at_ms + 15 * MINUTE)
    assert drive.run(14, BAD) == []
    decisions = drive.tick(BAD)
    assert drive.at_ms == opened.at_ms + 15 * MINUTE
    if silence is OnSilence.ROLLBACK:
        assert names(decisions) == ["page.expired", "rollback.requested", "page.resolved"]
        assert decisions[1].data["reason"] == "commander_silent"
    else:
        assert names(decisions) == ["page.expired"]
        assert drive.run(60, BAD) == []


def test_a_page_is_resolved_when_its_breach_clears() -> None:
    drive = Drive(budget(handoff()))
    drive.run(5)
    drive.run(4, BAD)
    assert names(drive.tick()) == ["breach.cleared", "page.resolved"]
    assert drive.run(60) == []


def test_a_breach_that_comes_back_reopens_its_page_with_a_new_clock() -> None:
    drive = Drive(budget(handoff()))
    drive.run(5)
    drive.run(4, BAD)
    drive.run(60)
    drive.run(4, BAD)
    first, again = (one for one in drive.log if one.type is Type.PAGE_OPENED)
    assert first.data["page_id"] == again.data["page_id"]
    assert first.decision_id != again.decision_id
    assert again.data["deadline"] == rfc3339(again.at_ms + 15 * MINUTE)


def test_while_the_objective_is_unknown_the_deadline_waits() -> None:
    drive = Drive(budget(handoff(on_no_data=OnNoData.HOLD)))
    drive.run(5)
    drive.run(4, BAD)
    assert drive.run(40, EMPTY) == []
    assert names(drive.tick(BAD)) == ["page.expired", "rollback.requested", "page.resolved"]


def test_a_page_nobody_was_shown_waits_for_its_delivery() -> None:
    drive = Drive(budget(handoff()), live=True)
    drive.run(5)
    drive.run(4, BAD)
    assert drive.run(60, BAD) == []
    drive.evaluator.commander.delivered(only(drive.log, Type.PAGE_OPENED).decision_id, drive.at_ms)
    assert drive.run(14, BAD) == []
    assert names(drive.tick(BAD))[:2] == ["page.expired", "rollback.requested"]


# Minutes that add up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accounting, tier, said",
    [
        (Accounting.SUSTAINED, Tier.A, ["page.opened", "evaldebt.created"]),
        (Accounting.SUSTAINED, Tier.B, ["page.opened", "evaldebt.created"]),
        (Accounting.CUMULATIVE, Tier.A, ["evaldebt.created", "rollback.requested"]),
    ],
)
def test_flapping_pages_once_or_rolls_back_as_the_accounting_says(
    accounting: Accounting, tier: Tier, said: list[str]
) -> None:
    drive = Drive(budget(objective(tier=tier, accounting=accounting)))
    for _ in range(8):
        drive.run(3, BAD)
        drive.run(2)
    kept = [one for one in drive.log if not one.type.value.startswith("breach")]
    resolved = [one for one in kept if one.type is Type.PAGE_RESOLVED]
    assert names([one for one in kept if one not in resolved]) == said
    page = next((one for one in kept if one.type is Type.PAGE_OPENED), None)
    if page is not None:
        assert (page.data["reason"], page.data["deadline"]) == ("cumulative", None)


def test_a_sustained_breach_is_not_paged_again_for_its_minutes() -> None:
    drive = Drive(budget(handoff(), on_silence=OnSilence.HOLD))
    drive.run(5)
    drive.run(12, BAD)
    drive.run(30)
    assert names(drive.log).count("page.opened") == 1


def test_a_cumulative_tier_b_breach_has_the_commander_s_clock() -> None:
    drive = Drive(budget(handoff(accounting=Accounting.CUMULATIVE)))
    drive.run(5)
    drive.run(5, BAD)
    opened = only(drive.log, Type.PAGE_OPENED)
    assert (opened.data["reason"], opened.data["deadline"]) == (
        "cumulative",
        rfc3339(opened.at_ms + 15 * MINUTE),
    )
    assert "rollback.requested" in names(drive.run(15, BAD))


# Labels that come later ------------------------------------------------------------------------------------------


def test_an_objective_that_waits_for_labels_is_judged_that_much_later() -> None:
    drive = Drive(budget(objective(label_delay_min=10), handoff(label_delay_min=10)))
    cells: dict[CellKey, Aggregate] = {}
    for minute in range(T0, T0 + 60):
        cells |= {key: BAD if minute >= T0 + 5 and key.release == CANDIDATE else GOOD
                  for key in drive.evaluator.needed(minute + 1) if key.minute == minute and not key.later}  # fmt: skip
    for _ in range(60):
        drive.tick_cells(cells)
    request = only(drive.log, Type.ROLLBACK_REQUESTED)
    assert request.at_ms == tick_ms(T0 + 9 + 10)
    assert request.data["breach_started_at"] == rfc3339(tick_ms(T0 + 5))


@pytest.mark.parametrize("minutes", [1, 3, 10, 11, 40])
def test_a_release_that_waits_for_labels_can_end_at_any_time(minutes: int) -> None:
    """Silence, an order and the end may all come before the first minute is judged."""
    drive = Drive(budget(objective(label_delay_min=10), handoff(hold=5, label_delay_min=30)))
    drive.tick(GOOD)
    drive.run(minutes, EMPTY, EMPTY)
    found = drive.evaluator.finding(HANDOFF, OVERALL, drive.now)
    assert found is not None
    drive.note(drive.evaluator.request(found, Reason.COMMANDER, drive.at_ms, "now"))
    drive.note(drive.evaluator.finish(drive.now, 0, complete=False))
    assert names(drive.log)[-1] == "release.assessed"
