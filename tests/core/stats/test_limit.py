"""A limit as the formulas read it: ratios, shifts, bins and deltas."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from monitor.core.budget import EvidenceMode, Objective, Tier, Unit
from monitor.core.indicator import Direction, indicator
from monitor.core.stats.limit import Limit, limit_of

_UP, _DOWN = Direction.HIGHER_IS_WORSE, Direction.LOWER_IS_WORSE


def _objective(evidence: EvidenceMode) -> Objective:
    return Objective(
        "latency.p95_delta_pct", indicator("p95"), _UP, 15.0, Unit.PERCENT, 30, Tier.B, evidence=evidence
    )


@pytest.mark.parametrize(
    "evidence, kappa, needs",
    [(EvidenceMode.DEFAULT, 0.5, True), (EvidenceMode.STRICT, 1.0, True), (EvidenceMode.OFF, 0.5, False)],
)
def test_an_objective_becomes_its_limit(evidence: EvidenceMode, kappa: float, needs: bool) -> None:
    found = limit_of(_objective(evidence))
    assert found == Limit(_UP, Unit.PERCENT, 15.0, kappa, needs, 0.95)


def test_a_limit_of_which_nothing_more_is_said_asks_for_the_default_evidence() -> None:
    assert replace(limit_of(_objective(EvidenceMode.DEFAULT)), quantile=None) == Limit(
        _UP, Unit.PERCENT, 15.0
    )


@pytest.mark.parametrize("unit", [Unit.PERCENT, Unit.POINTS])
@pytest.mark.parametrize("size, scale", [(8.0, 1.0), (8.0, 0.5), (-2.0, 1.0), (-2.0, 0.25)])
def test_what_stands_at_a_part_of_the_limit_differs_by_that_part_of_it(
    unit: Unit, size: float, scale: float
) -> None:
    """The ratio and the shift say of a baseline what its candidate at the limit is; the delta says it back."""
    limit = Limit(_UP, unit, size)
    baseline = 0.4
    candidate = baseline * limit.ratio(scale) if unit is Unit.PERCENT else baseline + limit.shift(scale)
    assert limit.delta(candidate, baseline) == pytest.approx(scale * size)


def test_the_harmful_direction_is_the_objectives() -> None:
    assert Limit(_UP, Unit.PERCENT, 8.0).higher_is_worse is True
    assert Limit(_DOWN, Unit.PERCENT, -2.0).higher_is_worse is False


@pytest.mark.parametrize("bins", [1, 7, 100])
def test_a_limit_of_whole_bins_spans_those_bins_and_a_hair_more_or_less_does_not(bins: int) -> None:
    whole, less, more = (
        Limit(_UP, Unit.PERCENT, 100 * (1.02 ** (bins + part) - 1), quantile=0.95)
        for part in (0.0, -1e-6, 1e-6)
    )
    assert [one.bins_beyond(1.0) for one in (less, whole, more)] == [bins, bins, bins + 1]
    assert [one.bins_within(1.0) for one in (less, whole, more)] == [bins - 1, bins, bins]
    assert [one.bins_reached(1.0) for one in (less, whole, more)] == [bins, bins + 1, bins + 1]


@pytest.mark.parametrize(
    "size, beyond_half, within, reached",
    [
        (15.0, 4, 7, 8),  # 1.02**7 = 1.1487 is within 15 %, 1.02**8 is the first beyond
        (2.0, 1, 1, 2),  # equality is not a breach
        (1.0, 1, 0, 1),
        (100 * (1.02**7 - 1), 4, 7, 8),
    ],
)
def test_bins_are_rounded_against_the_claim(size: float, beyond_half: int, within: int, reached: int) -> None:
    limit = Limit(_UP, Unit.PERCENT, size, quantile=0.95)
    assert limit.bins_beyond(0.5) == beyond_half
    assert limit.bins_within(1.0) == within
    assert limit.bins_reached(1.0) == reached


@pytest.mark.parametrize(
    "unit, candidate, baseline, expected",
    [
        (Unit.PERCENT, 0.45, 0.5, -10.0),
        (Unit.POINTS, 0.45, 0.5, -5.0),
        (Unit.PERCENT, 0.1, 0.0, inf),
        (Unit.PERCENT, 0.0, 0.0, None),
        (Unit.PERCENT, 5.0, inf, None),
        (Unit.PERCENT, inf, 5.0, inf),
        (Unit.POINTS, 0.1, 0.0, 10.0),
    ],
)
def test_a_delta_is_in_the_limits_unit(
    unit: Unit, candidate: float, baseline: float, expected: float | None
) -> None:
    found = Limit(_DOWN, unit, -2.0).delta(candidate, baseline)
    assert found == (None if expected is None else pytest.approx(expected))
