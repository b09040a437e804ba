"""What a budget's test expects: which decisions it speaks of, and when it is met."""

from __future__ import annotations

import pytest

from monitor.core.decision import Decision, Type
from monitor.core.expectation import Expectation
from tests.engine.worlds import CANDIDATE, HANDOFF, START_MS, SUCCESS

ASSESSED = Decision(
    Type.RELEASE_ASSESSED,
    "d-1",
    CANDIDATE,
    START_MS,
    {
        "objectives": [
            {"objective": SUCCESS, "cohort": {}, "verdict": "healthy"},
            {"objective": HANDOFF, "cohort": {}, "verdict": "breach"},
        ]
    },
)


@pytest.mark.parametrize(
    ("objective_id", "verdict", "is_met"),
    [
        (SUCCESS, "healthy", True),
        (SUCCESS, "breach", False),  # the other one's
        (HANDOFF, "breach", True),
        (None, "breach", True),
        (None, "unknown", False),
        (SUCCESS, None, True),
        ("cost.cost_per_request_delta_pct", None, False),
    ],
)
def test_a_verdict_is_looked_for_in_the_assessment_s_rows(
    objective_id: str | None, verdict: str | None, is_met: bool
) -> None:
    expected = Expectation((Type.RELEASE_ASSESSED,), objective_id=objective_id, verdict=verdict)
    assert expected.is_met([ASSESSED], START_MS) is is_met
    assert expected.matching([ASSESSED], START_MS) == ([ASSESSED] if is_met else [])
