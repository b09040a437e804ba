"""A limit as the formulas read it: ratios, shifts, bins and deltas."""

from __future__ import annotations

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
