"""Rehearsed traffic shows exactly what its script states, at every point of the way, on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import decode
from monitor.core.cohort import Role, cohort_key
from monitor.core.traffic_script import Slice, Stretch, TrafficScript
from monitor.engine.rehearsed_traffic import START_MS, rehearsed

F = Fraction
B, C = Role.BASELINE, Role.CANDIDATE
Event = dict[str, Any]


def script(
    values: Mapping[str, F], *, minutes: int = 10, rate: int = 120, share: str = "1/10", **incidents: int
) -> TrafficScript:
    stretch = Stretch(
        minutes=minutes,
        per_min=F(rate),
        candidate_share=F(share),
        values={(role, ""): values for role in Role},
        incidents={(C, None): incidents.get("incidents", 0)},
    )
    return TrafficScript((Slice(),), (stretch,))


def events(script: TrafficScript, seed: str = "a test") -> list[Event]:
    return [json.loads(line) for line in rehearsed(script, release="v2", baseline="v1", seed=seed)]


def of(release: str, all_: list[Event]) -> list[Event]:
    return [one for one in all_ if one["release"] == release]


EVERYTHING = {
    "task_success": F("0.9"), "parse_failures": F("0.01"), "citation_validity": F("0.97"), "refusal": F("0.02"),
    "abstention": F("0.03"), "human_handoff": F("0.05"), "user_retry": F("0.07"), "tool_success": F("0.98"),
    "fallback": F("0.04"), "error": F("0.02"), "timeout": F("0.01"), "outcome.grounded": F("0.95"),
    "p50": F(800), "p95": F(2000), "retrieval_p95": F(300), "first_token_p50": F(120),
    "cost_per_request": F("0.004"), "tokens_per_request": F(900),
}  # fmt: skip


def test_every_event_is_one_that_the_product_accepts() -> None:
    lines = list(rehearsed(script(EVERYTHING, incidents=3), release="v2", baseline="v1", seed="x"))
    assert len(lines) == 1_200
    assert [line for line in lines if isinstance(decode(line), str)] == []


def test_the_same_seed_gives_the_same_bytes_everywhere() -> None:
    """The digest is a promise to people whose tests pass on another machine: it changes only on purpose."""
    lines = list(rehearsed(script(EVERYTHING, incidents=3), release="v2", baseline="v1", seed="x"))
    assert lines == list(rehearsed(script(EVERYTHING, incidents=3), release="v2", baseline="v1", seed="x"))
    labels = [
        (one["at"], one["release"], one["task_success"], one.get("status"), one["outcomes"]["grounded"])
        for one in map(json.loads, lines)
    ]
    digest = hashlib.sha256(json.dumps(labels).encode()).hexdigest()
    assert digest[:16] == "421a81974ed099f6"


def test_another_seed_only_moves_the_schedules() -> None:
    one, other = (events(script({"task_success": F("0.9")}), seed) for seed in ("one", "other"))
    assert one != other
    assert [event["at"] for event in one] == [event["at"] for event in other]
    hits = [sum(event["task_success"] for event in of("v1", each)) for each in (one, other)]
    assert all(abs(count - 972) <= 1 for count in hits)


@given(
    rate=st.fractions(0, 1, max_denominator=1_000),
    share=st.fractions("1/100", "99/100", max_denominator=100),
    per_min=st.integers(1, 90),
)
@settings(max_examples=40, deadline=None)
def test_a_rate_holds_at_every_point_of_the_way(rate: F, share: F, per_min: int) -> None:
    """Of the first n requests of an arm, p*n show it, never more than one off."""
    made = events(script({"task_success": rate}, rate=per_min, share=str(share)))
    assert len(made) == per_min * 10
    for number in range(1, len(made) + 1, 7):
        assert abs(len(of("v2", made[:number])) - share * number) <= 1
    for release in ("v1", "v2"):
        hits = 0
        for number, event in enumerate(of(release, made), 1):
            hits += event["task_success"]
            assert abs(hits - rate * number) <= 1 + F(1, 10**6) * number


def test_errors_and_timeouts_are_told_apart_and_have_no_latency() -> None:
    made = events(script({"error": F("0.05"), "timeout": F("0.1"), "p95": F(2000)}, minutes=20))
    statuses = [one.get("status", "ok") for one in of("v1", made)]
    assert (abs(statuses.count("error") - 108) <= 1, abs(statuses.count("timeout") - 216) <= 2) == (
        True,
        True,
    )
    assert all(("latency_ms" in one) == ("status" not in one) for one in made)


@pytest.mark.parametrize("stated", [{"p95": 2000}, {"p50": 800, "p95": 2000}, {"p90": 500, "p99": 5000}])
def test_latencies_have_the_stated_quantiles(stated: dict[str, int]) -> None:
    made = events(script({name: F(value) for name, value in stated.items()}, minutes=30))
    latencies = sorted(one["latency_ms"] for one in of("v1", made))
    for name, value in stated.items():
        rank = int(len(latencies) * int(name[1:]) / 100)
        assert latencies[rank] == pytest.approx(value, rel=0.03)


def test_costs_and_tokens_have_the_stated_mean_and_a_spread() -> None:
    made = of(
        "v1", events(script({"cost_per_request": F("0.004"), "tokens_per_request": F(900)}, minutes=30))
    )
    costs = [one["cost_usd"] for one in made]
    tokens = [one["tokens_in"] + one["tokens_out"] for one in made]
    assert sum(costs) / len(costs) == pytest.approx(0.004, rel=0.01)
    assert sum(tokens) / len(tokens) == pytest.approx(900, rel=0.01)
    assert max(costs) > 2 * min(costs)


def test_stages_and_outcomes_stand_where_events_have_them() -> None:
    one = events(script({"retrieval_p95": F(300), "outcome.grounded": F(1)}))[0]
    assert (list(one["stage_ms"]), one["outcomes"]) == (["retrieval"], {"grounded": True})
    assert "latency_ms" not in one


@pytest.mark.parametrize("count", [1, 2, 5])
def test_incidents_are_as_many_as_stated_and_evenly_spread(count: int) -> None:
    made = of("v2", events(script({}, incidents=count)))
    minutes = [(one["at"] - START_MS) / 60_000 for one in made if one.get("incident_severity") == "critical"]
    assert len(minutes) == count
    for number, minute in enumerate(minutes):
        assert minute == pytest.approx((number + 0.5) * 10 / count, abs=0.2)


def test_slices_get_their_share_of_both_arms_and_their_own_values() -> None:
    acme = Slice("acme", cohort_key({"tenant": "acme"}), F("1/4"))
    values = {(role, name): {"task_success": F(name == "")} for role in Role for name in ("acme", "")}
    stretch = Stretch(10, F(120), F("1/2"), values, {(C, "acme"): 2})
    made = events(TrafficScript((acme, Slice(share=F("3/4"))), (stretch,)))
    for release in ("v1", "v2"):
        there = [one for one in of(release, made) if one.get("cohort") == {"tenant": "acme"}]
        assert abs(len(there) - 150) <= 1
        assert not any(one["task_success"] for one in there)
        assert all(one["task_success"] for one in of(release, made) if "cohort" not in one)
    struck = [one for one in made if "incident_severity" in one]
    assert [one["cohort"] for one in struck] == [{"tenant": "acme"}] * 2


def test_a_rate_that_is_no_whole_number_a_minute_and_no_traffic_at_all() -> None:
    slow = Stretch(60, F(1, 3), F("1/2"), {(role, ""): {} for role in Role})
    silent = Stretch(60, F(0), F("1/2"), {(role, ""): {} for role in Role})
    made = events(TrafficScript((Slice(),), (silent, slow)))
    assert len(made) == 20
    assert made[0]["at"] == START_MS + 61 * 60_000 + 30_000
