"""Candidate requests and minutes to a decision: the published table, its laws, and what simulated traffic says."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isclose, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Accounting, EvidenceMode, Objective, Tier, Unit
from monitor.core.indicator import Direction, indicator
from monitor.core.series import RateSeries, series_for
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.core.spend import SPEND_NATS
from monitor.core.stats.planning import (
    UNKNOWN_START_NATS,
    WAIT_MIN,
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
from monitor.core.stats.rule import Rule, make_rule
from monitor.core.sustained import Answer, judge

TABLE_NATS = 17.67  # the threshold that the published table was made with; today's rule asks for 15.13
DAY = 1440


def objective(
    name: str, limit: float, *, unit: Unit = Unit.PERCENT, hold_min: int = 20, **changes: object
) -> Objective:
    meant = indicator(name)
    worse = meant.worse or (Direction.LOWER_IS_WORSE if limit < 0 else Direction.HIGHER_IS_WORSE)
    made = Objective(f"group.{name}", meant, worse, limit, unit, hold_min, Tier.A)
    return replace(made, **changes)  # type: ignore[arg-type]


def rule(hold_min: int = 20, *, min_samples: int = 0) -> Rule:
    return make_rule(hold_min, window_min=DAY, objectives=4, min_samples=min_samples)


SUCCESS, SUCCESS_BASE = objective("task_success", -2.0), RateShape(0.9)
HANDOFF, HANDOFF_BASE = objective("human_handoff", 8.0), RateShape(0.05)
POINTS = objective("human_handoff", 8.0, unit=Unit.POINTS, evidence=EvidenceMode.STRICT)
P95, P95_BASE = objective("p95", 15.0, hold_min=30), lognormal_shape(0.8, 1e6)
COST, COST_BASE = objective("cost_per_request", 10.0, hold_min=60), lognormal_shape(1.0, 1e6)
EVERY = [
    pytest.param(SUCCESS, SUCCESS_BASE, id="rate-falls"),
    pytest.param(HANDOFF, HANDOFF_BASE, id="rate-rises"),
    pytest.param(POINTS, HANDOFF_BASE, id="points"),
    pytest.param(P95, P95_BASE, id="quantile"),
    pytest.param(COST, COST_BASE, id="mean"),
]


def strict(one: Objective) -> Objective:
    return replace(one, evidence=EvidenceMode.STRICT)


@pytest.mark.parametrize(
    ("judged", "base", "share", "multiple", "limit", "decides"),
    [
        (SUCCESS, SUCCESS_BASE, 0.01, 1.25, 14_000, 19_700),
        (SUCCESS, SUCCESS_BASE, 0.01, 1.5, 8_000, 11_200),
        (SUCCESS, SUCCESS_BASE, 0.01, 2.0, 3_600, 5_100),
        (SUCCESS, SUCCESS_BASE, 0.01, 5.0, 450, 630),
        (SUCCESS, SUCCESS_BASE, 0.5, 1.25, 27_000, 37_900),
        (SUCCESS, SUCCESS_BASE, 0.5, 1.5, 15_400, 21_700),
        (SUCCESS, SUCCESS_BASE, 0.5, 2.0, 7_100, 9_900),
        (SUCCESS, SUCCESS_BASE, 0.5, 5.0, 930, 1_300),
        (HANDOFF, HANDOFF_BASE, 0.01, 1.25, 142_000, 199_000),
        (HANDOFF, HANDOFF_BASE, 0.01, 1.5, 80_000, 113_000),
        (HANDOFF, HANDOFF_BASE, 0.01, 2.0, 36_000, 50_700),
        (HANDOFF, HANDOFF_BASE, 0.01, 5.0, 4_300, 6_000),
        (HANDOFF, HANDOFF_BASE, 0.5, 1.25, 289_000, 406_000),
        (HANDOFF, HANDOFF_BASE, 0.5, 1.5, 164_000, 230_000),
        (HANDOFF, HANDOFF_BASE, 0.5, 2.0, 74_000, 104_000),
        (HANDOFF, HANDOFF_BASE, 0.5, 5.0, 9_100, 12_700),
        (P95, P95_BASE, 0.01, 1.25, 7_600, 10_600),
        (P95, P95_BASE, 0.01, 1.5, 4_100, 5_800),
        (P95, P95_BASE, 0.01, 2.0, 1_750, 2_460),
        (P95, P95_BASE, 0.01, 5.0, 190, 270),
        (P95, P95_BASE, 0.5, 1.25, 16_900, 23_700),
        (P95, P95_BASE, 0.5, 1.5, 9_500, 13_300),
        (P95, P95_BASE, 0.5, 2.0, 4_400, 6_200),
        (P95, P95_BASE, 0.5, 5.0, 740, 1_040),
    ],
)
def test_the_published_table(
    judged: Objective, base: Shape, share: float, multiple: float, limit: float, decides: float
) -> None:
    expected = expectation(judged, base, multiple, Split(share))
    assert expected is not None
    assert UNKNOWN_START_NATS / expected.information == pytest.approx(limit, rel=0.015)
    assert expected.requests_for(TABLE_NATS) == pytest.approx(decides, rel=0.015)


@pytest.mark.parametrize(
    ("judged", "base", "share", "multiple", "decides"),
    [
        (strict(SUCCESS), SUCCESS_BASE, 0.01, 1.5, 46_800),
        (strict(SUCCESS), SUCCESS_BASE, 0.5, 2.0, 22_200),
        (strict(HANDOFF), HANDOFF_BASE, 0.01, 2.0, 117_000),
        (strict(HANDOFF), HANDOFF_BASE, 0.5, 5.0, 16_700),
        (POINTS, HANDOFF_BASE, 0.05, 1.5, 2_770),
        (POINTS, HANDOFF_BASE, 0.05, 2.0, 740),
        (POINTS, HANDOFF_BASE, 0.05, 5.0, 59),
    ],
)
def test_the_strict_part_of_the_table(
    judged: Objective, base: Shape, share: float, multiple: float, decides: float
) -> None:
    expected = expectation(judged, base, multiple, Split(share))
    assert expected is not None
    assert expected.requests_for(TABLE_NATS) == pytest.approx(decides, rel=0.015)


def test_the_bound_of_any_method_is_12_6_nats() -> None:
    assert round(UNKNOWN_START_NATS, 1) == 12.6


def test_a_decision_waits_for_the_hold_the_late_events_and_a_tick() -> None:
    expected = expectation(SUCCESS, SUCCESS_BASE, 2.0, Split(0.05))
    assert expected is not None
    requests = expected.requests_for(rule().x_star)
    assert need(expected, rule(), per_min=1e9).minutes == 20 + WAIT_MIN == 23
    assert need(expected, rule(), per_min=requests / 100).minutes == 103
    assert need(expected, rule(), per_min=None) == replace(need(expected, rule(), per_min=1.0), minutes=None)


def test_labels_that_come_later_are_waited_for() -> None:
    late = replace(SUCCESS, label_delay_min=240)
    expected = expectation(late, SUCCESS_BASE, 2.0, Split(0.05))
    assert expected is not None
    assert need(expected, rule(), per_min=1e9).minutes == 263


def test_nothing_is_decided_from_a_stretch_longer_than_the_longest_tested_one() -> None:
    expected = expectation(SUCCESS, SUCCESS_BASE, 2.0, Split(0.05))
    assert expected is not None
    horizon, requests = horizon_min(SUCCESS, rule()), expected.requests_for(rule().x_star)
    assert horizon == 1280
    assert need(expected, rule(), per_min=requests / horizon).minutes == horizon + WAIT_MIN
    assert need(expected, rule(), per_min=0.999 * requests / horizon).minutes is None


def test_over_dispersion_and_min_samples_ask_for_more_requests() -> None:
    expected = expectation(SUCCESS, SUCCESS_BASE, 5.0, Split(0.9))
    assert expected is not None
    plain = need(expected, rule(), per_min=100.0).requests
    assert plain is not None
    assert need(expected, rule(), per_min=100.0, phi=3.0).requests == pytest.approx(3 * plain)
    # The smaller arm is the baseline here: a ninth of the candidate.
    assert need(expected, rule(min_samples=50_000), per_min=100.0).requests == pytest.approx(450_000)


def test_the_literal_rule_asks_for_no_requests() -> None:
    off = replace(SUCCESS, evidence=EvidenceMode.OFF)
    expected = expectation(off, SUCCESS_BASE, 1.25, Split(0.01))
    assert expected is not None
    assert need(expected, rule(), per_min=1.0) == replace(need(expected, rule(), per_min=9.0), requests=0.0)
    assert need(expected, rule(), per_min=1.0).minutes == 23


def test_a_hold_of_0_decides_at_once() -> None:
    quick = objective("refusal", 50.0, unit=Unit.POINTS, hold_min=0)
    expected = expectation(quick, RateShape(0.05), 1.5, Split(0.3))
    assert expected is not None
    assert need(expected, rule(0), per_min=1e6).minutes == 1 + WAIT_MIN


@pytest.mark.parametrize(
    ("judged", "base", "multiple"),
    [
        (HANDOFF, RateShape(0.0), 2.0),  # percent of nothing
        (SUCCESS, SUCCESS_BASE, 1.0),  # equality is not a breach
        (objective("p95", 1.0), P95_BASE, 1.25),  # below a sketch's resolution of 2 %
        (objective("p50", 15.0), lognormal_shape(0.8, 1e30), 2.0),  # all in the last bin
    ],
)
def test_what_is_not_beyond_the_limit_is_never_decided(
    judged: Objective, base: Shape, multiple: float
) -> None:
    expected = expectation(judged, base, multiple, Split(0.05))
    assert expected is not None
    assert need(expected, rule(), per_min=1e9) == replace(need(expected, rule(), per_min=1.0), requests=inf)
    assert need(expected, rule(), per_min=1e9).minutes is None


@pytest.mark.parametrize(
    ("judged", "rate", "largest"),
    [(SUCCESS, 0.9, 50.0), (HANDOFF, 0.05, 237.5), (POINTS, 0.05, 11.875), (HANDOFF, 0.0, 0.0)],
)
def test_no_rate_is_worse_than_the_worst(judged: Objective, rate: float, largest: float) -> None:
    assert largest_multiple(judged, RateShape(rate)) == pytest.approx(largest)
    if largest:
        assert harmed_rate(judged, rate, largest) == pytest.approx(0.0 if judged is SUCCESS else 1.0)
        assert expectation(judged, RateShape(rate), 1.01 * largest, Split(0.05)) is None


@pytest.mark.parametrize(("judged", "base"), EVERY)
def test_more_of_anything_decides_no_later(judged: Objective, base: Shape) -> None:
    tested = rule(judged.hold_min)

    def minutes(per_s: float, share: float, multiple: float) -> float:
        expected = expectation(judged, base, multiple, Split(share))
        assert expected is not None
        found = need(expected, tested, per_min=per_s * 60 * share).minutes
        return inf if found is None else found

    for times in (
        [minutes(per_s, 0.05, 2.0) for per_s in (1.0, 10.0, 100.0, 1000.0)],
        [minutes(30.0, share, 2.0) for share in (0.01, 0.05, 0.2, 0.5)],
        [minutes(30.0, 0.05, multiple) for multiple in (1.25, 1.5, 2.0, 5.0)],
    ):
        assert times == sorted(times, reverse=True)
        assert times[-1] < inf


@given(
    rate=st.floats(0.01, 0.5),
    share=st.floats(0.001, 0.5),
    low=st.floats(1.05, 8.0),
    high=st.floats(1.05, 8.0),
)
@settings(max_examples=60, deadline=None)
def test_a_larger_harm_needs_no_more_requests(rate: float, share: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    small = expectation(HANDOFF, RateShape(rate), low, Split(share))
    large = expectation(HANDOFF, RateShape(rate), high, Split(share))
    if small is not None and large is not None:
        assert large.information >= small.information * (1 - 1e-9)


@pytest.mark.parametrize(("judged", "base"), EVERY)
def test_the_smallest_harm_is_where_deciding_begins(judged: Objective, base: Shape) -> None:
    tested, split, per_min = rule(judged.hold_min), Split(0.05), 20.0
    smallest = smallest_multiple(judged, base, tested, split, per_min=per_min)
    assert smallest is not None
    assert smallest > 1.0
    for multiple, decides in ((smallest, True), (1 + (smallest - 1) * 0.98, False)):
        expected = expectation(judged, base, multiple, split)
        assert expected is not None
        assert (need(expected, tested, per_min=per_min).minutes is not None) is decides


def test_without_any_decidable_harm_there_is_no_smallest() -> None:
    assert smallest_multiple(HANDOFF, RateShape(0.0), rule(), Split(0.05), per_min=1e9) is None
    assert smallest_multiple(SUCCESS, SUCCESS_BASE, rule(), Split(0.01), per_min=0.001) is None


def test_a_mean_says_nothing_below_its_floor() -> None:
    split = Split(0.05)
    expected = expectation(COST, COST_BASE, 30.0, split)
    assert expected is not None
    assert expected.moments is not None
    skew = max(one.skew for one in expected.moments)
    floor = expected.requests_for(rule(60).x_star)
    assert floor == pytest.approx(
        max(100.0, 355 * expected.moments[0].skew ** 2, 355 * skew**2 / 19), rel=1e-6
    )
    assert expected.evidence(0.999 * floor) == 0.0
    assert expected.evidence(1.001 * floor) > rule(60).x_star


def test_minutes_that_add_up_take_one_block_more_than_the_hold() -> None:
    spent = replace(SUCCESS, accounting=Accounting.CUMULATIVE)
    expected = expectation(spent, SUCCESS_BASE, 5.0, Split(0.05))
    assert expected is not None
    assert need(expected, rule(), per_min=1e6).minutes == 25 + WAIT_MIN
    thin = need(expected, rule(), per_min=40.0).minutes
    assert thin is not None
    assert thin > 25 + WAIT_MIN
    assert need(expected, rule(), per_min=0.01).minutes is None
    assert need(expected, rule(), per_min=None).requests is None
    every_other = (
        1.001 * expected.requests_for(SPEND_NATS) / 5
    )  # a block shows as much as it has to, in one of two
    assert need(expected, rule(), per_min=every_other).minutes == 2 * 25 + WAIT_MIN


def test_scaling_keeps_the_shape_and_divides_what_falls_between_bins() -> None:
    sketch = Sketch({10: 1, 20: 3, UNFINISHED_BIN: 1}, total=400)
    grown = scaled(sketch, 5000, growth=1.02**1.25)
    assert grown.bins == {11: 750, 12: 250, 21: 2250, 22: 750, UNFINISHED_BIN: 1000}
    assert isclose(grown.total, 400_000 * 1.02**1.25, rel_tol=1e-6)
    assert scaled(sketch, 5) == sketch


def test_a_lognormal_lies_where_it_should() -> None:
    for sketch in lognormal_shape(0.8, 1e6).sketches:
        below = sum(count for index, count in sketch.bins.items() if index <= log(1e6) / log(1.02))
        assert 0.48 < below / sketch.count < 0.52
        assert sketch.total / sketch.count == pytest.approx(1e6 * np.exp(0.32), rel=0.03)


@pytest.mark.parametrize(
    ("judged", "rate", "share", "multiple"),
    [
        (SUCCESS, 0.9, 0.05, 2.0),
        (SUCCESS, 0.9, 0.5, 1.5),
        (HANDOFF, 0.05, 0.2, 5.0),
        (POINTS, 0.05, 0.3, 1.5),
    ],
)
def test_planned_requests_hold_the_evidence_in_about_half_of_simulated_releases(
    judged: Objective, rate: float, share: float, multiple: float
) -> None:
    expected = expectation(judged, RateShape(rate), multiple, Split(share))
    harmed = harmed_rate(judged, rate, multiple)
    assert expected is not None
    assert harmed is not None
    x_star, draw = rule().x_star, np.random.default_rng(20261122)
    n_c = round(expected.requests_for(x_star))
    n_b = round(n_c * (1 - share) / share)
    held = 0
    for s_c, s_b in zip(draw.binomial(n_c, harmed, 1000), draw.binomial(n_b, rate, 1000), strict=True):
        series = series_for(judged)
        assert isinstance(series, RateSeries)
        series.append(0, (int(s_c), n_c), (int(s_b), n_b))
        held += series.evidence_in(0, 1) >= x_star
    assert 400 <= held <= 600


@pytest.mark.parametrize(("per_s", "share", "multiple"), [(100, 0.05, 1.5), (100, 0.01, 2.0), (10, 0.5, 5.0)])
def test_the_whole_rule_fires_about_when_it_is_planned(per_s: int, share: float, multiple: float) -> None:
    """Average traffic, minute by minute; the rule adds a few minutes to be sure of the duration, no more."""
    n_c, n_b = round(per_s * 60 * share), round(per_s * 60 * (1 - share))
    harmed = harmed_rate(SUCCESS, 0.9, multiple)
    expected = expectation(SUCCESS, SUCCESS_BASE, multiple, Split(share))
    assert expected is not None
    assert harmed is not None
    planned = need(expected, rule(), per_min=n_c).minutes
    assert planned is not None
    series = series_for(SUCCESS)
    assert isinstance(series, RateSeries)
    fired = None
    for minute in range(planned * 2):
        hits = [round(harmed * n_c * (minute + 1)) - round(harmed * n_c * minute)]
        hits.append(round(0.9 * n_b * (minute + 1)) - round(0.9 * n_b * minute))
        series.append(minute, (hits[0], n_c), (hits[1], n_b))
        if fired is None and judge(series, minute + 1, rule()).answer is Answer.FIRES:
            fired = minute + 1 + WAIT_MIN
    assert fired is not None
    assert planned <= fired <= 1.1 * planned + 3
