"""Paired statistics: published examples, brute force beside every formula, and the coverage that is promised."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import cache
from itertools import pairwise, product
from math import comb, exp, inf, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.stats.intervals import Interval
from monitor.core.stats.paired import (
    NEVER_BIN,
    PairCounts,
    PairSums,
    mcnemar_p,
    mean_pairs_interval,
    median_ratio,
    points_score,
    rate_pairs_interval,
    ratio_bin,
    ratio_score,
    sign_tail,
)

COUNT = st.integers(0, 40)
TABLE = st.builds(PairCounts, COUNT, COUNT, COUNT, COUNT).filter(lambda table: table.n > 0)
POINTS, PERCENT = Unit.POINTS, Unit.PERCENT
CAVO = PairCounts(59, 6, 16, 80)
"""Complete response before and after consolidation therapy, Cavo et al. 2012, in Fagerland, Lydersen and Laake's
Statistical Analysis of Contingency Tables, chapter 8; the numbers are those of its R package."""


def test_published_examples() -> None:
    assert mcnemar_p(6, 16) == pytest.approx(0.052479, abs=1e-6)
    points, percent = rate_pairs_interval(CAVO, POINTS), rate_pairs_interval(CAVO, PERCENT)
    assert (points.lower, points.upper) == pytest.approx((-12.40, -0.54), abs=0.005)
    assert (percent.lower, percent.upper) == pytest.approx((-25.24, -1.24), abs=0.005)


@given(n=st.integers(0, 300), k=st.integers(-2, 302))
def test_the_tail_of_a_fair_coin_is_the_sum_of_its_parts(n: int, k: int) -> None:
    exact = Fraction(sum(comb(n, i) for i in range(min(k, n) + 1)), 2**n)
    assert sign_tail(k, n) == pytest.approx(float(exact), rel=1e-9)


def test_a_long_row_of_tosses_is_still_exact() -> None:
    exact = Fraction(sum(comb(3_000, i) for i in range(1_451)), 2**3_000)
    assert sign_tail(1_450, 3_000) == pytest.approx(float(exact), rel=1e-8)
    assert mcnemar_p(500_000, 500_000) == 1.0
    assert mcnemar_p(0, 10**6) < 1e-300
    assert mcnemar_p(0, 0) == 1.0


def likelihood(table: PairCounts, only_baseline: float, shift: float, both: float) -> float:
    shares = (both, only_baseline + shift, only_baseline, 1.0 - both - 2.0 * only_baseline - shift)
    return sum(
        count * (log(share) if share > 0 else -1e9)
        for count, share in zip(table, shares, strict=True)
        if count
    )


@pytest.mark.parametrize("shift", [-0.3, -0.05, 0.0, 0.1, 0.25])
def test_the_difference_is_scored_at_the_most_likely_null(shift: float) -> None:
    """Tango's closed form is the maximum that a search over the whole null finds."""
    table = PairCounts(20, 9, 4, 12)
    n, (a, b, c, d) = table.n, table
    grid = [i / 4_000 for i in range(1, 2_000)]
    best = -inf, 0.0
    for share in grid:
        rest = 1.0 - 2.0 * share - shift  # to be split in proportion to the pairs that agree
        if share + shift > 0.0 and rest > 0.0:
            best = max(best, (likelihood(table, share, shift, rest * a / (a + d)), share))
    variance = n * (2.0 * best[1] + shift - shift * shift)
    assert points_score(table, shift) == pytest.approx((b - c - n * shift) / variance**0.5, abs=5e-3)


@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.0, 1.2, 1.8])
def test_the_ratio_is_scored_at_the_most_likely_null(ratio: float) -> None:
    """Tang's closed form likewise: under the null, candidate = ratio * baseline, and no pair of shares fits better."""
    table = PairCounts(20, 9, 4, 12)
    n, (a, b, c, _) = table.n, table
    best = -inf, 0.0
    for i in range(1, 400):
        for j in range(1, 400 - i):
            both, only_c = i / 400, j / 400
            only_b = (both + only_c) / ratio - both
            if only_b > 0.0 and both + only_c + only_b < 1.0:
                # Of candidate - ratio * baseline, whose mean is 0 under the null.
                spread = only_c + ratio * ratio * only_b + (1.0 - ratio) ** 2 * both
                best = max(best, (likelihood(table, only_b, only_c - only_b, both), spread))
    score = (a + b - ratio * (a + c)) / (n * best[1]) ** 0.5
    assert ratio_score(table, ratio) == pytest.approx(score, rel=0.01, abs=0.01)


@given(TABLE)
def test_swapped_arms_mirror_the_difference(table: PairCounts) -> None:
    swapped = PairCounts(table.both, table.only_baseline, table.only_candidate, table.neither)
    one, other = rate_pairs_interval(table, POINTS), rate_pairs_interval(swapped, POINTS)
    assert one.lower is not None
    assert one.upper is not None
    assert (other.lower, other.upper) == pytest.approx((-one.upper, -one.lower), abs=1e-6)


@pytest.mark.parametrize("unit", [POINTS, PERCENT])
def test_no_pair_bounds_nothing(unit: Unit) -> None:
    assert rate_pairs_interval(PairCounts(0, 0, 0, 0), unit) == Interval(None, None, 0.95)


@given(TABLE, st.sampled_from([POINTS, PERCENT]))
def test_the_interval_holds_what_was_observed_and_narrows_with_more_pairs(
    table: PairCounts, unit: Unit
) -> None:
    found = rate_pairs_interval(table, unit)
    if unit is PERCENT and not table.baseline:
        assert found == Interval(None, None, 0.95)
        return
    delta = (table.candidate - table.baseline) / table.n
    seen = 100.0 * (delta if unit is POINTS else delta * table.n / table.baseline)
    assert found.lower is not None
    assert found.lower - 1e-6 <= seen
    assert found.upper is None or seen <= found.upper + 1e-6
    more = rate_pairs_interval(PairCounts(*(4 * one for one in table)), unit)
    assert more.lower is not None
    assert found.lower <= more.lower + 1e-6
    assert found.upper is None or (more.upper is not None and more.upper <= found.upper + 1e-6)


@cache
def points_of(only_c: int, only_b: int, n: int) -> tuple[float, float]:
    found = rate_pairs_interval(PairCounts(0, only_c, only_b, n - only_c - only_b), POINTS)
    assert found.lower is not None
    assert found.upper is not None
    return found.lower, found.upper


def misses(n: int, p_c: float, p_b: float) -> tuple[float, float]:
    """Return how often the interval lies below, and above, the true difference: enumerated, not simulated."""
    truth, below, above = 100.0 * (p_c - p_b), 0.0, 0.0
    for i in range(n + 1):
        for j in range(n + 1 - i):
            ways = lgamma(n + 1) - lgamma(i + 1) - lgamma(j + 1) - lgamma(n - i - j + 1)
            chance = exp(ways + i * log(p_c) + j * log(p_b) + (n - i - j) * log(1 - p_c - p_b))
            if chance > 1e-9:
                low, high = points_of(i, j, n)
                below += chance * (high < truth)
                above += chance * (low > truth)
    return below, above


EXPECTED = (
    *((0.1, 0.1), (0.05, 1), (0.5, 0.5), (0.1, 3), (0.5, 3), (2, 2), (1, 8), (0.2, 8)),
    *((4, 4), (5, 1), (9, 5), (7, 7), (3, 12)),
)
"""Differing pairs that are expected, only the candidate's label true and only the baseline's."""


def test_coverage_at_small_numbers_of_differing_pairs() -> None:
    """95 % intervals cover in at least 93 % of every design and in 95 % on average, and lie wholly on one wrong side
    in at most 5.2 %, where 2.5 % is nominal.
    """
    covered = []
    for n in (20, 50, 100):
        for expected_c, expected_b in EXPECTED:
            below, above = misses(n, expected_c / n, expected_b / n)
            covered.append(1.0 - below - above)
            assert max(below, above) <= 0.052, (n, expected_c, expected_b)
    assert min(covered) >= 0.93
    assert sum(covered) / len(covered) >= 0.95


@pytest.mark.parametrize(("p_c", "p_b"), [(0.05, 0.05), (0.3, 0.05), (0.02, 0.1), (0.2, 0.2)])
def test_coverage_of_the_ratio(p_c: float, p_b: float) -> None:
    """Of 18 pairs, two thirds of those that agree true in both arms: at least 94 %."""
    n, both = 18, (1.0 - p_c - p_b) * 2 / 3
    truth, covered = 100.0 * ((both + p_c) / (both + p_b) - 1.0), 0.0
    shares = (both, p_c, p_b, 1.0 - both - p_c - p_b)
    for a, b, c in product(range(n + 1), repeat=3):
        if a + b + c > n:
            continue
        table = PairCounts(a, b, c, n - a - b - c)
        ways = lgamma(n + 1) - sum(lgamma(one + 1) for one in table)
        chance = exp(ways + sum(one * log(share) for one, share in zip(table, shares, strict=True)))
        if chance > 1e-6:
            found = rate_pairs_interval(table, PERCENT)
            low, high = (found.lower, found.upper)
            covered += chance * (
                (low is None or low <= truth + 1e-6) and (high is None or truth <= high + 1e-6)
            )
    assert covered >= 0.94


@given(st.lists(st.integers(-900, 900), max_size=60))
def test_the_median_ratio_is_that_of_the_sorted_ratios(bins: list[int]) -> None:
    found = median_ratio({index: bins.count(index) for index in bins})
    ordered, n = sorted(bins), len(bins)
    assert found.pairs == n
    if not n:
        assert found.median is None
        return
    assert found.median == pytest.approx(100.0 * (exp(ordered[(n - 1) // 2] / 200) - 1.0))
    tails = [float(Fraction(sum(comb(n, i) for i in range(k)), 2**n)) for k in range(n // 2 + 1)]
    rank = max(k for k, tail in enumerate(tails) if k == 0 or tail <= 0.025)
    if not rank:
        assert found.interval == Interval(None, None, 0.95)
        return
    assert found.interval.lower == pytest.approx(100.0 * (exp((ordered[rank - 1] - 0.5) / 200) - 1.0))
    assert found.interval.upper == pytest.approx(100.0 * (exp((ordered[-rank] + 0.5) / 200) - 1.0))


@given(st.floats(1, 1e9), st.floats(1, 1e9))
def test_a_ratio_lies_in_its_bin(candidate: float, baseline: float) -> None:
    index = ratio_bin(candidate, baseline)
    assert ratio_bin(baseline, candidate) == -index
    if 1e-6 < candidate / baseline < 1e6:
        assert exp((index - 0.500001) / 200) <= candidate / baseline <= exp((index + 0.500001) / 200)


def test_what_never_finished_is_slower_than_every_ratio() -> None:
    assert ratio_bin(0, 0) == ratio_bin(7, 7) == 0
    assert -NEVER_BIN < ratio_bin(0, 5) < ratio_bin(1, 5) < ratio_bin(5, 1) < ratio_bin(5, 0) < NEVER_BIN
    assert median_ratio({0: 4, NEVER_BIN: 6}).median == inf
    assert median_ratio({0: 4, -NEVER_BIN: 6}).median == -inf
    mostly = median_ratio({0: 90, NEVER_BIN: 10})
    assert mostly.median == 0.0
    assert mostly.interval.upper == pytest.approx(0.25, abs=0.01)


def sums_of(pairs: list[tuple[int, int]]) -> PairSums:
    sums = PairSums()
    for c, b in pairs:
        sums.add(c, b)
    return sums


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), min_size=2, max_size=30),
    st.floats(0.2, 5),
)
def test_the_moments_of_the_excess_are_those_of_its_values(
    pairs: list[tuple[int, int]], ratio: float
) -> None:
    excess = [c - ratio * b for c, b in pairs]
    n, mean = len(excess), sum(excess) / len(excess)
    variance = sum((one - mean) ** 2 for one in excess) / n
    half = len(pairs) // 2
    sums = sums_of(pairs[:half])
    sums.merge(sums_of(pairs[half:]))
    found = sums.excess(ratio)
    assert found.n == n
    assert found.mean == pytest.approx(mean, rel=1e-6, abs=1e-6)
    assert found.variance == pytest.approx(variance, rel=1e-5, abs=1e-2)


def test_a_ratio_of_means_covers_as_often_as_it_says() -> None:
    """Costs that move together by request (sigma 0.5), the candidate 10 % dearer: 100 runs of 1500 pairs."""
    rng, missed = random.Random(7), [0, 0]
    for _ in range(100):
        sums = PairSums()
        for _ in range(1_500):
            size = rng.lognormvariate(8.0, 0.5)
            sums.add(round(1.1 * size * rng.uniform(0.8, 1.2)), round(size * rng.uniform(0.8, 1.2)))
        found = mean_pairs_interval(sums)
        assert found.lower is not None
        assert found.upper is not None
        missed[0] += found.lower > 10.0
        missed[1] += found.upper < 10.0
        assert found.upper - found.lower < 2.5  # unpaired it would be about 8
    assert 1 <= sum(missed) <= 11  # 5 expected


def test_few_or_wild_values_bound_nothing() -> None:
    few = sums_of([(110, 100), (90, 100)] * 40)
    assert mean_pairs_interval(few) == Interval(None, None, 0.95)
    assert mean_pairs_interval(few, scale=2.0).lower is not None
    wild = sums_of([(100, 101), (101, 100)] * 200 + [(10**6, 100)])
    found = mean_pairs_interval(wild)
    assert found.lower is None
    assert found.upper is None or found.upper > 1e6
    same = mean_pairs_interval(sums_of([(index, index) for index in range(100, 400)]))
    assert (same.lower, same.upper) == pytest.approx((0.0, 0.0), abs=0.01)


def test_a_steeper_null_scores_lower() -> None:
    """The search for an interval's ends relies on it."""
    shifts = [points_score(CAVO, step / 50 - 0.99) for step in range(99)]
    ratios = [ratio_score(CAVO, 1.1**step / 50) for step in range(80)]
    assert all(one > other for one, other in (*pairwise(shifts), *pairwise(ratios)))
