"""What a budget's test expects: which decisions it speaks of, and when it is met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from monitor.core.cohort import OVERALL, cohort_key
from monitor.core.decision import Decision, Type
from monitor.core.expectation import HAPPENINGS, Expectation
from tests.engine.worlds import ACME, CANDIDATE, HANDOFF, START_MS, SUCCESS

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


def said(at_min: float = 0.0, kind: Type = Type.BREACH_STARTED, **data: Any) -> Decision:
    """A decision that says what is given here and nothing else."""
    return Decision(kind, f"d-{at_min}-{len(data)}", CANDIDATE, START_MS + round(at_min * 60_000), data)


ABOUT_SUCCESS = Expectation((Type.BREACH_STARTED, Type.PAGE_OPENED), objective_id=SUCCESS, cohort=ACME)
FULL: Mapping[str, Any] = {
    "objective": SUCCESS,
    "cohort": dict(ACME),
    "reason": "breach",
    "tier": "A",
}


@pytest.mark.parametrize(
    ("name", "wanted", "other"),
    [
        ("objective", SUCCESS, HANDOFF),
        ("reason", "breach", "recovered"),
        ("tier", "A", "B"),
        ("cohort", dict(ACME), {}),
        ("cohort", {}, dict(ACME)),
    ],
)
def test_each_condition_tells_a_decision_from_one_that_says_another_thing(
    name: str, wanted: Any, other: Any
) -> None:
    key = {"objective": "objective_id"}.get(name, name)
    value: Any = cohort_key(wanted) if isinstance(wanted, dict) else wanted
    expected = Expectation((Type.BREACH_STARTED,), **{key: value})
    right, wrong = said(**{**FULL, name: wanted}), said(**{**FULL, name: other})
    assert expected.matching([wrong, right], START_MS) == [right]
    assert Expectation((Type.BREACH_STARTED,)).matching([wrong, right], START_MS) == [wrong, right]
    assert Expectation((Type.PAGE_OPENED,), **{key: value}).matching([right], START_MS) == []


@pytest.mark.parametrize("name", ["reason", "tier"])
def test_a_decision_without_a_reason_or_a_tier_is_not_one_with_it(name: str) -> None:
    expected = Expectation((Type.BREACH_STARTED,), **{name: FULL[name]})
    assert not expected.is_met([said()], START_MS)


def test_a_decision_about_the_whole_release_is_about_every_objective_and_cohort() -> None:
    assert ABOUT_SUCCESS.is_met([said()], START_MS)


@pytest.mark.parametrize(("count", "is_met"), [(None, (0, 1, 1, 1)), (2, (0, 0, 1, 0)), (0, (1, 0, 0, 0))])
def test_at_least_one_has_to_come_or_exactly_the_count(count: int | None, is_met: tuple[int, ...]) -> None:
    expected = Expectation((Type.BREACH_STARTED,), count=count)
    assert tuple(expected.is_met([said(n) for n in range(came)], START_MS) for came in range(4)) == is_met


def test_what_is_not_to_come_may_come_outside_its_minutes_alone() -> None:
    never = Expectation((Type.BREACH_STARTED,), is_forbidden=True, between_min=(5, 6))
    assert never.is_met([said(4.999), said(6.001), said(5, Type.PAGE_OPENED)], START_MS)
    for at_min in (5, 5.5, 6):
        assert not never.is_met([said(at_min)], START_MS)


def test_the_nearest_is_the_same_kind_of_its_objective_else_all_about_it_else_the_same_kind() -> None:
    """An assessment is about every objective, so it tells nobody what came instead."""
    kind = said(1, objective=HANDOFF)
    about = said(2, Type.BREACH_CLEARED, objective=SUCCESS, cohort=dict(ACME))
    both = said(3, objective=SUCCESS, cohort=dict(ACME), tier="B")
    for came, nearest in (
        ([kind, about, both, ASSESSED], [both]),
        ([kind, about, ASSESSED], [about]),
        ([kind, ASSESSED], [kind]),
        ([ASSESSED], []),
    ):
        assert ABOUT_SUCCESS.nearest(came, START_MS) == nearest


def test_the_nearest_of_what_is_not_to_come_is_what_came_of_it() -> None:
    never = replace(ABOUT_SUCCESS, is_forbidden=True, between_min=(0, 2))
    came = [said(1, **FULL), said(1, objective=HANDOFF), said(3, **FULL)]
    assert never.nearest(came, START_MS) == came[:1]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Expectation(HAPPENINGS, is_forbidden=True), "nothing"),
        (Expectation((Type.BREACH_STARTED,)), "breach.started"),
        (Expectation((Type.BREACH_STARTED,), between_min=(0, 60)), "breach.started between 0m and 60m"),
        (Expectation((Type.BREACH_STARTED,), cohort=OVERALL), "breach.started for everybody"),
        (Expectation((Type.BREACH_STARTED,), count=0), "0 × breach.started"),
        (
            replace(
                ABOUT_SUCCESS,
                is_forbidden=True,
                count=2,
                cohort=cohort_key({"tenant": "acme", "region": "eu"}),
                tier="A",
                verdict="breach",
                reason="recovered",
                between_min=(5, 5),
            ),
            f"no 2 × breach.started or page.opened of {SUCCESS} for region=eu, tenant=acme in tier A "
            "with the verdict breach because of recovered at 5m",
        ),
    ],
)
def test_an_expectation_is_said_with_all_its_conditions_and_no_other(
    expected: Expectation, words: str
) -> None:
    assert expected.words == words
