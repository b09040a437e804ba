"""What differs between minutes or strata but not between the arms is no harm; what differs within them is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Objective, Tier, Unit
from monitor.core.cohort import OVERALL
from monitor.core.indicator import Direction, indicator
from monitor.core.series import AnySeries, MeanSeries, QuantileSeries, RateSeries
from monitor.core.sketch import Sketch
from monitor.core.stats.dispersion import DispersionEstimate
from monitor.core.stats.limit import Limit
from monitor.core.stats.strata import Level
from monitor.core.sustained import Answer, judge, make_rule
from monitor.core.watch import Watch

_SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)
_P90 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.9)
_COST = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0)
_RULE = make_rule(20, window_min=1440, objectives=4)
_Arm: TypeAlias = tuple[int, int] | Sketch
_KINDS = ["rate", "quantile", "mean"]


def _empty(kind: str) -> AnySeries:
    if kind == "rate":
        return RateSeries(_SUCCESS)
    return QuantileSeries(_P90) if kind == "quantile" else MeanSeries(_COST)


@dataclass
class _World:
    """Requests of two workflows, easy and hard, in both arms; a series of one kind with and without strata.

    `harm` makes the candidate worse within every workflow: 0.1 is 10 % fewer successes, or slower and dearer.
    """

    kind: str
    seed: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.pooled, self.compared = _empty(self.kind), _empty(self.kind)

    def minute(
        self,
        minute: int,
        sizes: tuple[int, int],
        hard: tuple[float, float],
        *,
        level: float = 1.0,
        harm: float = 0.0,
    ) -> None:
        """Append a minute with so many requests of each arm, this share of them hard, all at a common level."""
        strata: list[tuple[_Arm, _Arm]] = []
        counts = [self.rng.binomial(n, share) for n, share in zip(sizes, hard, strict=True)]
        for is_hard in (False, True):
            parts = [n if is_hard else size - n for n, size in zip(counts, sizes, strict=True)]
            candidate, baseline = (
                self._part(int(n), is_hard, level, 0.0 if arm else harm) for arm, n in enumerate(parts)
            )
            strata.append((candidate, baseline))
        totals = _added([one for one, _ in strata]), _added([other for _, other in strata])
        _append(self.compared, minute, totals, strata)
        _append(self.pooled, minute, totals, [])

    def _part(self, n: int, is_hard: bool, level: float, harm: float) -> _Arm:
        if self.kind == "rate":
            return int(self.rng.binomial(n, (0.6 if is_hard else 0.95) * level * (1 - harm))), n
        sketch = Sketch()
        scale = (4000 if is_hard else 1000) / level * (1 + 6 * harm)
        for value in self.rng.lognormal(0.0, 0.4, n) * scale:
            sketch.add(int(value))
        return sketch


def _append(
    series: AnySeries, minute: int, totals: tuple[_Arm, _Arm], strata: list[tuple[_Arm, _Arm]]
) -> None:
    series.append(minute, *totals, strata)  # type: ignore[arg-type]  # arms are of the series' own kind


def _added(parts: list[_Arm]) -> _Arm:
    sketches = [part for part in parts if isinstance(part, Sketch)]
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    rates = [part for part in parts if not isinstance(part, Sketch)]
    return whole if sketches else (sum(hits for hits, _ in rates), sum(n for _, n in rates))


def _answers(series: AnySeries) -> Iterator[Answer]:
    for now in range(series.first_minute + 20, series.end_minute + 1):
        yield judge(series, now, _RULE).answer


# Mix -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _KINDS)
def test_a_harder_mix_is_no_harm(kind: str) -> None:
    """40 % of the candidate's requests are hard and 20 % of the baseline's: pooled it is far beyond any limit."""
    world = _World(kind, 1)
    for minute in range(60):
        world.minute(minute, (150, 450), (0.4, 0.2))
    assert world.pooled.beyond(0, 60, 1.0)
    assert world.pooled.evidence_in(0, 60) > _RULE.x_star
    assert world.compared.level(0, 60) is Level.STRATA
    assert not world.compared.beyond(0, 60, 1.0)
    assert world.compared.evidence_in(0, 60) < 1.0
    assert Answer.FIRES in _answers(world.pooled)
    assert Answer.FIRES not in _answers(world.compared)


@pytest.mark.parametrize("kind", _KINDS)
def test_harm_behind_an_easier_mix_is_found(kind: str) -> None:
    """The candidate gets the easy requests and spoils a tenth of each kind: pooled it looks fine."""
    world = _World(kind, 2)
    for minute in range(60):
        world.minute(minute, (150, 450), (0.1, 0.5), harm=0.1)
    assert not world.pooled.beyond(0, 60, 1.0)
    assert world.compared.beyond(0, 60, 1.0)
    assert Answer.FIRES in _answers(world.compared)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_mix_that_changes_by_the_minute_is_no_noise(kind: str) -> None:
    """The same changes that pooled counts take for shocks cancel within strata."""
    world = _World(kind, 3)
    pooled, compared = DispersionEstimate(), DispersionEstimate()
    for minute in range(60):
        world.minute(minute, (150, 450), (float(world.rng.choice([0.05, 0.6])), 0.3))
        pooled.take(world.pooled)
        compared.take(world.compared)
    assert pooled.now.phi > 3.0
    assert compared.now.phi < 1.5


# Time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _KINDS)
def test_a_ramp_under_a_drift_cancels(kind: str) -> None:
    """From 1 to 50 % of the traffic while everything gets worse for everybody: minutes are compared, not hours."""
    world = _World(kind, 4)
    for minute in range(80):
        part = (0.01, 0.05, 0.2, 0.5)[minute // 20]
        sizes = int(600 * part), int(600 * (1 - part))
        world.minute(minute, sizes, (0.2, 0.2), level=1.0 - 0.3 * minute / 80)
    assert world.pooled.level(0, 80) is Level.MINUTES
    assert world.pooled.evidence_in(0, 80) < 2.0
    assert Answer.FIRES not in _answers(world.pooled)
    if kind == "rate":
        assert isinstance(world.pooled, RateSeries)
        s_c, n_c, s_b, n_b = world.pooled.totals(0, 80)
        assert s_c / n_c < 0.96 * s_b / n_b  # what plain counts would have seen


@pytest.mark.parametrize("kind", _KINDS)
def test_an_outage_of_both_arms_cancels(kind: str) -> None:
    """Thirty minutes at 40 % less, with the candidate's share grown just before."""
    world = _World(kind, 5)
    for minute in range(90):
        share = 0.1 if minute < 40 else 0.4
        level = 0.6 if 45 <= minute < 75 else 1.0
        world.minute(minute, (int(400 * share), int(400 * (1 - share))), (0.2, 0.2), level=level)
    assert Answer.FIRES not in _answers(world.pooled)
    assert world.pooled.evidence_in(0, 90) < 2.0


# Equality --------------------------------------------------------------------------------------------------------


@given(
    minutes=st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10)), min_size=1, max_size=12
    ),
    first=st.integers(0, 10**8),
)
@settings(max_examples=100, deadline=None)
def test_a_rate_of_exactly_the_limit_is_not_beyond_it(
    minutes: list[tuple[int, int, int]], first: int
) -> None:
    """Uneven splits, another level every minute, and in each the candidate at exactly 0.98 of the baseline."""
    series, worse = RateSeries(_SUCCESS), RateSeries(_SUCCESS)
    for at, (c, b, level) in enumerate(minutes):
        candidate, baseline = (c * level * 49, c * 500), (b * level * 10, b * 100)
        series.append(first + at, candidate, baseline)
        worse.append(first + at, (candidate[0] - (at == 0), candidate[1]), baseline)
    window = first, first + len(minutes)
    assert series.beyond(*window, 1.0) is False
    assert worse.beyond(*window, 1.0) is True
    assert series.observed(*window).delta == pytest.approx(-2.0, abs=1e-9)


@given(
    split=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("kind", ["quantile", "mean"])
def test_sketches_with_a_constant_split_are_plain(
    kind: str, split: tuple[int, int], sizes: list[int], seed: int
) -> None:
    """Weighted and plain sums of them are the same to nine digits."""
    rng = np.random.default_rng(seed)
    series, whole = _empty(kind), _empty(kind)
    totals = Sketch(), Sketch()
    for minute, size in enumerate(sizes):
        arms = Sketch(), Sketch()
        for arm, total, part in zip(arms, totals, split, strict=True):
            for value in rng.lognormal(8.0, 0.5, part * size):
                arm.add(int(value))
            total.merge(arm)
        _append(series, minute, arms, [])
    _append(whole, 0, totals, [])
    end = len(sizes)
    assert series.level(0, end) is Level.POOLED
    assert series.evidence_in(0, end) == pytest.approx(whole.evidence_in(0, 1), rel=1e-9)
    if isinstance(series, QuantileSeries):
        weighted, plain = series.stretch(0, end, level=Level.MINUTES), series.stretch(0, end)
        assert weighted.above == pytest.approx(plain.above.astype(float), rel=1e-9, abs=1e-7)
        assert weighted.observed() == plain.observed()
        assert weighted.evidence_in() == pytest.approx(plain.evidence_in(), rel=1e-7, abs=1e-7)


# Sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", _KINDS)
def test_samples_are_the_requests_there_were(kind: str) -> None:
    """Weighted sums stand for fewer; what a report counts are requests."""
    world = _World(kind, 6)
    for minute in range(10):
        world.minute(minute, (10 * (minute + 1), 50), (0.5, 0.2))
    assert world.compared.counts(0, 10) == (500, 550)
    assert world.compared.counts(2, 9, (4, 6)) == (250, 30 + 40 + 70 + 80 + 90)
    noise, plain = world.compared.noise(0, 10), _World(kind, 6)
    for minute in range(10):
        plain.minute(minute, (55, 50), (0.3, 0.3))
    even = plain.pooled.noise(0, 10)
    assert noise is not None
    assert even is not None
    assert noise.block > even.block  # fewer effective requests, more noise


def test_many_requests_a_day_do_not_wrap() -> None:
    """A trillion requests in a minute, as a plan counts them, between ordinary ones."""
    series = QuantileSeries(_P90)
    small = Sketch({600: 95, 700: 5}), Sketch({600: 190, 700: 10})
    huge = Sketch({600: 95 * 10**10, 700: 5 * 10**10}), Sketch({600: 95 * 10**10, 700: 5 * 10**10})
    for minute, arms in enumerate([small, huge, small, huge, small]):
        series.append(minute, *arms)
    for start, end in ((0, 1), (1, 2), (0, 5), (2, 5)):
        shares = series.stretch(start, end).above
        assert shares[:, 110] / shares[:, 0] == pytest.approx([0.05, 0.05], rel=1e-3)
    assert series.stretch(0, 5).requests[0] > 1.9e12


def test_a_mean_needs_a_baseline_that_is_not_clearly_the_smaller_arm() -> None:
    """More than half of the traffic on the candidate: no evidence of growth, and no delta that would have shown."""
    for part, decides in ((0.5, True), (0.54, True), (0.6, False), (0.9, False)):
        world = _World("mean", 7)
        for minute in range(30):
            world.minute(minute, (int(1000 * part), int(1000 * (1 - part))), (0.3, 0.3), harm=0.2)
        assert world.pooled.beyond(0, 30, 1.0)
        assert (world.pooled.evidence_in(0, 30) > 15) is decides
        assert (world.pooled.mde(0, 30, 15.0) is not None) is decides


# From cells to series --------------------------------------------------------------------------------------------


def _aggregate(good: int, n: int) -> Aggregate:
    whole = Aggregate()
    whole.requests, whole.errors = n, n - good
    return whole


def test_a_watch_hands_its_strata_on() -> None:
    found = indicator("error")
    objective = Objective(
        "errors.error_delta_pp", found, Direction.HIGHER_IS_WORSE, 2.0, Unit.POINTS, 20, Tier.B
    )
    make: Callable[[], Watch] = lambda: Watch(objective, OVERALL, _RULE, 0)  # noqa: E731
    pooled, compared = make(), make()
    easy, hard = (_aggregate(90, 90), _aggregate(360, 360)), (_aggregate(30, 60), _aggregate(20, 40))
    totals = _aggregate(120, 150), _aggregate(380, 400)
    for minute in range(30):
        pooled.append(minute, *totals)
        compared.append(minute, *totals, (easy, hard))
    assert pooled.judge(30).judgement.answer is Answer.FIRES
    assert compared.judge(30).judgement.answer is not Answer.FIRES
    assert compared.series.level(0, 30) is Level.STRATA
    assert compared.observe(0, 30).samples == (12_000, 4_500)
    assert compared.observe(0, 30).delta == pytest.approx(0.0)
