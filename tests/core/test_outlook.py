"""What a plan says before there is traffic: what would be enough, which unit was meant, and where it warns."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.assumptions import Base, Fact, Origin
from monitor.core.budget import EvidenceMode, Objective, Unit
from monitor.core.forecast import Forecast, Remark, Traffic
from monitor.core.outlook import outlook
from monitor.core.stats.planning import RateShape, Split
from tests.engine.worlds import budget, incidents, objective

PHI = Fact("phi", 1.0, Origin.DEFAULT)


def planned(
    judged: Objective,
    rate: float,
    *,
    requests_per_s: float = 10.0,
    share: float = 0.05,
    coverage: float = 1.0,
    samples: int | None = None,
) -> Forecast:
    base = Base(RateShape(rate), rate, coverage, samples, ())
    traffic = Traffic(requests_per_s, Split(share), {})
    (found,) = outlook(budget(judged), traffic, lambda *_: base, PHI).forecasts
    return found


def handoff(limit: float, unit: Unit = Unit.PERCENT, **more: Any) -> Objective:
    return objective("human_handoff", limit, unit=unit, hold=20, **{"evidence": EvidenceMode.DEFAULT, **more})


@pytest.mark.parametrize(
    ("limit", "unit", "rate", "is_odd"),
    [
        (4.0, Unit.PERCENT, 0.2, True),  # 0.8 points
        (4.0, Unit.PERCENT, 0.201, False),
        (8.0, Unit.PERCENT, 0.1245, True),  # 0.996 points
        (8.0, Unit.PERCENT, 0.125, False),  # a point
        (25.0, Unit.PERCENT, 0.03, True),
        (25.1, Unit.PERCENT, 0.03, False),
        (20.0, Unit.POINTS, 0.02, True),  # elevenfold
        (20.0, Unit.POINTS, 0.0201, False),
        (20.0, Unit.POINTS, 0.0, False),  # of no rate there are no percent
    ],
)
def test_the_other_unit_is_proposed_where_this_one_means_hardly_anything_or_far_too_much(
    limit: float, unit: Unit, rate: float, is_odd: bool
) -> None:
    found = planned(handoff(limit, unit), rate, requests_per_s=1.0)
    assert (found.swap is not None) is (Remark.UNIT in found.remarks) is is_odd


def test_the_share_that_is_enough_is_the_least_of_4096_steps_to_an_even_split() -> None:
    judged = handoff(8.0)
    enough = planned(judged, 0.05).enough_share
    assert enough is not None
    step = (0.5 - 0.05) / 4_096
    assert (enough - 0.05) / step == pytest.approx(round((enough - 0.05) / step), abs=1e-6)
    assert Remark.UNDECIDABLE not in planned(judged, 0.05, share=enough).remarks
    less = planned(judged, 0.05, share=enough - 1.001 * step)
    assert Remark.UNDECIDABLE in less.remarks


def test_the_traffic_that_is_enough_is_the_least_to_a_part_in_70_000() -> None:
    judged = handoff(8.0)
    enough = planned(judged, 0.05).enough_requests_per_s
    assert enough is not None
    assert Remark.UNDECIDABLE not in planned(judged, 0.05, requests_per_s=enough).remarks
    less = planned(judged, 0.05, requests_per_s=enough / 1.0000133)
    assert Remark.UNDECIDABLE in less.remarks


def test_where_not_even_half_of_the_traffic_is_enough_no_share_is() -> None:
    found = planned(handoff(8.0), 0.05, requests_per_s=0.01)
    assert Remark.UNDECIDABLE in found.remarks
    assert found.enough_share is None


@pytest.mark.parametrize(("coverage", "requests"), [(1.0, 100), (0.5, 200)])
def test_the_letter_needs_its_least_samples_and_not_one_more(coverage: float, requests: int) -> None:
    judged = handoff(8.0, evidence=EvidenceMode.OFF, min_samples=100)
    assert {one.requests for one in planned(judged, 0.05, coverage=coverage).harms} == {requests}


def test_twice_the_traffic_of_which_half_has_the_label_shows_the_same_harm() -> None:
    whole = planned(handoff(8.0), 0.05)
    half = planned(handoff(8.0), 0.05, requests_per_s=20.0, coverage=0.5)
    assert whole.smallest is not None
    assert half.smallest is not None
    assert half.smallest.multiple == pytest.approx(whole.smallest.multiple)


@pytest.mark.parametrize(("samples", "warns"), [(None, False), (999, True), (1_000, False)])
def test_a_recording_of_fewer_than_a_thousand_is_named(samples: int | None, warns: bool) -> None:
    assert (Remark.FEW_SAMPLES in planned(handoff(8.0), 0.05, samples=samples).remarks) is warns


@pytest.mark.parametrize(("rate", "per_day"), [(0.0, 0.0), (0.001, 43.2)])
def test_incidents_are_expected_of_a_days_requests(rate: float, per_day: float) -> None:
    base = Base(None, rate, 1.0, None, ())
    traffic = Traffic(10.0, Split(0.05), {})
    (found,) = outlook(budget(incidents()), traffic, lambda *_: base, PHI).safety
    assert found.expected_per_day == pytest.approx(per_day)
    assert bool(found.steps) is (rate > 0.0)
