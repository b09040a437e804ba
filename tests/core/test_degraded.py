"""Both arms degraded: what hits both is told from what the candidate does, and from the hour of the day."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sin

import numpy as np
import pytest

from monitor.core.budget import Objective
from monitor.core.degraded import (
    Degraded,
    find_degraded,
    is_mostly_shared,
    is_over,
    level_evidence,
    level_phi,
)
from monitor.core.series import AnySeries, MeanSeries, RateSeries, series_for
from monitor.core.sketch import Sketch
from monitor.core.stats.limit import limit_of
from tests.engine.worlds import objective

HOLD, NEEDED = 20, 15.0
SUCCESS, P95, COST = (
    objective(hold=HOLD),
    objective("p95", 15.0, hold=HOLD),
    objective("cost_per_request", 10.0),
)


@dataclass(frozen=True)
class World:
    """Both arms' level over time: 1 is normal, more is worse by so much of the whole."""

    judged: Objective
    per_min: int = 600
    canary: float = 0.5
    seed: int = 1

    def run(self, minutes: int, worse: object) -> tuple[AnySeries, list[int]]:
        """Fill a series; `worse(minute, arm)` is the relative change. Return the minutes at which it is found."""
        rng = np.random.default_rng(self.seed)
        series, found = series_for(self.judged), []
        for minute in range(minutes):
            for_arms = [
                self._minute(rng, int(rng.poisson(self.per_min * share)), worse(minute, arm))  # type: ignore[operator]
                for arm, share in (("candidate", self.canary), ("baseline", 1 - self.canary))
            ]
            series.append(minute, *for_arms)  # type: ignore[arg-type]
            if find_degraded(series, minute + 1, HOLD, NEEDED) is not None:
                found.append(minute + 1)
        return series, found

    def _minute(self, rng: np.random.Generator, n: int, worse: float) -> object:
        if self.judged is SUCCESS:
            return int(rng.binomial(n, 0.9 * (1 - worse))), n
        sketch = Sketch()
        for value in rng.lognormal(13, 0.5, n // 20) * (1 + worse):
            sketch.add(int(value))
        return sketch


def outage(start: int, end: int, worse: float) -> object:
    return lambda minute, arm: worse if start <= minute < end else 0.0


@pytest.mark.parametrize(
    ("judged", "worse"),
    [(SUCCESS, 0.4), (SUCCESS, 0.08), (P95, 1.0), (COST, 0.6)],
    ids=["40", "8", "p95", "cost"],
)
def test_an_outage_of_both_arms_is_found_within_the_hold_and_is_over_after_it(
    judged: Objective, worse: float
) -> None:
    world = World(judged, per_min=1200)
    series, found = world.run(200, outage(120, 150, worse))
    assert found
    assert 120 + 15 < found[0] <= 120 + HOLD
    first = find_degraded(series, found[0], HOLD, NEEDED)
    assert first is not None
    over = [now for now in range(found[0], 201) if is_over(series, now, first)]
    assert 150 < over[0] <= 150 + HOLD
    assert over == list(range(over[0], 201))


def test_an_outage_that_lasts_does_not_become_normal() -> None:
    series, found = World(SUCCESS).run(400, outage(120, 400, 0.4))
    first = find_degraded(series, found[0], HOLD, NEEDED)
    assert first is not None
    assert not any(is_over(series, now, first) for now in range(found[0], 401))


@pytest.mark.parametrize("arm", ["candidate", "baseline"])
def test_harm_of_one_arm_is_not_shared(arm: str) -> None:
    _, found = World(SUCCESS).run(240, lambda minute, one: 0.4 if minute >= 120 and one == arm else 0.0)
    assert found == []


def test_both_better_is_no_harm() -> None:
    assert World(SUCCESS).run(240, outage(120, 240, -0.1))[1] == []


def test_three_minutes_are_no_outage() -> None:
    assert World(SUCCESS).run(200, outage(120, 123, 0.5))[1] == []


def test_without_an_hour_of_past_nothing_is_found() -> None:
    assert World(SUCCESS).run(79, outage(40, 79, 0.4))[1] == []


@pytest.mark.parametrize("phase", range(8))
def test_the_hour_of_the_day_is_no_outage(phase: int) -> None:
    """A shared curve of 1.5 times the limit, up and down, over 24 hours: from peak to trough it is 3 times."""
    height = 1.5 * 0.02

    def curve(minute: int, _arm: str) -> float:
        return height * sin(2 * pi * (minute / 1440 + phase / 8))

    assert World(SUCCESS, per_min=(600, 6000)[phase % 2], seed=phase).run(1440, curve)[1] == []


def test_minute_level_shocks_of_both_arms_are_no_outage() -> None:
    shocks = np.random.default_rng(5).beta(0.05 * 19, 0.95 * 19, 1440)
    assert World(SUCCESS).run(1440, lambda minute, _arm: float(shocks[minute]))[1] == []


def test_too_few_requests_prove_nothing() -> None:
    assert World(SUCCESS, per_min=2).run(200, outage(120, 150, 0.1))[1] == []


def test_the_dispersion_of_the_level_is_the_baseline_s_own() -> None:
    calm, _ = World(SUCCESS).run(300, lambda *_: 0.0)
    waves, _ = World(SUCCESS).run(300, lambda minute, _arm: 0.2 * (minute // 5 % 2))
    assert level_phi(calm, (0, 300)) < 2
    assert level_phi(waves, (0, 300)) > 20
    assert level_phi(calm, (0, 20)) == 1.0


@pytest.mark.parametrize(
    ("judged", "candidate", "baseline", "before", "shared"),
    [
        (SUCCESS, 0.53, 0.54, 0.9, True),
        (SUCCESS, 0.50, 0.80, 0.9, False),
        (SUCCESS, None, 0.5, 0.9, True),
        (P95, 2100.0, 2000.0, 1000.0, True),
        (P95, 4000.0, 2000.0, 1000.0, True),  # as much
        (P95, 9000.0, 2000.0, 1000.0, False),
    ],
)
def test_most_of_the_harm_is_shared_where_the_baseline_lost_as_much(
    judged: Objective, candidate: float | None, baseline: float, before: float, shared: bool
) -> None:
    assert is_mostly_shared(limit_of(judged), candidate, baseline, before) is shared


def test_an_arm_without_requests_has_not_recovered() -> None:
    series = RateSeries(limit_of(SUCCESS))
    for minute in range(40):
        series.append(minute, (0, 0), (90, 100))
    assert not is_over(series, 40, Degraded((0, 20), 0.9, 0.5, 0.5))


def test_empty_series_of_every_kind_show_nothing() -> None:
    for judged in (SUCCESS, P95, COST):
        series = series_for(judged)
        for minute in range(120):
            empty = (0, 0) if isinstance(series, RateSeries) else Sketch()
            series.append(minute, empty, empty)  # type: ignore[arg-type]
            assert find_degraded(series, minute + 1, HOLD, NEEDED) is None
        assert isinstance(series, RateSeries | MeanSeries) or level_phi(series, (0, 120)) == 1.0


def test_the_tail_of_a_heavy_distribution_is_compared_by_rank() -> None:
    """A quantile has no variance to speak of: its level is the share above the past's own quantile."""
    world = World(P95, per_min=2400)
    _, found = world.run(200, lambda minute, arm: (exp(0.9) - 1) if minute >= 120 else 0.0)
    assert found[0] <= 120 + HOLD


def test_five_changes_of_the_level_are_the_fewest_that_show_its_dispersion() -> None:
    waves, _ = World(SUCCESS).run(30, lambda minute, _arm: 0.2 * (minute // 5 % 2))
    assert level_phi(waves, (0, 30)) > 20
    assert level_phi(waves, (0, 25)) == 1.0


def test_evidence_of_the_level_is_what_lies_beyond_the_limit() -> None:
    """A quantile grown by less than its limit is no outage, however many requests say so."""
    for worse, is_beyond in ((0.1, False), (0.5, True)):
        series, _ = World(P95, per_min=9600).run(24, outage(14, 24, worse))
        assert (level_evidence(series, (14, 24), (0, 12)) > 0.0) is is_beyond


@pytest.mark.parametrize(("worse", "is_outage"), [(0.035, False), (0.05, True)])
def test_an_outage_is_beyond_twice_the_limit(worse: float, is_outage: bool) -> None:
    """The limit is 2 %: a fall of 3.5 % is a drift, one of 5 % is more than that."""
    _, found = World(SUCCESS, per_min=60_000).run(110, outage(80, 110, worse))
    assert bool(found) is is_outage
