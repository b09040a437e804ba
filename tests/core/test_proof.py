"""What a record shows beside its numbers: minutes before the moment that was judged, and none after it."""

from __future__ import annotations

from typing import Final

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import EvidenceMode, Unit
from monitor.core.cohort import OVERALL
from monitor.core.indicator import Direction
from monitor.core.moment import rfc3339
from monitor.core.proof import MAX_POINTS, evidence_of, points_of, verdict_evidence
from monitor.core.series import RateSeries
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.core.stats.limit import Limit
from monitor.core.stats.rule import rule_for
from monitor.core.sustained import RECOVERY_NATS
from monitor.core.watch import Watch
from monitor.core.window import tick_ms
from tests.core.test_rederive import JUDGED, START, Run, objective
from tests.engine.worlds import cell


def test_points_end_where_it_was_judged_although_more_is_known() -> None:
    series = RateSeries(Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0))
    for minute in range(1_500):
        series.append(minute, (1, 1 + minute), (2, 2))
    points = points_of(series, 20, 4, 100.0)
    assert (points["step_min"], points["candidate_requests"][-1]) == (1, 20)
    coarse = points_of(series, 1_390, 600, 100.0)
    assert coarse["step_min"] > 1
    assert len(coarse["candidate"]) <= MAX_POINTS
    assert coarse["candidate_requests"][-1] == sum(range(1_391 - coarse["step_min"], 1_391))


@pytest.mark.parametrize(("minutes", "step", "points"), [(480, 1, 480), (481, 2, 240), (1_440, 3, 480)])
def test_a_curve_has_480_points_at_most(minutes: int, step: int, points: int) -> None:
    """So a whole day has one for every three minutes."""
    series = RateSeries(Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0))
    for minute in range(minutes):
        series.append(minute, (1, 2), (2, 2))
    shown = points_of(series, minutes, 720, 100.0)
    assert (shown["step_min"], len(shown["candidate"])) == (step, points)


@pytest.mark.parametrize(("hold", "harmful"), [(8, 40), (100, 300)])
def test_a_curve_shows_twice_the_window_and_two_hours_at_least(hold: int, harmful: int) -> None:
    run = Run(objective("task_success", -3.0, hold=hold), 1)
    for minute in range(719):
        run.take(1.0 if minute < 719 - harmful else 2.0)
    whole = run.minute(2.0).judgement.whole
    evidence = evidence_of(run.watch, (run.now, run.now))
    assert whole is not None
    assert evidence is not None
    points = evidence["points"]
    shown = len(points["candidate"]) * points["step_min"]
    assert shown == (120 if hold == 8 else 2 * (run.now - whole.start))
    assert hold == 8 or 120 < shown < 719


def test_the_strongest_window_is_told_however_weak_it_is() -> None:
    run, weak = Run(JUDGED["success"], 2), 0
    for _ in range(40):
        strongest = run.minute(1.2).judgement.strongest
        evidence = evidence_of(run.watch, (run.now, run.now))
        assert evidence is not None
        told = evidence["stretches"].get("strongest")
        assert (told is None) is (strongest == 0.0)
        assert told is None or told["x"] == pytest.approx(strongest)
        weak += 0.0 < strongest < 1.0
    assert weak


@pytest.mark.parametrize(
    ("minutes", "weakest"),
    [
        ([(10, 5), (8, 5), (7, 5), (9, 5)], 2),
        ([(10, 5), (8, 5), (8, 5), (9, 5)], 1),  # of equals the first
        ([(10, 5), (5, 0), (8, 5), (9, 5)], 2),  # against nothing it is infinitely more
        ([(10, 5), (5, 0), (None, 5), (8, 5)], 2),
        ([(10, 5), (None, 5), (5, 0), (8, 5)], 1),
    ],
)
def test_the_weakest_minute_is_one_without_data_or_the_least_beyond(
    minutes: list[tuple[int | None, int]], weakest: int
) -> None:
    """Requests handed over, of 100 of the candidate and of the baseline; None: the candidate had no requests."""
    judged = objective("human_handoff", 50.0, hold=4, evidence=EvidenceMode.OFF)
    watch = Watch(judged, OVERALL, rule_for(judged, window_min=1440, objectives=3), START)
    for at, (candidate, baseline) in enumerate(minutes):
        arm = Aggregate() if candidate is None else cell(100, human_handoff=candidate)
        watch.append(START + at, arm, cell(100, human_handoff=baseline))
    watch.judge(START + 4)
    evidence = evidence_of(watch, (START, START + 4))
    assert evidence is not None
    assert evidence["stretches"]["weakest"]["start"] == rfc3339(tick_ms(START + weakest))


@pytest.mark.parametrize(
    ("second", "third", "weakest"),
    [
        ((UNFINISHED_BIN, UNFINISHED_BIN), (280, 200), 1),
        ((UNFINISHED_BIN, UNFINISHED_BIN), (None, 200), 2),
        ((290, 200), (280, 200), 2),
    ],
)
def test_a_minute_without_a_number_is_weaker_than_any_and_stronger_than_one_without_data(
    second: tuple[int | None, int], third: tuple[int | None, int], weakest: int
) -> None:
    """Where nothing finished in either arm, no number says how much slower the candidate is."""
    judged = JUDGED["p99 literal"]
    watch = Watch(judged, OVERALL, rule_for(judged, window_min=1440, objectives=3), START)
    for at, pair in enumerate([(300, 200), second, third, (300, 200)]):
        arms = [Aggregate() if size is None else cell(100) for size in pair]
        for arm, size in zip(arms, pair, strict=True):
            if size is not None:
                arm.sketches["latency"] = Sketch({size: 100}, 0 if size == UNFINISHED_BIN else 100)
        watch.append(START + at, arms[0], arms[1])
    watch.judge(START + 4)
    evidence = evidence_of(watch, (START, START + 4))
    assert evidence is not None
    assert evidence["stretches"]["weakest"]["start"] == rfc3339(tick_ms(START + weakest))


WAVES: Final = ([3.0] * 4 + [1.0] * 2) * 5 + [0.1] * 2
# A digit a minute; 0 is a recovery to a third. In the second, three of the newest minutes would be nearer than two.
AT_FIRST, LONGER = (
    [float(one) or 0.3 for one in harms] for harms in ("434234330113243031310223", "320424434144441124300312")
)


@pytest.mark.parametrize(
    ("harms", "places"),
    [(WAVES, {"inside", "end"}), (AT_FIRST, {"start", "inside", "end"}), (LONGER, {"inside", "end"})],
)
def test_the_recovery_told_is_the_nearest_of_every_block_and_of_the_newest_minutes(
    harms: list[float], places: set[str]
) -> None:
    """Blocks of a quarter of the hold, from the tick back to the window's start, against what each of them needs."""
    run, found = Run(JUDGED["success"], 4, per_minute=300), set()
    for harm in [1.0] * 9 + harms:
        whole = run.minute(harm).judgement.whole
        evidence = evidence_of(run.watch, (run.now, run.now))
        told = (evidence or {"stretches": {}})["stretches"].get("recovery")
        if told is None or whole is None:
            continue
        rule, series, noise = run.watch.rule, run.watch.series, run.watch.dispersion.known.dispersion
        needed = next(span.block_nats for span in rule.spans if span.length_min == run.now - whole.start)
        block, end, tried = rule.recent_min, run.now, []
        while end - block >= whole.start:
            tried.append((end - block, end, needed))
            end -= block
        tried += [(run.now - length, run.now, RECOVERY_NATS) for length in range(1, block + 1)]
        near = {
            (start, stop, nats): max(0.0, series.evidence_out(start, stop))
            / noise.over(series, start, stop)
            / nats
            for start, stop, nats in tried
        }
        nearest = max(near, key=lambda one: (near[one], one))
        assert (told["start"], told["end"], told["needed"]) == (
            rfc3339(tick_ms(nearest[0])),
            rfc3339(tick_ms(nearest[1])),
            nearest[2],
        )
        assert told["x_within"] >= near[nearest] * nearest[2] - 1e-9
        is_oldest = nearest[0] == whole.start and nearest[1] < run.now
        found.add("start" if is_oldest else "end" if nearest[1] == run.now else "inside")
    assert found == places


def test_where_nothing_was_observed_nothing_is_shown() -> None:
    run = Run(JUDGED["success"], 1)
    run.minute(1.0)
    for start, shown in ((run.now, False), (run.now - 1, True)):
        evidence = evidence_of(run.watch, (start, run.now))
        assert evidence is not None
        assert ("shown" in evidence["stretches"]) is shown


NO_VERDICT: Final = {
    "kind": "verdict",
    "answer": None,
    "refusal": None,
    "strongest": None,
    "has_fired": False,
    "within": None,
    "within_recent": None,
    "needed": 3.0,
}


def test_a_watch_that_was_never_asked_has_a_verdict_without_numbers() -> None:
    watch = Run(JUDGED["cumulative"], 1).watch
    assert verdict_evidence(watch, START, 3.0) == {**NO_VERDICT, "x_star": watch.rule.x_star}


def test_a_verdict_of_health_rests_on_the_whole_watch_and_on_its_newest_hours() -> None:
    run = Run(JUDGED["success"], 1)
    for _ in range(300):
        run.take(1.0)
    judgement, (whole, recent) = run.minute(1.0).judgement, run.watch.shown_within(run.now) or (0.0, 0.0)
    assert judgement.refusal is not None
    told = verdict_evidence(run.watch, run.now, 3.0)
    assert told == {
        **NO_VERDICT,
        "answer": judgement.answer.value,
        "refusal": judgement.refusal.value,
        "strongest": judgement.strongest,
        "x_star": judgement.x_star,
        "within": whole,
        "within_recent": recent,
    }
    assert whole > recent > 0.0


def test_a_verdict_of_harm_says_that_it_fired_and_that_too_much_was_spent() -> None:
    run = Run(JUDGED["cumulative"], 3, per_minute=300)
    for _ in range(7):
        run.minute(5.0)
    assert "overspent" not in verdict_evidence(run.watch, run.now, 3.0)
    while not run.watch.is_overspent:
        run.minute(5.0)
    told = verdict_evidence(run.watch, run.now, 3.0)
    assert (told["answer"], told["refusal"], told["has_fired"], told["overspent"]) == (
        "fires",
        None,
        True,
        True,
    )


def test_what_was_judged_on_minutes_that_are_gone_since_has_no_evidence() -> None:
    run = Run(JUDGED["success"], 1)
    for _ in range(20):
        run.minute(1.0)
    shown = []
    for _ in range(2):
        for _ in range(1_000):
            run.take(1.0)
        shown.append(evidence_of(run.watch, (run.now - 5, run.now)) is not None)
    assert shown == [True, False]
