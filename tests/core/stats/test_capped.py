"""Means of heavy-tailed values: exact below the cap, held down above it."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.core.sketch import RATIO, Sketch, bin_of, bins_of, upper_edge
from monitor.core.stats.capped import CappedHistory, Measure
from monitor.core.stats.evidence import Moments
from monitor.core.stats.minutes import Cut
from monitor.core.stats.strata import Level


def _sketch(values: list[int] | np.ndarray, unfinished: int = 0) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(int(value))
    for _ in range(unfinished):
        sketch.add_unfinished()
    return sketch


def plain_means(history: CappedHistory, start: int, end: int, cut: Cut | None = None) -> tuple[float, float]:
    candidate, baseline = history.moments(start, end, cut, measure=Measure.PLAIN)
    return candidate.mean, baseline.mean


def test_a_mean_is_exact_where_nothing_lies_above_the_cap() -> None:
    history = CappedHistory(100)
    history.append(_sketch([1003, 1004, 1008]), _sketch([2001, 2002, 2003]))
    candidate, baseline = history.moments(0, 1)
    assert candidate.mean == pytest.approx(1005.0, abs=1e-9)
    assert baseline.mean == pytest.approx(2002.0, abs=1e-9)
    assert plain_means(history, 0, 1) == (1005.0, 2002.0)


def test_values_above_the_baselines_p99_count_as_the_cap() -> None:
    rng = np.random.default_rng(2)
    costs = np.exp(rng.normal(8, 1.5, 20_000))
    history = CappedHistory(100)
    history.append(_sketch(costs[:10_000]), _sketch(costs[10_000:]))
    candidate, _ = history.moments(0, 1)
    cap = np.quantile(costs[10_000:], 0.99)
    capped = np.minimum(costs[:10_000], cap)
    assert candidate.mean == pytest.approx(capped.mean(), rel=0.02)
    assert candidate.variance == pytest.approx(capped.var(), rel=0.06)
    skew = ((capped - capped.mean()) ** 3).mean() / capped.std() ** 3
    assert candidate.skew == pytest.approx(skew, rel=0.06)
    above_c, n_c, above_b, n_b = history.above_cap(0, 1)
    assert n_c == n_b == 10_000
    assert above_b / n_b == pytest.approx(0.01, abs=0.003)
    assert above_c / n_c == pytest.approx(0.01, abs=0.004)
    assert history.cap is not None
    assert cap <= history.cap <= cap * RATIO**2


@pytest.mark.parametrize("sigma", [0.05, 0.8, 2.0])
def test_a_plain_mean_is_exact_and_its_spread_that_of_the_values(sigma: float) -> None:
    """Whatever lies above the cap; variance and skewness as finely as bins of 2 % tell values apart."""
    rng = np.random.default_rng(3)
    values = [np.exp(rng.normal(9, sigma, n)).astype(int) for n in (4_000, 9_000)]
    history = CappedHistory(100)
    history.append(_sketch(values[0]), _sketch(values[1]))
    for moments, told in zip(history.moments(0, 1, measure=Measure.PLAIN), values, strict=True):
        assert moments.n == len(told)
        assert moments.mean == pytest.approx(told.mean(), rel=1e-12)
        assert moments.variance == pytest.approx(told.var(), rel=0.06)
        skew = ((told - told.mean()) ** 3).mean() / told.std() ** 3
        assert moments.skew == pytest.approx(skew, rel=0.06, abs=0.05)


def test_what_a_window_adds_up_to_is_not_remembered_beyond_its_tick() -> None:
    """Both measures ask for the same windows, so a tick's sums are kept; a new minute moves the cap."""
    history = CappedHistory(500)
    history.append(_sketch([100] * 50), _sketch([100] * 50))
    before = history.moments(0, 1)[0]
    assert history.moments(0, 1)[0] == before
    history.append(_sketch([]), _sketch([10] * 100_000))
    assert history.moments(0, 1)[0].mean < before.mean
    for end in range(2, 200):
        history.append(_sketch([100 + end]), _sketch([100 + end]))
    many = [history.moments(start, 199) for start in range(199)]
    assert many == [history.moments(start, 199) for start in range(199)]


def test_one_enormous_value_moves_the_mean_no_further_than_the_cap() -> None:
    history = CappedHistory(100)
    history.append(_sketch([1000] * 999 + [10**12]), _sketch([1000] * 1000))
    candidate, _ = history.moments(0, 1)
    assert candidate.mean == pytest.approx(1000, rel=0.02)


def test_constant_values_keep_the_variance_of_their_bin() -> None:
    """No spread in the sketch is not no spread: evidence stays finite."""
    history = CappedHistory(100)
    history.append(_sketch([1000] * 10), _sketch([1000] * 10))
    candidate, _ = history.moments(0, 1)
    assert candidate.variance > 0
    assert abs(candidate.skew) < 1e-3


def test_unfinished_requests_have_no_value() -> None:
    history = CappedHistory(100)
    history.append(_sketch([100, 300], unfinished=5), _sketch([], unfinished=2))
    candidate, baseline = history.moments(0, 1)
    assert (candidate.n, candidate.mean) == (2, 200)
    assert baseline.n == 0
    assert plain_means(history, 0, 1) == (200, 0)


def test_windows_and_cuts_add_up() -> None:
    history = CappedHistory(100)
    for minute in range(10):
        history.append(_sketch([100 + minute] * (minute + 1)), _sketch([100, 100, 400]))
    candidate, baseline = history.moments(2, 9, (4, 7))
    sizes = {minute: minute + 1 for minute in (2, 3, 7, 8)}
    weights = {minute: 3 * n / (3 + n) for minute, n in sizes.items()}
    weight = sum(weights.values())
    assert candidate.n == pytest.approx(weight**2 / sum(w * w / sizes[m] for m, w in weights.items()))
    assert candidate.n < sum(sizes.values())
    assert candidate.mean == pytest.approx(sum(w * (100 + m) for m, w in weights.items()) / weight, abs=1e-6)
    assert baseline.mean == pytest.approx(200, abs=1e-6)
    assert history.totals(2, 9, (4, 7))[:2] == (sum((100 + m) * n for m, n in sizes.items()), 4 + 3 + 8 + 9)
    assert plain_means(history, 2, 9, (4, 7))[0] == pytest.approx(candidate.mean, abs=1e-6)


def _from_the_definition(values: list[int], cap: float, *, is_plain: bool) -> Moments:
    """Each value stands in the middle of its bin; the exact sum corrects the middles, by no more than half a bin."""
    middles = np.array([RATIO**index * (1 + 1 / RATIO) / 2 for index in bins_of(values)])
    is_above = bins_of(values) > bins_of([cap])[0]
    held = middles if is_plain else np.minimum(middles, cap)
    below, above = middles[~is_above].sum(), middles[is_above].sum()
    room = below * (RATIO - 1) / (RATIO + 1) + len(values)
    correction = np.clip(sum(values) - above - below, -room, room) * below / (below + above)
    mean = float(np.mean(values) if is_plain else (held.sum() + correction) / len(values))
    variance = held.var() + (RATIO - 1) ** 2 / 12 * (held**2).mean()
    return Moments(len(values), mean, variance, ((held - held.mean()) ** 3).mean() / variance**1.5)


_values = st.lists(st.one_of(st.integers(0, 3), st.integers(90, 130), st.integers(1_000, 10**7)), min_size=1)


@given(_values, _values)
@example([7], [7])
@example([1, 2], [1, 1])
@example([1000] * 3 + [10**6], [1000] * 200)
@settings(max_examples=60, deadline=None)
def test_moments_are_those_of_the_definition(candidate: list[int], baseline: list[int]) -> None:
    history = CappedHistory(100)
    history.append(_sketch(candidate), _sketch(baseline))
    cap = RATIO ** int(np.sort(bins_of(baseline))[ceil(0.99 * len(baseline) - 1e-9) - 1])
    assert history.cap == pytest.approx(cap)
    for measure in Measure:
        found = history.moments(0, 1, measure=measure)
        for moments, values in zip(found, (candidate, baseline), strict=True):
            expected = _from_the_definition(values, cap, is_plain=measure is Measure.PLAIN)
            assert moments[:3] == pytest.approx(expected[:3], rel=1e-9)
            assert moments.skew == pytest.approx(expected.skew, rel=1e-6, abs=1e-6)


def test_the_cap_is_learned_anew_with_each_baseline_value() -> None:
    """Also where no bin is new; and not with a candidate's, however far out."""
    history = CappedHistory(100)
    history.append(_sketch([100, 9000]), _sketch([100] * 199 + [9000]))
    assert history.cap == upper_edge(bin_of(100))
    history.append(_sketch([1, 10**9]), _sketch([]))
    assert history.cap == upper_edge(bin_of(100))
    assert history.moments(0, 2, level=Level.POOLED, measure=Measure.PLAIN)[0].n == 4
    history.append(_sketch([]), _sketch([9000] * 2))
    assert history.cap == upper_edge(bin_of(9000))


def test_what_is_dropped_neither_caps_nor_counts() -> None:
    history = CappedHistory(70)
    for minute in range(200):
        history.append(_sketch([100 + minute]), _sketch([9000 if minute < 2 else 100 + minute]))
    assert history.minutes < 200
    assert history.cap is not None
    assert 298 < history.cap < 310
    first = 200 - history.minutes
    assert plain_means(history, 0, 3) == (101.0 + first, 101.0 + first)
    assert history.totals(0, 3) == (303 + 3 * first, 3, 303 + 3 * first, 3)
    assert 0 < history.nbytes < 1e6


def test_a_cap_is_forgotten_with_the_minutes_it_was_learned_from() -> None:
    """Though no baseline value comes after them."""
    history = CappedHistory(70)
    caps = []
    for minute in range(140):
        baseline = {0: [9000] * 2, 66: [100]}.get(minute, [])
        history.append(_sketch([50]), _sketch(baseline))
        caps.append(history.cap)
    assert (caps[66], caps[-1]) == (upper_edge(bin_of(9000)), upper_edge(bin_of(100)))


def test_unfinished_requests_are_not_among_those_with_a_value() -> None:
    history = CappedHistory(100)
    history.append(_sketch([100, 300], unfinished=5), _sketch([], unfinished=2))
    assert history.totals(0, 1) == (400, 2, 0, 0)
    assert not history.has_both(0, 1)
    assert [moments.n for moments in history.moments(0, 1, level=Level.MINUTES)] == [0, 0]
    history.append(_sketch([100]), _sketch([100, 200], unfinished=1))
    assert history.has_both(0, 2)
    assert not history.has_both(0, 2, (1, 2))


def test_arms_are_compared_by_minutes_where_their_split_changes() -> None:
    history = CappedHistory(100)
    for many in (1, 5):
        history.append(_sketch([100] * many), _sketch([100, 200]))
    assert (history.level(0, 1), history.level(0, 2)) == (Level.POOLED, Level.MINUTES)
    assert history.moments(0, 2) == history.moments(0, 2, level=Level.MINUTES)


def test_before_any_data_there_are_no_moments() -> None:
    history = CappedHistory(100)
    history.append(Sketch(), Sketch())
    assert history.moments(0, 1)[0].n == 0
    assert history.above_cap(0, 1) == (0, 0, 0, 0)
    assert history.cap is None
    history.append(_sketch([100]), Sketch())
    assert history.cap is None
    assert history.moments(0, 2, level=Level.POOLED)[0].mean == 100, "and nothing is held down"
    history.append(Sketch(), _sketch([0]))
    assert history.cap == 1.0
