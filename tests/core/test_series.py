"""Series: a window is what its minutes add up to, in any order and any grouping, and equality is no breach."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Objective, Tier, Unit
from monitor.core.errors import UnknownIndicator
from monitor.core.indicator import Direction, indicator
from monitor.core.series import (
    AnySeries,
    Counts,
    MeanSeries,
    MinuteNotKept,
    MinuteOutOfOrder,
    QuantileSeries,
    RateSeries,
    series_for,
)
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.core.sketch_series import mean_is_beyond
from monitor.core.stats.contrast import BLOCK_MIN
from monitor.core.stats.evidence import Moments, points_above, points_below, rate_above, rate_below
from monitor.core.stats.limit import Limit
from monitor.core.stats.strata import Level
from tests.core.contrasts import contrast

_UP, _DOWN = Direction.HIGHER_IS_WORSE, Direction.LOWER_IS_WORSE
_SUCCESS = Limit(_DOWN, Unit.PERCENT, -2.0)
_HANDOFF = Limit(_UP, Unit.PERCENT, 8.0)
_POINTS = Limit(_UP, Unit.POINTS, 8.0)
_P95 = Limit(_UP, Unit.PERCENT, 15.0, quantile=0.95)
_COST = Limit(_UP, Unit.PERCENT, 10.0)

_arm = st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
_minutes = st.lists(st.tuples(_arm, _arm), min_size=1, max_size=15)


def _rates(
    limit: Limit, minutes: list[tuple[tuple[int, int], tuple[int, int]]], first: int = 0
) -> RateSeries:
    series = RateSeries(limit)
    for minute, (candidate, baseline) in enumerate(minutes, start=first):
        series.append(minute, candidate, baseline)
    return series


def _compared(held: list[tuple[tuple[int, int], tuple[int, int]]]) -> tuple[float, float, float, float]:
    """Mantel-Haenszel over minutes, or plain sums where over a tenth of the candidate's have no partner."""
    n_c = sum(minute[0][1] for minute in held)
    paired = [(c, b) for c, b in held if c[1] and b[1]]
    if not n_c or sum(c[1] for c, _ in paired) < 0.9 * n_c:
        s_c, n_c, s_b, n_b = (sum(minute[arm][i] for minute in held) for arm in (0, 1) for i in (0, 1))
        return s_c, n_c, s_b, n_b
    weights = [c[1] * b[1] / (c[1] + b[1]) for c, b in paired]
    found: list[float] = []
    for arm in (0, 1):
        pairs = [(pair[arm], w) for pair, w in zip(paired, weights, strict=True)]
        n = sum(weights) ** 2 / sum(w * w / n for (_, n), w in pairs)
        found += [n * sum(w * s / n for (s, n), w in pairs) / sum(weights), n]
    return found[0], found[1], found[2], found[3]


@given(_minutes, st.sampled_from([_SUCCESS, _HANDOFF, _POINTS]), st.data())
@settings(max_examples=150, deadline=None)
def test_a_window_of_rates_is_what_its_minutes_compare_to(
    minutes: list[tuple[tuple[int, int], tuple[int, int]]], limit: Limit, data: st.DataObject
) -> None:
    series = _rates(limit, minutes, first=100)
    ends = st.lists(st.integers(0, len(minutes)), min_size=4, max_size=4).map(sorted)
    start, a, b, end = data.draw(ends)
    held = minutes[start:a] + minutes[b:end]
    window, cut = (100 + start, 100 + end), (100 + a, 100 + b)
    plain = Counts(*(sum(minute[arm][1] for minute in held) for arm in (1, 0)))
    assert series.counts(*window, cut) == plain
    s_c, n_c, s_b, n_b = _compared(held)
    test = {_SUCCESS: rate_below, _HANDOFF: rate_above, _POINTS: points_above}[limit]
    bound = limit.shift(0.5) if limit is _POINTS else limit.ratio(0.5)
    evidence = series.evidence_in(*window, cut)
    assert evidence == pytest.approx(test(s_c, n_c, s_b, n_b, bound), rel=1e-7, abs=1e-7)
    back = {_SUCCESS: rate_above, _HANDOFF: rate_below, _POINTS: points_below}[limit]
    bound = limit.shift(1.0) if limit is _POINTS else limit.ratio(1.0)
    within = back(*_compared(minutes[start:end]), bound)
    assert series.evidence_out(*window) == pytest.approx(within, rel=1e-7, abs=1e-7)
    beyond = series.beyond(*window, 1.0, cut)
    if not n_c or not n_b:
        assert beyond is None
        return
    delta = series.observed(*window, cut).delta
    assert delta == pytest.approx(limit.delta(s_c / n_c, s_b / n_b))
    if delta is not None:
        far = delta - limit.size if limit.higher_is_worse else limit.size - delta
        if abs(far) > 1e-6:
            assert beyond is (far > 0)


@given(_minutes, st.sampled_from([RateSeries, QuantileSeries, MeanSeries]), st.data())
@settings(max_examples=60, deadline=None)
def test_an_arm_without_data_is_found_before_anything_is_added_up(
    minutes: list[tuple[tuple[int, int], tuple[int, int]]],
    kind: type[RateSeries | QuantileSeries | MeanSeries],
    data: st.DataObject,
) -> None:
    """The look that spares the sums says what the sums say: nobody is compared where an arm has nothing."""
    series: AnySeries
    if kind is RateSeries:
        series = _rates(_SUCCESS, minutes)
    else:
        sketched = QuantileSeries(_P95) if kind is QuantileSeries else MeanSeries(_COST)
        for minute, arms in enumerate(minutes):
            candidate, baseline = (Sketch({10 + minute: n} if n else {}, 100 * n) for _, n in arms)
            sketched.append(minute, candidate, baseline)
        series = sketched
    start, a, b, end = data.draw(st.lists(st.integers(0, len(minutes)), min_size=4, max_size=4).map(sorted))
    for cut in (None, (a, b)):
        has_both = series.has_both(start, end, cut)
        assert has_both is all(series.counts(start, end, cut))
        assert has_both is (series.beyond(start, end, 1.0, cut) is not None)


@given(_minutes, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_order_of_minutes_changes_no_answer(
    minutes: list[tuple[tuple[int, int], tuple[int, int]]], seed: int
) -> None:
    """Sums are whole numbers: not even the last digit depends on what came first."""
    shuffled = list(minutes)
    Random(seed).shuffle(shuffled)
    one, other, end = _rates(_SUCCESS, minutes), _rates(_SUCCESS, shuffled), len(minutes)
    assert one.sums(0, end) == other.sums(0, end)
    assert one.evidence_in(0, end) == other.evidence_in(0, end)
    assert one.evidence_out(0, end) == other.evidence_out(0, end)
    assert one.observed(0, end) == other.observed(0, end)


@pytest.mark.parametrize(
    "limit, candidate, baseline",
    [
        (_SUCCESS, (882, 1000), (900, 1000)),  # 0.882 is 0.98 * 0.9 exactly
        (_SUCCESS, (98, 300), (100, 300)),
        (_HANDOFF, (54, 1000), (500, 10_000)),
        (Limit(_UP, Unit.PERCENT, 0.1), (1001, 10_000), (1000, 10_000)),
        (_POINTS, (13, 100), (50, 1000)),
        (_HANDOFF, (0, 100), (0, 100)),
        (Limit(_DOWN, Unit.POINTS, -0.7), (893, 1000), (900, 1000)),
    ],
)
def test_equality_is_not_a_breach(
    limit: Limit, candidate: tuple[int, int], baseline: tuple[int, int]
) -> None:
    assert _rates(limit, [(candidate, baseline)]).beyond(0, 1, 1.0) is False
    worse = (candidate[0] + (1 if limit.higher_is_worse else -1), candidate[1])
    assert _rates(limit, [(worse, baseline)]).beyond(0, 1, 1.0) is True


@given(_arm, _arm, st.sampled_from([_SUCCESS, _HANDOFF, _POINTS]))
@settings(max_examples=100, deadline=None)
def test_more_harm_never_lowers_the_evidence(
    candidate: tuple[int, int], baseline: tuple[int, int], limit: Limit
) -> None:
    worse = candidate[0] + (1 if limit.higher_is_worse else -1)
    if 0 <= worse <= candidate[1]:
        before, after = (_rates(limit, [((hits, candidate[1]), baseline)]) for hits in (candidate[0], worse))
        assert after.evidence_in(0, 1) >= before.evidence_in(0, 1) - 1e-9
        assert after.evidence_out(0, 1) <= before.evidence_out(0, 1) + 1e-9


def test_observed_rates_and_their_delta() -> None:
    seen = _rates(_SUCCESS, [((81, 100), (900, 1000))]).observed(0, 1)
    assert (seen.candidate, seen.baseline) == (0.81, 0.9)
    assert seen.delta == pytest.approx(-10.0)
    points = _rates(_POINTS, [((15, 100), (50, 1000))]).observed(0, 1)
    assert points.delta == pytest.approx(10.0)
    assert _rates(_HANDOFF, [((1, 100), (0, 1000))]).observed(0, 1).delta == inf
    assert _rates(_HANDOFF, [((1, 100), (0, 0))]).observed(0, 1).delta is None


def _all_series() -> list[AnySeries]:
    return [
        RateSeries(_SUCCESS, keep_min=50),
        QuantileSeries(_P95, keep_min=50),
        MeanSeries(_COST, keep_min=50),
    ]


def _append_empty(series: AnySeries, minute: int) -> None:
    if isinstance(series, RateSeries):
        series.append(minute, (0, 0), (0, 0))
    else:
        series.append(minute, Sketch(), Sketch())


@pytest.mark.parametrize("which", range(3))
def test_minutes_come_in_order_and_old_ones_go(which: int) -> None:
    series = _all_series()[which]
    assert series.first_minute == series.end_minute
    for minute in range(700, 1400):
        _append_empty(series, minute)
        assert series.end_minute - series.kept_minute < 50 + 512  # dropped are 512 at once
    assert (series.first_minute, series.end_minute) == (700, 1400)
    assert 700 < series.kept_minute <= 1350
    assert series.counts(1350, 1400) == Counts(0, 0)
    for wrong in (1399, 1401):
        with pytest.raises(MinuteOutOfOrder, match=str(wrong)):
            _append_empty(series, wrong)
    for start, end in ((series.kept_minute - 1, 1400), (1390, 1401), (1395, 1394)):
        with pytest.raises(MinuteNotKept, match="are kept"):
            series.counts(start, end)


@pytest.mark.parametrize("which", range(3))
def test_no_data_is_no_answer(which: int) -> None:
    series = _all_series()[which]
    for minute in range(3):
        _append_empty(series, minute)
    assert series.beyond(0, 3, 1.0) is None
    assert series.evidence_in(0, 3) == series.evidence_out(0, 3) == 0.0
    assert series.observed(0, 3).delta is None
    assert series.interval(0, 3).lower is series.interval(0, 3).upper is None
    assert series.mde(0, 3, 15.0) is None


def test_a_minute_that_is_gone_is_not_answered_from_memory() -> None:
    series = RateSeries(_SUCCESS, keep_min=50)
    series.append(0, (1, 2), (3, 4))
    assert series.sums(0, 1) == (1, 2, 3, 4)
    for minute in range(1, 50 + 512):
        _append_empty(series, minute)
    with pytest.raises(MinuteNotKept):
        series.sums(0, 1)


def test_noise_widens_what_is_told_of_a_rate() -> None:
    """Over-dispersion phi takes phi times the evidence, and without one requests count in full."""
    series = _rates(_HANDOFF, [((400, 1000), (3600, 9000))])
    for phi, told in ((1.0, series.mde(0, 1, 10.0)), (2.0, series.mde(0, 1, 10.0, phi=2.0))):
        assert told is not None
        hits = 1000 * 0.4 * (1 + told / 100)
        assert rate_above(hits, 1000, 3600, 9000, 1.04) == pytest.approx(10.0 * phi, rel=1e-6)
    assert series.interval(0, 1) == series.interval(0, 1, phi=1.0) != series.interval(0, 1, phi=2.0)


def test_a_rate_s_noise_is_that_of_its_requests_in_the_minutes_that_are_left() -> None:
    found = _rates(_HANDOFF, [((5, 10), (10, 20))] * 4).noise(0, 4, (1, 2))
    assert found is not None
    assert found == pytest.approx((0.25, 0.25 * (1 / 30 + 1 / 60) * 3 / BLOCK_MIN))


@pytest.mark.parametrize("is_lonely_first", [False, True])
def test_two_stretches_are_contrasted_as_finely_as_both_together_can_be(is_lonely_first: bool) -> None:
    """Alone, the stretch in which every other request has no partner would be pooled."""
    many = [((50, 100), (20, 100)), ((20, 200), (10, 20))]
    lonely = [((9, 10), (0, 0)), ((4, 10), (5, 10))]
    parts = [lonely, many] if is_lonely_first else [many, lonely]
    series = _rates(_HANDOFF, parts[0] + parts[1])
    assert series.level(0, 4) is Level.MINUTES
    assert Level.POOLED in (series.level(0, 2), series.level(2, 4))
    found, (s_c, n_c, s_b, n_b) = contrast(series, (0, 2), (2, 4)), _compared(many)
    assert found is not None
    assert found.square == pytest.approx(((4 / 10 - 5 / 10) - (s_c / n_c - s_b / n_b)) ** 2)


def _sketch(bins: dict[int, int]) -> Sketch:
    return Sketch(dict(bins))


@pytest.mark.parametrize(
    "candidate, baseline, expected",
    [
        (57, 50, False),  # 1.02**7 is 14.9 %
        (58, 50, True),
        (50, 58, False),
        (UNFINISHED_BIN, 50, True),
        (50, UNFINISHED_BIN, False),
        (UNFINISHED_BIN, UNFINISHED_BIN, False),
    ],
)
def test_a_quantile_is_beyond_by_whole_bins(candidate: int, baseline: int, expected: bool) -> None:
    series = QuantileSeries(_P95)
    series.append(0, _sketch({candidate: 100}), _sketch({baseline: 900}))
    assert series.beyond(0, 1, 1.0) is expected


def test_a_quantile_of_exactly_the_limit_is_not_beyond_it() -> None:
    series = QuantileSeries(Limit(_UP, Unit.PERCENT, 2.0, quantile=0.5))
    series.append(0, _sketch({51: 10}), _sketch({50: 10}))
    assert series.beyond(0, 1, 1.0) is False
    assert series.observed(0, 1).delta == pytest.approx(2.0)


def test_a_quantile_among_unfinished_requests_is_infinite() -> None:
    series = QuantileSeries(_P95)
    series.append(0, _sketch({100: 80, UNFINISHED_BIN: 20}), _sketch({100: 999, UNFINISHED_BIN: 1}))
    seen = series.observed(0, 1)
    assert seen.candidate == seen.delta == inf
    assert seen.baseline == pytest.approx(1.02**100)
    assert series.counts(0, 1) == Counts(baseline=1000, candidate=100)
    assert series.evidence_in(0, 1) > 3


@given(st.lists(st.dictionaries(st.integers(0, 60), st.integers(1, 9), max_size=5), min_size=2, max_size=8))
@settings(max_examples=60, deadline=None)
def test_sketches_merged_first_give_the_same_answers(minutes: list[dict[int, int]]) -> None:
    for make, limit in ((QuantileSeries, _P95), (MeanSeries, _COST)):
        split, whole = make(limit), make(limit)
        merged = (Sketch(), Sketch())
        for minute, bins in enumerate(minutes):  # split alike in every minute: as many of each arm
            pair = Sketch(dict(bins), sum(bins.values()) * 7), Sketch(dict(reversed(bins.items())), 11)
            split.append(minute, *pair)
            for part, total in zip(pair, merged, strict=True):
                total.merge(part)
        whole.append(0, *merged)
        end = len(minutes)
        assert split.counts(0, end) == whole.counts(0, 1)
        assert split.evidence_in(0, end) == pytest.approx(whole.evidence_in(0, 1))
        assert split.evidence_out(0, end) == pytest.approx(whole.evidence_out(0, 1))
        assert split.observed(0, end) == whole.observed(0, 1)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.integers(0, 59), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_a_slower_request_never_lowers_the_evidence(values: list[int], which: int, by: int) -> None:
    slower = list(values)
    slower[which % len(values)] += by
    found = []
    for candidate in (values, slower):
        series = QuantileSeries(_P95)
        bins: dict[int, int] = {}
        for index in candidate:
            bins[index] = bins.get(index, 0) + 1
        series.append(0, _sketch(bins), _sketch(dict.fromkeys(range(30), 10)))
        found.append(series.evidence_in(0, 1))
    assert found[1] >= found[0] - 1e-9


def test_a_mean_is_judged_capped_and_plain() -> None:
    series = MeanSeries(_COST)
    candidate, baseline = Sketch(), Sketch()
    for value in range(1000, 1400):
        candidate.add(value + 150)
        baseline.add(value)
    candidate.add(10**9)
    series.append(0, candidate, baseline)
    assert series.beyond(0, 1, 1.0) is True
    assert series.evidence_in(0, 1) > 15
    plain = series.plain().observed(0, 1)
    assert plain.candidate == pytest.approx(2.5e6, rel=0.01)
    assert plain.baseline == 1199.5
    assert series.plain().evidence_in(0, 1) == 0.0  # of one outlier nothing is claimed
    seen = series.observed(0, 1)
    assert seen.candidate == pytest.approx(1315, rel=0.02)
    assert series.above_cap(0, 1).s_c > 50
    found = series.interval(0, 1)
    assert found.lower is not None
    assert found.upper is not None
    assert seen.delta is not None
    assert found.lower < seen.delta < found.upper


def test_a_mean_of_exactly_the_limit_is_not_beyond_it() -> None:
    series = MeanSeries(_COST)
    candidate, baseline = Sketch(), Sketch()
    for value in (880, 1100, 1320):
        candidate.add(value)
    for value in (1000, 1000, 1500, 500):
        baseline.add(value)
    series.append(0, candidate, baseline)
    assert series.observed(0, 1).delta == pytest.approx(10.0)
    assert series.beyond(0, 1, 1.0) is False


def test_what_a_product_is_off_by_is_not_beyond_a_mean_s_limit() -> None:
    """1.15 times 100,000 is a little less than 115,000 in doubles."""
    limit, baseline = Limit(_UP, Unit.PERCENT, 15.0), Moments(10, 100_000.0, 1.0, 0.0)
    assert limit.ratio(1.0) * baseline.mean < 115_000
    assert mean_is_beyond(limit, 1.0, baseline._replace(mean=115_000.0), baseline) is False
    assert mean_is_beyond(limit, 1.0, baseline._replace(mean=115_001.0), baseline) is True


@pytest.mark.parametrize(
    "name, kind",
    [("task_success", RateSeries), ("retrieval_p95", QuantileSeries), ("cost_per_request", MeanSeries)],
)
def test_every_objective_gets_the_series_of_its_indicator(name: str, kind: type) -> None:
    found = indicator(name)
    worse = found.worse or _UP
    limit = 5.0 if worse is _UP else -5.0
    objective = Objective(f"group.{name}", found, worse, limit, Unit.PERCENT, 20, Tier.B)
    assert isinstance(series_for(objective), kind)


def test_incidents_have_no_series() -> None:
    objective = Objective("safety.x", indicator("high_severity_incidents"), _UP, 0, Unit.COUNT, 0, Tier.A)
    with pytest.raises(UnknownIndicator):
        series_for(objective)
