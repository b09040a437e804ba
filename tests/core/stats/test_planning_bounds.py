"""What a plan says at its bounds: no evidence, no traffic, a mean's floor, and minutes that add up by hand."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf, sqrt
from statistics import NormalDist

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.budget import Accounting, EvidenceMode, Objective, Unit
from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, Sketch
from monitor.core.spend import SPEND_NATS
from monitor.core.stats.limit import limit_of
from monitor.core.stats.planning import (
    WAIT_MIN,
    Expectation,
    Need,
    RateShape,
    Shape,
    Split,
    expectation,
    harmed_rate,
    horizon_min,
    largest_multiple,
    lognormal_shape,
    need,
    scaled,
    smallest_multiple,
)
from monitor.core.stats.rule import make_rule
from tests.engine.worlds import LAWS, objective

DAY = 1440
ON = EvidenceMode.DEFAULT
SUCCESS, HANDOFF = objective(hold=20, evidence=ON), objective("human_handoff", 8.0, hold=20, evidence=ON)
P95, COST = (
    objective("p95", 15.0, hold=20, evidence=ON),
    objective("cost_per_request", 10.0, hold=20, evidence=ON),
)
RATE, SIZES = RateShape(0.9), lognormal_shape(1.0, 1e6)
RULE = make_rule(20, window_min=DAY, objectives=4)


def shown(judged: Objective, base: Shape, multiple: float, split: float = 0.2) -> Expectation:
    found = expectation(judged, base, multiple, Split(split))
    assert found is not None
    return found


@pytest.mark.parametrize(("judged", "base"), [(SUCCESS, RATE), (P95, SIZES), (COST, SIZES)])
@pytest.mark.parametrize("multiple", [0.8, 1.0])
def test_within_the_limit_there_is_no_evidence_whatever_the_requests(
    judged: Objective, base: Shape, multiple: float
) -> None:
    expected = shown(judged, base, multiple)
    assert expected.information == 0
    assert expected.evidence(1e9) == 0
    assert expected.requests_for(1.0) == inf
    assert need(replace(expected, objective=adding_up(judged)), RULE, per_min=None) == Need(inf, None)


def test_a_mean_takes_its_floor_or_what_the_evidence_takes_where_that_is_more() -> None:
    expected = shown(COST, SIZES, 5.0)
    floor = expected.requests_for(1e-9)
    assert floor > 100
    at_floor = floor * expected.information
    assert expected.requests_for(0.0) == 0
    assert expected.requests_for(at_floor / 1.5) == pytest.approx(floor)
    for nats in (1.5 * at_floor, 20 * at_floor):
        assert expected.requests_for(nats) == nats / expected.information


@settings(LAWS, max_examples=40)
@given(
    judged=st.sampled_from([SUCCESS, HANDOFF, objective("human_handoff", 7.0, unit=Unit.POINTS)]),
    rate=st.floats(0.01, 0.99),
    limit=st.floats(0.3, 30.0),
)
@example(judged=HANDOFF, rate=0.58, limit=13.9)  # just above 1, and just below 0
@example(judged=SUCCESS, rate=0.03, limit=16.4)
def test_a_harmed_rate_is_a_rate(judged: Objective, rate: float, limit: float) -> None:
    """Also where the largest harm takes it to 0 or to 1 by computing with rounded numbers."""
    edge = 0 if judged is SUCCESS else 1
    judged = replace(judged, limit=limit if edge else -limit)
    harmed = harmed_rate(judged, rate, largest_multiple(judged, RateShape(rate)))
    assert harmed is not None
    assert 0 <= harmed <= 1
    assert harmed == pytest.approx(edge, abs=1e-12)


def test_sizes_grow_to_a_thousandfold_at_most() -> None:
    assert limit_of(P95).ratio(largest_multiple(P95, SIZES)) == pytest.approx(1000)


def test_a_sketch_of_one_request_and_of_none_is_scaled_as_any() -> None:
    assert scaled(Sketch({10: 1}, total=7), 5) == Sketch({10: 5}, total=35)
    assert scaled(Sketch(), 5) == Sketch()
    unfinished_first = Sketch({UNFINISHED_BIN: 1, 10: 1}, total=8)
    assert scaled(unfinished_first, 4, growth=1.02) == Sketch({UNFINISHED_BIN: 2, 11: 2}, total=16)


@pytest.mark.parametrize("median", [1.0, 1e6, 1e30])
def test_no_part_of_a_lognormal_is_lost(median: float) -> None:
    for sketch in lognormal_shape(1.0, median).sketches:
        assert sketch.count == pytest.approx(1e12)
        assert max(sketch.bins) <= LAST_BIN
    assert set(lognormal_shape(1.0, 1e30).sketches[0].bins) == {LAST_BIN}


def test_the_samples_are_those_of_the_smaller_arm() -> None:
    for split, requests in ((0.2, 50_000.0), (0.5, 50_000.0), (0.8, 200_000.0)):
        expected = shown(SUCCESS, RATE, 5.0, split)
        rule = make_rule(20, window_min=DAY, objectives=4, min_samples=50_000)
        assert need(expected, rule, per_min=1e6).requests == pytest.approx(requests)


def test_without_traffic_nothing_is_decided() -> None:
    expected = shown(SUCCESS, RATE, 5.0)
    for accounting in Accounting:
        asked = replace(expected, objective=replace(SUCCESS, accounting=accounting))
        assert need(asked, RULE, per_min=0.0) == need(asked, RULE, per_min=None)


def adding_up(judged: Objective, **changes: object) -> Objective:
    return replace(judged, accounting=Accounting.CUMULATIVE, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("hold", "horizon"), [(0, 1024), (1, DAY), (20, DAY)])
def test_a_hold_of_0_has_nothing_to_add_up(hold: int, horizon: int) -> None:
    rule = make_rule(hold, window_min=DAY, objectives=4)
    assert horizon_min(adding_up(SUCCESS, hold_min=hold), rule) == horizon


@pytest.mark.parametrize(("delay", "horizon"), [(0, 1280), (160, 1280), (161, 1279), (DAY, 0)])
def test_minutes_whose_labels_come_after_the_window_are_not_judged(delay: int, horizon: int) -> None:
    late = replace(SUCCESS, label_delay_min=delay)
    assert horizon_min(late, RULE) == horizon
    assert horizon_min(adding_up(late), RULE) == DAY - delay


def test_the_literal_rule_without_a_hold_decides_in_a_minute() -> None:
    expected = shown(replace(SUCCESS, evidence=EvidenceMode.OFF, hold_min=0), RATE, 5.0)
    assert need(expected, make_rule(0, window_min=DAY, objectives=4), per_min=1e-3) == Need(0.0, 1 + WAIT_MIN)


@pytest.mark.parametrize("evidence", [ON, EvidenceMode.OFF])
@pytest.mark.parametrize("per_min", [0.01, 0.5, 10.0, 30.0, 40.0, 60.0, 80.0, 120.0, 1e4])
@pytest.mark.parametrize("phi", [1.0, 3.0])
def test_a_block_is_bad_with_the_chance_that_its_evidence_gives(
    evidence: EvidenceMode, per_min: float, phi: float
) -> None:
    """Of blocks of 5 minutes, as many bad ones as there are in a hold of 20, and one more."""
    expected = shown(adding_up(SUCCESS, evidence=evidence, label_delay_min=7), RATE, 3.0)
    nats = SPEND_NATS if evidence is ON else 0.0
    root = sqrt(2 * 5 * per_min * expected.information / phi)
    blocks = 5 / NormalDist().cdf(root - sqrt(2 * nats))
    found = need(expected, RULE, per_min=per_min, phi=phi)
    if 5 * blocks > DAY - 7:
        assert found.requests == pytest.approx(5 * blocks * per_min)
        assert found.minutes is None
    else:
        minutes = 5 * ceil(blocks - 1e-9)
        assert found == Need(minutes * per_min, minutes + WAIT_MIN + 7)


def test_minutes_that_add_up_may_take_the_whole_window() -> None:
    expected = shown(adding_up(SUCCESS), RATE, 5.0)
    for window, minutes in ((25, 25 + WAIT_MIN), (24, None)):
        rule = make_rule(20, window_min=window, objectives=4)
        assert need(expected, rule, per_min=1e6).minutes == minutes


def test_minutes_that_add_up_take_the_samples_that_the_budget_asks_for() -> None:
    expected = shown(adding_up(SUCCESS), RATE, 5.0)
    for least, minutes in ((0, 25), (25_000, 25), (90_000, 90), (100 * DAY * 10 + 1, None)):
        rule = make_rule(20, window_min=DAY, objectives=4, min_samples=least)
        found = need(expected, rule, per_min=1e3)
        assert found.minutes == (None if minutes is None else minutes + WAIT_MIN)


def test_a_mean_whose_blocks_are_below_its_floor_adds_nothing_up() -> None:
    expected = shown(adding_up(COST), SIZES, 5.0)
    per_min = expected.requests_for(1e-9) / RULE.recent_min
    assert need(expected, RULE, per_min=0.99 * per_min) == Need(None, None)
    assert need(expected, RULE, per_min=1.01 * per_min).requests is not None


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02])
def test_where_the_worst_there_can_be_is_within_the_limit_no_harm_is_decided(rate: float) -> None:
    judged = objective("task_success", -2.0, unit=Unit.POINTS, hold=20, evidence=ON)
    assert largest_multiple(judged, RateShape(rate)) <= 1
    assert smallest_multiple(judged, RateShape(rate), RULE, Split(0.5), per_min=1e9) is None
