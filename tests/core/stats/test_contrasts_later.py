"""Changes that are looked at later, many at once, are those that were there to be seen minute by minute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import AnySeries, MeanSeries, QuantileSeries, RateSeries
from monitor.core.sketch import Sketch
from monitor.core.stats.contrast import Contrast, Stretch, mean_contrast
from monitor.core.stats.dispersion import DispersionEstimate
from monitor.core.stats.limit import Limit
from tests.core.contrasts import contrast

SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)
P95 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.95)
COST = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0)
KINDS: dict[str, Callable[[int], AnySeries]] = {
    "rate": lambda keep_min: RateSeries(SUCCESS, keep_min=keep_min),
    "quantile": lambda keep_min: QuantileSeries(P95, keep_min=keep_min),
    "mean": lambda keep_min: MeanSeries(COST, keep_min=keep_min),
}


def append(series: AnySeries, rng: np.random.Generator, minute: int, *, mean: float = 6.0) -> None:
    """A minute of a few requests in each arm, or none; values drift and spread, so that caps and columns move."""
    sizes = rng.poisson(mean, 2) * rng.integers(0, 4, 2).astype(bool)
    if isinstance(series, RateSeries):
        arms = [(int(rng.binomial(n, 0.8)), int(n)) for n in sizes]
        series.append(minute, arms[0], arms[1])
        return
    sketches = Sketch(), Sketch()
    for arm, n in zip(sketches, sizes, strict=True):
        for value in rng.lognormal(5 + 0.02 * minute, 0.8, n):
            arm.add(int(value))
        if isinstance(series, QuantileSeries) and n > 8:
            arm.add_unfinished()
    series.append(minute, *sketches)


def pairs_of(minutes: int, length: int) -> list[tuple[Stretch, Stretch]]:
    starts = range(0, minutes - 2 * length + 1, length)
    return [((at, at + length), (at + length, at + 2 * length)) for at in starts]


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["rate", "quantile", "mean", "plain mean"]),
    length=st.sampled_from([1, 5]),
    minutes=st.integers(12, 150),
    seed=st.integers(0, 10**6),
)
def test_a_pair_says_later_what_it_said_when_it_was_the_newest(
    kind: str, length: int, minutes: int, seed: int
) -> None:
    """To the last bit, whatever has come since, and also where its minutes are packed by now."""
    rng = np.random.default_rng(seed)
    series = KINDS[kind.removeprefix("plain ")](1_440)
    asked = series.plain() if isinstance(series, MeanSeries) and kind == "plain mean" else series
    pairs, then = pairs_of(minutes, length), dict[Stretch, Contrast | None]()
    for minute in range(minutes):
        append(series, rng, minute)
        for before, after in pairs:
            if after[1] == minute + 1:
                then[after] = contrast(asked, before, after)
    assert asked.contrasts(pairs) == [then[after] for _, after in pairs]
    assert any(then.values())


@pytest.mark.parametrize("is_plain", [False, True])
def test_a_means_contrast_is_that_of_the_moments_of_its_time(is_plain: bool) -> None:
    """Of the values as they were capped then: the cap moves with the baseline's."""
    rng = np.random.default_rng(7)
    series, caps = MeanSeries(COST), set()
    asked = series.plain() if is_plain else series
    for minute in range(60):
        append(series, rng, minute, mean=12)
        caps.add(series.cap)
        if minute and series.has_both(minute - 1, minute) and series.has_both(minute, minute + 1):
            level = asked.level(minute - 1, minute + 1)
            before, after = (
                asked._history.moments(at, at + 1, level=level, measure=asked.measure)
                for at in (minute - 1, minute)
            )
            expected, found = (
                mean_contrast(before, after),
                contrast(asked, (minute - 1, minute), (minute, minute + 1)),
            )
            assert found == (None if expected is None else pytest.approx(expected, rel=1e-9))
    assert len(caps) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_is_looked_at_before_its_minutes_are_let_go(kind: str) -> None:
    """Hours are kept here instead of a day; who never asks before the end knows what somebody knew who always does."""
    rng, series = np.random.default_rng(8), KINDS[kind](60)
    at_once, late = DispersionEstimate(), DispersionEstimate()
    for minute in range(1_300):
        append(series, rng, minute, mean=2.0 if minute % 200 < 40 else 0.05)
        at_once.take(series)
        late.take(series)
        assert at_once.now is not None
    assert series.kept_minute > 500
    assert late.now == at_once.now
    assert late.now.assumed_icc == 0.0


def test_minutes_do_not_wait_for_ever() -> None:
    """Nobody asks, and yet no more wait than a few dozen; those of other series are looked at at other ticks."""
    rng, series = np.random.default_rng(9), KINDS["rate"](1_440)
    estimates = [DispersionEstimate() for _ in range(20)]
    most, together = 0, []
    for minute in range(200):
        append(series, rng, minute)
        for one in estimates:
            one.take(series)
        waiting = [len(one._waiting) for one in estimates]
        most = max(most, *waiting)
        together.append(waiting.count(0))
    assert 20 <= most <= 40
    assert max(together) <= 5
