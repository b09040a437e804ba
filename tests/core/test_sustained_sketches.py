"""The same rule on quantiles and means: slower and dearer releases fire, healthy ones and bursts do not."""

from __future__ import annotations

from math import log

import numpy as np

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import MeanSeries, QuantileSeries
from monitor.core.sketch import RATIO, Sketch
from monitor.core.stats.limit import Limit
from monitor.core.sustained import Answer, Rule, judge, make_rule

_P95 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.95)
_COST = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0)
_SLOW = make_rule(30, window_min=1440, objectives=4)
_DEAR = make_rule(20, window_min=1440, objectives=4)
_MEDIAN = log(800_000)  # microseconds, and about as many millionths of a dollar


def _sketch(rng: np.random.Generator, n: int, times: float, sigma: float) -> Sketch:
    """`n` lognormal values, as whole numbers, binned as the product bins them."""
    values = np.exp(rng.normal(_MEDIAN + log(times), sigma, n)).astype(np.int64)
    index, count = np.unique(np.ceil(np.log(values) / log(RATIO) - 1e-9).astype(int), return_counts=True)
    return Sketch(dict(zip(index.tolist(), count.tolist(), strict=True)), int(values.sum()))


def _fired_at(
    series: QuantileSeries | MeanSeries,
    rng: np.random.Generator,
    rule: Rule,
    times: list[float],
    *,
    n_c: int,
    n_b: int,
    sigma: float = 0.8,
) -> int | None:
    for minute, factor in enumerate(times):
        series.append(minute, _sketch(rng, n_c, factor, sigma), _sketch(rng, n_b, 1.0, sigma))
        if judge(series, minute + 1, rule).answer is Answer.FIRES:
            return minute + 1
    return None


def test_a_p95_half_as_slow_again_fires_soon_after_its_duration() -> None:
    rng = np.random.default_rng(21)
    fired = [
        _fired_at(QuantileSeries(_P95), rng, _SLOW, [1.0] * 20 + [1.5] * 45, n_c=150, n_b=600)
        for _ in range(12)
    ]
    assert sum(t is not None for t in fired) >= 11
    assert all(t is None or t >= 50 for t in fired)


def test_an_unchanged_p95_never_fires() -> None:
    rng = np.random.default_rng(22)
    for n_c in (20, 150) * 6:
        assert _fired_at(QuantileSeries(_P95), rng, _SLOW, [1.0] * 100, n_c=n_c, n_b=4 * n_c) is None


def test_a_slow_spell_shorter_than_its_duration_never_fires() -> None:
    rng = np.random.default_rng(23)
    times = [1.0] * 20 + [3.0] * 20 + [1.0] * 30
    for _ in range(8):
        assert _fired_at(QuantileSeries(_P95), rng, _SLOW, times, n_c=150, n_b=600) is None


def test_a_release_that_times_out_fires_on_latency() -> None:
    """Timeouts are slower than every finished request, though they have no latency."""
    rng, series = np.random.default_rng(24), QuantileSeries(_P95)
    for minute in range(40):
        candidate, baseline = _sketch(rng, 100, 1.0, 0.8), _sketch(rng, 400, 1.0, 0.8)
        for _ in range(15):
            candidate.add_unfinished()
        series.append(minute, candidate, baseline)
    found = judge(series, 40, _SLOW)
    assert found.answer is Answer.FIRES
    assert found.whole is not None
    assert found.whole.observed.candidate == float("inf")


def test_a_dearer_release_fires_and_an_equally_dear_one_does_not() -> None:
    rng = np.random.default_rng(25)
    dear = [
        _fired_at(MeanSeries(_COST), rng, _DEAR, [1.0] * 15 + [1.4] * 30, n_c=300, n_b=900) for _ in range(8)
    ]
    assert sum(t is not None for t in dear) >= 7
    assert all(t is None or t >= 35 for t in dear)
    for _ in range(8):
        assert _fired_at(MeanSeries(_COST), rng, _DEAR, [1.0] * 60, n_c=300, n_b=900) is None


def test_a_heavy_tail_without_enough_requests_is_no_evidence() -> None:
    """Below 355 * skewness**2 values a mean of a heavy tail claims nothing, in either direction."""
    rng, series = np.random.default_rng(26), MeanSeries(_COST)
    for minute in range(30):
        series.append(minute, _sketch(rng, 10, 2.0, 2.0), _sketch(rng, 40, 1.0, 2.0))
    found = judge(series, 30, _DEAR)
    assert found.answer is not Answer.FIRES
    assert series.evidence_in(0, 30) == series.evidence_out(0, 30) == 0.0
