"""Over-dispersion: 1 for independent requests, found where outcomes share a cause, learned from the past only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import AnySeries, MeanSeries, QuantileSeries, RateSeries
from monitor.core.sketch import Sketch
from monitor.core.stats.contrast import Noise, share_noise
from monitor.core.stats.dispersion import (
    ASSUMED_ICC,
    INDEPENDENT,
    NOT_MEASURED,
    Dispersion,
    DispersionEstimate,
)
from monitor.core.stats.limit import Limit
from tests.core.contrasts import contrast

_SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)
_P95 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.95)
_COST = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0)
_STEADY = ((90, 100), (360, 400))
Minutes = NDArray[np.int64]  # one row per minute: s_c, n_c, s_b, n_b


def _world(
    rng: np.random.Generator,
    length: int,
    n_c: float,
    n_b: float,
    *,
    icc: float = 0.0,
    success: float = 0.9,
    harm: tuple[int, float] | None = None,
) -> Minutes:
    """Minutes of two equal arms; each minute of each arm draws its own success rate where icc > 0.

    Args:
        harm: From which minute on, and the candidate's success rate from then on.
    """
    requests = [rng.poisson(n, length) for n in (n_c, n_b)]
    shares = [np.full(length, success), np.full(length, success)]
    if harm is not None:
        shares[0][harm[0] :] = harm[1]
    if icc:
        spread = 1 / icc - 1
        shares = [rng.beta(share * spread, (1 - share) * spread) for share in shares]
    hits = [rng.binomial(n, share) for n, share in zip(requests, shares, strict=True)]
    return np.stack([hits[0], requests[0], hits[1], requests[1]], axis=1)


def _learned(minutes: Minutes) -> list[Dispersion]:
    """What is known after each minute, the first entry before any."""
    series, estimate = RateSeries(_SUCCESS), DispersionEstimate()
    known = [estimate.now]
    for minute, (s_c, n_c, s_b, n_b) in enumerate(minutes.tolist()):
        series.append(minute, (s_c, n_c), (s_b, n_b))
        estimate.take(series)
        known.append(estimate.now)
    return known


def _true_phi(icc: float, n_c: float, n_b: float) -> float:
    """Both arms' shares vary by icc * p(1-p) a minute, beside p(1-p)/n."""
    return 1 + 2 * icc / (1 / n_c + 1 / n_b)


# How good it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_c, n_b, success", [(3000, 3000, 0.9), (300, 5700, 0.9), (30, 30, 0.9), (6, 100, 0.05), (3, 3, 0.5)]
)
def test_independent_requests_have_a_phi_near_one(n_c: int, n_b: int, success: float) -> None:
    """After six hours, at any traffic, and never below 1."""
    rng = np.random.default_rng(31)
    known = [_learned(_world(rng, 360, n_c, n_b, success=success)) for _ in range(40)]
    assert all(one.phi >= 1.0 and one.tau2 >= 0.0 for each in known for one in each)
    after = sorted(each[-1].phi for each in known)
    assert after[20] < 1.12
    assert after[36] < 1.4


@pytest.mark.parametrize("icc", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("n_c, n_b", [(300, 300), (3000, 3000), (300, 5700)])
def test_minute_shocks_are_estimated(icc: float, n_c: int, n_b: int) -> None:
    """Six hours of shocks in each arm: within 30 % in the median of releases, within a factor of 2 in all."""
    rng = np.random.default_rng(32)
    truth = _true_phi(icc, n_c, n_b)
    found = sorted(_learned(_world(rng, 360, n_c, n_b, icc=icc))[-1].phi / truth for _ in range(30))
    assert 0.8 < found[15] < 1.3
    assert found[0] > 0.5
    assert found[-1] < 2.0


@pytest.mark.parametrize("age_min", [20, 30, 60])
def test_young_releases_do_not_take_strong_shocks_for_independence(age_min: int) -> None:
    """When the first hold of 20 minutes is over, phi is already known to a factor of 4, half an hour later of 3."""
    rng = np.random.default_rng(33)
    truth = _true_phi(0.05, 3000, 3000)
    found = sorted(_learned(_world(rng, age_min, 3000, 3000, icc=0.05))[-1].phi / truth for _ in range(200))
    assert found[2] > (0.25 if age_min < 30 else 0.33)
    assert 0.7 < found[100] < 1.4


def test_slow_shocks_are_seen_by_the_blocks_of_five_minutes() -> None:
    """Shocks that last for five minutes: five times the phi of minute shocks, of which minutes see a fifth."""
    rng, found = np.random.default_rng(34), []
    for _ in range(20):
        shares = [rng.beta(0.9 * 99, 0.1 * 99, 72).repeat(5) for _ in range(2)]
        s_c, s_b = (rng.binomial(300, share) for share in shares)
        n = np.full(360, 300)
        found.append(_learned(np.stack([s_c, n, s_b, n], axis=1))[-1].phi)
    assert 9 < np.median(found) < 24  # 1 + 5 * 0.01 * 300


def test_busier_windows_than_the_past_need_more() -> None:
    """Learned at 300 a minute and asked at 3000: tau**2 does not average out, so phi grows with the traffic."""
    rng = np.random.default_rng(35)
    busy = share_noise(0.9, 30_000, 30_000, 10)
    assert busy is not None
    found = [_learned(_world(rng, 360, 300, 300, icc=0.01))[-1] for _ in range(20)]
    assert 2 < np.median([one.phi for one in found]) < 6  # 4
    assert 20 < np.median([one.at(busy) for one in found]) < 45  # 31


@pytest.mark.parametrize("onset", [360, 363, 30, 33])
def test_the_onset_of_harm_inflates_little(onset: int) -> None:
    """A success rate of 0.9 that falls to 0.5 and stays there, on and off the blocks' borders."""
    rng = np.random.default_rng(36)
    calm = [_learned(_world(rng, onset + 20, 300, 2700))[-1].phi for _ in range(40)]
    harmed = [_learned(_world(rng, onset + 20, 300, 2700, harm=(onset, 0.5)))[-1].phi for _ in range(40)]
    assert np.median(harmed) < np.median(calm) + (0.3 if onset >= 360 else 1.2)


# Only from the past, only from data ------------------------------------------------------------------------------


def _append(series: AnySeries, rng: np.random.Generator, minute: int) -> None:
    if isinstance(series, RateSeries):
        n = rng.integers(0, 40, 2)
        candidate, baseline = ((int(rng.binomial(one, 0.8)), int(one)) for one in n)
        series.append(minute, candidate, baseline)
        return
    arms = Sketch(), Sketch()
    for arm in arms:
        for value in rng.lognormal(6, 0.8, rng.integers(0, 40)):
            arm.add(int(value))
    series.append(minute, *arms)


@settings(max_examples=15)
@given(
    kind=st.sampled_from([RateSeries, QuantileSeries, MeanSeries]),
    seed=st.integers(0, 10**6),
    cut=st.integers(1, 80),
    first=st.integers(0, 10**8),
)
def test_later_minutes_never_change_an_earlier_tick(
    kind: type[RateSeries | QuantileSeries | MeanSeries], seed: int, cut: int, first: int
) -> None:
    """A release that ends at a tick knows there what the one that goes on knew."""
    limit = {RateSeries: _SUCCESS, QuantileSeries: _P95, MeanSeries: _COST}[kind]
    known = []
    for length in (80, cut):
        rng = np.random.default_rng(seed)
        series, estimate = kind(limit), DispersionEstimate()
        for minute in range(first, first + length):
            _append(series, rng, minute)
            estimate.take(series)
            known.append(estimate.now)
    assert known[80:] == known[:cut]


@settings(max_examples=15)
@given(
    kind=st.sampled_from([RateSeries, QuantileSeries, MeanSeries]),
    seed=st.integers(0, 10**6),
    asked=st.sets(st.integers(0, 119)),
)
def test_when_it_is_asked_for_changes_nothing(
    kind: type[RateSeries | QuantileSeries | MeanSeries], seed: int, asked: set[int]
) -> None:
    """What was known at a tick is the same whether it is worked out there, later, or not before the end."""
    limit = {RateSeries: _SUCCESS, QuantileSeries: _P95, MeanSeries: _COST}[kind]
    rng = np.random.default_rng(seed)
    series, at_once, late = kind(limit), DispersionEstimate(), DispersionEstimate()
    expected, known = [], []
    for minute in range(120):
        _append(series, rng, minute)
        at_once.take(series)
        late.take(series)
        expected.append(at_once.now)
        known.append(late.known)
        if minute in asked:
            assert late.now == expected[-1]
    assert [one.dispersion for one in known] == expected


def test_a_value_once_taken_stays() -> None:
    series, estimate = RateSeries(_SUCCESS), DispersionEstimate()
    for minute in range(30):
        series.append(minute, *_STEADY)
        estimate.take(series)
    then, copy = estimate.now, Dispersion(estimate.now.phi, estimate.now.tau2, estimate.now.assumed_icc)
    for minute in range(30, 60):
        series.append(minute, (minute % 2 * 100, 100), (360, 400))
        estimate.take(series)
    assert then == copy != estimate.now


def test_nothing_is_measured_before_six_minutes() -> None:
    rng = np.random.default_rng(37)
    known = _learned(_world(rng, 6, 300, 300))
    assert known[:6] == [NOT_MEASURED] * 6
    assert known[6].assumed_icc == 0.0


def test_what_is_not_measured_is_assumed() -> None:
    """The design effect of 0.05 within a minute: 1 + icc * requests a minute, for two equal arms."""
    noise = share_noise(0.9, 3000, 3000, 10)
    assert noise is not None
    assert NOT_MEASURED.at(noise) == pytest.approx(1 + ASSUMED_ICC * 300)


@pytest.mark.parametrize("gap", [((0, 0), (360, 400)), ((90, 100), (0, 0)), ((0, 0), (0, 0))])
def test_minutes_without_data_in_an_arm_are_skipped(
    gap: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    """Their neighbours are compared with each other, and blocks of five never see a single empty minute."""
    series, without = (
        (RateSeries(_SUCCESS), DispersionEstimate()),
        (RateSeries(_SUCCESS), DispersionEstimate()),
    )
    rng, at = np.random.default_rng(38), 0
    for minute in range(25):
        arms = (int(rng.binomial(100, 0.9)), 100), (int(rng.binomial(400, 0.9)), 400)
        without[0].append(minute, *arms)
        without[1].take(without[0])
        for one in (arms, gap) if minute in (7, 15) else (arms,):
            series[0].append(at, *one)
            series[1].take(series[0])
            at += 1
    assert series[1].now == without[1].now  # 27 minutes are fewer than six blocks: minutes alone speak


def test_outcomes_that_are_all_equal_measure_nothing() -> None:
    flawless = np.tile(np.array([100, 100, 400, 400]), (60, 1))
    assert _learned(flawless)[-1] == NOT_MEASURED


def test_what_is_older_than_a_day_is_forgotten() -> None:
    rng = np.random.default_rng(39)
    wild, calm = _world(rng, 60, 300, 300, icc=0.05), _world(rng, 1440 + 10, 300, 300)
    known = _learned(np.concatenate([wild, calm]))
    assert known[60].phi > 5
    assert known[-1].phi < 1.2
    silent = np.zeros((1500, 4), dtype=np.int64)
    assert _learned(np.concatenate([wild, silent]))[-1] == NOT_MEASURED


def test_what_is_known_is_that_of_the_last_day_alone() -> None:
    """To the minute, also after a day and a half."""
    minutes = _world(np.random.default_rng(41), 2_100, 300, 300, icc=0.01)
    assert _learned(minutes)[-1] == _learned(minutes[-1440:])[-1]


@pytest.mark.parametrize("hits", [870, 840, 830, 700])
def test_what_stands_out_counts_as_three_standard_deviations(hits: int) -> None:
    """Beside the two largest changes, that are left out: in and out of a wilder minute."""

    def known(other: int) -> tuple[float, float]:
        series, estimate = RateSeries(_SUCCESS), DispersionEstimate()
        for minute, s_c in enumerate((900, 900, 900, 200, 900, 900, other, 900, 900, 900)):
            series.append(minute, (s_c, 1000), (900, 1000))
            estimate.take(series)
        change = contrast(series, (5, 6), (6, 7))
        assert change is not None
        return estimate.now.phi, change.square / change.variance

    (phi, squares), (most, many) = known(hits), known(600)
    assert many > 30
    assert phi == pytest.approx(most * min(squares, 9.0) / 9.0)


# Quantiles and means ---------------------------------------------------------------------------------------------


def _sketches(rng: np.random.Generator, kind: type[QuantileSeries | MeanSeries], shock: float) -> Dispersion:
    """Ninety minutes of lognormal values, each minute of each arm slower or faster by a shock."""
    series, estimate = kind(_P95 if kind is QuantileSeries else _COST), DispersionEstimate()
    for minute in range(90):
        arms = Sketch(), Sketch()
        for arm in arms:
            for value in rng.lognormal(6 + shock * rng.standard_normal(), 0.5, 100).astype(int).tolist():
                arm.add(value)
        series.append(minute, *arms)
        estimate.take(series)
    return estimate.now


@pytest.mark.parametrize("kind", [QuantileSeries, MeanSeries])
def test_values_are_judged_like_rates(kind: type[QuantileSeries | MeanSeries]) -> None:
    """Independent values: near 1. Minutes that are slower or dearer as a whole: clearly above."""
    rng = np.random.default_rng(40)
    calm = [_sketches(rng, kind, 0.0).phi for _ in range(5)]
    shaken = [_sketches(rng, kind, 0.3).phi for _ in range(5)]
    assert np.median(calm) < 1.4
    assert min(shaken) > 3.0


# The value itself ------------------------------------------------------------------------------------------------


def test_independence_divides_by_one() -> None:
    series = RateSeries(_SUCCESS)
    assert INDEPENDENT.over(series, 0, 0) == 1.0
    series.append(0, *_STEADY)
    assert INDEPENDENT.over(series, 0, 1) == 1.0


@pytest.mark.parametrize(
    "known, phi",
    [
        (Dispersion(3.0), 3.0),
        (Dispersion(3.0, tau2=1e-6), 3.0),
        (Dispersion(3.0, tau2=1.8e-3), 11.0),  # 1 + 1.8e-3 / 1.8e-4
        (Dispersion(1.0, assumed_icc=0.05), 11.0),
    ],
)
def test_phi_of_a_window_is_the_larger_of_both(known: Dispersion, phi: float) -> None:
    assert known.at(Noise(request=0.09, block=1.8e-4)) == pytest.approx(phi)


def test_a_window_without_data_counts_with_phi_alone() -> None:
    series = RateSeries(_SUCCESS)
    series.append(0, (0, 0), (0, 0))
    assert Dispersion(2.0, tau2=1.0).over(series, 0, 1) == 2.0
