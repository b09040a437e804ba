"""What a plan takes for granted: what may be given, what stands for the rest, and what a recording says of it."""

from __future__ import annotations

from math import inf, log, nan, nextafter

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
    phi_of,
    taken,
)
from monitor.core.budget import Objective
from monitor.core.indicator import INCIDENTS, LABELS
from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, Sketch, upper_edge
from monitor.core.stats.planning import RateShape, SketchShape
from tests.engine.worlds import budget, cell, handoff, incidents, objective


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


@pytest.mark.parametrize(
    ("bins", "at"),
    [
        ({500: 1, 600: 1}, 500),
        ({500: 1, 600: 2}, 600),
        ({500: 3}, 500),
        ({LAST_BIN: 3}, LAST_BIN),
        ({500: 10**8, 600: 10**8}, 500),  # where rounding takes away what guards against it
    ],
)
def test_a_recorded_quantile_is_the_bin_at_its_rank(bins: dict[int, int], at: int) -> None:
    recorded = Aggregate()
    recorded.requests = sum(bins.values())
    recorded.sketches["latency"] = Sketch(bins)
    found = base_of(objective("p50", 15.0), recorded, {})
    assert found.value == pytest.approx(upper_edge(at) / 1_000)  # milliseconds
    assert found.samples == recorded.requests


P95 = objective("p95", 15.0)
COST = objective("cost_per_request", 10.0)
TOKENS = objective("tokens_per_request", 10.0)


@pytest.mark.parametrize(
    ("name", "least", "most", "is_least_in", "why"),
    [
        ("phi", 1.0, 1e300, True, "below 1, which is what independent requests have"),
        ("p95_sigma", 0.0, 3.0, False, "out of range; above 0, at most 3"),
        ("outcome.two_sigma", 0.0, 1.0, True, "no share; 0 to 1, or 5% for 0.05"),  # a label of that name
        ("outcome.grounded_coverage", 0.0, 1.0, False, "no share; above 0, at most 1"),
        (INCIDENTS, 0.0, 1.0, True, "no share; 0 to 1, or 5% for 0.05"),
        ("refusal", 0.0, 1.0, True, "no share; 0 to 1, or 5% for 0.05"),
        ("p95", 0.0, 1e9, False, "out of range; above 0, at most 1e9"),
    ],
)
def test_the_edges_of_every_range_are_in_it_or_named(
    name: str, least: float, most: float, is_least_in: bool, why: str
) -> None:
    assert complaint(name, most) is None
    assert complaint(name, nextafter(least, inf)) is None
    assert (complaint(name, least) is None) is is_least_in
    assert complaint(name, least - 0.5) == f"{least - 0.5:g} is {why}"
    assert complaint(name, inf) == "inf is not finite"
    if most < 1e300:
        assert complaint(name, most * 1.5) == f"{most * 1.5:g} is {why}"
        assert complaint(name, nextafter(most, inf)) is not None


def test_the_names_that_may_be_given_are_those_that_the_budget_asks_about() -> None:
    assert assumable(budget(incidents(), objective(), P95)) == {
        "phi": "over-dispersion, 1 or more",
        INCIDENTS: "incidents per request of the baseline",
        "task_success": "the baseline's rate, 0 to 1",
        "task_success_coverage": "share of the requests that carry it",
        "p95": "the baseline's value in ms",
        "p95_coverage": "share of the requests that carry it",
        "p95_sigma": "its spread on the natural log scale, up to 3",
    }


def test_a_given_value_wins_over_the_recording_and_the_recording_over_the_default() -> None:
    name, recorded = "task_success", cell(200, task_success=150)
    cover, half = Fact(name + "_coverage", 0.5, Origin.GIVEN), {name + "_coverage": 0.5}
    for held, given, rate, samples in (
        (None, {}, Fact(name, 0.9, Origin.DEFAULT), None),
        (recorded, {}, Fact(name, 0.75, Origin.HISTORY), 200),
        (recorded, {name: 0.6}, Fact(name, 0.6, Origin.GIVEN), None),
    ):
        shape = RateShape(rate.value)
        assert base_of(objective(), held, given) == Base(shape, rate.value, 1.0, samples, (rate,))
        told = base_of(objective(), held, given | half)
        assert told == Base(shape, rate.value, 0.5, samples, (rate, cover))


def test_incidents_that_are_given_win_over_the_recorded_ones() -> None:
    def base(value: float, samples: int | None, origin: Origin) -> Base:
        return Base(None, value, 1.0, samples, (Fact(INCIDENTS, value, origin),))

    assert base_of(incidents(), cell(200, incidents=1), {}) == base(0.005, 200, Origin.HISTORY)
    assert base_of(incidents(), cell(200, incidents=1), {INCIDENTS: 0.25}) == base(0.25, None, Origin.GIVEN)
    assert base_of(incidents(), Aggregate(), {}) == base(0.0, None, Origin.DEFAULT)


@pytest.mark.parametrize(("known", "coverage"), [(50, 0.25), (200, 1.0), (300, 1.0)])
def test_the_recorded_coverage_is_the_share_of_requests_with_the_label(known: int, coverage: float) -> None:
    """Labels that come later than their requests may be more than those: all of them then."""
    recorded = cell(200)
    recorded.known[0], recorded.hits[0] = known, known
    found = base_of(objective(LABELS[0]), recorded, {})
    facts = (Fact(LABELS[0], 1.0, Origin.HISTORY),)
    partly = (Fact(f"{LABELS[0]}_coverage", coverage, Origin.HISTORY),) if coverage < 1.0 else ()
    assert found == Base(RateShape(1.0), 1.0, coverage, known, facts + partly)


def test_labels_of_which_the_requests_were_not_recorded_are_of_them_all() -> None:
    recorded = cell(0)
    recorded.known[0] = 1
    assert base_of(objective(LABELS[0]), recorded, {}).coverage == 1.0


@pytest.mark.parametrize(
    ("judged", "value"),
    [(COST, 0.55), (TOKENS, 550_000.0), (objective("p50", 9.0), upper_edge(650) / 1e3)],
)
def test_a_recorded_value_is_of_the_finished_requests_in_the_unit_people_use(
    judged: Objective, value: float
) -> None:
    """A mean is of those that finished; of a quantile the others are the slowest."""
    recorded = Aggregate()
    recorded.requests = 10
    kept = Sketch({640: 1, 650: 2, LAST_BIN: 1, UNFINISHED_BIN: 1}, 2_200_000)
    recorded.sketches[judged.indicator.source] = kept
    name = judged.indicator.name
    facts = (Fact(name, value, Origin.HISTORY), Fact(f"{name}_coverage", 0.5, Origin.HISTORY))
    found = base_of(judged, recorded, {})
    assert found == Base(SketchShape((kept,)), value, 0.5, 5, facts)


def test_a_quantile_among_unfinished_requests_is_infinite_and_of_them_alone_nothing_is_known() -> None:
    recorded = Aggregate()
    recorded.requests = 10
    recorded.sketches["latency"] = Sketch({500: 9, UNFINISHED_BIN: 1})
    assert base_of(P95, recorded, {}).value == inf
    recorded.sketches["latency"] = Sketch({UNFINISHED_BIN: 10})
    found = base_of(P95, recorded, {})
    assert (found.value, found.samples) == (None, None)
    assert found.facts == (Fact("p95_sigma", 0.8, Origin.DEFAULT),)
    recorded.sketches["latency"] = Sketch({500: 10})
    for given in ({"p95": 100.0}, {"p95_sigma": 0.5}):
        assert base_of(P95, recorded, given).samples is None


@pytest.mark.parametrize(
    ("judged", "said", "per_unit"), [(P95, 1_500.0, 1e3), (COST, 0.02, 1e6), (TOKENS, 4_000.0, 1.0)]
)
@pytest.mark.parametrize("sigma", [None, 0.5])
def test_a_distribution_that_is_assumed_has_the_value_that_was_given(
    judged: Objective, said: float, per_unit: float, sigma: float | None
) -> None:
    name = judged.indicator.name
    given = {name: said} if sigma is None else {name: said, f"{name}_sigma": sigma}
    found = base_of(judged, None, given)
    default = 0.8 if judged is P95 else 1.0
    spread = Fact(f"{name}_sigma", sigma or default, Origin.GIVEN if sigma else Origin.DEFAULT)
    assert (found.value, found.coverage, found.samples) == (said, 1.0, None)
    assert found.facts == (Fact(name, said, Origin.GIVEN), spread)
    assert isinstance(found.shape, SketchShape)
    for made in found.shape.sketches:
        assert value_of(judged, made) / per_unit == pytest.approx(said, rel=0.045)  # two bins
        assert spread_of(made) == pytest.approx(spread.value, rel=0.03)


def spread_of(made: Sketch) -> float:
    """The standard deviation of the logarithms, from the p95 and the median of a lognormal."""
    return log(value_of(P95, made) / value_of(objective("p50", 9.0), made)) / 1.6449


def value_of(judged: Objective, made: Sketch) -> float:
    """The mean, or the quantile: counted out over the bins."""
    if judged.indicator.quantile is None:
        return made.total / made.count
    left = judged.indicator.quantile * made.count
    for index in sorted(made.bins):
        left -= made.bins[index]
        if left <= 0:
            return upper_edge(index)
    return inf


@pytest.mark.parametrize(("judged", "sigma"), [(P95, 0.8), (COST, 1.0)])
def test_of_a_distribution_that_nobody_knows_only_the_shape_is_assumed(
    judged: Objective, sigma: float
) -> None:
    found = base_of(judged, None, {})
    name = judged.indicator.name
    assert (found.value, found.samples) == (None, None)
    assert found.facts == (Fact(f"{name}_sigma", sigma, Origin.DEFAULT),)
    assert isinstance(found.shape, SketchShape)
    for made in found.shape.sketches:
        assert spread_of(made) == pytest.approx(sigma, rel=0.03)


def test_a_plan_names_what_nobody_recorded_once_each_phi_first() -> None:
    bases = [base_of(one, cell(200, human_handoff=9), {}) for one in (objective(), handoff(), objective())]
    success = Fact("task_success", 0.9, Origin.DEFAULT)
    assert taken(phi_of({}), bases) == (Fact("phi", 1.0, Origin.DEFAULT), success)
    assert taken(phi_of({"phi": 1.5}), []) == (Fact("phi", 1.5, Origin.GIVEN),)
