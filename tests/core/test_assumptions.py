"""What a plan takes for granted: what may be given, what stands for the rest, and what a recording says of it."""

from __future__ import annotations

from math import inf, nan

import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.assumptions import (
    DEFAULT_OUTCOME,
    DEFAULT_RATES,
    Base,
    Fact,
    Origin,
    assumable,
    base_of,
    complaint,
)
from monitor.core.indicator import INCIDENTS
from monitor.core.outlook_words import span_words
from monitor.core.sketch import Sketch, upper_edge
from tests.engine.worlds import budget, cell, incidents, objective


@pytest.mark.parametrize(
    ("name", "value", "may_be"),
    [
        ("task_success_coverage", 0.0, False),
        ("task_success_coverage", 1.0, True),
        ("task_success", 0.0, True),
        ("task_success", 1.01, False),
        ("outcome.grounded", 1.01, False),
        ("p95", 0.0, False),
        ("p95", 1e9, True),
        ("p95", 1.1e9, False),
        ("p95", inf, False),
        ("p95", nan, False),
    ],
)
def test_a_given_value_has_its_range(name: str, value: float, may_be: bool) -> None:
    assert (complaint(name, value) is None) is may_be


def test_what_is_taken_for_granted_could_be_given() -> None:
    assert {
        name: complaint(name, rate) for name, rate in DEFAULT_RATES.items() if complaint(name, rate)
    } == {}
    assert all(0.0 < rate < 1.0 for rate in DEFAULT_OUTCOME.values())


@pytest.mark.parametrize(
    ("metric", "unit"), [("p95", "ms"), ("cost_per_request", "USD"), ("tokens_per_request", "tokens")]
)
def test_a_value_is_asked_for_in_the_unit_that_people_use(metric: str, unit: str) -> None:
    assert assumable(budget(objective(metric, 15.0)))[metric] == f"the baseline's value in {unit}"


def test_incidents_that_nobody_recorded_are_none() -> None:
    fact = Fact(INCIDENTS, 0.0, Origin.DEFAULT)
    assert base_of(incidents(), None, {}) == Base(None, 0.0, 1.0, None, (fact,))
    assert base_of(incidents(), cell(200, incidents=1), {}).value == 0.005


@pytest.mark.parametrize(("bins", "at"), [({500: 1, 600: 1}, 500), ({500: 1, 600: 2}, 600), ({500: 3}, 500)])
def test_a_recorded_quantile_is_the_bin_at_its_rank(bins: dict[int, int], at: int) -> None:
    recorded = Aggregate()
    recorded.requests = sum(bins.values())
    recorded.sketches["latency"] = Sketch(bins)
    found = base_of(objective("p50", 15.0), recorded, {})
    assert found.value == pytest.approx(upper_edge(at) / 1_000)  # milliseconds
    assert found.samples == recorded.requests


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (119, "119 min"),
        (120, "2 h"),
        (121, "2 h 1 min"),
        (2_879, "47 h 59 min"),
        (2_880, "2 d"),
        (4_560, "3 d 4 h"),
    ],
)
def test_minutes_as_people_say_them(minutes: int, words: str) -> None:
    assert span_words(minutes) == words
