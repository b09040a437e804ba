"""The windows that are tested and the evidence they must hold, against the published numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.stats.evidence import p_value
from monitor.core.stats.thresholds import (
    ALPHA_ROLLBACK,
    OVERALL_SHARE,
    look_count,
    quarter,
    span_grid,
    window_grid,
    x_star,
)
from tests.engine.worlds import LAWS

_DAY = 1440


def test_a_day_of_ticks_is_6592_looks() -> None:
    assert round(look_count(20, _DAY)) == 6592


@pytest.mark.parametrize(
    "hold_min, cohorts, alpha, expected",
    [
        (20, 1, ALPHA_ROLLBACK, 15.13),
        (20, 1, 0.05, 11.35),
        (20, 200, ALPHA_ROLLBACK, 20.29),
        (30, 1, ALPHA_ROLLBACK, 14.86),
    ],
)
def test_the_published_thresholds(hold_min: int, cohorts: int, alpha: float, expected: float) -> None:
    x = x_star(hold_min=hold_min, window_min=_DAY, objectives=4, cohorts=cohorts, alpha=alpha)
    assert round(x, 2) == expected


@pytest.mark.parametrize("hold_min", [0, 4, 20, 60, _DAY])
@pytest.mark.parametrize("window_min", [_DAY, 3 * _DAY])
def test_all_looks_together_spend_the_error_rate_and_no_more(hold_min: int, window_min: int) -> None:
    x = x_star(hold_min=hold_min, window_min=window_min, objectives=3, cohorts=5)
    looks = look_count(hold_min, window_min) * 3 * 5
    assert p_value(x) * looks == pytest.approx(ALPHA_ROLLBACK * OVERALL_SHARE, rel=1e-6)


def test_the_window_grid_grows_by_half_octaves_and_is_tested_ever_more_rarely() -> None:
    windows = window_grid(20, _DAY)
    assert [one.length_min for one in windows] == [
        20,
        28,
        40,
        57,
        80,
        113,
        160,
        226,
        320,
        453,
        640,
        905,
        1280,
    ]
    assert [one.step_min for one in windows] == [1, 1, 1, 2, 3, 4, 6, 9, 13, 18, 26, 37, 53]


def test_windows_never_pass_the_budget_or_a_day() -> None:
    assert window_grid(20, 60)[-1].length_min == 57
    assert window_grid(20, 10 * _DAY)[-1].length_min == 1280
    assert window_grid(30, 20) == ()
    assert window_grid(0, 8)[0].length_min == 1
    assert [one.length_min for one in window_grid(0, 8)] == [1, 2, 3, 4, 6, 8]


def test_the_span_grid_is_the_published_one() -> None:
    assert span_grid(20, _DAY) == (
        20, 21, 22, 23, 25, 27, 30, 35, 42, 51, 64, 83, 110, 147, 200, 275, 381, 531, 743, 1043,
    )  # fmt: skip


@pytest.mark.parametrize("minutes, expected", [(0, 1), (4, 1), (5, 2), (20, 5), (21, 6)])
def test_a_quarter_is_rounded_up(minutes: int, expected: int) -> None:
    assert quarter(minutes) == expected


HOLDS = st.integers(0, 400)
BUDGET_WINDOWS = st.integers(1, 4 * _DAY)


def brute_force_lengths(hold_min: int, window_min: int, grow: Callable[[int, int], int]) -> list[int]:
    """Every length the formula names, once, as long as it is within the budget's window and a day."""
    shortest = max(hold_min, 1)
    named = {shortest, *(grow(shortest, j) for j in range(1, 60))}
    return sorted(length for length in named if length <= min(window_min, _DAY))


@given(HOLDS, BUDGET_WINDOWS)
@settings(LAWS, max_examples=60)
def test_both_grids_are_their_formulas_up_to_the_window_or_a_day(hold_min: int, window_min: int) -> None:
    """Y * 2**(j/2) and Y - 1 + 2**(j/2), a hold of 0 from one minute on; a window moves by 1/24 of itself."""
    windows = window_grid(hold_min, window_min)
    lengths = brute_force_lengths(hold_min, window_min, lambda y, j: round(y * 2 ** (j / 2)))
    assert [(one.length_min, one.step_min) for one in windows] == [
        (length, max(1, length // 24)) for length in lengths
    ]
    spans = brute_force_lengths(hold_min, window_min, lambda y, j: y - 1 + round(2 ** (j / 2)))
    assert list(span_grid(hold_min, window_min)) == spans
    assert look_count(hold_min, window_min) == pytest.approx(
        sum(window_min / max(1, length // 24) for length in lengths)
    )


def test_a_window_of_the_hold_s_own_length_and_one_of_a_whole_day_are_in_the_grid() -> None:
    for hold in (1, 30, _DAY):
        assert [one.length_min for one in window_grid(hold, hold)][-1] == hold
        assert span_grid(hold, hold)[-1] == hold
    assert [window_grid(_DAY, 9 * _DAY)[-1].length_min, window_grid(_DAY + 1, 9 * _DAY)] == [_DAY, ()]
    assert span_grid(31, 30) == ()


@given(HOLDS, st.integers(1, 30), st.integers(1, 300), st.floats(1e-6, 0.1), st.floats(0.01, 1.0))
@settings(LAWS, max_examples=20)
def test_the_error_rate_is_split_evenly_over_all_looks(
    hold_min: int, objectives: int, cohorts: int, alpha: float, share: float
) -> None:
    x = x_star(
        hold_min=hold_min, window_min=_DAY, objectives=objectives, cohorts=cohorts, alpha=alpha, share=share
    )
    each = alpha * share / (look_count(hold_min, _DAY) * objectives * cohorts)
    assert p_value(x) == pytest.approx(each, rel=1e-6)


def test_a_hold_that_no_window_fits_is_looked_at_once() -> None:
    """The most that one look may cost: a rule that cannot fire still has a threshold."""
    assert look_count(30, 20) == 0.0
    x = x_star(hold_min=30, window_min=20, objectives=3)
    assert p_value(x) == pytest.approx(ALPHA_ROLLBACK * OVERALL_SHARE, rel=1e-6)
