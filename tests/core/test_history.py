"""What a past says: which hours count, for how much, and what a reference keeps of them."""

from __future__ import annotations

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import BaselineMode
from monitor.core.cohort import cohort_key
from monitor.core.history import (
    DAILY,
    EFFECTIVE_MAX,
    HISTORY_MAX_H,
    WEEKLY,
    HistoryHour,
    days_of,
    measures_of,
    references,
    slices_of,
    usable,
)
from monitor.core.indicator import IndicatorKind
from monitor.core.reference import Layout, Reference
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from tests.core.pasts import FIRST_H, SUCCESS, Release, Service
from tests.engine.worlds import ACME, BASELINE, budget, cell, handoff, incidents, objective

NOW = FIRST_H


def hour(at: int, *, breached: bool = False, made: Aggregate | None = None) -> HistoryHour:
    return HistoryHour(BASELINE, at, 60, breached, cell(100, task_success=90) if made is None else made)


def latency(*, slow: int, every: int = 1_000, cost: int = 0) -> Aggregate:
    """An hour in which one request in `every / slow` takes long; all are tokens of 500."""
    made = cell(every, task_success=every)
    made.sketches["latency"] = Sketch({680: every - slow, 720: slow}, 1)
    made.sketches["tokens"] = Sketch({314: every, UNFINISHED_BIN: 3}, 500 * every)
    return made


def best(hours: list[HistoryHour], *objectives: object) -> Reference:
    return next(references(usable(hours, NOW), BASELINE, NOW, measures_of(budget(*objectives))))  # type: ignore[arg-type]


def test_hours_count_that_are_over_recent_and_without_a_breach() -> None:
    hours = [
        hour(NOW - HISTORY_MAX_H - 1),
        hour(NOW - HISTORY_MAX_H),
        hour(NOW - 3, breached=True),
        hour(NOW - 2, made=Aggregate()),
        hour(NOW - 1),
        hour(NOW),
    ]
    assert [one.hour for one in usable(hours[::-1], NOW)] == [NOW - HISTORY_MAX_H, NOW - 1]


@pytest.mark.parametrize(
    ("hours", "days"),
    [
        ([], 0),
        (range(NOW - 26, NOW), 1),  # touches three dates
        (range(NOW - 72, NOW), 3),
        ([day * 24 + at for day in range(100, 103) for at in range(9, 19)], 3),  # open ten hours a day
    ],
)
def test_a_day_of_history_is_every_hour_once(hours: range, days: int) -> None:
    assert days_of([hour(at) for at in hours]) == days


def test_each_view_asks_for_the_past_of_what_is_judged_there() -> None:
    asked = budget(
        objective(),
        objective("p95", 15.0, where=ACME),
        handoff(baseline_mode=BaselineMode.CONCURRENT),
        objective("p99", 15.0, baseline_mode=BaselineMode.FROZEN),
        incidents(),
    )
    assert [(one.kind, one.source, one.quantile) for one in measures_of(asked)] == [
        (IndicatorKind.QUANTILE, "latency", 0.99),
        (IndicatorKind.RATE, "task_success", None),
    ]
    assert [(one.source, one.quantile) for one in measures_of(asked, ACME)] == [("latency", 0.95)]
    both = budget(objective("p99", 15.0), objective("p50", 15.0))
    assert [one.quantile for one in measures_of(both)] == [0.5, 0.99]
    critical = budget(objective(critical_cohorts=(ACME,)), objective("p95", 15.0, where=ACME))
    assert [one.source for one in measures_of(critical, ACME)] == ["latency", "task_success"]


def test_slices_with_a_past_are_those_that_are_named_and_not_only_concurrent_tier_a_first() -> None:
    tenants = [cohort_key({"tenant": name}) for name in "abcd"]
    named = slices_of(
        (
            handoff(where=tenants[0]),
            objective(critical_cohorts=(tenants[1], tenants[0]), watched_dimensions=("language",)),
            objective("p95", 15.0, where=tenants[2], baseline_mode=BaselineMode.CONCURRENT),
            incidents(critical_cohorts=(tenants[3],), baseline_mode=BaselineMode.CONCURRENT),
        )
    )
    assert named == (tenants[1], tenants[0], tenants[3])


def test_the_more_says_the_record_of_an_hour_the_heavier_it_is() -> None:
    """A breach beats all else: what was wrong once is never a reference."""
    poor, rich = hour(1, made=cell(50)), hour(1, made=latency(slow=10))
    assert rich.weight > hour(1).weight > poor.weight
    assert hour(1, breached=True).weight > rich.weight
    judged = cell(100, task_success=90)
    judged.outcomes["grounded"] = [80, 90]
    assert hour(1, made=judged).weight > hour(1).weight


def test_a_slot_keeps_the_rates_and_the_hours_shares_of_the_traffic() -> None:
    """Scaled down by one factor, so that a day's pooled rate weighs its hours as the traffic does."""
    release = Release(Service(days=14, by_day=0.004), 3)
    found = release.reference
    assert found.layout == DAILY
    assert found.days == 14
    for slot, made in enumerate(found.slots):
        hours = [one.cell for one in release.past if one.hour % 24 == slot]
        known, hits = sum(one.known[SUCCESS] for one in hours), sum(one.hits[SUCCESS] for one in hours)
        assert made.known[SUCCESS] == pytest.approx(known / 14 * found.worth, abs=0.5)
        assert made.hits[SUCCESS] == pytest.approx(hits / 14 * found.worth, abs=0.5)
        assert made.requests == 0  # nobody asks for errors


def test_an_hour_is_never_worth_more_than_an_hour() -> None:
    """Not even with four weeks of identical days, and not beyond what any verdict needs."""
    same = [hour(at) for at in range(NOW - HISTORY_MAX_H, NOW)]
    assert best(same, objective()).worth == 1.0
    assert best(same, objective()).layout == DAILY  # of two that say as much the smaller
    many = [hour(at, made=cell(10**6, task_success=900_000)) for at in range(NOW - 240, NOW)]
    assert best(many, objective()).slots[0].known[SUCCESS] <= EFFECTIVE_MAX


def test_hours_of_the_week_where_the_week_explains_the_days() -> None:
    weekly = Release(Service(days=28, weekend=0.05, by_day=0.002), 1).reference
    assert weekly.layout == WEEKLY
    assert Release(Service(days=28, by_day=0.002), 1).reference.layout == DAILY
    assert Release(Service(days=13, weekend=0.05), 1).reference.layout == DAILY
    assert Release(Service(days=14, weekend=0.05), 1).reference.layout == WEEKLY


def test_an_hour_of_the_week_that_was_never_seen_is_the_same_hour_of_another_day() -> None:
    release = Release(Service(days=28, weekend=0.05, by_day=0.002), 1)
    missing = 30
    found = best([one for one in release.past if one.hour % 168 != missing], objective())
    assert found.layout == WEEKLY
    assert (
        found.slots[missing] == found.slots[missing % 24 + 6 * 24]
    )  # the last day's: all workers take the same


def test_each_next_reference_is_smaller() -> None:
    hours = usable([hour(at) for at in range(NOW - 240, NOW)], NOW)
    found = list(references(hours, BASELINE, NOW, measures_of(budget())))
    assert [one.layout for one in found] == [DAILY, Layout(24, 4), Layout(24, 24)]
    assert [len(one.slots) for one in found] == [24, 6, 1]


def test_quantiles_and_means_keep_their_distribution() -> None:
    hours = [hour(at, made=latency(slow=60 + at % 7)) for at in range(NOW - 240, NOW)]
    found = best(hours, objective("p95", 15.0), objective("tokens_per_request", 5.0))
    for made in found.slots:
        times, tokens = made.distribution("latency"), made.distribution("tokens")
        assert times.count > 100
        assert times.bins[720] / times.count == pytest.approx(0.063, abs=0.005)
        assert tokens.total / (tokens.count - tokens.bins.get(UNFINISHED_BIN, 0)) == pytest.approx(
            500, rel=0.01
        )
        assert made.known[SUCCESS] == 0


def test_a_tail_that_differs_from_day_to_day_makes_its_past_worth_less() -> None:
    calm = [hour(at, made=latency(slow=60)) for at in range(NOW - 240, NOW)]
    restless = [hour(at, made=latency(slow=20 + 16 * (at // 24 % 6))) for at in range(NOW - 240, NOW)]
    p95 = objective("p95", 15.0)
    assert best(restless, p95).worth < best(calm, p95).worth / 10


def test_incidents_of_the_week_before_are_known_whatever_is_frozen() -> None:
    severe = [hour(at, made=cell(100, incidents=1)) for at in (NOW - 169, NOW - 168, NOW - 1)]
    concurrent = objective(baseline_mode=BaselineMode.CONCURRENT)
    for asked in (objective(), concurrent):
        found = best(severe, asked, incidents())
        assert (found.incidents, found.requests) == (2, 200)
    assert best(severe, concurrent).slots == ()


def test_nothing_known_is_a_reference_of_nothing() -> None:
    found = best([], objective())
    assert (found.days, found.slots, found.worth, found.incidents, found.requests) == (0, (), 0.0, 0, 0)


def test_a_share_and_its_rest_are_worth_the_same() -> None:
    """Nine successes of ten say of a past's worth what one of ten says."""
    hits = [17 - 3 * (at // 24 % 3) for at in range(240)]
    mirrored = [
        [cell(20, task_success=count) for count in some] for some in (hits, [20 - one for one in hits])
    ]
    worths = [
        best([hour(NOW - 240 + at, made=made) for at, made in enumerate(cells)], objective()).worth
        for cells in mirrored
    ]
    assert 0.0 < worths[0] < 1.0
    assert worths[0] == pytest.approx(worths[1], rel=1e-12)


def test_a_slot_keeps_the_shares_of_all_that_is_asked_for() -> None:
    made = cell(1_000)
    made.errors, made.timeouts = 100, 50
    made.outcomes["grounded"] = [300, 400]
    made.sketches["cost"] = Sketch({400: 1_000}, 500_000)
    hours = [hour(at, made=made) for at in range(NOW - 240, NOW)]
    asked = (objective("error", 5.0), objective("outcome.grounded", -2.0), objective("cost_per_request", 5.0))
    for found in best(hours, *asked).slots:
        assert found.requests > 200
        assert found.errors / found.requests == pytest.approx(0.1, abs=0.003)
        assert found.timeouts / found.requests == pytest.approx(0.05, abs=0.003)
        hits, known = found.rate("outcome.grounded")
        assert (hits / known, known / found.requests) == pytest.approx((0.75, 0.4), abs=0.01)
        costs = found.distribution("cost")
        assert costs.total / costs.count == pytest.approx(500, rel=1e-5)


def test_hours_in_which_nobody_measured_a_value_say_nothing_about_how_it_moves() -> None:
    """Every other day has requests whose tokens are not known: none are not zero tokens."""
    measured = cell(1_000)
    measured.sketches["tokens"] = Sketch({300: 500, 330: 500}, 530_000)
    hours = [hour(at, made=cell(1_000) if at // 24 % 2 else measured) for at in range(NOW - 240, NOW)]
    assert best(hours, objective("tokens_per_request", 5.0)).worth == 1.0
