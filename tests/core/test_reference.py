"""A frozen reference: which past it holds, and when it stands in for the baseline."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate, merged
from monitor.core.budget import BaselineMode
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.indicator import LABELS
from monitor.core.record import Finding, Observed
from monitor.core.reference import (
    DAY_H,
    WEEK_H,
    BaselineChoice,
    Layout,
    Pair,
    Reference,
    away_after_min,
    minute_share,
)
from tests.engine.worlds import ACME, LAWS, T0, cell, objective

EMPTY = Aggregate()
DAILY = Layout(DAY_H, 1)


@pytest.mark.parametrize(
    ("layout", "slots", "hour", "slot"),
    [
        (DAILY, 24, 25, 1),
        (Layout(WEEK_H, 1), 168, 170, 2),
        (Layout(DAY_H, 4), 6, 31, 1),
        (Layout(DAY_H, DAY_H), 1, 31, 0),
    ],
)
def test_hours_come_back_after_a_period(layout: Layout, slots: int, hour: int, slot: int) -> None:
    assert layout.slot(hour) == slot
    assert layout.slots == slots
    assert {layout.slot(one) for one in range(500)} == set(range(slots))


def test_a_minute_is_a_sixtieth_of_its_own_hour_of_the_day() -> None:
    hours = tuple(cell(requests) for requests in range(DAY_H))
    past = replace(reference(), slots=hours)
    for hour in range(DAY_H, 3 * DAY_H):
        assert past.slot_of(hour * 60) is past.slot_of(hour * 60 + 59) is hours[hour % DAY_H]


def reference(days: int = 7) -> Reference:
    made = Aggregate()
    made.known[0], made.hits[0] = 600, 540
    return Reference("v41", days, DAILY, (made,) * DAY_H, 0.5, 0, 0)


def modes(
    choice: BaselineChoice, mode: BaselineMode, minutes: list[int], view: CohortKey = OVERALL, hold: int = 20
) -> list[bool]:
    """For so many requests of the baseline in each minute: whether it is compared with the frozen reference."""
    one = objective(hold=hold, baseline_mode=mode)
    found = []
    for at, requests in enumerate(minutes):
        pair: Pair = (cell(10), cell(requests) if requests else Aggregate())
        (_, baseline), used = choice.pair(one, view, T0 + at, pair)
        assert (baseline is pair[1]) is (used is BaselineMode.CONCURRENT)
        found.append(used is BaselineMode.FROZEN)
    return found


def test_auto_is_concurrent_until_the_baseline_is_away_for_two_holds() -> None:
    assert (
        modes(BaselineChoice(reference()), BaselineMode.AUTO, [5] * 3 + [0] * 42) == [False] * 42 + [True] * 3
    )


def test_auto_goes_back_when_half_of_the_newest_minutes_have_requests_again() -> None:
    """Stray requests are no comeback: each change begins the comparison anew."""
    stray = [0] * 40 + [1, 0, 0] * 20
    assert modes(BaselineChoice(reference()), BaselineMode.AUTO, stray) == [False] * 39 + [True] * 61
    back = [0] * 40 + [1] * 30 + [0] * 39
    assert (
        modes(BaselineChoice(reference()), BaselineMode.AUTO, back)
        == [False] * 39 + [True] * 20 + [False] * 50
    )


@settings(LAWS, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 45), st.booleans()), max_size=6), st.sampled_from([4, 17]))
def test_away_after_its_time_without_a_request_and_about_after_half_of_it_with(
    spells: list[tuple[int, bool]], hold: int
) -> None:
    minutes = [int(has_requests) for length, has_requests in spells for _ in range(length)]
    long, away, expected = max(2 * hold, 30), False, []
    for end in range(1, len(minutes) + 1):
        newest = minutes[max(0, end - long) : end]
        away = 2 * sum(newest) < long if away else len(newest) == long and not any(newest)
        expected.append(away)
    choice = BaselineChoice(reference())
    assert modes(choice, BaselineMode.AUTO, minutes, hold=hold) == expected
    assert choice.is_away(objective(hold=hold)) is (expected[-1:] == [True])


@pytest.mark.parametrize(("hold", "away"), [(0, 30), (4, 30), (15, 30), (20, 40), (60, 120)])
def test_how_long_a_baseline_may_be_silent(hold: int, away: int) -> None:
    assert away_after_min(objective(hold=hold)) == away


@pytest.mark.parametrize("captured", [None, Reference("v41", 0, DAILY, (), 0.0, 0, 0)])
def test_auto_without_a_past_stays_concurrent(captured: Reference | None) -> None:
    assert not any(modes(BaselineChoice(captured), BaselineMode.AUTO, [0] * 60))


def test_concurrent_is_never_frozen_and_frozen_always_is() -> None:
    assert not any(modes(BaselineChoice(reference()), BaselineMode.CONCURRENT, [0] * 60))
    assert all(modes(BaselineChoice(reference()), BaselineMode.FROZEN, [5] * 60))


def test_frozen_without_a_past_has_nothing_to_compare_with() -> None:
    pair: Pair = (cell(10), cell(10, task_success=9))
    (_, baseline), mode = BaselineChoice().pair(
        objective(baseline_mode=BaselineMode.FROZEN), OVERALL, T0, pair
    )
    assert mode is BaselineMode.FROZEN
    assert baseline == Aggregate()


@pytest.mark.parametrize("mode", [BaselineMode.AUTO, BaselineMode.FROZEN])
def test_what_was_armed_before_slices_had_a_past_goes_on_without(mode: BaselineMode) -> None:
    choice = BaselineChoice(reference())
    for minute in range(60):
        choice.see(T0 + minute, EMPTY)
    assert not any(modes(choice, mode, [0] * 60, view=ACME))


def with_slice(*, slots: int = DAY_H, days: int = 7) -> Reference:
    """Everybody's past, and that of one slice: half of its requests are done, of everybody's nine of ten."""
    made = Aggregate()
    made.known[0], made.hits[0] = 60, 30
    acme = Reference("v41", days, DAILY, (made,) * slots, 0.5, 0, 0)
    return replace(reference(), slices={ACME: acme})


def sliced(
    choice: BaselineChoice, everybody: list[int], mode: BaselineMode = BaselineMode.AUTO
) -> list[bool]:
    """For so many requests of the whole baseline, none of them in the slice: whether its past is asked."""
    for at, requests in enumerate(everybody):
        choice.see(T0 + at, cell(requests) if requests else EMPTY)
    return modes(choice, mode, [0] * len(everybody), view=ACME)


def test_a_slice_changes_over_when_everybody_does_and_not_because_it_is_quiet() -> None:
    """While the baseline serves anybody, an outage that hits both arms is not taken for the candidate's harm."""
    assert sliced(BaselineChoice(with_slice()), [5] * 3 + [0] * 42) == [False] * 42 + [True] * 3
    assert not any(sliced(BaselineChoice(with_slice()), [5] * 90))


def test_minutes_that_nobody_told_of_are_no_end_of_the_baseline() -> None:
    assert not any(modes(BaselineChoice(with_slice()), BaselineMode.AUTO, [0] * 60, view=ACME))


def test_a_slice_is_compared_with_its_own_past() -> None:
    choice = BaselineChoice(with_slice())
    one = objective(critical_cohorts=(ACME,), baseline_mode=BaselineMode.FROZEN)
    seen = {}
    for view in (OVERALL, ACME):
        minutes = [choice.pair(one, view, T0 // 60 * 60 + at, (cell(10), EMPTY))[0][1] for at in range(60)]
        seen[view] = merged(minutes).rate(LABELS[0])
    assert seen == {OVERALL: (540, 600), ACME: (30, 60)}


@pytest.mark.parametrize("past", [with_slice(slots=0), replace(with_slice(), slices={})])
def test_a_slice_without_a_past_stays_concurrent_and_frozen_has_nothing_to_compare_with(
    past: Reference,
) -> None:
    assert not any(sliced(BaselineChoice(past), [0] * 60))
    assert all(sliced(BaselineChoice(past), [5] * 60, BaselineMode.FROZEN))
    pair, _ = BaselineChoice(past).pair(
        objective(baseline_mode=BaselineMode.FROZEN), ACME, T0, (cell(10), cell(10))
    )
    assert pair[1] == Aggregate()
    assert not BaselineChoice(past).has_past(ACME)


@pytest.mark.parametrize(("days", "may_act"), [(2, False), (3, True)])
def test_how_much_is_known_of_a_slice_says_whether_it_may_act(days: int, may_act: bool) -> None:
    """A week of everybody's past is no help to a slice that was first seen yesterday."""
    finding = Finding(
        objective(), ACME, Observed(), 0, 4, (), baseline_mode=BaselineMode.FROZEN, evidence=lambda: None
    )
    choice = BaselineChoice(with_slice(days=days))
    assert (choice.page_only(finding) == "") is may_act
    assert choice.page_only(replace(finding, view=OVERALL)) == ""


class Compared:
    """What a choice knows of a watch, and whether it was told to compare anew."""

    def __init__(self, mode: BaselineMode, view: CohortKey = OVERALL) -> None:
        self.objective, self.view = objective(baseline_mode=mode), view
        self.first_minute, self.frozen_minute = T0, None
        self.anew = 0

    def compare_anew(self) -> None:
        self.anew += 1


@pytest.mark.parametrize(
    ("mode", "frozen", "anew"),
    [
        (BaselineMode.CONCURRENT, [False] * 100, [0] * 100),
        (BaselineMode.FROZEN, [True] * 100, [0] * 100),
        (BaselineMode.AUTO, [False] * 29 + [True] * 34 + [False] * 37, [0] * 29 + [1] * 34 + [2] * 37),
    ],
)
def test_a_watch_compares_anew_when_its_reference_changes_and_only_then(
    mode: BaselineMode, frozen: list[bool], anew: list[int]
) -> None:
    """The baseline is away for 50 minutes and back for as many; of the past no strata are known."""
    watch, choice, strata = Compared(mode), BaselineChoice(reference()), ((cell(1), cell(2)),)
    seen_frozen, seen_anew = [], []
    for minute in range(T0, T0 + 100):
        pair: Pair = (cell(10), cell(5) if minute >= T0 + 49 else Aggregate())
        (candidate, baseline), kept = choice.arms(watch, minute, pair, strata)  # type: ignore[arg-type]  # a stand-in
        assert candidate is pair[0]
        is_frozen = watch.frozen_minute == minute
        assert (baseline is pair[1], kept) == (not is_frozen, () if is_frozen else strata)
        seen_frozen.append(is_frozen)
        seen_anew.append(watch.anew)
    assert seen_frozen == frozen
    assert seen_anew == anew


def test_the_past_of_a_minute_is_dealt_out_once_for_those_who_ask_soon() -> None:
    """Kept are 64 minutes: without a bound a watch of a day would hold them all."""
    choice = BaselineChoice(reference())
    first = choice.past(OVERALL, T0)
    assert first == minute_share(reference().slot_of(T0), T0 % 60)
    for minute in range(1, 64):
        choice.past(OVERALL, T0 + minute)
    assert choice.past(OVERALL, T0) is first
    choice.past(OVERALL, T0 + 64)
    assert choice.past(OVERALL, T0) is not first


@pytest.mark.parametrize(("told", "away_from"), [(2 * 24 * 60, 29), (2 * 24 * 60 + 1, 30)])
def test_who_was_served_is_known_for_two_days(told: int, away_from: int) -> None:
    """What is not known any more, such as the first minute after two days and one, is no end of the baseline."""
    choice = BaselineChoice(with_slice())
    for minute in range(told):
        choice.see(T0 + minute, EMPTY)
    asked = modes(choice, BaselineMode.AUTO, [0] * 40, view=ACME, hold=4)
    assert asked == [minute >= away_from for minute in range(40)]


def test_one_request_of_the_whole_baseline_serves_somebody() -> None:
    choice = BaselineChoice(with_slice())
    for minute in range(40):
        choice.see(T0 + minute, cell(1) if minute == 5 else EMPTY)
    asked = modes(choice, BaselineMode.AUTO, [0] * 40, view=ACME, hold=4)
    assert asked == [minute >= 35 for minute in range(40)]


def test_another_reference_is_asked_from_the_next_minute_on() -> None:
    choice = BaselineChoice(reference())
    assert choice.has_past(OVERALL)
    assert choice.past(OVERALL, T0) != EMPTY
    choice.adopt(None)
    assert not choice.has_past(OVERALL)
    assert choice.past(OVERALL, T0) == EMPTY
    choice.adopt(with_slice())
    assert (choice.past(ACME, T0).known[0], choice.past(OVERALL, T0).known[0]) == (2, 10)
    choice.adopt(replace(reference(), slots=(cell(120),) * DAY_H))
    assert choice.past(OVERALL, T0).requests == 2


@pytest.mark.parametrize(("mode", "may_act"), [(BaselineMode.CONCURRENT, True), (BaselineMode.FROZEN, False)])
def test_without_any_past_only_the_concurrent_baseline_lets_it_act(mode: BaselineMode, may_act: bool) -> None:
    finding = Finding(objective(), OVERALL, Observed(), 0, 4, (), baseline_mode=mode, evidence=lambda: None)
    said = BaselineChoice().page_only(finding)
    assert (said == "") is may_act
    assert may_act or "0 days" in said
