"""How many incidents chance explains: the published bounds and their error rate over all times."""

from __future__ import annotations

from math import exp, factorial, inf, pi

import numpy as np
import pytest

from monitor.core.stats.safety import (
    ALPHA_SAFETY,
    expected_incidents,
    poisson_tail,
    tolerated_expectation,
)


@pytest.mark.parametrize(
    "k, expected", [(1, 0.031), (2, 0.129), (3, 0.293), (4, 0.511), (5, 0.773), (6, 1.07)]
)
def test_the_published_bounds(k: int, expected: float) -> None:
    assert tolerated_expectation(k) == pytest.approx(expected, abs=0.0015)


@pytest.mark.parametrize("k, mu", [(1, 0.2), (3, 1.5), (6, 5.9), (12, 4.0)])
def test_the_tail_is_the_poisson_tail(k: int, mu: float) -> None:
    below = sum(exp(-mu) * mu**i / factorial(i) for i in range(k))
    assert poisson_tail(k, mu) == pytest.approx(1 - below, rel=1e-9)


def test_the_ends_of_the_tail() -> None:
    assert poisson_tail(0, 1.0) == poisson_tail(0, 0.0) == 1.0
    assert poisson_tail(3, 0.0) == 0.0
    assert poisson_tail(300, 1e-5) == 0.0  # less than any double
    assert tolerated_expectation(0) == 0.0


def test_bounds_rise_with_the_count_and_solve_their_equation() -> None:
    bounds = [tolerated_expectation(k) for k in range(1, 60)]
    assert bounds == sorted(bounds)
    for k, bound in enumerate(bounds, start=1):
        assert poisson_tail(k, bound) == pytest.approx(ALPHA_SAFETY * 6 / (pi * k) ** 2, rel=1e-6)


def test_a_healthy_candidate_is_rolled_back_at_most_as_often_as_agreed() -> None:
    """On the scale of expected incidents the k-th arrives after k unit exponentials, whatever the traffic does."""
    arrivals = np.random.default_rng(5).exponential(size=(20_000, 40)).cumsum(axis=1)
    bounds = np.array([tolerated_expectation(k) for k in range(1, 41)])
    assert (arrivals <= bounds).any(axis=1).mean() <= ALPHA_SAFETY


def test_the_expectation_scales_with_exposure_and_a_clean_reference_expects_nothing() -> None:
    assert expected_incidents(500, reference_incidents=4, reference_requests=10_000) == pytest.approx(0.2)
    assert expected_incidents(500, reference_incidents=1, reference_requests=1) == 500.0
    assert expected_incidents(500, reference_incidents=0, reference_requests=0) == 0.0
    assert expected_incidents(500, reference_incidents=1, reference_requests=0) == inf
