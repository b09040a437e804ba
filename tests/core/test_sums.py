"""A stretch's sums answer as the series they were taken from, also after a way through JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.ids import canonical_json
from monitor.core.indicator import Direction
from monitor.core.series import AnySeries, MeanSeries, QuantileSeries, RateSeries
from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, Sketch
from monitor.core.stats.limit import Limit
from monitor.core.stats.minutes import length_min
from monitor.core.stats.quantile_stretch import QuantileStretch
from monitor.core.stats.strata import Pair
from monitor.core.sums import sums_from, sums_of, tail_bins

_UP, _DOWN = Direction.HIGHER_IS_WORSE, Direction.LOWER_IS_WORSE
LIMITS = {
    "success": ("rate", Limit(_DOWN, Unit.PERCENT, -2.0)),
    "handoff": ("rate", Limit(_UP, Unit.PERCENT, 8.0, kappa=1.0)),
    "points": ("rate", Limit(_UP, Unit.POINTS, 3.0)),
    "p50": ("quantile", Limit(_UP, Unit.PERCENT, 20.0, quantile=0.5)),
    "p95": ("quantile", Limit(_UP, Unit.PERCENT, 15.0, quantile=0.95)),
    "p99": ("quantile", Limit(_UP, Unit.PERCENT, 200.0, quantile=0.99)),
    "cost": ("mean", Limit(_UP, Unit.PERCENT, 10.0)),
    "plain cost": ("mean", Limit(_UP, Unit.PERCENT, 10.0)),
}
MINUTES = 12
PER_MINUTE = (0, 1, 7, 40, 900)


def sketch(rng: np.random.Generator, requests: int, centre: float, sigma: float) -> Sketch:
    made = Sketch()
    for value in np.exp(rng.normal(centre, sigma, requests)):
        if rng.random() < 0.02:
            made.add_unfinished()
        else:
            made.add(int(value))
    return made


def world(kind: str, limit: Limit, seed: int) -> AnySeries:
    """Minutes of any traffic, some of them empty, with any harm."""
    rng = np.random.default_rng(seed)
    series: AnySeries = RateSeries(limit) if kind == "rate" else MeanSeries(limit)
    if kind == "quantile":
        series = QuantileSeries(limit)
    harm, many = rng.choice([0.8, 1.0, 1.3, 3.0]), rng.choice(PER_MINUTE, 2)
    sigma, success = rng.choice([0.05, 0.8, 2.0]), rng.choice([0.0, 0.03, 0.9, 1.0])
    for minute in range(MINUTES):
        n_c, n_b = (int(rng.poisson(n)) for n in many)
        if isinstance(series, RateSeries):
            s_c, s_b = rng.binomial(n_c, min(1.0, success * harm)), rng.binomial(n_b, success)
            series.append(minute, (int(s_c), n_c), (int(s_b), n_b), strata(rng, int(s_c), n_c, int(s_b), n_b))
        else:
            centre = 10.0 + rng.normal(0, 0.2)
            series.append(
                minute, sketch(rng, n_c, centre + np.log(harm), sigma), sketch(rng, n_b, centre, sigma)
            )
    return series


def strata(rng: np.random.Generator, s_c: int, n_c: int, s_b: int, n_b: int) -> list[Pair]:
    """A minute's arms in three strata, or in none."""
    if rng.random() < 0.3:
        return []
    arms = []
    for hits, requests in ((s_c, n_c), (s_b, n_b)):
        parts = rng.multinomial(requests, [0.5, 0.3, 0.2])
        of = rng.multivariate_hypergeometric(parts, hits)
        arms.append([(int(one), int(n)) for one, n in zip(of, parts, strict=True)])
    return list(zip(*arms, strict=True))


@pytest.mark.parametrize("name", LIMITS)
@given(seed=st.integers(0, 10**6), data=st.data())
@settings(deadline=None, max_examples=25)
def test_sums_answer_as_their_series(name: str, seed: int, data: Any) -> None:
    kind, limit = LIMITS[name]
    series = world(kind, limit, seed)
    if name == "plain cost":
        assert isinstance(series, MeanSeries)
        series = series.plain()
    start = data.draw(st.integers(0, MINUTES - 2))
    end = data.draw(st.integers(start + 1, MINUTES))
    cut = data.draw(st.none() | st.tuples(st.just(start), st.integers(start, end)))
    taken = sums_of(series, start, end, cut)
    told = json.loads(canonical_json(taken.as_json()))
    for sums in (taken, sums_from(kind, told)):
        assert sums.counts() == series.counts(start, end, cut)
        assert sums.observed(limit) == series.observed(start, end, cut)
        for scale in (0.5, 1.0, limit.kappa):
            assert sums.beyond(limit, scale) is series.beyond(start, end, scale, cut)
        assert sums.evidence_in(limit) == pytest.approx(
            series.evidence_in(start, end, cut), rel=1e-6, abs=1e-6
        )
        expected = series.noise(start, end, cut)
        found = sums.noise(limit, length_min(start, end, cut))
        assert (found is None) is (expected is None)
        if found is not None:
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
        if cut is None:
            assert sums.evidence_out(limit) == pytest.approx(
                series.evidence_out(start, end), rel=1e-6, abs=1e-6
            )


def test_a_quantile_keeps_only_the_bins_that_matter() -> None:
    """A hundred thousand requests over half of all bins: what is kept is a few dozen, and no request is lost."""
    rng = np.random.default_rng(5)
    _, limit = LIMITS["p95"]
    arms: list[dict[int, float]] = []
    for centre in (607, 600):
        bins, counts = np.unique(rng.normal(centre, 100, 100_000).astype(int), return_counts=True)
        arms.append(dict(zip(bins.tolist(), counts.tolist(), strict=True)))
    kept = tail_bins(arms[0], arms[1], limit)
    assert all(len(arm) < 60 for arm in kept)
    assert [sum(arm.values()) for arm in kept] == pytest.approx([100_000, 100_000])


def any_arm(rng: np.random.Generator) -> dict[int, float]:
    """Requests of any number, spread and size; in whole numbers, or in parts as weights make them."""
    requests, spread = int(rng.choice([1, 3, 30, 400, 6_000])), rng.choice([0, 1, 5, 40, 300])
    places = np.clip(rng.normal(rng.choice([5, 600, LAST_BIN - 3]), spread, requests), 0, LAST_BIN)
    places[rng.random(requests) < rng.choice([0.0, 0.04])] = UNFINISHED_BIN
    bins, counts = np.unique(places.astype(int), return_counts=True)
    return dict(zip(bins.tolist(), (counts * rng.choice([1.0, 0.37])).tolist(), strict=True))


@pytest.mark.parametrize("size", [2.0, 15.0, 90.0])
@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
def test_the_bins_that_are_joined_change_no_answer(quantile: float, size: float) -> None:
    """Against all bins as they are, where the arms are far apart, side by side or at the ends of a sketch."""
    rng, limit = np.random.default_rng(11), Limit(_UP, Unit.PERCENT, size, quantile=quantile)
    for number in range(30):
        baseline = any_arm(rng)
        shift = int(rng.choice([-30, -2, 0, 1, 3, 40]))
        moved = {
            min(index + shift, LAST_BIN) if index < LAST_BIN else index: n for index, n in baseline.items()
        }
        candidate = any_arm(rng) if number % 3 == 0 else {max(index, 0): n for index, n in moved.items()}
        whole = QuantileStretch.of_bins(limit, candidate, baseline)
        kept = QuantileStretch.of_bins(limit, *tail_bins(candidate, baseline, limit))
        assert kept.observed() == whole.observed()
        assert [kept.beyond(scale) for scale in (0.5, 1.0, limit.kappa)] == [
            whole.beyond(scale) for scale in (0.5, 1.0, limit.kappa)
        ]
        assert kept.evidence_in() == pytest.approx(whole.evidence_in(), rel=1e-6, abs=1e-6)
        assert kept.evidence_out() == pytest.approx(whole.evidence_out(), rel=1e-6, abs=1e-6)


def test_what_no_formula_looks_at_is_one_bin_on_either_side() -> None:
    """15 % are passed with the eighth bin; with the two of the correction, ten on either side of both medians."""
    limit = Limit(_UP, Unit.PERCENT, 15.0, quantile=0.5)
    arms = {100: 1, 300: 4, 600: 1_000, 900: 2}, {100: 2, 610: 1_000, 700: 3, 900: 4, UNFINISHED_BIN: 1}
    assert tail_bins(*arms, limit) == (
        {590: 5, 600: 1_000, 621: 2},
        {590: 2, 610: 1_000, 621: 7, UNFINISHED_BIN: 1},
    )
    edges = {590: 1, 591: 1, 600: 100, 620: 1, 621: 1, 622: 1}
    assert tail_bins(edges, {610: 100}, limit)[0] == {590: 1, 591: 1, 600: 100, 620: 1, 621: 2}


@pytest.mark.parametrize(
    "candidate, baseline",
    [
        ({}, {}),
        ({5: 1}, {}),
        ({UNFINISHED_BIN: 40}, {3: 40}),
        ({UNFINISHED_BIN: 9}, {UNFINISHED_BIN: 9}),
        ({LAST_BIN: 400}, {0: 400}),
    ],
)
def test_the_ends_of_a_sketch_are_kept(candidate: dict[int, int], baseline: dict[int, int]) -> None:
    _, limit = LIMITS["p95"]
    series = QuantileSeries(limit)
    series.append(0, Sketch(dict(candidate)), Sketch(dict(baseline)))
    sums = sums_of(series, 0, 1)
    assert sums.counts() == (sum(baseline.values()), sum(candidate.values()))
    assert sums.beyond(limit, 1.0) is series.beyond(0, 1, 1.0)
    assert sums.evidence_in(limit) == pytest.approx(series.evidence_in(0, 1), rel=1e-6, abs=1e-6)
    assert sums.observed(limit) == series.observed(0, 1)


def test_a_bin_may_be_empty() -> None:
    arm = {"requests": 2, "bins": [[7, 2], [9, 0]]}
    assert sums_from("quantile", {"candidate": arm, "baseline": arm}).counts() == (2, 2)


@pytest.mark.parametrize(
    ("index", "count", "is_one"),
    [
        (0, 2, True), (-1, 2, False), (UNFINISHED_BIN, 2, True), (UNFINISHED_BIN + 1, 2, False), (7, 0.25, True),
        (7, -0.25, False),
    ],
)  # fmt: skip
def test_a_bin_is_one_of_a_sketchs_with_no_fewer_than_no_requests(
    index: int, count: float, is_one: bool
) -> None:
    arms = {
        "candidate": {"requests": 2, "bins": [[index, count]]},
        "baseline": {"requests": 2, "bins": [[7, 2]]},
    }
    if is_one:
        assert sums_from("quantile", arms).as_json() == arms
    else:
        with pytest.raises(ValueError, match="bins"):
            sums_from("quantile", arms)


@pytest.mark.parametrize("measure", ["capped", "plain"])
def test_the_evidence_of_a_mean_within_its_limit_is_its_series_own(measure: str) -> None:
    """Of means that are equal: plain evidence, which half the limit or twice of it would not give."""
    rng = np.random.default_rng(3)
    _, limit = LIMITS["cost"]
    series = MeanSeries(limit)
    for minute in range(4):
        series.append(minute, sketch(rng, 3_000, 10.0, 0.5), sketch(rng, 3_000, 10.0, 0.5))
    judged = series if measure == "capped" else series.plain()
    told = sums_from("mean", json.loads(canonical_json(sums_of(judged, 0, 4).as_json())))
    assert told.evidence_out(limit) == pytest.approx(judged.evidence_out(0, 4))
    assert told.evidence_out(limit) > 1.0


@pytest.mark.parametrize(
    "kind, arms",
    [
        ("rate", {"candidate": {"requests": 2}, "baseline": {"requests": 2}}),
        ("rate", {"candidate": {"requests": 2}}),
        ("quantile", {"candidate": {"requests": 2, "bins": [1, 2]}, "baseline": {"requests": 2, "bins": []}}),
        (
            "quantile",
            {"candidate": {"requests": 2, "bins": [[9999, 2]]}, "baseline": {"requests": 2, "bins": []}},
        ),
        ("mean", {"candidate": {"requests": 2, "n": 2}, "baseline": {"requests": 2}}),
        ("incidents", {"candidate": {"requests": 2}, "baseline": {"requests": 2}}),
    ],
)
def test_what_is_no_sums_is_refused(kind: str, arms: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        sums_from(kind, arms)
