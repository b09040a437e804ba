"""Intervals and smallest detectable deltas: they invert the evidence that decides."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.stats.evidence import (
    Moments,
    evidence_for,
    mean_above,
    points_above,
    points_below,
    quantile_above,
    quantile_below,
    rate_above,
    rate_below,
)
from monitor.core.stats.harm import rate_beyond
from monitor.core.stats.intervals import (
    Interval,
    RateCounts,
    mean_interval,
    mean_mde,
    quantile_interval,
    quantile_mde,
    rate_interval,
    rate_mde,
)
from monitor.core.stats.limit import Limit

_SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)
_HANDOFF = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 8.0)
_POINTS = Limit(Direction.HIGHER_IS_WORSE, Unit.POINTS, 8.0)
_P95 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.95)
_COST = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0)

_CASES = [
    RateCounts(880, 1000, 9000, 10_000),
    RateCounts(12, 40, 3, 45),
    RateCounts(2, 4000, 30, 90_000),
]


@pytest.mark.parametrize("counts", _CASES)
@pytest.mark.parametrize("phi", [1.0, 4.0])
def test_the_ends_of_a_relative_interval_are_where_the_evidence_turns(counts: RateCounts, phi: float) -> None:
    found = rate_interval(counts, Unit.PERCENT, phi=phi)
    delta = 100 * (counts.s_c / counts.n_c / (counts.s_b / counts.n_b) - 1)
    needed = phi * evidence_for(0.025)
    if found.lower is not None:
        assert found.lower < delta
        assert rate_above(*counts, 1 + found.lower / 100) == pytest.approx(needed, rel=1e-6)
    if found.upper is not None:
        assert found.upper > delta
        assert rate_below(*counts, 1 + found.upper / 100) == pytest.approx(needed, rel=1e-6)


@pytest.mark.parametrize("counts", _CASES[:2])
@pytest.mark.parametrize("confidence, phi", [(0.95, 1.0), (0.5, 2.0)])
def test_the_ends_of_an_interval_in_points_are_where_the_evidence_turns(
    counts: RateCounts, confidence: float, phi: float
) -> None:
    found = rate_interval(counts, Unit.POINTS, confidence=confidence, phi=phi)
    delta = 100 * (counts.s_c / counts.n_c - counts.s_b / counts.n_b)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < delta < found.upper
    needed = phi * evidence_for((1 - confidence) / 2)
    assert points_above(*counts, found.lower / 100) == pytest.approx(needed, rel=1e-6)
    assert points_below(*counts, found.upper / 100) == pytest.approx(needed, rel=1e-6)
    assert found.confidence == confidence


def test_more_confidence_and_more_dispersion_widen_an_interval() -> None:
    narrow = rate_interval(_CASES[0], Unit.PERCENT)
    for wide in (
        rate_interval(_CASES[0], Unit.PERCENT, confidence=0.99),
        rate_interval(_CASES[0], Unit.PERCENT, phi=2.0),
    ):
        assert wide.lower is not None
        assert narrow.lower is not None
        assert wide.upper is not None
        assert narrow.upper is not None
        assert wide.lower < narrow.lower
        assert wide.upper > narrow.upper


@pytest.mark.parametrize("unit", [Unit.PERCENT, Unit.POINTS])
def test_nothing_bounds_nothing(unit: Unit) -> None:
    assert rate_interval(RateCounts(0, 0, 5, 10), unit, confidence=0.9) == Interval(None, None, 0.9)


def test_a_rate_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(300):
        counts = RateCounts(rng.binomial(400, 0.85), 400, rng.binomial(1600, 0.9), 1600)
        found = rate_interval(counts, Unit.PERCENT)
        truth = 100 * (0.85 / 0.9 - 1)
        missed += not (found.lower or -100) <= truth <= (found.upper or 1e9)
    assert missed <= 15 + 3 * 15**0.5


@pytest.mark.parametrize("limit", [_SUCCESS, _HANDOFF, _POINTS])
def test_the_smallest_delta_of_a_rate_just_reaches_the_evidence(limit: Limit) -> None:
    rate = 0.9 if limit is _SUCCESS else 0.05
    counts = RateCounts(0, 3000, 27_000 * rate, 27_000)
    found = rate_mde(counts, limit, 15.13)
    assert found is not None
    assert (found > 0) is limit.higher_is_worse
    grown = rate + found / 100 if limit.unit is Unit.POINTS else rate * (1 + found / 100)
    test = rate_beyond(limit, limit.kappa)
    assert test(3000 * grown, 3000, counts.s_b, counts.n_b) == pytest.approx(15.13, rel=1e-5)


def test_more_requests_show_smaller_deltas() -> None:
    few, many = (rate_mde(RateCounts(0, n, 0.9 * 9 * n, 9 * n), _SUCCESS, 15.13) for n in (500, 5000))
    assert few is not None
    assert many is not None
    assert few < many < 0


@pytest.mark.parametrize(
    "counts", [RateCounts(0, 0, 9, 10), RateCounts(0, 4, 9, 10), RateCounts(0, 10, 0, 0)]
)
def test_too_few_requests_show_no_delta_at_all(counts: RateCounts) -> None:
    assert rate_mde(counts, _SUCCESS, 15.13) is None


def test_a_baseline_of_zero_has_no_relative_delta() -> None:
    assert rate_mde(RateCounts(0, 1000, 0, 1000), _HANDOFF, 15.13) is None
    assert rate_mde(RateCounts(0, 1000, 0, 1000), _POINTS, 15.13) is not None


def test_a_baseline_that_could_be_no_worse_has_no_smallest_delta() -> None:
    assert rate_mde(RateCounts(0, 1000, 0, 1000), _SUCCESS, 15.13) is None
    assert rate_mde(RateCounts(0, 1000, 1000, 1000), _POINTS, 15.13) is None


def _above(moved: int, n_c: int = 2000, n_b: int = 9000, unfinished: int = 0) -> np.ndarray:
    """Exceedances of geometric latencies over 120 bins, the candidate's `moved` bins up."""
    shares = 0.95 ** np.arange(60)
    shares /= shares.sum()
    counts = np.zeros((2, 121), dtype=np.int64)
    counts[0, 20 + moved : 80 + moved] = np.round(shares * n_c)
    counts[1, 20:80] = np.round(shares * n_b)
    counts[:, -1] = unfinished
    return np.asarray(counts[:, ::-1].cumsum(axis=1)[:, ::-1])


@pytest.mark.parametrize("moved", [-10, 0, 10])
def test_a_quantile_interval_holds_the_shift(moved: int) -> None:
    found = quantile_interval(_above(moved), 0.95)
    truth = 100 * (1.02**moved - 1)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < truth < found.upper
    assert found.upper - found.lower < 30


@pytest.mark.parametrize("moved, phi", [(-7, 1.0), (0, 1.0), (3, 2.0)])
def test_a_quantile_interval_is_one_bin_wider_than_what_the_evidence_rejects(moved: int, phi: float) -> None:
    above, tail = _above(moved), 1 - 0.95
    for confidence in (0.95, 0.5):
        needed = phi * evidence_for((1 - confidence) / 2)
        rejected = max(k for k in range(-80, 80) if quantile_above(above[0], above[1], tail, k) >= needed)
        held = max(k for k in range(-80, 80) if quantile_below(above[0], above[1], tail, k) < needed)
        found = quantile_interval(above, 0.95, confidence=confidence, phi=phi)
        expected = [100 * (1.02**bins - 1) for bins in (rejected - 1, held + 2)]
        assert [found.lower, found.upper] == pytest.approx(expected)
        assert found.confidence == confidence


def test_a_quantile_among_the_unfinished_has_no_ends() -> None:
    found = quantile_interval(_above(0, unfinished=3000), 0.95)
    assert found.lower is None
    assert found.upper is None


def test_constant_latencies_still_have_an_interval_one_bin_wide() -> None:
    above = np.array([[500, 500, 0, 0], [500, 500, 0, 0]])
    found = quantile_interval(above, 0.95)
    assert found.lower is not None
    assert found.upper is not None
    assert -4.0 < found.lower < 0 < found.upper < 4.1


def test_the_smallest_delta_of_a_quantile_is_the_first_bin_that_shows() -> None:
    above = _above(0)
    found = quantile_mde(above, _P95, 14.86)
    assert found is not None
    bins = round(np.log1p(found / 100) / np.log(1.02))
    bound = _P95.bins_beyond(0.5)
    alike = above[1] * (above[0][0] / above[1][0])
    assert quantile_above(alike, above[1], 1 - 0.95, bound - bins) >= 14.86
    assert quantile_above(alike, above[1], 1 - 0.95, bound - bins + 1) < 14.86
    assert quantile_mde(_above(0, n_c=100), _P95, 1e4) is None


def test_what_just_reaches_the_evidence_shows() -> None:
    """A threshold is reached, not passed; here by the worst there is."""
    counts, above = (
        RateCounts(0, 100, 900, 1000),
        np.array([[300, 40, 20, 20, 8, 0], [700, 90, 50, 20, 9, 0]]),
    )
    x = rate_beyond(_SUCCESS, _SUCCESS.kappa)(*counts)
    assert rate_mde(counts, _SUCCESS, x) == pytest.approx(-100)
    assert rate_mde(counts, _SUCCESS, x * 1.0001) is None
    for bins in (5, 6, 8):
        alike = above[1] * (300 / 700)
        x = quantile_above(alike, above[1], 1 - 0.95, _P95.bins_beyond(0.5) - bins)
        assert quantile_mde(above, _P95, x) == pytest.approx(100 * (1.02**bins - 1))
    one, other = Moments(2000, 1.0, 0.5, 0.2), Moments(8000, 1.0, 0.5, 0.2)
    x = mean_above(one._replace(mean=exp(log(1e6))), other, 1.05)
    assert mean_mde(one, other, _COST, x) == pytest.approx(100 * (1e6 - 1))


@pytest.mark.parametrize(
    "evidence, outward, end", [(quantile_above, 1, "lower"), (quantile_below, -1, "upper")]
)
def test_a_quantile_that_is_rejected_by_just_what_is_needed_is_outside(
    evidence: Callable[..., float], outward: int, end: str
) -> None:
    """By one bin, which is the interval's own width."""
    above, nats, asked = _above(0), evidence_for((1 - 0.95) / 2), 0
    for bins in range(-20, 20):
        x, less = (evidence(above[0], above[1], 1 - 0.95, k) for k in (bins, bins + outward))
        if less < x == x / nats * nats:
            asked += 1
            found = getattr(quantile_interval(above, 0.95, phi=x / nats), end)
            assert found == pytest.approx(100 * (1.02 ** (bins - outward) - 1))
    assert asked > 3


def test_a_quantile_of_nobody_has_no_smallest_delta() -> None:
    above = _above(0)
    for arm in (0, 1):
        nobody = above.copy()
        nobody[arm] = 0
        assert quantile_mde(nobody, _P95, 14.86) is None
    assert quantile_mde(above, _COST, 14.86) is None, "nor has a mean"
    assert quantile_mde(_above(0, n_c=1, n_b=1), _P95, 1e-9) is None


def test_arms_whose_quantile_never_finishes_show_it_without_a_slowdown() -> None:
    """What is unfinished is told by its own share, however alike both arms are."""
    assert quantile_mde(_above(0, unfinished=900), _P95, 14.86) == 0.0


def test_a_mean_interval_is_fiellers() -> None:
    c, b = Moments(2000, 1.3, 0.5, 0.2), Moments(8000, 1.0, 0.5, 0.2)
    found = mean_interval(c, b)
    assert found.lower is not None
    assert found.upper is not None
    for end in (found.lower, found.upper):
        ratio = 1 + end / 100
        score = (1.3 - ratio) / (0.5 / 2000 + ratio**2 * 0.5 / 8000) ** 0.5
        assert abs(score) == pytest.approx(1.95996, rel=1e-4)
    below_floor = mean_interval(c._replace(n=50), b)
    assert below_floor.lower is below_floor.upper is None


def test_the_smallest_delta_of_a_mean() -> None:
    c, b = Moments(2000, 1.0, 0.5, 0.2), Moments(8000, 1.0, 0.5, 0.2)
    found = mean_mde(c, b, _COST, 15.13)
    assert found is not None
    score = (1 + found / 100 - 1.05) / (0.5 / 2000 + 1.05**2 * 0.5 / 8000) ** 0.5
    assert score**2 / 2 == pytest.approx(15.13, rel=1e-5)
    assert mean_mde(c._replace(n=50), b, _COST, 15.13) is None
    assert mean_mde(c, b._replace(mean=0.0), _COST, 15.13) is None
    fallen = mean_mde(c, b, Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -10.0), 15.13)
    assert fallen is not None
    score = (1 - (1 + fallen / 100) / 0.95) / (0.5 / 8000 + 0.5 / 2000 / 0.95**2) ** 0.5
    assert score**2 / 2 == pytest.approx(15.13, rel=1e-5)


def test_the_smallest_delta_of_a_mean_has_no_unit() -> None:
    """In cents or in dollars: a percentage."""
    c, b = Moments(2000, 1.0, 0.5, 0.2), Moments(8000, 1.0, 0.5, 0.2)
    mine, theirs = (one._replace(mean=one.mean / 100, variance=one.variance / 100**2) for one in (c, b))
    assert mean_mde(mine, theirs, _COST, 15.13) == pytest.approx(mean_mde(c, b, _COST, 15.13))
