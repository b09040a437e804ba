"""An override holds exactly what it names, up to the value and the moment it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.budget import Objective
from monitor.core.override import Override
from tests.engine.worlds import HANDOFF, SUCCESS, handoff, incidents, objective

WHOLE = Override("o-1", None, 0, 600_000, None, "ada", "we know")


@pytest.mark.parametrize(
    "scope, judged, held",
    [
        (None, objective(), True),
        (None, handoff(), True),
        (None, incidents(), True),  # safety too
        (None, incidents(ignores_override=True), False),
        (SUCCESS, objective(), True),
        (SUCCESS, handoff(), False),
        (HANDOFF, objective(), False),
    ],
)
def test_whom_it_holds(scope: str | None, judged: Objective, held: bool) -> None:
    assert replace(WHOLE, objective_id=scope).holds(judged, -5.0) is held


@pytest.mark.parametrize(
    "judged, limit, delta, held",
    [
        (objective(), None, -99.0, True),
        (objective(), -5.0, -4.9, True),
        (objective(), -5.0, -5.0, True),  # equality is not beyond
        (objective(), -5.0, -5.1, False),
        (objective(), -5.0, None, True),  # nothing shows that it got worse
        (handoff(), 20.0, 19.9, True),
        (handoff(), 20.0, 20.0, True),
        (handoff(), 20.0, 20.1, False),
        (incidents(), 3.0, 3.0, True),
        (incidents(), 3.0, 4.0, False),
    ],
)
def test_up_to_which_value_it_holds(
    judged: Objective, limit: float | None, delta: float | None, held: bool
) -> None:
    assert replace(WHOLE, limit=limit).holds(judged, delta) is held


@pytest.mark.parametrize(
    "until_ms, at_ms, over",
    [(600_000, 599_999, False), (600_000, 600_000, True), (600_000, 600_001, True), (None, 1 << 50, False)],
)
def test_when_it_is_over(until_ms: int | None, at_ms: int, over: bool) -> None:
    assert replace(WHOLE, until_ms=until_ms).is_over(at_ms) is over


def test_what_has_ended_holds_nothing() -> None:
    assert not WHOLE.ended(600_000).holds(objective(), None)
