"""Did a rollback help? A level that stays beyond the limit is told of; a level that is back, or noise, is not."""

from __future__ import annotations

import random

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Objective, Unit
from monitor.core.cohort import OVERALL
from monitor.core.recovery import (
    PAST_MIN,
    RECOVERY_MIN,
    Unrecovered,
    find_unrecovered,
    is_back,
    not_helped_words,
)
from monitor.core.sketch import Sketch
from tests.engine.worlds import ACME, cell, objective

SUCCESS = objective()  # -2 %
HANDOFF = objective("human_handoff", 3.0, unit=Unit.POINTS)
P95 = objective("p95", 15.0)
COST = objective("cost_per_request", 20.0)


def minutes(count: int, share: float, chance: random.Random, requests: int = 200) -> list[Aggregate]:
    """Minutes of requests, this share of which is a success and the rest handed over."""
    made = []
    for _ in range(count):
        hits = sum(chance.random() < share for _ in range(requests))
        made.append(cell(requests=requests, task_success=hits, human_handoff=requests - hits))
    return made


def values(
    count: int, name: str, typical: float, chance: random.Random, requests: int = 100
) -> list[Aggregate]:
    made = []
    for _ in range(count):
        one = cell(requests=requests)
        one.sketches[name] = Sketch()
        for _ in range(requests):
            one.sketches[name].add(round(typical * chance.lognormvariate(0.0, 0.4)))
        made.append(one)
    return made


def world(judged: Objective, worse: bool, seed: int = 1) -> tuple[list[Aggregate], list[Aggregate]]:
    chance = random.Random(seed)
    if judged in (SUCCESS, HANDOFF):
        return minutes(PAST_MIN, 0.9, chance), minutes(RECOVERY_MIN, 0.8 if worse else 0.9, chance)
    name = "latency" if judged is P95 else "cost"
    typical = 800_000.0 if judged is P95 else 9_000.0
    after = typical * (2.0 if worse else 1.0)
    return values(PAST_MIN, name, typical, chance), values(RECOVERY_MIN, name, after, chance)


@pytest.mark.parametrize("judged", [SUCCESS, HANDOFF, P95, COST], ids=lambda one: one.objective_id)
def test_what_stays_beyond_the_limit_is_found_and_what_is_back_is_not(judged: Objective) -> None:
    before, after = world(judged, worse=True)
    found = find_unrecovered(judged, before, after)
    assert found is not None
    assert found.delta is not None
    assert abs(found.delta) > abs(judged.limit)
    assert not is_back(judged, before, after[-15:])
    before, after = world(judged, worse=False)
    assert find_unrecovered(judged, before, after) is None
    assert is_back(judged, before, after[-15:])


def test_the_first_minutes_alone_are_no_failure_to_recover() -> None:
    """A queue that the candidate filled takes a while: what is back in the second half is back."""
    chance = random.Random(2)
    after = [*minutes(15, 0.5, chance), *minutes(15, 0.9, chance)]
    assert find_unrecovered(SUCCESS, minutes(PAST_MIN, 0.9, chance), after) is None


def test_noise_is_seldom_taken_for_it() -> None:
    """At the limit itself and without any harm: at most 1 in 100."""
    chance = random.Random(3)
    for share in (0.9, 0.9 * 0.98):
        runs = (
            find_unrecovered(
                SUCCESS, minutes(PAST_MIN, 0.9, chance, 50), minutes(RECOVERY_MIN, share, chance, 50)
            )
            for _ in range(100)
        )
        assert sum(one is not None for one in runs) <= 3


def test_a_level_that_moves_by_itself_needs_more() -> None:
    """The same fall is shown against a steady past, and not against one that falls so every other quarter."""
    chance = random.Random(4)
    after = minutes(RECOVERY_MIN, 0.86, chance, 100)
    steady = minutes(PAST_MIN, 0.9, chance, 100)
    restless = [one for block in range(12) for one in minutes(5, 0.98 if block % 2 else 0.82, chance, 100)]
    assert find_unrecovered(SUCCESS, steady, after) is not None
    assert find_unrecovered(SUCCESS, restless, after) is None


@pytest.mark.parametrize("empty", ["before", "after"])
def test_without_traffic_nothing_is_said_and_nothing_is_back(empty: str) -> None:
    before, after = world(SUCCESS, worse=True)
    nothing = [Aggregate() for _ in range(30)]
    pair = (nothing, after) if empty == "before" else (before, nothing)
    assert find_unrecovered(SUCCESS, *pair) is None
    assert not is_back(SUCCESS, *pair)
    assert find_unrecovered(SUCCESS, [], after) is None


@pytest.mark.parametrize(
    ("metric", "limit", "within", "beyond"),
    [
        ("task_success", -25.0, 50, 49),
        ("human_handoff", 25.0, 100, 101),
        ("task_success", -0.5, 75, 74),
        ("human_handoff", 0.5, 75, 76),
    ],
)
def test_what_is_no_further_than_its_limit_is_back(
    metric: str, limit: float, within: int, beyond: int
) -> None:
    """Before, 75 of 100 requests had it: 25 points more or less are exactly the first two limits."""
    judged = objective(metric, limit, unit=Unit.POINTS)
    before = [cell(requests=100, **{metric: 75})] * PAST_MIN
    for hits, back in ((within, True), (beyond, False)):
        assert is_back(judged, before, [cell(requests=100, **{metric: hits})] * 15) is back


def test_every_minute_of_the_hour_before_says_what_the_baseline_is_like() -> None:
    """The first minute alone holds so much of the hour's traffic that without it today's level would be as before."""
    before = [cell(requests=10_000, task_success=10_000), *[cell(requests=100, task_success=50)] * 59]
    after = [cell(requests=100, task_success=50)] * RECOVERY_MIN
    assert not is_back(SUCCESS, before, after)


@pytest.mark.parametrize(
    ("judged", "source", "value", "told"), [(P95, "latency", 800_000, 800.0), (COST, "cost", 9_000, 0.009)]
)
def test_values_are_told_in_the_units_people_read(
    judged: Objective, source: str, value: int, told: float
) -> None:
    """Milliseconds of stored microseconds, and dollars of their millionths, to a bin's two percent."""
    minutes = []
    for size in (value, 2 * value):
        minutes.append(cell(requests=100))
        minutes[-1].sketches[source] = Sketch()
        for _ in range(100):
            minutes[-1].sketches[source].add(size)
    found = find_unrecovered(judged, [minutes[0]] * PAST_MIN, [minutes[1]] * RECOVERY_MIN)
    assert found is not None
    assert (found.before, found.after) == pytest.approx((told, 2 * told), rel=0.02)


def test_a_level_of_nothing_is_no_measure() -> None:
    before = [cell(requests=100, human_handoff=0) for _ in range(PAST_MIN)]
    after = [cell(requests=100, human_handoff=1) for _ in range(RECOVERY_MIN)]
    assert find_unrecovered(objective("human_handoff", 8.0), before, after) is not None  # infinitely more
    assert not is_back(objective("human_handoff", 8.0), before, after[-15:])
    assert find_unrecovered(objective("human_handoff", 8.0), before, before) is None
    assert is_back(objective("human_handoff", 8.0), before, before[-15:])  # nothing, as before


def test_it_is_said_in_plain_words() -> None:
    text = not_helped_words("model-v42", SUCCESS, OVERALL, Unrecovered(0.9, 0.8, -11.1))
    assert text == (
        "the rollback of model-v42 did not help: 30 min after its traffic was gone, task success is still 11.1 % below "
        "what the baseline showed before (80.00 % against 90.00 %, limit -2 %); the release is not the cause, "
        "or not the only one"
    )
    assert "p95 latency for tenant=acme is still above what" in not_helped_words(
        "model-v42", P95, ACME, Unrecovered(800.0, 1600.0, None)
    )


@pytest.mark.parametrize(("limit", "side"), [(-0.5, "below"), (0.5, "above")])
def test_what_is_still_too_low_is_below_however_small_its_limit_is(limit: float, side: str) -> None:
    judged = objective("task_success" if limit < 0 else "human_handoff", limit)
    text = not_helped_words("model-v42", judged, OVERALL, Unrecovered(0.9, 0.8, -11.1))
    assert f"is still 11.1 % {side} what" in text
