"""One objective on one slice: what it shows, what it spent, and what it came to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Accounting, BaselineMode, EvidenceMode, Objective
from monitor.core.cohort import OVERALL
from monitor.core.exemplar import Exemplar
from monitor.core.record import Observed
from monitor.core.rules import rules_for
from monitor.core.sketch import Sketch
from monitor.core.stats.capped import Measure
from monitor.core.stats.thresholds import MAX_WINDOW_MIN
from monitor.core.sustained import Answer, Refusal
from monitor.core.trigger import Phase
from monitor.core.verdict import verdict_words
from monitor.core.watch import Change, Watch
from monitor.core.window import tick_ms
from tests.engine.worlds import BAD, EQUAL, GOOD, T0, THOUSAND, budget, cell, objective

EMPTY = Aggregate()
CUMULATIVE: dict[str, Any] = {"accounting": Accounting.CUMULATIVE}


def paid(costs: dict[int, int]) -> Aggregate:
    """A minute of requests: how many cost so many millionths of a dollar."""
    made = Aggregate()
    made.requests = sum(costs.values())
    made.sketches["cost"] = Sketch()
    for value, count in costs.items():
        for _ in range(count):
            made.sketches["cost"].add(value)
    return made


CHEAP, DEAR_TAIL = paid({5_000: 100}), paid({5_000: 97, 500_000: 3})  # up to the p99 they cost the same


class _Run:
    """A watch, minute by minute."""

    def __init__(self, judged: Objective, window_min: int = 1440) -> None:
        rule = rules_for(budget(judged, window_min=window_min))[judged.objective_id, OVERALL]
        self.watch = Watch(judged, OVERALL, rule, T0)
        self.now = T0

    def minutes(self, count: int, candidate: Aggregate, baseline: Aggregate = GOOD) -> Change:
        for _ in range(count):
            self.watch.append(self.now, candidate, baseline)
            self.now += 1
            change = self.watch.judge(self.now)
        return change


@pytest.mark.parametrize(
    "bad, phase, fires",
    [(1, Phase.PENDING, False), (3, Phase.PENDING, False), (4, Phase.FIRING, True), (9, Phase.FIRING, True)],
)
def test_a_breach_must_last_its_minutes(bad: int, phase: Phase, fires: bool) -> None:
    run = _Run(objective())
    run.minutes(5, GOOD)
    change = run.minutes(bad, BAD)
    assert (change.after.phase, run.watch.fires(change)) == (phase, fires)


def test_an_episode_starts_and_clears_once() -> None:
    run = _Run(objective())
    run.minutes(3, GOOD)
    assert run.minutes(1, BAD).started
    assert not run.minutes(5, BAD).started
    assert not run.minutes(3, EMPTY).cleared  # silence is no recovery
    cleared = run.minutes(1, GOOD)
    assert cleared.cleared
    assert cleared.before.episode_ms == tick_ms(T0 + 4)


@pytest.mark.parametrize(
    ("asked", "refusal"), [({}, Refusal.NO_DATA), ({"min_samples": 1}, Refusal.MIN_SAMPLES)]
)
def test_too_few_samples_are_a_refusal_only_where_a_limit_asks_for_some(
    asked: dict[str, Any], refusal: Refusal
) -> None:
    judgement = _Run(objective(**asked)).minutes(8, EMPTY).judgement
    assert (judgement.answer, judgement.refusal) == (Answer.UNKNOWN, refusal)


@pytest.mark.parametrize("judged", [objective(), objective("human_handoff", 8.0)])
def test_equality_is_no_breach(judged: Objective) -> None:
    run = _Run(judged)
    assert run.minutes(30, EQUAL, THOUSAND).judgement.answer is Answer.RECOVERED
    assert run.watch.spend.minutes == 0


def test_flapping_adds_up_and_never_fires_the_sustained_rule() -> None:
    run = _Run(objective())
    for _ in range(6):
        assert not run.watch.fires(run.minutes(3, BAD))
        run.minutes(1, GOOD)
    assert run.watch.spend.minutes == 18
    assert run.watch.is_overspent


def test_cumulative_fires_when_more_minutes_than_granted_are_bad_in_all() -> None:
    run = _Run(objective(**CUMULATIVE))
    fired = []
    for _ in range(12):
        fired.append(run.watch.fires(run.minutes(1, BAD)))
        run.minutes(2, GOOD)
    assert fired.index(True) == 4  # the fifth bad minute is more than four


def test_minutes_that_add_up_wait_for_the_samples_that_the_budget_asks_for() -> None:
    """The rule's windows do; neither a rollback nor a page may come from fewer by another way."""
    asked, free = (_Run(objective(min_samples=least, **CUMULATIVE)) for least in (10 * 20, 0))
    for run, fires in ((asked, [19]), (free, [4])):
        fired = [run.watch.fires(run.minutes(1, BAD)) for _ in range(20)]
        assert [fired.index(True)] == fires
    assert asked.watch.spend.minutes == free.watch.spend.minutes == 20


def test_too_few_samples_are_never_healthy() -> None:
    for least, verdict in ((10 * 1_000 + 1, "inconclusive"), (10 * 1_000, "healthy")):
        run = _Run(objective(min_samples=least, evidence=EvidenceMode.DEFAULT))
        run.minutes(10, THOUSAND, THOUSAND)
        assert run.watch.verdict(run.now) == verdict
        words = verdict_words(run.watch, run.now)
        assert ("fewer than the 10,001 requests that the budget asks for" in words) is (verdict != "healthy")


def test_cumulative_minutes_leave_with_the_window() -> None:
    run = _Run(objective(**CUMULATIVE), window_min=20)
    for _ in range(6):
        run.minutes(1, BAD)
        run.minutes(9, GOOD)
    assert run.watch.spend.minutes <= 2
    assert not run.watch.fired


def test_a_hold_of_nothing_has_nothing_to_add_up() -> None:
    run = _Run(objective(hold=0, **CUMULATIVE))
    run.minutes(3, GOOD)
    assert run.watch.fires(run.minutes(1, BAD))
    assert not run.watch.is_overspent


def test_silence_is_counted_and_traffic_ends_it() -> None:
    run = _Run(objective())
    run.minutes(3, GOOD)
    run.minutes(7, EMPTY)
    assert run.watch.empty_minutes == 7
    assert run.watch.is_unknown
    run.minutes(1, GOOD)
    assert run.watch.empty_minutes == 0


def test_a_finding_shows_the_minutes_that_fired() -> None:
    run = _Run(objective())
    run.minutes(6, GOOD)
    change = run.minutes(4, BAD)
    found = run.watch.finding(run.now, 5, change.judgement)
    assert (found.started_ms, found.held_min) == (tick_ms(T0 + 6), 4)
    assert (found.seen.baseline, found.seen.candidate) == (0.9, 0.7)
    assert found.seen.delta == pytest.approx(100 * (0.7 / 0.9 - 1))
    assert found.seen.samples == (40, 40)


def test_a_finding_without_a_judged_window_shows_the_newest_minutes() -> None:
    run = _Run(objective())
    run.minutes(6, GOOD)
    found = run.watch.finding(run.now, 5, None)
    assert (found.started_ms, found.held_min) == (tick_ms(T0 + 5), 1)


def test_a_watch_that_waits_for_labels_can_be_asked_before_it_has_any_minute() -> None:
    run = _Run(objective(label_delay_min=30))
    found = run.watch.finding(T0 - 25, 5, None)
    assert (found.seen, found.held_min) == (Observed(), 0)
    assert run.watch.observe_all(T0 - 25) == Observed()
    assert run.watch.verdict(T0 - 25) == "no_data"


def test_values_come_in_the_units_people_read() -> None:
    slow = _Run(objective("p95", 15.0))
    slow.minutes(5, cell(100, slow=100), cell(100, fast=100))
    seen = slow.watch.observe_all(slow.now)
    assert seen.candidate == pytest.approx(800, rel=0.02)  # milliseconds
    assert seen.baseline == pytest.approx(400, rel=0.02)
    dear = _Run(objective("cost_per_request", 5.0))
    one = Aggregate()
    one.requests = 1
    one.sketches["cost"] = cell(1, slow=1).sketches["latency"]  # 800,000 millionths
    dear.minutes(5, one, one)
    assert dear.watch.observe_all(dear.now).candidate == pytest.approx(0.8, rel=0.02)  # dollars


def test_exemplars_come_from_the_shown_minutes() -> None:
    run = _Run(objective())
    for minute in range(6):
        one = cell(10, task_success=7)
        one.exemplars["task_success"] = [Exemplar(minute, f"trace-{minute}", "")]
        run.minutes(1, one)
    rule = replace(run.watch.rule, hold_min=12)  # so that the newest three minutes are shown
    run.watch.rule = rule
    found = run.watch.finding(run.now, 2, None)
    assert found.held_min == rule.recent_min == 3
    assert [one.trace_id for one in found.exemplars] == ["trace-3", "trace-4"]


@pytest.mark.parametrize(
    "minutes, candidate, verdict",
    [
        (60, cell(1000, task_success=900), "healthy"),
        (60, cell(1000, task_success=882), "inconclusive"),  # at the limit nothing is shown
        (60, GOOD, "inconclusive"),  # too little traffic to show it
        (60, cell(1000, task_success=700), "breach"),
        (60, EMPTY, "no_data"),
        (60, cell(1000, human_handoff=5), "no_data"),  # requests, but nobody measured success
    ],
)
def test_what_a_watch_came_to(minutes: int, candidate: Aggregate, verdict: str) -> None:
    run = _Run(objective(hold=20, evidence=EvidenceMode.DEFAULT))
    run.minutes(minutes, candidate, THOUSAND)
    assert run.watch.verdict(run.now) == verdict


def test_healthy_has_to_be_true_of_the_newest_hours_too() -> None:
    run = _Run(objective(hold=20, evidence=EvidenceMode.DEFAULT))
    run.minutes(600, cell(1000, task_success=905), THOUSAND)
    assert run.watch.verdict(run.now) == "healthy"
    run.minutes(240, cell(1000, task_success=882), THOUSAND)
    assert run.watch.verdict(run.now) == "inconclusive"


def test_more_than_a_day_of_minutes_can_be_asked_about() -> None:
    run = _Run(objective(), window_min=3_000)
    run.minutes(2_100, GOOD)
    assert run.watch.observe_all(run.now).samples == (14_400, 14_400)


def test_what_was_done_is_done_for_this_episode_alone() -> None:
    run = _Run(objective())
    run.minutes(3, GOOD)
    run.minutes(4, BAD)
    run.watch.acted = True
    run.minutes(2, BAD)
    assert run.watch.acted
    run.minutes(5, GOOD)
    assert not run.watch.acted


def test_a_new_watch_has_seen_nothing_and_done_nothing() -> None:
    watch = _Run(objective()).watch
    assert (watch.judgement, watch.judged, watch.is_unknown) == (None, None, True)
    assert (watch.led, watch.empty_minutes, watch.frozen_minute) == (0, 0, None)
    assert (watch.acted, watch.fired, watch.spent_paged) == (False, False, False)
    assert watch.phi_all(T0) is None


def test_the_last_judgement_is_kept_with_its_minute_and_what_was_known_of_noise() -> None:
    run = _Run(objective("cost_per_request", 20.0))
    change = run.minutes(3, CHEAP, CHEAP)
    assert run.watch.judgement is change.judgement
    assert not run.watch.is_unknown
    assert run.watch.judged is not None
    minute, noises = run.watch.judged
    assert (minute, len(noises)) == (run.now, 2)  # the capped mean's and the plain one's
    run.minutes(1, EMPTY, CHEAP)
    assert run.watch.is_unknown


def test_no_more_than_twenty_exemplars_are_shown_however_many_are_asked_for() -> None:
    run = _Run(objective())
    for minute in range(4):
        one = cell(10, task_success=7)
        one.exemplars["task_success"] = [Exemplar(rank, f"trace-{minute}-{rank}", "") for rank in range(6)]
        change = run.minutes(1, one)
    shown = run.watch.finding(run.now, 99, change.judgement).exemplars
    assert [one.rank for one in shown] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4


def test_a_mean_is_appended_to_its_capped_series() -> None:
    watch = _Run(objective("cost_per_request", 20.0)).watch
    capped = next(one for one in watch.gauges if one.measure is Measure.CAPPED)
    assert watch.series is capped.series
    assert watch.dispersion is capped.dispersion


def test_minutes_compared_with_another_baseline_are_no_part_of_any_window_to_come() -> None:
    run = _Run(objective())
    run.minutes(3, GOOD)
    run.minutes(3, BAD)
    run.watch.compare_anew()
    held = run.watch.series
    assert (held.kept_minute, held.end_minute) == (T0, run.now)  # they are there, and empty
    assert run.watch.observe_all(run.now).samples == (0, 0)
    change = run.minutes(3, BAD)
    assert not run.watch.fires(change)
    assert run.watch.observe_all(run.now).samples == (30, 30)
    assert run.watch.fires(run.minutes(1, BAD))


def test_comparing_anew_holds_no_more_minutes_than_a_window() -> None:
    run = _Run(objective())
    for minute in range(T0, T0 + MAX_WINDOW_MIN + 100):
        run.watch.append(minute, EMPTY, EMPTY)
    run.watch.compare_anew()
    held = run.watch.series
    assert (held.kept_minute, held.end_minute) == (T0 + 100, T0 + MAX_WINDOW_MIN + 100)


def test_minutes_that_only_the_plain_mean_finds_bad_are_spent() -> None:
    run = _Run(objective("cost_per_request", 20.0))
    run.minutes(3, DEAR_TAIL, CHEAP)
    assert not run.watch.series.beyond(T0, run.now, 1.0)
    assert run.watch.spend.minutes == 3


def test_a_hold_of_one_minute_adds_up() -> None:
    run = _Run(objective(hold=1, **CUMULATIVE))
    assert not run.watch.fires(run.minutes(1, BAD))
    assert not run.watch.is_overspent
    run.minutes(1, GOOD)
    assert run.watch.fires(run.minutes(1, BAD))
    assert run.watch.is_overspent


def test_a_cumulative_breach_waits_for_its_sum_and_clears_like_any_other() -> None:
    run = _Run(objective(**CUMULATIVE))
    assert run.minutes(3, GOOD).after.phase is Phase.INACTIVE
    change = run.minutes(4, BAD)
    assert change.judgement.answer is Answer.FIRES  # the sustained rule would act
    assert change.after.phase is Phase.PENDING  # four are granted
    assert run.minutes(1, GOOD).after.phase is Phase.INACTIVE


def test_a_cumulative_breach_asks_for_nothing_once_its_minutes_have_left_the_window() -> None:
    run = _Run(objective(**CUMULATIVE), window_min=20)
    assert run.watch.fires(run.minutes(6, BAD))
    change = run.minutes(20, EMPTY)
    assert change.after.phase is Phase.FIRING  # silence is no recovery
    assert not run.watch.is_overspent
    assert not run.watch.fires(change)


def test_minutes_are_compared_with_a_frozen_reference_where_any_of_them_is() -> None:
    watch = _Run(objective()).watch
    assert watch.baseline_mode(T0) is BaselineMode.CONCURRENT
    watch.frozen_minute = T0 + 5
    modes = [watch.baseline_mode(start) for start in (T0, T0 + 5, T0 + 6)]
    assert modes == [BaselineMode.FROZEN, BaselineMode.FROZEN, BaselineMode.CONCURRENT]


def test_minutes_after_the_one_that_is_asked_about_are_left_out() -> None:
    run = _Run(objective())
    run.minutes(6, GOOD)
    assert run.watch.observe_all(T0 + 3).samples == (30, 30)


def test_the_noise_that_is_told_is_that_of_the_measure_that_is_told() -> None:
    """Where only the tail differs from minute to minute, the capped mean has none of the plain one's noise."""
    run = _Run(objective("cost_per_request", 20.0))
    for minute in range(60):
        run.minutes(1, paid({5_000: 97 + minute % 2 * 3, 500_000: 3 - minute % 2 * 3}), CHEAP)
    capped, plain = (one.phi(T0, run.now) for one in run.watch.gauges)
    assert run.watch.phi_all(run.now) == plain != capped
    rate = _Run(objective())
    rate.minutes(3, GOOD)
    (only,) = rate.watch.gauges
    assert rate.watch.phi_all(rate.now) == only.phi(T0, rate.now)


def test_health_is_what_the_gauge_that_shows_least_shows() -> None:
    run = _Run(objective("cost_per_request", 20.0, evidence=EvidenceMode.DEFAULT, hold=20))
    many, more = paid({4_999: 500, 5_000: 500}), paid({4_999: 499, 5_000: 499, 50_000: 2})
    run.minutes(30, more, many)
    capped, plain = (run.watch.gauge_within(one, run.now) for one in run.watch.gauges)
    assert capped is not None
    assert plain is not None
    assert plain < capped
    assert run.watch.shown_within(run.now) == plain
