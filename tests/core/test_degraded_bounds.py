"""Both arms degraded, to the minute and to the request: worked examples of what is just enough, and just not."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from monitor.core.budget import EvidenceMode, Objective
from monitor.core.degraded import (
    Degraded,
    find_degraded,
    is_mostly_shared,
    is_over,
    level_evidence,
    level_phi,
)
from monitor.core.series import AnySeries, RateSeries, series_for
from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, Sketch
from monitor.core.stats.limit import limit_of
from tests.engine.worlds import objective

Arm = tuple[int, int]
SUCCESS, FALLS = objective(), objective(limit=-25.0)
HANDOFF = objective("human_handoff", 50.0)
P95, COST = objective("p95", 15.0), objective("cost_per_request", 10.0)
WELL, ILL, NONE, MANY = (900, 1000), (700, 1000), (0, 0), (9 * 10**5, 10**6)
NEEDED = 15.0


def rates(*parts: tuple[int, Arm, Arm], judged: Objective = SUCCESS, first: int = 0) -> RateSeries:
    """A series of so many minutes each of a candidate and a baseline."""
    series = series_for(judged)
    assert isinstance(series, RateSeries)
    for length, candidate, baseline in parts:
        for _ in range(length):
            series.append(first, candidate, baseline)
            first += 1
    return series


def found(series: AnySeries, hold: int = 20, needed: float = NEEDED) -> Degraded | None:
    return find_degraded(series, series.end_minute, hold, needed)


@pytest.mark.parametrize("first", [0, 10**7])
@pytest.mark.parametrize(
    ("past", "hold", "enough"),
    [(60, 20, True), (59, 20, False), (60, 4, True), (59, 4, False), (70, 30, True), (69, 30, False)],
)
def test_an_hour_before_the_hold_is_the_past_that_it_takes(
    past: int, hold: int, enough: bool, first: int
) -> None:
    series = rates((past, WELL, WELL), (20, ILL, ILL), first=first)
    expected = Degraded((first + past, first + past + 20), 0.9, 0.7, 0.7)
    assert found(series, hold) == (expected if enough else None)


def test_what_is_kept_no_more_is_no_past() -> None:
    assert found(rates((4_000, WELL, WELL), (20, ILL, ILL))) is not None


@pytest.mark.parametrize("quarter", range(4))
@pytest.mark.parametrize("well", [(WELL, ILL), (ILL, WELL), (NONE, ILL), (ILL, NONE)])
def test_each_quarter_of_the_newest_twenty_minutes_has_to_show_it_in_both_arms(
    quarter: int, well: tuple[Arm, Arm]
) -> None:
    series = rates((60, WELL, WELL), (5 * quarter, ILL, ILL), (5, *well), (15 - 5 * quarter, ILL, ILL))
    assert found(series) is None


@pytest.mark.parametrize("quarter", range(4))
def test_a_quarter_is_all_of_its_five_minutes(quarter: int) -> None:
    """Of which the last has so many requests that they are well together."""
    ill, busy = (5, ILL, ILL), (1, (18_000, 20_000), (18_000, 20_000))
    series = rates((60, WELL, WELL), *[ill] * quarter, (4, ILL, ILL), busy, *[ill] * (3 - quarter))
    assert found(series, needed=0.0) is None


def test_a_minute_that_is_well_in_each_quarter_hides_nothing() -> None:
    assert found(rates((60, WELL, WELL), *[(1, WELL, WELL), (4, ILL, ILL)] * 4)) is not None


@pytest.mark.parametrize(
    ("past", "shown"),
    [
        ([(60, WELL, WELL), (60, ILL, ILL)], False),
        ([(60, ILL, ILL), (60, WELL, WELL)], True),
        ([(1, MANY, MANY), (60, ILL, (720, 1000))], False),  # a minute before the hour
        ([(1, WELL, WELL), (1, MANY, MANY), (59, ILL, (720, 1000))], True),
        ([(1, WELL, WELL), (59, ILL, (720, 1000)), (1, MANY, MANY)], True),
        ([(60, WELL, WELL), (60, WELL, NONE)], False),
    ],
)
def test_the_newest_hour_of_the_past_shows_it_alone(past: list[tuple[int, Arm, Arm]], shown: bool) -> None:
    assert (found(rates(*past, (20, ILL, ILL)), needed=0.0) is not None) is shown


@pytest.mark.parametrize(
    ("judged", "before", "now", "far"),
    [
        (FALLS, (500, 1000), (250, 1000), False),
        (FALLS, (500, 1000), (249, 1000), True),
        (HANDOFF, (250, 1000), (500, 1000), False),
        (HANDOFF, (250, 1000), (501, 1000), True),
        (HANDOFF, (0, 1000), (0, 1000), False),
        (HANDOFF, (0, 1000), (100, 1000), True),
    ],
)
def test_twice_the_limit_itself_is_not_beyond_it(judged: Objective, before: Arm, now: Arm, far: bool) -> None:
    series = rates((60, before, before), (20, now, now), judged=judged)
    assert (found(series) is not None) is far


def test_it_takes_the_evidence_over_the_level_s_own_dispersion() -> None:
    waves = [(5, WELL, WELL), (5, (850, 1000), (850, 1000))] * 6
    series, past, recent = rates(*waves, (20, ILL, ILL)), (0, 60), (60, 80)
    phi = level_phi(series, past)
    assert phi > 10
    shown = level_evidence(series, recent, past) / phi
    assert found(series, needed=shown) is not None
    assert found(series, needed=shown * 1.000001) is None


def test_a_past_without_a_finite_quantile_says_nothing() -> None:
    series = series_for(P95)
    for minute in range(80):
        arm = Sketch({300: 90, UNFINISHED_BIN: 10 if minute < 60 else 50})
        series.append(minute, arm, arm)  # type: ignore[arg-type]
    assert found(series, needed=0.0) is None


@pytest.mark.parametrize(
    ("newest", "over"),
    [
        ([(10, (500, 1000), (250, 1000))], True),  # one arm is enough
        ([(10, (250, 1000), (500, 1000))], True),
        ([(10, (250, 1000), (250, 1000))], False),
        ([(10, (375, 1000), (375, 1000))], True),  # the limit itself
        ([(10, (374, 1000), (374, 1000))], False),
        ([(1, (0, 10**6), (0, 10**6)), (10, (500, 1000), (500, 1000))], True),
        ([(1, (0, 10**6), (0, 10**6)), (9, (500, 1000), (500, 1000))], False),
        ([(9, (500, 1000), (500, 1000)), (1, (0, 10**6), (0, 10**6))], False),
        ([(10, (500, 1000), NONE)], False),
        ([(10, NONE, (500, 1000))], False),
    ],
)
def test_it_is_over_when_ten_minutes_of_an_arm_are_back_within_the_limit(
    newest: list[tuple[int, Arm, Arm]], over: bool
) -> None:
    series = rates((30, (200, 1000), (200, 1000)), *newest, judged=FALLS)
    assert is_over(series, series.end_minute, Degraded((0, 20), 0.5, 0.2, 0.2)) is over


@pytest.mark.parametrize(
    ("candidate", "baseline", "before", "shared"),
    [
        (0.25, 0.5, 1.0, True),  # a half of a half
        (0.24, 0.5, 1.0, False),
        (0.3, None, 0.9, True),
        (0.3, 0.0, 0.0, True),
        (0.0, 0.0, 0.9, True),
    ],
)
def test_what_cannot_be_compared_is_taken_to_be_shared(
    candidate: float, baseline: float | None, before: float, shared: bool
) -> None:
    assert is_mostly_shared(limit_of(SUCCESS), candidate, baseline, before) is shared


# The level's own dispersion ----------------------------------------------------------------------------------------


def values(judged: Objective, *parts: tuple[int, Sketch]) -> AnySeries:
    """A series whose baseline has such minutes, so many of each; the candidate has none."""
    series, minute = series_for(judged), 0
    for length, baseline in parts:
        for _ in range(length):
            series.append(minute, Sketch(), baseline)  # type: ignore[arg-type]
            minute += 1
    return series


def test_a_rate_s_level_moves_by_so_much_more_than_chance_moves_it() -> None:
    """From 80 to 60 %, of 500 requests each: 0.04 over twice 0.7 * 0.3 / 500."""
    up, down = (5, WELL, (80, 100)), (5, WELL, (60, 100))
    expected = pytest.approx(0.2**2 / (2 * 0.7 * 0.3 / 500))
    assert level_phi(rates(*[up, down] * 3), (0, 30)) == expected
    assert level_phi(rates(up, down, (5, WELL, NONE), *[up, down] * 2), (0, 35)) == expected
    assert level_phi(rates((3, WELL, (0, 9)), *[up, down] * 3, (4, WELL, (0, 9999))), (3, 37)) == expected


def test_a_quarter_more_than_chance_is_a_quarter_more() -> None:
    """Changes that are as large as chance makes them on average, and one block that is larger by itself."""
    series = rates(*[(5, WELL, (hits, 100)) for hits in (50, 52, 50, 48, 50, 60)])
    share, squares = 310 / 600, [0.02**2] * 4 + [0.1**2]
    assert level_phi(series, (0, 30)) == pytest.approx(sum(squares) / 5 / (2 * share * (1 - share) / 500))


@pytest.mark.parametrize("arm", [NONE, (0, 100), (100, 100), (70, 100)])
def test_a_level_that_does_not_move_divides_by_one(arm: Arm) -> None:
    assert level_phi(rates((60, WELL, arm)), (0, 60)) == 1.0


def test_fewer_than_six_whole_blocks_say_nothing() -> None:
    series = rates(*[(5, WELL, (80, 100)), (5, WELL, (60, 100))] * 4)
    assert level_phi(series, (0, 29)) == 1.0
    assert level_phi(series, (10, 40)) > 40


def test_a_quantile_s_level_is_the_share_above_the_past_s_own() -> None:
    """Of 6 and 2 % slow requests 4 % are slow in all: the middle value is the p95, and the slow are above it."""
    up, down = (5, Sketch({0: 86, 200: 8, 300: 6})), (5, Sketch({0: 90, 200: 8, 300: 2}))
    assert level_phi(values(P95, *[up, down] * 3), (0, 30)) == pytest.approx(
        0.04**2 / (2 * 0.04 * 0.96 / 500)
    )


def test_where_the_quantile_is_unfinished_its_level_is_the_share_of_those() -> None:
    up = (5, Sketch({100: 80, LAST_BIN: 10, UNFINISHED_BIN: 10}))
    down = (5, Sketch({100: 95, LAST_BIN: 3, UNFINISHED_BIN: 2}))
    assert level_phi(values(P95, *[up, down] * 3), (0, 30)) == pytest.approx(
        0.08**2 / (2 * 0.06 * 0.94 / 500)
    )


def test_a_mean_s_level_moves_against_the_spread_of_the_whole_past() -> None:
    up, down = (5, Sketch({100: 90, 200: 10}, total=0)), (5, Sketch({100: 80, 200: 20}, total=0))
    series = values(COST, *[up, down] * 3, (5, Sketch()))
    (_, all_of_it), (_, first), (_, second) = (
        series.moments(*span)  # type: ignore[union-attr]
        for span in ((0, 35), (0, 5), (5, 10))
    )
    moved = (second.mean - first.mean) ** 2 / (2 * all_of_it.variance / 500)
    assert moved > 10
    assert level_phi(series, (0, 35)) == pytest.approx(moved)


# Its evidence ------------------------------------------------------------------------------------------------------


def _minute(judged: Objective, minutes: int, worse: int) -> Arm | Sketch:
    n = minutes * {0: 20_000, 10: 300, 20: 900}[worse]
    if judged is SUCCESS:
        return n * (90 - worse) // 100, n
    # As many slow ones in each as it takes for them to be the cap of a mean.
    return Sketch({300 + worse: n // 2, 310 + worse: n // 2 - n // 50, 350: n // 50}, total=10**7 * n)


@pytest.mark.parametrize("judged", [SUCCESS, P95, COST], ids=["rate", "quantile", "mean"])
@pytest.mark.parametrize("worse", [(20, 10), (10, 20)], ids=["baseline", "candidate"])
def test_the_level_s_evidence_is_that_of_the_weaker_arm_now_against_the_baseline_then(
    judged: Objective, worse: tuple[int, int]
) -> None:
    """As if the baseline's past ran beside it; and the whole of the limit has to be proven."""
    series = series_for(judged)
    for minute in range(80):
        arms = [_minute(judged, 1, one) for one in (worse if minute >= 60 else (20, 0))]
        series.append(minute, *arms)  # type: ignore[arg-type]
    each = []
    for one in worse:
        beside = series_for(replace(judged, evidence=EvidenceMode.STRICT))
        beside.append(0, _minute(judged, 20, one), _minute(judged, 60, 0))  # type: ignore[arg-type]
        each.append(beside.evidence_in(0, 1))
    assert inf > max(each) > 1.1 * min(each) > 0
    assert level_evidence(series, (60, 80), (0, 60)) == pytest.approx(min(each))
