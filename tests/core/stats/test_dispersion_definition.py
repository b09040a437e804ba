"""What is known of a series' dispersion, against its definition written out over whole lists of minutes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, sqrt
from statistics import NormalDist, median_high

import numpy as np
import pytest

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import RateSeries
from monitor.core.stats.dispersion import NOT_MEASURED, Dispersion, DispersionEstimate
from monitor.core.stats.limit import Limit
from tests.core.contrasts import contrast

Minute = tuple[int, int, int, int]
"""Hits and requests of the candidate, and of the baseline."""

SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)


def changes(series: RateSeries, length: int) -> list[tuple[int, float, float]]:
    """When it is known, the squared change over its variance, and that, between blocks with data in both arms."""
    ends = range(length, series.end_minute + 1, length)
    both = [(end - length, end) for end in ends if series.has_both(end - length, end)]
    contrasts = [(after[1], contrast(series, before, after)) for before, after in pairwise(both)]
    return [(end, one.square / one.variance, one.variance) for end, one in contrasts if one is not None]


def largest_two(size: int) -> float:
    """What the two largest of so many squared normal deviates are taken to be: Gumbel's means."""
    tails = [exp(-np.euler_gamma) / size, exp(1 - np.euler_gamma) / size]
    return sum(NormalDist().inv_cdf(tail / 2) ** 2 for tail in tails)


def estimate(found: Sequence[tuple[int, float, float]], length: int) -> tuple[float, float]:
    """Phi and tau**2 by the changes between blocks of one length."""
    ratios, variances = ([one[column] for one in found] for column in (1, 2))
    typical = max(1.0, median_high(ratios) / NormalDist().inv_cdf(0.75) ** 2)
    for _ in range(2):
        ratios[ratios.index(max(ratios))] = 0.0
    ratios = [min(ratio, 9 * typical) for ratio in ratios]
    count = len(found) - largest_two(len(found))
    if length == 5 or len(found) >= 120:  # one standard error down
        count *= 1 + sqrt(3 / len(found))
    excess = sum(ratio * variance for ratio, variance in zip(ratios, variances, strict=True)) / count
    return sum(ratios) / count, (excess - sum(variances) / len(found)) / 2 * length / 5


def by_definition(series: RateSeries) -> list[Dispersion]:
    """What is known after each minute."""
    every = {length: changes(series, length) for length in (1, 5)}
    known = [NOT_MEASURED]
    for now in range(1, series.end_minute + 1):
        each = {length: [one for one in found if one[0] <= now] for length, found in every.items()}
        told = [estimate(found, length) for length, found in each.items() if len(found) >= 5]
        if not told or (len(each[5]) >= 5 and now % 5):  # then minutes change little by themselves
            known.append(known[-1])
        else:
            phis, taus = zip(*told, strict=True)
            known.append(Dispersion(max(1.0, *phis), max(0.0, *taus)))
    return known[1:]


def world(seed: int, *, icc: float, lasts: int, per_min: float, length: int) -> list[Minute]:
    """Minutes of two arms whose success is drawn anew after so many; some are empty, and some without a failure."""
    rng = np.random.default_rng(seed)
    weight = 1 / icc - 1
    shares = rng.beta(0.8 * weight, 0.2 * weight, (2, length // lasts + 1))
    minutes = []
    for minute in range(length):
        n_c, n_b = (int(n) for n in rng.poisson((per_min, 3 * per_min)))
        n_c, n_b = (0 if minute % 19 == 4 else n_c), (0 if minute % 23 == 6 else n_b)
        hits = [
            int(rng.binomial(n, share[minute // lasts])) for n, share in zip((n_c, n_b), shares, strict=True)
        ]
        minutes.append((hits[0], n_c, hits[1], n_b) if minute % 11 else (n_c, n_c, n_b, n_b))
    return minutes


@pytest.mark.parametrize("per_min", [2, 60])
@pytest.mark.parametrize(
    ("icc", "lasts"), [(1e-6, 1), (0.05, 1), (0.03, 7)], ids=["calm", "minutes", "longer"]
)
def test_minute_by_minute_it_is_what_its_definition_says(icc: float, lasts: int, per_min: float) -> None:
    minutes = world(int(per_min), icc=icc, lasts=lasts, per_min=per_min, length=170)
    series, found = learned(minutes)
    for one, expected in zip(found, by_definition(series), strict=True):
        assert (one.phi, one.tau2) == pytest.approx((expected.phi, expected.tau2), rel=1e-6, abs=1e-12)
        assert one.assumed_icc == expected.assumed_icc


def learned(minutes: Sequence[Minute], *, asked_from: int = 0) -> tuple[RateSeries, list[Dispersion]]:
    series, estimated, found = RateSeries(SUCCESS), DispersionEstimate(), []
    for at, (s_c, n_c, s_b, n_b) in enumerate(minutes):
        series.append(at, (s_c, n_c), (s_b, n_b))
        estimated.take(series)
        if at >= asked_from:
            found.append(estimated.now)
    return series, found


def test_what_is_known_is_that_of_the_last_day() -> None:
    """After each block of five minutes: as if the release had begun a day before."""
    minutes = world(1, icc=0.05, lasts=1, per_min=8, length=1535)
    found = learned(minutes, asked_from=1484)[1]
    for end in (1485, 1535):
        assert found[end - 1485] == learned(minutes[end - 1440 : end], asked_from=1439)[1][0]


@pytest.mark.parametrize("busy", [60, 65])
def test_after_a_day_without_requests_nothing_is_known(busy: int) -> None:
    """Nor is what comes then held against what was before."""
    minutes = world(2, icc=0.05, lasts=1, per_min=60, length=busy)
    again = world(3, icc=0.05, lasts=1, per_min=60, length=40)
    empty = [(0, 0, 0, 0)] * (1535 - busy)
    found = learned([*minutes, *empty, *again], asked_from=1534)[1]
    assert found[0] == NOT_MEASURED
    assert found[1:] == learned(again)[1]


SIX: list[Minute] = [(1, 2, 1, 2), (1, 2, 2, 2)] * 3
EMPTY: Minute = (0, 0, 0, 0)


def test_a_change_counts_until_its_older_minute_is_a_day_old() -> None:
    """Six minutes have five changes, the fewest that say anything."""
    last, forgotten = learned([*SIX, *[EMPTY] * 1435], asked_from=1439)[1]
    assert last == learned(SIX)[1][-1] != NOT_MEASURED
    assert forgotten == NOT_MEASURED


@pytest.mark.parametrize("first", [0, 505, 506, 507])
def test_what_is_kept_no_more_is_compared_with_nothing(first: int) -> None:
    """Minutes are let go 512 at a time: what begins before those that are left is gone."""
    minutes = [*[EMPTY] * first, *SIX, *[EMPTY] * (1954 - first), *SIX]
    series, found = learned(minutes, asked_from=1960)
    assert series.kept_minute == 512
    assert found[4] == NOT_MEASURED
    assert found[-1] == learned(SIX)[1][-1]


def test_what_is_known_divides_the_evidence_of_a_stretch() -> None:
    """Phi, or more where the stretch has so much traffic that what does not average out is more of it."""
    series, found = learned(world(2, icc=0.05, lasts=1, per_min=60, length=60))
    estimated = DispersionEstimate()
    estimated.take(series)
    noise = series.noise(10, 40)
    assert noise is not None
    assert estimated.now == found[-1]
    for known in (Dispersion(2.0, tau2=1e-3), Dispersion(2.0, tau2=2.0), Dispersion(2.0, assumed_icc=0.5)):
        expected = max(2.0, 1 + (known.tau2 + 2 / 5 * known.assumed_icc * noise.request) / noise.block)
        assert known.dispersion is known
        assert known.over(series, 10, 40) == pytest.approx(expected)
    assert estimated.known.over(series, 10, 40) == found[-1].over(series, 10, 40)
