"""The script goes from story to story by the flag and the monitor's events alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.console.demo.script import (
    MINUTE_MS,
    Facts,
    Order,
    Phase,
    Progress,
    Task,
    advance,
    begin,
)
from monitor.console.demo.sightings import DECISIONS, OVERRIDE, PAGE_OPENED, PAGES, Sighting
from monitor.console.demo.stories import FULL, Plan, Story
from tests.console.demo.said import (
    LATENCY,
    SAFETY,
    SUCCESS,
    armed,
    assessed,
    breach,
    event,
    page,
    rollback,
    verified,
)

HEALTHY, SLOW, UNSAFE, WORSE = FULL.stories


def told(plan: Plan, story: Story) -> Plan:
    """Return a plan of one story."""
    return replace(plan, stories=(story,))


class Teller:
    """Hands facts to the script and keeps its orders."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.minute, self.share = plan, 0.0, 0.0
        self.progress, orders = begin(plan, 0)
        self.tasks = [order.task for order in orders]

    def after(self, minutes: float, *seen: Sighting) -> Progress:
        self.minute += minutes
        facts = Facts(round(self.minute * MINUTE_MS), self.share, seen=seen)
        self.progress, orders = advance(self.progress, self.plan, facts)
        for order in orders:
            self.tasks.append(order.task)
            if order.task is Task.SERVE:
                self.share = order.story.share_pct
            elif order.task is Task.WITHDRAW:
                self.share = 0
        return self.progress

    def rolled_out(self) -> Teller:
        self.after(self.plan.arm_min, *armed(self.progress.story(self.plan).release))
        assert self.progress.phase is Phase.ROLLOUT
        return self


def test_the_first_thing_is_to_arm_the_first_story() -> None:
    progress, orders = begin(FULL, 0)
    assert progress.phase is Phase.ARMING
    assert orders == (Order(Task.ARM, HEALTHY),)


def test_no_candidate_traffic_before_the_ledger_has_the_arming() -> None:
    teller = Teller(told(FULL, SLOW))
    assert teller.after(FULL.arm_min + 5).phase is Phase.ARMING
    assert teller.after(0.1, *armed(SLOW.release)).phase is Phase.ROLLOUT
    assert teller.tasks == [Task.ARM, Task.SERVE]


def test_a_budget_that_is_never_armed_ends_its_story() -> None:
    teller = Teller(told(FULL, SLOW))
    progress = teller.after(FULL.arm_at_most_min)
    assert progress.is_over
    assert progress.endings[0].missing == ("its budget was armed",)
    assert teller.tasks == [Task.ARM, Task.DISARM]


def test_events_of_another_release_are_not_this_storys() -> None:
    teller = Teller(told(FULL, SLOW))
    assert teller.after(FULL.arm_min, *armed("chat-v99")).phase is Phase.ARMING


def test_a_healthy_release_is_taken_back_after_its_minutes() -> None:
    teller = Teller(told(FULL, HEALTHY)).rolled_out()
    assert teller.after((HEALTHY.lasts_min or 0) - 0.1).phase is Phase.ROLLOUT
    assert teller.after(0.1).phase is Phase.SETTLING
    assert teller.after(FULL.settle_min).phase is Phase.SETTLING, "its assessment may still come"
    assert teller.after(1, *assessed(HEALTHY.release)).is_over
    assert teller.progress.endings[0].missing == ()
    assert teller.tasks == [Task.ARM, Task.SERVE, Task.WITHDRAW, Task.DISARM]


@pytest.mark.parametrize(
    "seen",
    [page(HEALTHY.release, SUCCESS, 0), rollback(HEALTHY.release, SUCCESS, "A", "breach")],
    ids=["page", "rollback"],
)
def test_a_healthy_release_that_something_is_said_against_is_not_as_promised(
    seen: tuple[Sighting, ...],
) -> None:
    teller = Teller(told(FULL, HEALTHY)).rolled_out()
    teller.after(5, *seen)
    teller.after(20)
    teller.after(FULL.settle_at_most_min)
    assert any("nothing may be said against it" in words for words in teller.progress.endings[0].missing)


def test_a_healthy_release_whose_flag_was_flipped_is_not_as_promised() -> None:
    teller = Teller(told(FULL, HEALTHY)).rolled_out()
    teller.share = 0
    teller.after(5, *assessed(HEALTHY.release))
    teller.after(FULL.settle_at_most_min)
    assert teller.progress.endings[0].missing == ("nothing may flip its flag, but something did",)


def test_a_commanders_silence_ends_the_latency_story() -> None:
    teller = Teller(told(FULL, SLOW)).rolled_out()
    teller.after(6, *breach(SLOW.release, LATENCY))
    teller.after(8, *page(SLOW.release, LATENCY, 0))
    teller.share = 0
    teller.after(15, *rollback(SLOW.release, LATENCY, "B", "commander_silent"))
    assert teller.progress.phase is Phase.SETTLING
    teller.after(3, *verified(SLOW.release))
    assert teller.after(2).is_over
    ending = teller.progress.endings[0]
    assert ending.missing == ()
    assert (ending.decided_ms or 0) - ending.started_ms == 29 * MINUTE_MS
    assert ending.reason == f"rollback.requested.v1 of {SLOW.release}"


def test_a_commander_who_continues_ends_the_latency_story_too() -> None:
    teller = Teller(told(FULL, SLOW)).rolled_out()
    teller.after(6, *breach(SLOW.release, LATENCY), *page(SLOW.release, LATENCY, 0))
    teller.after(5, event(DECISIONS, OVERRIDE, SLOW.release))
    assert teller.tasks[-1] is Task.WITHDRAW
    assert teller.after(FULL.settle_min).is_over
    assert teller.progress.endings[0].missing == ()
    assert "commander chose to continue" in teller.progress.endings[0].reason


def test_the_incident_happens_once_and_at_its_minute() -> None:
    teller = Teller(told(FULL, UNSAFE)).rolled_out()
    teller.after(UNSAFE.incident_after_min - 0.1)
    assert Task.INCIDENT not in teller.tasks
    teller.after(0.1)
    teller.after(1)
    assert teller.tasks.count(Task.INCIDENT) == 1
    teller.share = 0
    teller.after(1, *rollback(UNSAFE.release, SAFETY, "A", "immediate"), *verified(UNSAFE.release))
    assert teller.after(FULL.settle_min).is_over
    assert teller.progress.endings[0].missing == ()


def test_a_release_nothing_decides_is_taken_back_and_not_as_promised() -> None:
    teller = Teller(told(FULL, WORSE)).rolled_out()
    assert teller.after(FULL.give_up_min).phase is Phase.SETTLING
    assert teller.tasks[-1] is Task.WITHDRAW
    assert teller.after(FULL.settle_min).phase is Phase.SETTLING, "what is missing may still come"
    teller.after(FULL.settle_at_most_min)
    missing = teller.progress.endings[0].missing
    assert "the sustained loss rolled it back (tier A)" in missing
    assert "the flag serves the baseline again" in missing
    assert teller.progress.endings[0].reason == "nothing decided it"


def test_a_request_that_is_not_in_the_ledger_is_not_as_promised() -> None:
    requested, _ledger, debt = rollback(WORSE.release, SUCCESS, "A", "breach")
    teller = Teller(told(FULL, WORSE)).rolled_out()
    teller.share = 0
    teller.after(14, *breach(WORSE.release, SUCCESS), requested, debt, *verified(WORSE.release))
    teller.after(FULL.settle_at_most_min)
    assert teller.progress.endings[0].missing == ("the rollback request stands in the ledger",)


def test_two_different_requests_are_one_too_many() -> None:
    first = rollback(WORSE.release, SUCCESS, "A", "breach")
    second = tuple(replace(entry, event_id="another") for entry in first)
    teller = Teller(told(FULL, WORSE)).rolled_out()
    teller.share = 0
    teller.after(14, *breach(WORSE.release, SUCCESS), *first, *second, *verified(WORSE.release))
    teller.after(FULL.settle_at_most_min)
    assert teller.progress.endings[0].missing == ("one rollback request per release, not 2",)


def test_a_repeated_event_is_one_request() -> None:
    seen = rollback(WORSE.release, SUCCESS, "A", "breach")
    teller = Teller(told(FULL, WORSE)).rolled_out()
    teller.share = 0
    teller.after(14, *breach(WORSE.release, SUCCESS), *seen, *seen, *verified(WORSE.release))
    teller.after(FULL.settle_min)
    assert teller.progress.endings[0].missing == ()


def test_after_the_last_story_nothing_is_ordered_any_more() -> None:
    teller = Teller(told(FULL, HEALTHY)).rolled_out()
    teller.after(20, *assessed(HEALTHY.release))
    teller.after(FULL.settle_min)
    before = list(teller.tasks)
    teller.after(100, event(PAGES, PAGE_OPENED, HEALTHY.release))
    assert teller.tasks == before
    assert teller.progress.is_over
