"""Contrasts: the expectation is exact at every count, and rates, means and quantiles agree where they can."""

from __future__ import annotations

from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import MeanSeries, QuantileSeries, RateSeries
from monitor.core.sketch import Sketch
from monitor.core.stats.contrast import mean_contrast, mean_noise, rate_contrast, rate_noise, share_noise
from monitor.core.stats.evidence import Moments
from monitor.core.stats.intervals import RateCounts
from monitor.core.stats.limit import Limit
from tests.core.contrasts import contrast

_arm = st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
_counts = st.builds(lambda c, b: RateCounts(*c, *b), _arm, _arm)


def _ways(hits: int, n_1: int, n_2: int) -> list[tuple[int, float]]:
    """How many of an arm's hits fall on its first stretch by chance, with its probability."""
    return [
        (k, comb(n_1, k) * comb(n_2, hits - k) / comb(n_1 + n_2, hits))
        for k in range(max(0, hits - n_2), min(n_1, hits) + 1)
    ]


@pytest.mark.parametrize(
    "hits_c, n_c, hits_b, n_b",
    [(3, (5, 7), 10, (20, 9)), (1, (1, 1), 0, (1, 1)), (1, (4, 4), 1, (30, 2)), (6, (3, 4), 12, (9, 9))],
)
def test_independent_requests_change_by_exactly_the_variance_on_average(
    hits_c: int, n_c: tuple[int, int], hits_b: int, n_b: tuple[int, int]
) -> None:
    """Every way in which chance can deal out the hits, weighted: no bias, down to a single request."""
    mean_square, variance = 0.0, 0.0
    for (c, p_c), (b, p_b) in product(_ways(hits_c, *n_c), _ways(hits_b, *n_b)):
        found = rate_contrast(
            RateCounts(c, n_c[0], b, n_b[0]), RateCounts(hits_c - c, n_c[1], hits_b - b, n_b[1])
        )
        assert found is not None
        mean_square, variance = mean_square + p_c * p_b * found.square, found.variance
    assert mean_square == pytest.approx(variance)


def _as_moments(counts: RateCounts) -> tuple[Moments, Moments]:
    p_c, p_b = counts.s_c / counts.n_c, counts.s_b / counts.n_b
    return Moments(counts.n_c, p_c, p_c * (1 - p_c), 0.0), Moments(counts.n_b, p_b, p_b * (1 - p_b), 0.0)


@given(before=_counts, after=_counts)
def test_a_rate_is_a_mean_of_noughts_and_ones(before: RateCounts, after: RateCounts) -> None:
    rate, mean = rate_contrast(before, after), mean_contrast(_as_moments(before), _as_moments(after))
    if rate is None:
        assert mean is None or mean.variance == pytest.approx(0.0, abs=1e-12)
        return
    assert mean is not None
    assert mean.square == pytest.approx(rate.square, abs=1e-12)
    assert mean.variance == pytest.approx(rate.variance)


@pytest.mark.parametrize("empty", range(4))
def test_an_empty_arm_tells_nothing(empty: int) -> None:
    full, n = (5, 10), [10.0, 10.0, 10.0, 10.0]
    arms = [(0, 0) if i == empty else full for i in range(4)]
    assert rate_contrast(RateCounts(*arms[0], *arms[1]), RateCounts(*arms[2], *arms[3])) is None
    n[empty] = 0.0
    one = [Moments(size, 1.0, 1.0, 0.0) for size in n]
    assert mean_contrast((one[0], one[1]), (one[2], one[3])) is None


def test_outcomes_that_are_all_equal_tell_nothing() -> None:
    all_good = RateCounts(10, 10, 10, 10)
    assert rate_contrast(all_good, all_good) is None
    assert rate_noise(all_good, 5) is None
    constant = Moments(10, 3.0, 0.0, 0.0)
    assert mean_contrast((constant, constant), (constant, constant)) is None


def test_noise_is_that_of_five_minutes_at_the_windows_traffic() -> None:
    """Twenty minutes of 100 and 400 a minute: a block of five has 500 and 2000."""
    noise = rate_noise(RateCounts(1800, 2000, 7200, 8000), 20)
    assert noise is not None
    assert noise.request == pytest.approx(0.09)
    assert noise.block == pytest.approx(0.09 * (1 / 500 + 1 / 2000))
    assert noise == share_noise(0.9, 2000, 8000, 20)
    arms = Moments(2000, 0.9, 0.09, 0.0), Moments(8000, 0.9, 0.09, 0.0)
    assert mean_noise(*arms, 20) == pytest.approx(noise)


@pytest.mark.parametrize("counts", [RateCounts(0, 0, 5, 10), RateCounts(5, 10, 0, 0), RateCounts(0, 0, 0, 0)])
def test_no_data_has_no_noise(counts: RateCounts) -> None:
    assert rate_noise(counts, 5) is None
    assert share_noise(0.05, counts.n_c, counts.n_b, 5) is None
    candidate, baseline = (Moments(n, 1.0, 1.0, 0.0) for n in (counts.n_c, counts.n_b))
    assert mean_noise(candidate, baseline, 5) is None


def test_one_request_of_an_arm_is_data() -> None:
    """It varies no less than any other: its part of the noise is the request's own."""
    one, many = Moments(1, 1.0, 4.0, 0.0), Moments(10, 1.0, 4.0, 0.0)
    assert mean_noise(one, many, 5) == mean_noise(many, one, 5) == pytest.approx((4.0, 4.0 * 1.1))


def test_values_that_do_not_vary_have_no_noise() -> None:
    assert mean_noise(Moments(10, 1.0, 0.0, 0.0), Moments(10, 1.0, 0.0, 0.0), 5) is None


def test_a_cut_is_not_part_of_a_windows_length() -> None:
    series = RateSeries(Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0))
    for minute in range(10):
        series.append(minute, (90, 100), (360, 400))
    assert series.noise(0, 10, (2, 6)) == series.noise(0, 6)


def _sketch(values: list[int], unfinished: int = 0) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    for _ in range(unfinished):
        sketch.add_unfinished()
    return sketch


def test_a_quantile_counts_above_the_baselines_own_edge_of_both_stretches() -> None:
    """Nine of ten baseline requests take 100: the p90's edge is theirs, and what is slower is a hit."""
    series = QuantileSeries(Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.9))
    series.append(0, _sketch([100] * 8 + [900] * 2), _sketch([100] * 19 + [900]))
    series.append(1, _sketch([100] * 5, unfinished=5), _sketch([100] * 17 + [900] * 3))
    expected = rate_contrast(RateCounts(2, 10, 1, 20), RateCounts(5, 10, 3, 20))
    assert contrast(series, (0, 1), (1, 2)) == expected
    assert series.noise(0, 2) == share_noise(1.0 - 0.9, 20, 40, 2)


def test_a_quantile_without_an_edge_tells_nothing() -> None:
    series = QuantileSeries(Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.9))
    series.append(0, Sketch(), Sketch())
    series.append(1, Sketch(), Sketch())
    assert contrast(series, (0, 1), (1, 2)) is None
    for minute in (2, 3):
        series.append(minute, _sketch([100] * 10), _sketch([100] * 5, unfinished=5))
    assert contrast(series, (2, 3), (3, 4)) is None
    assert series.noise(0, 2) is None


def test_a_mean_counts_capped_values() -> None:
    series = MeanSeries(Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0))
    for minute in range(2):
        series.append(minute, _sketch([100 + minute, 300] * 5), _sketch([100, 300] * 10))
    found = contrast(series, (0, 1), (1, 2))
    assert found == pytest.approx(mean_contrast(series.moments(0, 1), series.moments(1, 2)), rel=1e-12)
    assert found is not None
    assert found.square == pytest.approx(0.25)  # half of the values grew by 1
    assert series.noise(0, 2) == mean_noise(*series.moments(0, 2), 2)
