"""The page list: e-BH, whose share of false members stays below 5 % however the p-values hang together."""

from __future__ import annotations

from itertools import combinations
from math import ceil, erfc, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.stats.page_list import ALPHA_LIST, e_value, page_list
from tests.engine.worlds import LAWS

P_VALUES = st.lists(
    st.one_of(st.floats(0, 1), st.floats(0, 0.01), st.sampled_from([0.0, 1.0, 1e-9])), min_size=1, max_size=7
)


@settings(LAWS, max_examples=150)
@given(P_VALUES)
def test_it_is_the_largest_set_whose_members_all_reach_their_e_value(p_values: list[float]) -> None:
    """The definition, tried out: the largest set in which each e-value is at least K / (alpha * its size)."""
    k = len(p_values)
    e_values = [e_value(p, k) for p in p_values]
    largest: frozenset[int] = frozenset()
    for size in range(1, k + 1):
        for chosen in combinations(range(k), size):
            if all(e_values[at] * size * ALPHA_LIST >= k * (1 - 1e-12) for at in chosen):
                largest = frozenset(chosen)
    assert page_list(p_values) == frozenset(
        at for at in range(k) if largest and e_values[at] >= min(e_values[one] for one in largest)
    )


@settings(LAWS, max_examples=150)
@given(P_VALUES)
def test_it_is_the_rule_of_benjamini_and_yekutieli(p_values: list[float]) -> None:
    k = len(p_values)
    harmonic = sum(1 / rank for rank in range(1, k + 1))
    ranks = [max(1, ceil(k * harmonic * p / ALPHA_LIST)) for p in p_values]
    lengths = [size for size in range(1, k + 1) if sum(rank <= size for rank in ranks) >= size]
    cut = max(lengths, default=0)
    assert page_list(p_values) == frozenset(at for at, rank in enumerate(ranks) if rank <= cut)


@settings(LAWS, max_examples=100)
@given(P_VALUES, st.integers(0, 6), st.floats(0, 1))
def test_more_evidence_never_takes_a_cohort_off(p_values: list[float], at: int, factor: float) -> None:
    at %= len(p_values)
    stronger = [p * factor if place == at else p for place, p in enumerate(p_values)]
    assert page_list(p_values) <= page_list(stronger)


@settings(LAWS, max_examples=60)
@given(st.floats(1e-12, 1), st.integers(1, 1_000))
def test_an_e_value_is_at_most_one_in_expectation(p: float, hypotheses: int) -> None:
    """Over a uniform p the calibrator is a staircase: its area is the sum of its steps."""
    harmonic = sum(1 / rank for rank in range(1, hypotheses + 1))
    step = ALPHA_LIST / (hypotheses * harmonic)
    middles = (np.arange(hypotheses) + 0.5) * step
    area = sum(e_value(float(middle), hypotheses) for middle in middles) * step
    assert area <= 1 + 1e-9
    assert e_value(p, hypotheses) >= e_value(min(1.0, p * 1.5), hypotheses)
    assert e_value(1.0, hypotheses) == 0.0  # beyond the last step it stands for nothing


@pytest.mark.parametrize(
    "p_values, listed",
    [
        ([], []),
        ([0.05], [0]),
        ([0.051], []),
        ([1.0] * 200, []),
        ([1e-6, *[0.5] * 199], [0]),
        ([1e-4, *[0.5] * 199], []),
    ],
)
def test_how_much_one_among_many_must_show(p_values: list[float], listed: list[int]) -> None:
    assert sorted(page_list(p_values)) == listed


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.95])
def test_the_share_of_false_members_stays_below_its_rate_under_dependence(shared: float) -> None:
    """150 healthy tenants and 50 that are not, their noise shared to any degree: 400 seeded releases each."""
    rng = np.random.default_rng(20_261_102)
    false_share = found = 0.0
    runs = 400
    for _ in range(runs):
        noise = np.sqrt(shared) * rng.standard_normal() + np.sqrt(1 - shared) * rng.standard_normal(200)
        z = noise + np.where(np.arange(200) < 50, 4.0, 0.0)
        listed = page_list([float(p) for p in _upper_tail(z)])
        false_share += sum(at >= 50 for at in listed) / max(1, len(listed)) / runs
        found += sum(at < 50 for at in listed) / 50 / runs
    assert false_share <= ALPHA_LIST
    assert found > 0.5


def _upper_tail(z: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    return [erfc(float(one) / sqrt(2)) / 2 for one in z]
