"""What a past hour is worth today: against simulated days of known spread."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
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


@pytest.mark.parametrize(
    ("free", "quantile", "below"),
    [
        (1, 0.01579077, 1e-6),
        (2, 0.2107210, 0.07),
        (4, 1.063623, 0.004),
        (10, 4.865182, 0.0),
        (27, 18.11390, 0.0),
        (100, 82.35814, 0.0),
    ],
)
def test_the_tenth_percentile_of_chi_square(free: int, quantile: float, below: float) -> None:
    """From the tables; the approximation is on the careful side where it is not exact."""
    assert quantile * (1 - below) <= low_chi_square(free) <= quantile * 1.001


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
    assert effective_size(100, 0.0, 0.01, days=4) == 100


def test_days_that_are_all_alike_have_no_spread() -> None:
    """Less than chance makes is no spread below zero."""
    alike = [Hour(day, slot, 100, RATE) for day in range(4) for slot in range(3)]
    assert day_variance(alike, LEVELS, fitted=1) == 0.0


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


def _plain_variance(moves: Sequence[tuple[Fraction, Fraction]], free: int, *, is_few: bool) -> Fraction:
    """What moves vary by beyond their chance variances: the estimate by moments, in whole fractions."""
    weights = [1 / chance for _, chance in moves]
    squares = sum((move**2 / chance for move, chance in moves), Fraction(0))
    if free < 1:
        free, squares = 1, Fraction(1)
    if is_few:
        squares *= Fraction(free / low_chi_square(free))
    whole, nothing = sum(weights, Fraction(0)), Fraction(0)
    room = whole - sum((one**2 for one in weights), nothing) / whole
    return max(nothing, squares - free) / (room if len(moves) > 1 else whole / 2)


def _plain(hours: Sequence[Hour], levels: dict[int, Level], fitted: int) -> Fraction:
    told = [one for one in hours if one.n and levels[one.slot].unit]
    moves = {one: Fraction(one.mean) - Fraction(levels[one.slot].mean) for one in told}
    chances = {one: Fraction(levels[one.slot].unit) / Fraction(one.n) for one in told}
    by_hours = _plain_variance(
        [(moves[one], chances[one]) for one in told],
        len(told) - len({one.slot for one in told}),
        is_few=False,
    )
    days = []
    for day in {one.day for one in told}:
        its = [one for one in told if one.day == day]
        parts = [Fraction(one.n) / sum(Fraction(each.n) for each in its) for one in its]
        days.append(
            (
                sum((part * moves[one] for part, one in zip(parts, its, strict=True)), Fraction(0)),
                sum((part**2 * chances[one] for part, one in zip(parts, its, strict=True)), Fraction(0)),
            )
        )
    by_days = _plain_variance(days, len(days) - fitted, is_few=True)
    return max(by_hours, by_days * Fraction(len(told), len(days)))


_PLACES = st.tuples(st.integers(0, 4), st.integers(0, 2))


@settings(max_examples=40, deadline=None)
@given(
    found=st.dictionaries(
        _PLACES, st.tuples(st.floats(0.0, 100.0), st.floats(-3.0, 3.0)), min_size=1, max_size=12
    ),
    units=st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0), st.sampled_from([0.0, 1.0])),
    fitted=st.sampled_from([1, 7]),
)
def test_the_spread_is_the_one_by_moments(
    found: dict[tuple[int, int], tuple[float, float]], units: tuple[float, float, float], fitted: int
) -> None:
    """Whatever each hour brought: the larger of what hours move, and of what one day's hours must weigh together."""
    hours = [Hour(day, slot, n, mean) for (day, slot), (n, mean) in found.items() if n > 0.01 or not n]
    levels = {slot: Level(slot / 2, unit) for slot, unit in enumerate(units)}
    if any(hour.n and levels[hour.slot].unit for hour in hours):
        expected = float(_plain(hours, levels, fitted))
        assert day_variance(hours, levels, fitted) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    else:
        assert day_variance(hours, levels, fitted) == 0.0


@settings(max_examples=30)
@given(n=st.floats(1.0, 1e6))
@example(n=1.1996708702063188)  # of which a product over a factor is not the other
def test_a_single_day_is_judged_as_if_there_were_two(n: float) -> None:
    """Two that differ by no more than chance makes likely, however many requests the day has."""
    worth = effective_size(n, UNIT, day_variance([Hour(0, 0, n, RATE)], LEVELS, fitted=1), days=1)
    beyond = 2 * (1 / low_chi_square(1) - 1)
    assert worth == pytest.approx(n / (1 + 2 * beyond))
