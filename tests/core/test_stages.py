"""Which stage moved: the same quantile, minutes and slice; named is only what chance does not explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate
from monitor.core.budget import BaselineMode, Objective
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.record import StageMove, moved_most
from monitor.core.rules import rules_for
from monitor.core.sketch import Sketch
from monitor.core.stages import STAGES_MAX, stage_moves
from monitor.core.watch import Watch
from tests.engine.worlds import ACME, LAWS, T0, budget, objective

Values = Mapping[str, Sequence[int]]
"""Milliseconds per distribution."""

P95 = objective("p95", 15.0)
FIRST, DECODE = "stage.first_token", "stage.decode"
STEADY = list(range(900, 1100))


def watch(judged: Objective, view: CohortKey = OVERALL, first_minute: int = T0) -> Watch:
    rule = rules_for(budget(judged))[judged.objective_id, judged.where]
    return Watch(judged, view, rule, first_minute)


def stage(metric: str, view: CohortKey = OVERALL) -> Watch:
    return watch(objective(metric, 15.0), view)


def minute(values: Values) -> Aggregate:
    made = Aggregate()
    made.requests = max((len(one) for one in values.values()), default=0)
    for name, all_ms in values.items():
        made.sketches[name] = Sketch()
        for ms in all_ms:
            made.sketches[name].add(1_000 * ms)
    return made


def take(watches: Sequence[Watch], candidate: Values, baseline: Values, minutes: int = 6) -> None:
    for one in watches:
        for at in range(one.first_minute, T0 + minutes):
            one.append(at, minute(candidate), minute(baseline))


def slower(values: Sequence[int], by_ms: int) -> list[int]:
    return [one + by_ms for one in values]


def test_the_stage_that_lost_the_most_milliseconds_comes_first_not_the_one_with_the_most_percent() -> None:
    short = 10 * list(range(90, 110))
    baseline = {"latency": STEADY, FIRST: short, DECODE: STEADY}
    candidate = {"latency": slower(STEADY, 600), FIRST: slower(short, 200), DECODE: slower(STEADY, 400)}
    watches = [watch(P95), stage("first_token_p95"), stage("decode_p95")]
    take(watches, candidate, baseline)
    decode, first = stage_moves(watches[0], watches, T0, T0 + 6)
    assert (decode.stage, first.stage) == ("decode", "first_token")
    assert decode.delta_pct < first.delta_pct
    assert (decode.baseline_ms, decode.candidate_ms) == pytest.approx((1_089, 1_489), rel=0.03)
    for one in (decode, first):
        assert one.lower_pct is not None
        assert one.upper_pct is not None
        assert 0.0 < one.lower_pct <= one.delta_pct <= one.upper_pct
    assert moved_most((first, decode)) == decode


@settings(LAWS, max_examples=60)
@given(
    st.lists(st.integers(1, 20_000), min_size=1, max_size=60),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=60),
    st.sampled_from([("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)]),
)
def test_it_is_the_quantile_of_the_latency_s_limit_whatever_the_stage_s_own_is(
    candidate: list[int], baseline: list[int], asked: tuple[str, float]
) -> None:
    name, quantile = asked
    watches = [watch(objective(name, 15.0)), stage("first_token_p90")]
    take(watches, {"latency": candidate, FIRST: candidate}, {"latency": baseline, FIRST: baseline}, 1)
    (found,) = stage_moves(watches[0], watches, T0, T0 + 1)
    for shown, values in ((found.candidate_ms, candidate), (found.baseline_ms, baseline)):
        plain = sorted(values)[ceil(round(quantile * len(values), 9)) - 1]
        assert plain * (1 - 1e-9) <= shown <= plain * 1.0201


def _elsewhere() -> Watch:
    return stage("first_token_p95", ACME)


def _later() -> Watch:
    return watch(objective("first_token_p95", 15.0), first_minute=T0 + 1)


def _frozen() -> Watch:
    made = stage("first_token_p95")
    made.frozen_minute = T0
    return made


@pytest.mark.parametrize(
    "other",
    [_elsewhere, _later, _frozen, lambda: watch(objective("p99", 15.0)), lambda: watch(objective())],
    ids=["another slice", "later minutes", "another baseline", "no stage", "no latency"],
)
def test_what_is_not_of_the_same_requests_is_left_out(other: Any) -> None:
    watches = [watch(P95), other()]
    take(watches, {"latency": STEADY, FIRST: STEADY}, {"latency": STEADY, FIRST: STEADY})
    assert stage_moves(watches[0], watches, T0, T0 + 6) == ()


def test_a_stage_that_is_held_against_a_frozen_past_too_belongs() -> None:
    watches = [watch(P95), stage("first_token_p95")]
    for one in watches:
        one.frozen_minute = T0 + 5
    take(watches, {"latency": STEADY, FIRST: STEADY}, {"latency": STEADY, FIRST: STEADY})
    assert watches[0].baseline_mode(T0) is BaselineMode.FROZEN
    assert len(stage_moves(watches[0], watches, T0, T0 + 6)) == 1


@pytest.mark.parametrize("metric", ["first_token_p95", "cost_per_request", "task_success"])
def test_only_an_end_to_end_latency_has_stages(metric: str) -> None:
    limit = -2.0 if metric == "task_success" else 15.0
    watches = [watch(objective(metric, limit)), stage("decode_p95")]
    take(watches, {FIRST: STEADY, DECODE: STEADY}, {FIRST: STEADY, DECODE: STEADY})
    assert stage_moves(watches[0], watches, T0, T0 + 6) == ()


@pytest.mark.parametrize("absent", ["candidate", "baseline"])
def test_a_stage_that_an_arm_never_had_is_left_out(absent: str) -> None:
    candidate, baseline = (
        {"latency": STEADY, **({} if arm == absent else {FIRST: STEADY})} for arm in ("candidate", "baseline")
    )
    watches = [watch(P95), stage("first_token_p95")]
    take(watches, candidate, baseline)
    assert stage_moves(watches[0], watches, T0, T0 + 6) == ()
    assert stage_moves(watches[0], watches, T0, T0) == ()


def test_no_more_stages_than_a_request_can_have() -> None:
    names = [f"s{number:02d}" for number in range(STAGES_MAX + 3)]
    watches = [watch(P95), *(stage(f"{name}_p95") for name in names)]
    baseline = {"latency": STEADY, **{f"stage.{name}": STEADY for name in names}}
    candidate = {
        "latency": STEADY,
        **{f"stage.{name}": slower(STEADY, 100 * number) for number, name in enumerate(names)},
    }
    take(watches, candidate, baseline, 1)
    found = stage_moves(watches[0], watches, T0, T0 + 1)
    assert [one.stage for one in found] == names[: -STAGES_MAX - 1 : -1]


def move(name: str, by_ms: float, lower: float | None) -> StageMove:
    return StageMove(name, 1_000.0, 1_000.0 + by_ms, by_ms / 10.0, lower, None)


@pytest.mark.parametrize(
    ("moves", "named"),
    [
        ([], None),
        ([move("a", 100.0, 4.0), move("b", 300.0, 12.0)], "b"),
        ([move("a", 100.0, 4.0), move("b", 300.0, -1.0)], "a"),  # chance may explain the larger one
        ([move("a", 100.0, 0.0)], None),  # no change is not excluded
        ([move("a", 100.0, None)], None),
        ([move("a", -400.0, -60.0), move("b", -10.0, -3.0)], None),  # faster is no harm
    ],
)
def test_named_is_only_a_slowdown_that_chance_does_not_explain(
    moves: list[StageMove], named: str | None
) -> None:
    found = moved_most(moves)
    assert (found and found.stage) == named


@pytest.mark.parametrize(
    ("by_ms", "lower_pct", "is_slower"),
    [
        (0.0, 1.0, False),
        (-0.5, 1.0, False),
        (0.5, 1.0, True),
        (0.5, 0.0, False),
        (0.5, None, False),
    ],
)
def test_only_a_stage_that_takes_longer_is_slower(
    by_ms: float, lower_pct: float | None, is_slower: bool
) -> None:
    moved = StageMove("decode", 100.0, 100.0 + by_ms, by_ms, lower_pct, 9.0)
    assert moved_most([moved]) == (moved if is_slower else None)
