"""A frozen reference: how a slot is dealt out to its minutes, and when it stands in for the baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
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
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from tests.engine.worlds import ACME, LAWS, T0, cell, objective

COUNTS = st.integers(0, 500)
EMPTY = Aggregate()
DAILY = Layout(DAY_H, 1)


@st.composite
def slots(draw: st.DrawFn) -> Aggregate:
    """An hour of some requests, labels, outcomes and a distribution."""
    made = Aggregate()
    made.errors, made.timeouts = draw(COUNTS), draw(COUNTS)
    made.requests = made.errors + made.timeouts + draw(COUNTS)
    for place in range(len(LABELS)):
        made.hits[place] = draw(COUNTS)
        made.known[place] = made.hits[place] + draw(COUNTS)
    hits = draw(COUNTS)
    made.outcomes["grounded"] = [hits, hits + draw(COUNTS)]
    bins = draw(
        st.dictionaries(st.integers(0, 40) | st.just(UNFINISHED_BIN), st.integers(1, 200), max_size=6)
    )
    made.sketches["latency"] = Sketch(
        bins, sum(n for index, n in bins.items() if index != UNFINISHED_BIN) * 7
    )
    return made


@LAWS
@given(slots())
def test_the_minutes_of_an_hour_add_up_to_it(slot: Aggregate) -> None:
    minutes = [minute_share(slot, at) for at in range(60)]
    whole = merged(minutes)
    assert (whole.requests, whole.errors, whole.timeouts) == (slot.requests, slot.errors, slot.timeouts)
    assert (whole.known, whole.hits) == (slot.known, slot.hits)
    assert whole.outcomes == slot.outcomes
    assert whole.distribution("latency").count == slot.distribution("latency").count
    for minute in minutes:
        assert all(hits <= known for hits, known in zip(minute.hits, minute.known, strict=True))
        assert minute.errors + minute.timeouts <= minute.requests


@LAWS
@given(slots(), st.integers(0, 40))
def test_twenty_minutes_weigh_a_third_of_their_hour(slot: Aggregate, at: int) -> None:
    some = merged([minute_share(slot, minute) for minute in range(at, at + 20)])
    for part, whole in zip((*some.known, some.errors), (*slot.known, slot.errors), strict=True):
        assert abs(part - whole / 3) < 2  # hits and misses are rounded apart


@pytest.mark.parametrize("requests", [60, 500, 3_600, 60_000])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
def test_any_run_of_minutes_has_the_shape_of_its_hour(requests: int, quantile: float) -> None:
    """Requests above the hour's quantile: as many as there should be, give or take a few."""
    draw = np.random.default_rng(7)
    slot = Aggregate()
    indices, counts = np.unique(np.round(draw.normal(300, 40, requests)).astype(int), return_counts=True)
    slot.sketches["latency"] = Sketch(dict(zip(indices.tolist(), counts.tolist(), strict=True)), requests * 9)
    edge = indices[np.searchsorted(np.cumsum(counts), quantile * requests)]
    share = sum(n for index, n in slot.sketches["latency"].bins.items() if index > edge) / requests
    for start in (0, 7, 31):
        some = merged([minute_share(slot, at) for at in range(start, start + 20)]).distribution("latency")
        above = sum(n for index, n in some.bins.items() if index > edge)
        assert abs(above - share * some.count) < 2 + np.log2(requests) / 2


def test_the_mean_of_a_minute_is_that_of_its_bins() -> None:
    slot = Aggregate()
    slot.sketches["cost"] = Sketch({100: 600, 200: 600}, 600 * 7 + 600 * 52)
    minutes = [minute_share(slot, at).distribution("cost") for at in range(60)]
    assert sum(one.total for one in minutes) == pytest.approx(slot.sketches["cost"].total, rel=0.01)


def test_requests_that_never_finished_add_up_to_nothing() -> None:
    slot = Aggregate()
    slot.sketches["latency"] = Sketch({UNFINISHED_BIN: 120})
    assert minute_share(slot, 7).distribution("latency") == Sketch({UNFINISHED_BIN: 2}, 0)


@pytest.mark.parametrize(
    ("layout", "hour", "slot"),
    [
        (DAILY, 25, 1),
        (Layout(WEEK_H, 1), 170, 2),
        (Layout(DAY_H, 4), 31, 1),
        (Layout(DAY_H, DAY_H), 31, 0),
    ],
)
def test_hours_come_back_after_a_period(layout: Layout, hour: int, slot: int) -> None:
    assert layout.slot(hour) == slot
    assert layout.slot(hour) < layout.slots


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
