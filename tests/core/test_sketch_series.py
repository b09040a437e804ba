"""Series of sketches against the plainest counting: weights, contrasts, and minutes that go."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import Counts, MeanSeries, MinuteNotKept, QuantileSeries
from monitor.core.sketch import Sketch
from monitor.core.sketch_series import mean_is_beyond
from monitor.core.stats.contrast import rate_contrast
from monitor.core.stats.evidence import Moments
from monitor.core.stats.intervals import RateCounts
from monitor.core.stats.limit import Limit
from monitor.core.stats.strata import Level
from tests.core.contrasts import contrast

_UP, _DOWN = Direction.HIGHER_IS_WORSE, Direction.LOWER_IS_WORSE
P80 = Limit(_UP, Unit.PERCENT, 15.0, quantile=0.8)
COST = Limit(_UP, Unit.PERCENT, 10.0)
Minute = tuple[dict[int, int], dict[int, int]]
"""A minute's requests per bin, candidate's and baseline's."""

_BINS = st.dictionaries(st.integers(0, 4), st.integers(1, 30), max_size=4)
_MINUTES = st.lists(st.tuples(_BINS, _BINS), min_size=3, max_size=6)


def series_of(
    minutes: list[Minute], make: type[QuantileSeries | MeanSeries] = QuantileSeries
) -> QuantileSeries | MeanSeries:
    series = make(P80 if make is QuantileSeries else COST)
    for minute, arms in enumerate(minutes):
        candidate, baseline = (
            Sketch(dict(bins), sum(round(1.02**index * 1_000) * count for index, count in bins.items()))
            for bins in arms
        )
        series.append(minute, candidate, baseline)
    return series


def counted(minutes: list[Minute], level: Level) -> list[dict[int, float]]:
    """What each arm's requests count as, per bin: plainly, or as many as Mantel-Haenszel weights of minutes leave."""
    if level is Level.POOLED:
        pooled = [sum((Counter(minute[arm]) for minute in minutes), Counter()) for arm in (0, 1)]
        return [dict(bins) for bins in pooled]
    paired = [minute for minute in minutes if minute[0] and minute[1]]
    sizes = [[sum(arm.values()) for arm in minute] for minute in paired]
    weights = [n_c * n_b / (n_c + n_b) for n_c, n_b in sizes]
    found: list[dict[int, float]] = []
    for arm in (0, 1):
        bins: dict[int, float] = {}
        rows = list(zip(paired, sizes, weights, strict=True))
        n = sum(weights) ** 2 / sum(w * w / size[arm] for _, size, w in rows) if rows else 0.0
        for minute, size, w in rows:
            for index, count in minute[arm].items():
                bins[index] = bins.get(index, 0.0) + n * w * count / size[arm] / sum(weights)
        found.append(bins)
    return found


def above(bins: dict[int, float], edge: int) -> float:
    return sum(count for index, count in bins.items() if index > edge)


@settings(max_examples=60, deadline=None)
@given(_MINUTES)
def test_requests_count_as_their_weights_say(minutes: list[Minute]) -> None:
    series = series_of(minutes)
    assert isinstance(series, QuantileSeries)
    for level in (series.level(0, len(minutes)), Level.POOLED, Level.MINUTES):
        candidate, baseline = counted(minutes, level)
        found = series.stretch(0, len(minutes), level=level).bins()
        assert found[0] == pytest.approx(candidate, rel=1e-6)
        assert found[1] == pytest.approx(baseline, rel=1e-6)
    assert (
        series.bins(0, len(minutes))
        == series.stretch(0, len(minutes), level=series.level(0, len(minutes))).bins()
    )


@settings(max_examples=100, deadline=None)
@given(_MINUTES, st.data())
def test_a_quantiles_contrast_is_of_the_shares_above_the_baselines_own(
    minutes: list[Minute], data: st.DataObject
) -> None:
    """Of both stretches together, and both compared as finely as both together can be."""
    middle = data.draw(st.integers(1, len(minutes) - 1))
    series = series_of(minutes)
    level = series.level(0, len(minutes))
    before, after = counted(minutes[:middle], level), counted(minutes[middle:], level)
    own = [bins for _, bins in (before, after)]
    total = sum(sum(bins.values()) for bins in own)
    edges = [
        edge for edge in range(-1, 5) if sum(above(bins, edge) for bins in own) <= 0.2 * total + 1e-7 * total
    ]
    if not total:
        assert contrast(series, (0, middle), (middle, len(minutes))) is None
        return
    rates = [
        RateCounts(above(c, edges[0]), sum(c.values()), above(b, edges[0]), sum(b.values()))
        for c, b in (before, after)
    ]
    expected, found = rate_contrast(*rates), contrast(series, (0, middle), (middle, len(minutes)))
    if expected is None or expected.variance < 1e-9:
        assert found is None or found.variance < 1e-9
        return
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_a_baseline_whose_requests_are_all_in_the_first_bin_has_a_quantile_too() -> None:
    series = series_of([({0: 8, 9: 2}, {0: 10}), ({0: 5, 9: 5}, {0: 10})])
    expected = rate_contrast(RateCounts(2, 10, 0, 10), RateCounts(5, 10, 0, 10))
    assert contrast(series, (0, 1), (1, 2)) == expected


UNEVEN: list[Minute] = [({5: 90, 6: 10}, {5: 30, 6: 20}), ({5: 30, 6: 40}, {5: 90, 6: 10})]
ALONE: list[Minute] = [({5: 200, 7: 50}, {}), ({5: 10, 6: 3}, {5: 10, 6: 5})]


@pytest.mark.parametrize(("before", "after"), [(UNEVEN, ALONE), (ALONE, UNEVEN)])
def test_a_means_contrast_compares_both_stretches_as_both_together_can_be(
    before: list[Minute], after: list[Minute]
) -> None:
    """Most of one stretch has no partner: then also the other is what its minutes are when they are one."""
    merged: list[Minute] = [
        tuple(dict(sum((Counter(minute[arm]) for minute in part), Counter())) for arm in (0, 1))  # type: ignore[misc]  # counters add up from an empty one
        for part in (before, after)
    ]
    series, whole = series_of([*before, *after], MeanSeries), series_of(merged, MeanSeries)
    assert isinstance(series, MeanSeries)
    assert isinstance(whole, MeanSeries)
    assert {series.level(0, 2), series.level(2, 4)} == {Level.MINUTES, Level.POOLED}
    assert series.level(0, 4) is Level.POOLED
    for one, expected in ((series, whole), (series.plain(), whole.plain())):
        found = contrast(one, (0, 2), (2, 4))
        assert found is not None
        assert found == pytest.approx(contrast(expected, (0, 1), (1, 2)))


def test_a_stretch_without_partners_has_no_contrast_at_all() -> None:
    """Nine in ten of the candidate's requests have partners, and none of those of the first minute."""
    series = series_of([({5: 1}, {}), ({5: 30, 9: 20}, {5: 90, 9: 5}), ({5: 90, 9: 9}, {5: 30, 9: 3})])
    assert isinstance(series, QuantileSeries)
    assert series.level(0, 3) is Level.MINUTES
    assert contrast(series, (0, 1), (1, 3)) is None
    assert series.stretch(0, 1, level=Level.MINUTES).bins() == ({}, {})
    empty = series_of([({}, {})])
    assert isinstance(empty, QuantileSeries)
    assert empty.stretch(0, 1, level=Level.MINUTES).bins() == ({}, {})


@pytest.mark.parametrize("make", [QuantileSeries, MeanSeries])
def test_what_is_asked_for_again_is_answered_anew_once_its_minutes_are_gone(
    make: type[QuantileSeries | MeanSeries],
) -> None:
    series, rooms = make(P80 if make is QuantileSeries else COST, keep_min=40), []
    for minute in range(1_000):
        n = minute % 7 + 1
        candidate, baseline = Sketch({5: n}, 7 * n), Sketch({5: 3, 6: 2}, 40)
        series.append(minute, candidate, baseline)
        if minute == 3:
            assert series.observed(0, 3).candidate is not None
            assert series.counts(0, 3) == Counts(baseline=15, candidate=6)
        if minute % 100 == 99:
            strata = series._strata if isinstance(series, QuantileSeries) else series._history._strata
            rooms.append(
                len(pickle.dumps(strata)) + (series.nbytes if isinstance(series, QuantileSeries) else 0)
            )
    with pytest.raises(MinuteNotKept):
        series.observed(0, 3)
    assert series.counts(996, 1_000) == Counts(baseline=20, candidate=3 + 4 + 5 + 6)
    assert 0 < rooms[-1] < 1.5 * rooms[1]


@pytest.mark.parametrize("make", [QuantileSeries, MeanSeries])
def test_one_stretch_asked_after_another_is_answered_for_itself(
    make: type[QuantileSeries | MeanSeries],
) -> None:
    minutes: list[Minute] = [({5: 40, 9: 10 * n}, {5: 50, 9: n}) for n in range(1, 5)]
    series = series_of(minutes, make)
    asked = [(0, 2, None), (2, 4, None), (0, 4, None), (0, 4, (1, 3)), (0, 2, None)]
    fresh = [(one.observed(*stretch), one.evidence_in(*stretch))
             for stretch in asked for one in [series_of(minutes, make)]]  # fmt: skip
    assert [(series.observed(*stretch), series.evidence_in(*stretch)) for stretch in asked] == fresh
    assert len(set(map(repr, fresh))) > 2


@pytest.mark.parametrize("make", [QuantileSeries, MeanSeries])
def test_over_dispersion_widens_what_is_not_known_and_is_none_unless_it_is_told(
    make: type[QuantileSeries | MeanSeries],
) -> None:
    series = series_of([(dict.fromkeys(range(40), 10), dict.fromkeys(range(40), 10))] * 4, make)
    plain, wide = series.interval(0, 4), series.interval(0, 4, phi=3.0)
    assert plain == series.interval(0, 4, phi=1.0)
    assert plain.lower is not None
    assert plain.upper is not None
    assert wide.lower is not None
    assert wide.upper is not None
    assert wide.lower < plain.lower < plain.upper < wide.upper
    assert series.mde(0, 4, 6.0) == series.mde(0, 4, 6.0, phi=1.0)
    seen, more = series.mde(0, 4, 6.0), series.mde(0, 4, 6.0, phi=2.5)
    assert seen is not None
    assert more is not None
    assert seen < more == series.mde(0, 4, 15.0)


@pytest.mark.parametrize(
    ("worse", "limit", "candidate", "baseline", "is_beyond"),
    [
        (_UP, 10.0, 111.0, 100.0, True),
        (_UP, 10.0, 109.0, 100.0, False),
        (_DOWN, -10.0, 89.0, 100.0, True),
        (_DOWN, -10.0, 91.0, 100.0, False),
        (_UP, 10.0, 0.0, 0.0, False),  # nothing was paid for by either
        (_DOWN, -10.0, 0.0, 0.0, False),
        (_UP, 10.0, 0.001, 0.0, True),
    ],
)
def test_a_mean_is_beyond_its_limit_in_the_direction_that_is_worse(
    worse: Direction, limit: float, candidate: float, baseline: float, is_beyond: bool
) -> None:
    arms = Moments(10, candidate, 1.0, 0.0), Moments(10, baseline, 1.0, 0.0)
    judged = Limit(worse, Unit.PERCENT, limit)
    assert mean_is_beyond(judged, 1.0, *arms) is is_beyond
    for empty in (0, 1):
        lacking = [arm._replace(n=0) if number == empty else arm for number, arm in enumerate(arms)]
        assert mean_is_beyond(judged, 1.0, *lacking) is None
