"""What pairs show, and where they stand against a budget: hand-made tables, and brute force beside the sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import Objective, Unit
from monitor.core.cohort import OVERALL
from monitor.core.indicator import Direction
from monitor.core.pairing import Pair, Side
from monitor.core.shadow import Shown, show
from monitor.core.shadow_budget import Held, Verdict, hold, judge
from monitor.core.shadow_tally import NAMES_MAX, VALUES_HELD, VALUES_SHOWN, Names, Slices
from monitor.core.stats.intervals import Interval
from monitor.core.stats.limit import Limit
from tests.engine.worlds import ACME, BASELINE, CANDIDATE, LAWS, START_MS, budget, incidents, objective, seen


def pair(
    candidate: dict[str, Any] | None = None, baseline: dict[str, Any] | None = None, **both: Any
) -> Pair:
    c = seen("c", START_MS, CANDIDATE, **{**both, **(candidate or {})})
    b = seen("b", START_MS, BASELINE, **{**both, **(baseline or {})})
    return Pair(Side(c), Side(b))


def added(pairs: Iterable[Pair], **more: Any) -> Slices:
    slices = Slices(**more)
    for one in pairs:
        slices.add(one)
    return slices


def shown(pairs: Iterable[Pair], **directions: Direction) -> Shown:
    return show(added(pairs).overall, {f"outcome.{name}": way for name, way in directions.items()})


def successes(both: int, only_c: int, only_b: int, neither: int) -> list[Pair]:
    table = ((both, True, True), (only_c, True, False), (only_b, False, True), (neither, False, False))
    return [pair({"task_success": c}, {"task_success": b}) for count, c, b in table for one in range(count)]


def held(one: Objective, pairs: Iterable[Pair]) -> Held:
    (found,) = hold(budget(one), added(pairs, views=one.views()))
    return found


def test_a_rate_says_who_was_bad() -> None:
    """Where true is good, and where it is bad."""
    good = shown(successes(80, 5, 12, 3)).rates[0]
    assert (good.name, good.both_good, good.only_candidate_bad, good.only_baseline_bad, good.both_bad) == (
        "task_success",
        *(80, 12, 5, 3),
    )
    assert (good.delta_points, good.delta_percent) == pytest.approx((-7.0, 100.0 * (85 / 92 - 1.0)))
    rows = [pair({"refusal": c}, {"refusal": b}) for c, b in ((True, False), (True, True), (False, False))]
    bad = shown(rows).rates[0]
    assert (bad.both_good, bad.only_candidate_bad, bad.only_baseline_bad, bad.both_bad) == (1, 1, 0, 1)


def test_what_one_arm_does_not_know_is_not_compared() -> None:
    rows = [pair({"task_success": False}), pair({}, {"task_success": False}), pair(task_success=True)]
    assert shown(rows).rates[0].pairs == 1
    assert {one.name for one in shown([pair()]).rates} == {"error", "timeout"}
    assert shown([]) == Shown(0, (), (), {})


def test_which_way_a_named_outcome_is_worse_is_the_budget_s_to_say() -> None:
    rows = [pair({"outcomes": {"leaked": True}}, {"outcomes": {"leaked": False}})]
    (assumed,) = (one for one in shown(rows).rates if one.name == "outcome.leaked")
    assert (assumed.is_assumed, assumed.only_baseline_bad) == (True, 1)
    (told,) = (
        one for one in shown(rows, leaked=Direction.HIGHER_IS_WORSE).rates if one.name == "outcome.leaked"
    )
    assert (told.is_assumed, told.only_candidate_bad) == (False, 1)


def test_a_failed_request_has_no_latency_and_a_timeout_is_slower_than_all() -> None:
    rows = [
        pair({"latency_ms": 200}, {"latency_ms": 100}),
        pair({"latency_ms": 1, "status": "error"}, {"latency_ms": 100}),
        pair({"status": "timeout"}, {"latency_ms": 100}),
        pair({"latency_ms": 100}, {"status": "timeout"}),
        pair(status="timeout"),
    ]
    (latency,) = shown(rows).sizes
    assert (latency.pairs, latency.unfinished, latency.ratio.pairs) == (4, 1, 3)
    assert latency.ratio.median == pytest.approx(100.0, abs=1.0)  # between minus and plus infinity
    assert [one.candidate for one in latency.quantiles][1] == inf
    rates = {one.name: one for one in shown(rows).rates}
    assert (rates["error"].only_candidate_bad, rates["timeout"].both_bad) == (1, 1)


def test_stages_cost_and_tokens_are_compared_where_both_have_them() -> None:
    rows = [
        pair(
            {
                "cost_usd": 0.02,
                "tokens_in": 100,
                "tokens_out": 50,
                "stage_ms": {"model": 300.0, "rerank": 5.0},
            },
            {"cost_usd": 0.01, "tokens_in": 100, "tokens_out": 100, "stage_ms": {"model": 100.0}},
        )
    ]
    cost, tokens, model = shown(rows).sizes
    assert [one.source for one in (cost, tokens, model)] == ["cost", "tokens", "stage.model"]
    assert cost.mean is not None
    assert cost.mean.candidate == 20_000
    assert cost.mean.delta == pytest.approx(100.0)
    assert tokens.ratio.median == pytest.approx(-25.0, abs=0.3)
    assert model.ratio.median == pytest.approx(200.0, abs=0.8)
    assert model.mean is None


def test_incidents_are_counted_by_severity() -> None:
    rows = [
        pair({"incident_severity": "high"}),
        pair({"incident_severity": "low"}, {"incident_severity": "high"}),
    ]
    assert shown(rows).incidents == {"high": (1, 1), "low": (1, 0)}


@LAWS
@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(1, 10**6), st.integers(1, 10**6)), max_size=40
    )
)
def test_values_of_a_dimension_add_up_to_everybody(rows: list[tuple[bool, bool, int, int]]) -> None:
    pairs = [
        pair(
            {"task_success": c, "tokens_in": x, "tokens_out": 0},
            {"task_success": b, "tokens_in": y, "tokens_out": 0},
        )
        for c, b, x, y in rows
    ]
    for number, one in enumerate(pairs):
        one.baseline.event.cohort = {"tenant": f"t{number % 3}"}  # type: ignore[misc]  # the record itself may change
    slices = added(pairs, by="tenant")
    values, rest = slices.most()
    whole = added([]).overall
    for _, tally in values:
        whole.merge(tally)
    assert rest is None
    assert show(whole, {}) == show(slices.overall, {})


def test_at_most_fifty_values_are_shown_by_themselves() -> None:
    """Those with the most pairs; what came when too many were held is in the rest too."""
    many = VALUES_HELD + 20
    tenants = [f"t{n}" for n in range(many)] + ["t7"] * 3 + [f"t{many - 1}"] * 5
    values, rest = added((pair(cohort={"tenant": one}) for one in tenants), by="tenant").most()
    assert len(values) == VALUES_SHOWN
    assert (values[0][0], values[0][1].pairs) == ("t7", 4)
    assert rest is not None
    assert rest.pairs == len(tenants) - sum(tally.pairs for _, tally in values)
    assert added([pair()], by="tenant").most()[0][0][0] == ""  # pairs without a value are one


def test_names_are_bounded_and_a_budget_s_are_kept() -> None:
    names = Names(["outcome.kept", "task_success"])
    slices = Slices(names=names)
    for number in range(NAMES_MAX + 10):
        slices.add(pair(outcomes={f"n{number}": True}))
    slices.add(pair(outcomes={"kept": True}))
    found = [one for one in slices.overall.rates if one.startswith("outcome.")]
    assert (len(found), names.left_out, "outcome.kept" in found) == (NAMES_MAX + 1, 10, True)


LIMIT = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 10.0)
FALL = Limit(Direction.LOWER_IS_WORSE, Unit.POINTS, -2.0)


@pytest.mark.parametrize(
    ("limit", "low", "high", "expected"),
    [
        (LIMIT, 1.0, 9.0, "within"),
        (LIMIT, None, 10.0, "within"),  # equality is no breach
        (LIMIT, 10.0, 12.0, "inconclusive"),
        (LIMIT, 10.1, None, "beyond"),
        (LIMIT, 5.0, 11.0, "inconclusive"),
        (LIMIT, None, None, "inconclusive"),
        (FALL, -2.0, 1.0, "within"),
        (FALL, -1.0, None, "within"),
        (FALL, None, -2.1, "beyond"),
        (FALL, -3.0, -2.0, "inconclusive"),
        (FALL, -3.0, 5.0, "inconclusive"),
    ],
)
def test_where_an_interval_lies(limit: Limit, low: float | None, high: float | None, expected: str) -> None:
    assert judge(limit, Interval(low, high, 0.95)) is Verdict(expected)


def test_a_rate_is_held_against_its_limit() -> None:
    points = objective("task_success", -2.0, unit=Unit.POINTS)
    assert held(points, successes(900, 10, 10, 80)).verdict is Verdict.WITHIN
    assert held(points, successes(800, 10, 90, 100)).verdict is Verdict.BEYOND
    percent = objective("task_success", -2.0)
    open_ = held(percent, successes(80, 5, 5, 10))
    assert open_.verdict is Verdict.INCONCLUSIVE
    assert open_.more_pairs is not None
    share = (100 + open_.more_pairs) / 100  # so many pairs like these decide; whole pairs are rounded
    for scale, verdict in ((share * 1.05, Verdict.WITHIN), (share * 0.95, Verdict.INCONCLUSIVE)):
        scaled = [round(100 * scale * one) for one in (0.8, 0.05, 0.05, 0.1)]
        assert held(percent, successes(*scaled)).verdict is verdict


def test_what_lies_on_its_limit_is_never_decided() -> None:
    found = held(objective("task_success", -2.0, unit=Unit.POINTS), successes(90, 0, 2, 8))
    assert found.delta == pytest.approx(-2.0)
    assert (found.verdict, found.more_pairs) == (Verdict.INCONCLUSIVE, None)


def test_quantiles_and_means_are_held_too() -> None:
    slower = [
        pair(
            {"latency_ms": 150 + n % 50, "tokens_in": 150 + n % 50, "tokens_out": 0},
            {"latency_ms": 100 + n % 50, "tokens_in": 100 + n % 50, "tokens_out": 0},
        )
        for n in range(600)
    ]
    for metric in ("p95", "p50", "tokens_per_request"):
        assert held(objective(metric, 15.0), slower).verdict is Verdict.BEYOND
        assert held(objective(metric, 90.0), slower).verdict is Verdict.WITHIN
        assert held(objective(metric, 15.0), slower[:5]).verdict is Verdict.INCONCLUSIVE
    assert held(objective("retrieval_p95", 15.0), slower).why == "no pair knows it in both arms"


def test_what_nobody_measured_is_never_within() -> None:
    for metric in ("task_success", "p95", "model_p95", "cost_per_request", "outcome.grounded"):
        limit = -5.0 if metric in ("task_success", "outcome.grounded") else 5.0
        found = held(objective(metric, limit), [pair()] * 3)
        assert (found.verdict, found.pairs, found.delta) == (Verdict.INCONCLUSIVE, 0, None)


def test_nothing_is_in_percent_of_nothing() -> None:
    rows = [pair({"refusal": True}, {"refusal": False})] * 50
    found = held(objective("refusal", 5.0), rows)
    assert (found.verdict, found.why[:20]) == (Verdict.INCONCLUSIVE, "the baseline has non")
    assert held(objective("refusal", 5.0, unit=Unit.POINTS), rows).verdict is Verdict.BEYOND


def test_a_budget_may_ask_for_more_pairs() -> None:
    asked = replace(objective("task_success", -5.0), min_samples=1_200)
    found = held(asked, successes(900, 10, 10, 80))
    assert (found.verdict, found.more_pairs) == (Verdict.INCONCLUSIVE, 200)


def test_incidents_are_said_not_to_be_compared() -> None:
    found = held(incidents(), [pair({"incident_severity": "high"})])
    assert found.verdict is Verdict.NOT_COMPARED
    assert "counted" in found.why


def test_a_slice_is_held_by_its_own_pairs() -> None:
    acme = objective("task_success", -5.0, critical_cohorts=(ACME,))
    good, bad = successes(300, 0, 0, 0), successes(20, 0, 180, 0)
    for one in bad:
        one.baseline.event.cohort = {"tenant": "acme"}  # type: ignore[misc]  # the record itself may change
    overall, slice_ = hold(budget(acme), added(good + bad, views=acme.views()))
    assert (overall.view, overall.pairs, slice_.view, slice_.pairs) == (OVERALL, 500, ACME, 200)
    assert slice_.delta == pytest.approx(-90.0)
