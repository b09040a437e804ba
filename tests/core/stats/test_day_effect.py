"""What a past hour is worth today: against simulated days of known spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.stats.day_effect import Hour, Level, day_variance, effective_size, low_chi_square

RATE, UNIT = 0.9, 0.09
LEVELS = {slot: Level(RATE, UNIT) for slot in range(24)}


def past(seed: int, days: int, *, by_day: float = 0.0, by_hour: float = 0.0, n: int = 4_000) -> list[Hour]:
    """Hours of a share of 0.9 that moves from day to day and from hour to hour by so much (standard deviations)."""
    draw = np.random.default_rng(seed)
    hours = []
    for day in range(days):
        shift = draw.normal(0.0, by_day)
        for slot in range(24):
            share = min(1.0, max(0.0, RATE + shift + draw.normal(0.0, by_hour)))
            hours.append(Hour(day, slot, n, draw.binomial(n, share) / n))
    return hours


@pytest.mark.parametrize(("free", "quantile"), [(1, 0.0158), (2, 0.2107), (6, 2.2041), (27, 18.1139)])
def test_the_tenth_percentile_of_chi_square(free: int, quantile: float) -> None:
    """From the tables; the approximation is on the careful side where it is not exact."""
    assert low_chi_square(free) == pytest.approx(quantile, rel=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_hours_that_move_by_themselves_are_found(seed: int) -> None:
    """Independent hours: the days' spread adds little to what the hours show."""
    found = day_variance(past(seed, 28, by_hour=0.01), LEVELS, fitted=1)
    assert 0.8 * 0.01**2 < found < 4 * 0.01**2


@pytest.mark.parametrize("seed", range(5))
def test_a_day_that_moves_as_a_whole_counts_for_all_its_hours(seed: int) -> None:
    """Twenty-four hours of it together must weigh no more than one day does."""
    found = day_variance(past(seed, 28, by_day=0.01), LEVELS, fitted=1)
    assert found > 24 * 0.7 * 0.01**2


def test_few_days_leave_more_open_than_many() -> None:
    few = [day_variance(past(seed, 3, by_day=0.005), LEVELS, fitted=1) for seed in range(40)]
    many = [day_variance(past(seed, 28, by_day=0.005), LEVELS, fitted=1) for seed in range(40)]
    assert np.mean(few) > 2 * np.mean(many)
    # The truth is below the bound in nine of ten cases; here it has forty tries.
    assert sum(one >= 24 * 0.005**2 for one in few) >= 30


@pytest.mark.parametrize("fitted", [1, 7])
def test_days_that_cannot_be_compared_are_taken_to_tell_little(fitted: int) -> None:
    hours = past(1, 1)
    assert effective_size(4_000, UNIT, day_variance(hours, LEVELS, fitted), days=1) < 200


def test_nothing_that_varies_has_no_spread() -> None:
    same = [Hour(day, 0, 100, 5.0) for day in range(4)]
    assert day_variance(same, {0: Level(5.0, 0.0)}, fitted=1) == 0.0
    assert day_variance([], {}, fitted=1) == 0.0


@given(
    n=st.integers(0, 10**7),
    unit=st.floats(1e-6, 1e6),
    tau2=st.floats(0.0, 1e3),
    days=st.integers(1, 28),
)
def test_the_past_is_never_worth_more_than_it_has(n: int, unit: float, tau2: float, days: int) -> None:
    """And never more than the day-to-day spread allows, however many requests it has."""
    worth = effective_size(n, unit, tau2, days)
    assert 0.0 <= worth <= n
    if tau2 > 0.0:
        assert worth <= unit / tau2 * (1 + 1e-9)
    assert effective_size(n, unit, tau2 + 1.0, days) <= worth


@pytest.mark.parametrize("seed", range(3))
def test_what_hours_are_worth_depends_on_neither_the_side_nor_the_count(seed: int) -> None:
    """Values may fall as they may rise, and as many times as many requests of as much variance tell the same."""
    hours = past(seed, 6, by_day=0.01, n=40)
    found = day_variance(hours, LEVELS, fitted=1)
    assert found > 0.0
    other_side = [hour._replace(mean=2 * RATE - hour.mean) for hour in hours]
    assert day_variance(other_side, LEVELS, fitted=1) == pytest.approx(found, rel=1e-9)
    fewer = [hour._replace(n=hour.n / 40) for hour in hours]
    levels = {slot: Level(RATE, UNIT / 40) for slot in LEVELS}
    assert day_variance(fewer, levels, fitted=1) == pytest.approx(found, rel=1e-9)


def test_an_hour_without_requests_tells_nothing() -> None:
    hours = past(1, 4, by_day=0.01)
    empty = Hour(9, 0, 0, 0.0)
    assert day_variance([*hours, empty], LEVELS, fitted=1) == day_variance(hours, LEVELS, fitted=1)


@pytest.mark.parametrize(("tau2", "days", "worth"), [(0.0, 7, 100.0), (0.01, 2, 40.0), (0.01, 1, 100 / 3)])
def test_the_worth_of_a_past(tau2: float, days: int, worth: float) -> None:
    """N / (1 + n tau**2 (1 + 1 / days) / unit)."""
    assert effective_size(100, 1.0, tau2, days) == pytest.approx(worth)
