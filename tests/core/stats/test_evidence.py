"""The evidence formulas: against exhaustive enumeration, against plain minimisation, and in their limits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import comb, erfc, exp, inf, log, nextafter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.core.stats.evidence import (
    Moments,
    evidence_for,
    kl,
    mean_above,
    mean_below,
    p_value,
    points_above,
    points_below,
    quantile_above,
    quantile_below,
    rate_above,
    rate_below,
)

_NUMERICAL_FROM = 2.0  # nats; the rule never asks for less than 1.92, and reports less than that as weak


def _binomial(n: int, p: float) -> NDArray[np.float64]:
    return np.array([comb(n, s) * p**s * (1 - p) ** (n - s) for s in range(n + 1)])


def _assert_tails_hold(
    x: NDArray[np.float64], weight: NDArray[np.float64], *, only_proven: bool = False
) -> None:
    """P(evidence >= x) <= p(x) at every x that occurs, and below the proven bound wherever there is evidence."""
    order = np.argsort(-x)
    levels, tails = x[order], np.cumsum(weight[order])
    last = np.append(levels[1:] < levels[:-1], True)  # the tail of a level is complete at its last outcome
    for level, tail in zip(levels[last], tails[last], strict=True):
        if level >= _NUMERICAL_FROM and not only_proven:
            assert tail <= p_value(level) * (1 + 1e-9)
        if level > 0:
            assert tail <= p_value(level) + exp(-level) / 4 + 1e-12


@pytest.mark.parametrize(
    "n_c, n_b, base, ratio",
    [
        (30, 30, 0.9, 0.99),
        (30, 30, 0.05, 1.04),
        (60, 20, 0.5, 0.98),
        (20, 60, 0.5, 1.1),
        (100, 30, 0.9, 0.98),
        (12, 120, 0.9, 0.99),
        (12, 120, 0.02, 1.1),
        (80, 80, 0.98, 0.99),
    ],
)
def test_the_error_rate_of_a_rate_holds_at_the_edge_of_the_null(
    n_c: int, n_b: int, base: float, ratio: float
) -> None:
    """At the worst truth, candidate = ratio * baseline, no evidence comes more often than it says, at any size."""
    test = rate_below if ratio < 1 else rate_above
    pairs = list(product(range(n_c + 1), range(n_b + 1)))
    x = np.array([test(s_c, n_c, s_b, n_b, ratio) for s_c, s_b in pairs])
    weight = np.outer(_binomial(n_c, base * ratio), _binomial(n_b, base)).ravel()
    _assert_tails_hold(x, weight)


@pytest.mark.parametrize(
    "n_c, n_b, base, shift", [(30, 30, 0.9, -0.01), (15, 60, 0.05, 0.04), (40, 15, 0.5, 0.1)]
)
def test_the_error_rate_of_points_holds_at_the_edge_of_the_null(
    n_c: int, n_b: int, base: float, shift: float
) -> None:
    test = points_below if shift < 0 else points_above
    pairs = list(product(range(n_c + 1), range(n_b + 1)))
    x = np.array([test(s_c, n_c, s_b, n_b, shift) for s_c, s_b in pairs])
    weight = np.outer(_binomial(n_c, base + shift), _binomial(n_b, base)).ravel()
    _assert_tails_hold(x, weight)


@pytest.mark.parametrize("base", [0.0, 0.002, 0.02, 0.1])
@pytest.mark.parametrize("n_c, n_b, shift", [(60, 60, 0.05), (40, 150, 0.1), (150, 30, 0.08), (30, 30, 0.3)])
def test_the_error_rate_of_being_within_points_holds_also_where_there_are_no_hits(
    n_c: int, n_b: int, shift: float, base: float
) -> None:
    """The candidate lies exactly on the limit; the baseline has a hit rarely or never."""
    pairs = list(product(range(n_c + 1), range(n_b + 1)))
    x = np.array([points_below(s_c, n_c, s_b, n_b, shift) for s_c, s_b in pairs])
    weight = np.outer(_binomial(n_c, base + shift), _binomial(n_b, base)).ravel()
    _assert_tails_hold(x, weight)


def test_two_arms_without_hits_are_evidently_close() -> None:
    """The ordinary healthy case of a limit in points: no errors at all."""
    assert points_below(0, 900, 0, 6_000, 0.02) > 12.6
    assert points_below(0, 300, 0, 6_000, 0.02) < 12.6
    assert points_above(0, 900, 0, 6_000, 0.0) == 0.0


@pytest.mark.parametrize("n_c, n_b, tail", [(60, 60, 0.25), (30, 90, 0.25), (90, 30, 0.5), (60, 200, 0.1)])
def test_the_proven_error_rate_of_a_quantile_holds_even_at_a_gap(n_c: int, n_b: int, tail: float) -> None:
    """A quantile exactly one bin up in the candidate, at a gap of the distribution, where no edge can adapt.

    That is the worst case: `p_value` itself is passed there (up to 1.9 times, `tests/benchmarks/test_tails.py`), the
    proven bound never.
    """
    x = []
    for slow_c, slow_b in product(range(n_c + 1), range(n_b + 1)):
        # The baseline's requests lie in bins 1 and 3, the candidate's in bins 2 and 4; columns are edges 0 to 4.
        above_b = np.array([n_b, slow_b, slow_b, 0, 0])
        above_c = np.array([n_c, n_c, slow_c, slow_c, 0])
        x.append(quantile_above(above_c, above_b, tail, 1))
    assert max(x) > 4
    _assert_tails_hold(
        np.array(x), np.outer(_binomial(n_c, tail), _binomial(n_b, tail)).ravel(), only_proven=True
    )


@pytest.mark.parametrize("n_c, n_b", [(100, 900), (400, 400)])
def test_the_error_rate_of_a_quantile_holds_where_requests_lie_dense(n_c: int, n_b: int) -> None:
    """A p95 exactly four bins up in the candidate, latencies spread over 200 bins as they are in life."""
    rng = np.random.default_rng(7)
    shares = np.diff([0.0, *(_lognormal(1.02**edge) for edge in range(-100, 100)), 1.0])
    b = rng.multinomial(n_b, shares, size=20_000)
    c = np.pad(rng.multinomial(n_c, shares, size=20_000), ((0, 0), (4, 0)))
    b = np.pad(b, ((0, 0), (0, 4)))
    above_b, above_c = (n[:, ::-1].cumsum(axis=1)[:, ::-1] for n in (b, c))
    x = np.array([quantile_above(one, two, 0.05, 4) for one, two in zip(above_c, above_b, strict=True)])
    for level in (2.0, 3.0, 4.0):
        assert (x >= level).mean() <= p_value(level) * 1.2  # of which 0.2 are the run's own error


def _lognormal(value: float) -> float:
    """Distribution function of a lognormal with sigma 0.8."""
    return 0.5 * erfc(-log(value) / (0.8 * 2**0.5))


_counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def _least(cost: Callable[[float], float], low: float, high: float) -> float:
    """The minimum of a convex function, by thirds."""
    for _ in range(120):
        one, other = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, other) if cost(one) < cost(other) else (one, high)
    return cost((low + high) / 2)


@given(_counts, _counts, st.floats(0.5, 2.0))
@example((20, 20), (1, 1), 0.5)  # the smallest baseline
@example((100, 100), (1, 1), 0.989)  # both roots of the null's equation lie near each other
@settings(max_examples=40, deadline=None)
def test_the_evidence_of_a_ratio_is_the_minimum_over_the_null(
    c: tuple[int, int], b: tuple[int, int], ratio: float
) -> None:
    """Over all pairs of rates that the null allows, from its edge on; one count nearer to it in each arm."""
    rate, base = (c[0] - 1) / c[1], min((b[0] + 1) / b[1], 1.0)
    expected = 0.0
    if rate > ratio * base:
        top = min(1.0, 1 / ratio)
        expected = _least(lambda q: c[1] * kl(rate, min(ratio * q, 1.0)) + b[1] * kl(base, q), 0.0, top)
    assert rate_above(*c, *b, ratio) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert rate_below(*b, *c, 1 / ratio) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(_counts, _counts, st.floats(-0.9, 0.9))
@example((0, 300), (1, 90), -0.9)  # a candidate without hits
@example((1, 1), (1, 90), -0.9)
@example((90, 90), (1, 1), -0.5)
@settings(max_examples=40, deadline=None)
def test_the_evidence_of_points_is_the_minimum_over_the_null(
    c: tuple[int, int], b: tuple[int, int], shift: float
) -> None:
    rate, base = max((c[0] - 1) / c[1], 0.0), min((b[0] + 1) / b[1], 1.0)
    expected = 0.0
    if rate > base + shift:
        low, high = max(0.0, -shift), min(1.0, 1.0 - shift)
        expected = _least(lambda q: c[1] * kl(rate, q + shift) + b[1] * kl(base, q), low, high)
    assert points_above(*c, *b, shift) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert points_below(*b, *c, -shift) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    "counts, ratio",
    [
        ((10, 10, 7, 10), 1.12499999999),
        ((1_448_552_553, 1_448_552_553, 34_479, 34_481), 1.00000021261),
        ((214_927_995, 214_928_069, 1_296_575_687, 1_296_575_689), 0.999999651817),
    ],
)
def test_what_only_rounding_finds_is_no_evidence(counts: tuple[int, int, int, int], ratio: float) -> None:
    """At the edge of the null, and where both rates are 1 but for a few requests of a billion."""
    assert rate_above(*counts, ratio) == 0.0


def test_a_rate_that_is_at_the_bound_is_not_above_it() -> None:
    """Not even by rounding: less continuity, 0.96 is 1.2 times 0.8, and 0.35 is 0.1 less than 0.45."""
    assert rate_above(6, 50, 4, 50, 1.0) == rate_above(49, 50, 15, 20, 1.2) == 0.0
    assert points_above(15, 40, 89, 200, -0.1) == points_above(28, 50, 21, 50, 0.1) == 0.0


@pytest.mark.parametrize("n_c, ratio", [(10**6, 1 - 1.01e-6), (10**7, 1 - 1.1e-7)])
def test_where_the_roots_of_the_null_meet_the_evidence_is_still_near(n_c: int, ratio: float) -> None:
    """A candidate of nothing but hits, less the one of continuity, just beyond the bound of all hits."""
    assert rate_above(n_c, n_c, 1, 1, ratio) == pytest.approx(n_c * kl(1 - 1 / n_c, ratio), abs=5e-3)


@given(_counts, _counts, st.floats(-0.3, 0.3))
@settings(max_examples=100, deadline=None)
def test_points_and_ratios_agree_where_they_mean_the_same(
    c: tuple[int, int], b: tuple[int, int], shift: float
) -> None:
    """A shift of 0 is a ratio of 1; and a larger shift is never easier to exceed."""
    assert points_above(*c, *b, 0.0) == pytest.approx(rate_above(*c, *b, 1.0), abs=1e-6)
    assert points_above(*c, *b, shift) >= points_above(*c, *b, shift + 0.05) - 1e-9


@given(_counts, _counts, st.floats(0.8, 1.2))
@settings(max_examples=150, deadline=None)
def test_more_harm_never_lowers_the_evidence(c: tuple[int, int], b: tuple[int, int], ratio: float) -> None:
    x = rate_above(*c, *b, ratio)
    if c[0] < c[1]:
        assert rate_above(c[0] + 1, c[1], *b, ratio) >= x - 1e-9
    if b[0] > 0:
        assert rate_above(*c, b[0] - 1, b[1], ratio) >= x - 1e-9
    assert rate_above(*c, *b, ratio * 0.99) >= x - 1e-9
    assert x == 0 or rate_below(*c, *b, ratio) == 0


@pytest.mark.parametrize(
    "s_c, n_c, s_b, n_b, ratio, expected",
    [
        (0, 0, 5, 10, 1.0, 0.0),
        (5, 10, 0, 0, 1.0, 0.0),
        (0, 10, 10, 10, 1.0, 0.0),
        (1, 1, 0, 1, 1.0, 0.0),
        (1, 10, 0, 10, 1.0, 0.0),  # one hit is one count of continuity
    ],
)
def test_no_counts_are_no_evidence(
    s_c: int, n_c: int, s_b: int, n_b: int, ratio: float, expected: float
) -> None:
    assert rate_above(s_c, n_c, s_b, n_b, ratio) == expected
    assert points_above(s_c, n_c, s_b, n_b, 0.0) == expected


def test_a_limit_of_all_or_more_never_divides_by_zero() -> None:
    assert rate_below(5, 10, 9, 10, 0.0) == 0.0
    assert rate_above(5, 10, 9, 10, 0.0) == inf
    assert points_above(9, 10, 1, 10, 1.0) == 0.0
    assert points_above(9, 10, 1, 10, -1.0) > 0


@pytest.mark.parametrize("p", [0.4, 0.02, 1e-3, 1.9e-8, 1e-30])
def test_the_inverse_brings_the_error_rate_back(p: float) -> None:
    assert p_value(evidence_for(p)) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("p", [0.1, 0.025, 0.02, 0.01, 0.005, 0.001, 1e-4, 1.9e-8])
def test_no_smaller_number_of_nats_would_do(p: float) -> None:
    """To the last bit: thresholds are the same on every machine, and the smallest there are."""
    assert p_value(evidence_for(p)) <= p < p_value(nextafter(evidence_for(p), 0.0))


def test_the_ends_of_the_inverse() -> None:
    assert evidence_for(0.5) == evidence_for(0.9) == 0.0
    assert evidence_for(0.0) == inf
    assert p_value(0.0) == p_value(-1.0) == 0.5
    assert p_value(1e-12) < 0.5


def test_divergence_is_zero_at_itself_and_infinite_where_excluded() -> None:
    assert kl(0.3, 0.3) == 0.0
    assert kl(0.0, 0.5) == pytest.approx(log(2))
    assert kl(1.0, 0.5) == pytest.approx(log(2))
    assert kl(0.5, 0.0) == kl(0.5, 1.0) == kl(0.0, 1.0) == kl(1.0, 0.0) == inf
    assert kl(0.11, nextafter(0.11, 1.0)) >= 0.0, "nor is it below zero by rounding"


_columns = st.lists(st.integers(0, 40), min_size=1, max_size=30)


@given(
    _columns, _columns, st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.integers(-35, 35), st.sampled_from([0.5, 0.1, 0.05]),
)  # fmt: skip
@example([0, 0, 9], [1], (0, 0), 1, 0.1)  # a baseline of one request
@example([0], [0], (9, 1), 0, 0.1)  # which is unfinished
@example([5, 5], [0], (9, 0), 0, 0.1)  # no baseline
@example([40], [24], (60, 1), 0, 0.1)  # a baseline's request that is one and a half below the tail's
@example([0], [20], (3, 0), 0, 0.1)  # an unfinished share that is the tail's, less the one of continuity
@settings(max_examples=200, deadline=None)
def test_the_quantile_formula_is_its_plain_text(
    bins_c: list[int], bins_b: list[int], unfinished: tuple[int, int], shift: int, tail: float
) -> None:
    """The minimum over edges i of n_c kl+((E_c(i+k) - 1)/n_c, t) + n_b kl-((E_b(i) + 1)/n_b, t), edges unbounded."""
    size = max(len(bins_c), len(bins_b))
    above_c, above_b = (
        _above(bins, size, rest) for bins, rest in zip((bins_c, bins_b), unfinished, strict=True)
    )
    n_c, n_b = int(above_c[0]), int(above_b[0])
    x = quantile_above(above_c, above_b, tail, shift)
    if not n_c or not n_b:
        assert x == 0
        return

    def at(above: NDArray[np.uint32], edge: int) -> int:
        return int(above[min(max(edge, 0), size)])

    plain = inf
    for i in range(-abs(shift) - 1, size + abs(shift) + 2):
        a, b = (at(above_c, i + shift) - 1) / n_c, (at(above_b, i) + 1) / n_b
        plain = min(plain, n_c * (kl(a, tail) if a > tail else 0) + n_b * (kl(b, tail) if b < tail else 0))
    assert x == pytest.approx(plain, abs=1e-9)
    assert quantile_below(above_b, above_c, tail, -shift) == x


def test_a_candidate_that_mostly_never_finishes_is_told_by_its_own_share() -> None:
    """Where no edge is left to compare at, what is above the last one is held against the tail."""
    above_c, above_b = np.array([100, 60], dtype=np.uint32), np.array([100, 0], dtype=np.uint32)
    assert quantile_above(above_c, above_b, 0.05, 1) == pytest.approx(100 * kl(0.59, 0.05))


def _above(bins: list[int], size: int, unfinished: int) -> NDArray[np.uint32]:
    counts = np.zeros(size + 1, dtype=np.uint32)
    counts[: len(bins)] = bins
    counts[size] = unfinished
    return np.asarray(counts[::-1].cumsum()[::-1], dtype=np.uint32)


def test_a_mean_needs_its_floor() -> None:
    """Below 100 values, or 355 * skewness**2, nothing is claimed, however large the difference; at them it is."""
    ok = Moments(355, 2.0, 0.01, 1.0)
    base = Moments(400, 1.0, 0.01, 1.0)
    for enough in (ok, ok._replace(skew=-1.0), ok._replace(n=100, skew=0.0)):
        assert mean_above(enough, base, 1.1) > 100
        assert mean_above(enough._replace(n=enough.n - 1), base, 1.1) == 0.0
    assert mean_above(ok, base._replace(skew=1.1), 1.1) == 0.0
    assert mean_below(ok, base, 1.1) == 0.0
    assert mean_below(base, ok, 0.9) > 100


def test_nothing_is_said_of_a_mean_beside_a_bound_of_nothing() -> None:
    arm = Moments(400, 1.0, 0.01, 0.0)
    assert mean_above(arm, arm, 0.0) == mean_below(arm, arm, 0.0) == 0.0
    assert mean_above(arm, arm, -1.0) == 0.0


def test_values_that_do_not_vary_leave_no_doubt() -> None:
    two, one = Moments(400, 2.0, 0.0, 0.0), Moments(400, 1.0, 0.0, 0.0)
    assert mean_above(two, one, 1.5) == mean_below(one, two, 0.75) == inf
    assert mean_above(two, one, 2.0) == mean_above(two, one, 3.0) == 0.0, "nor that the bound is not passed"


@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.1])
def test_the_mean_evidence_is_half_the_squared_score(ratio: float) -> None:
    c, b = Moments(1000, 1.20, 0.5, 0.1), Moments(4000, 1.0, 0.4, 0.1)
    score = (1.20 - ratio * 1.0) / (0.5 / 1000 + ratio**2 * 0.4 / 4000) ** 0.5
    assert mean_above(c, b, ratio) == pytest.approx(score**2 / 2)
    assert mean_below(b, c, 1 / ratio) == pytest.approx(score**2 / 2)
