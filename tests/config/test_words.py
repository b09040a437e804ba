"""A budget in words: a person who reads them knows what will happen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.config.budget_file import load_budget
from monitor.config.words import meaning, proof_in_words, split_in_words
from monitor.core.budget import TrafficSplit, Verification


def words_of(group: dict[str, Any], **keys: Any) -> str:
    tree = {"release": "b", "baseline": "a", "window": "24h", "rollback_budget": {"g": group}, **keys}
    budget = load_budget(json.dumps(tree), "f.json")
    return meaning(budget.objectives[0], budget)


_20 = {"max_duration_min": 20}
_CLOCK = "pages the commander, who has 15 minutes; silence rolls back"


@pytest.mark.parametrize(
    ("group", "keys", "said"),
    [
        (
            {"task_success_delta_pct": -2.0, **_20},
            {},
            "task success must not fall more than 2 % below the baseline for 20 minutes: rolls back at once",
        ),
        (
            {"p95_delta_pct": 15, **_20},
            {},
            f"p95 latency must not rise more than 15 % above the baseline for 20 minutes: {_CLOCK}",
        ),
        (
            {"retrieval_p99_delta_pct": 12.5, "max_duration_min": 0},
            {
                "on_commander_silence": "hold",
                "decision": {"tier_b_breach": "incident_commander_decision_within_1m"},
            },
            "retrieval p99 latency must not rise more than 12.5 % above the baseline: "
            "pages the commander, who has 1 minute; silence goes on",
        ),
        (
            {"refusal_delta_pp": 8, **_20, "accounting": "cumulative", "tier": "A"},
            {},
            "the refusal rate must not rise more than 8 percentage points above the baseline "
            "for more than 20 minutes in all: rolls back at once",
        ),
        (
            {"outcome.grounded_delta_pp": -1, **_20, "where": {"task": "critical"}},
            {},
            "the rate of grounded must not fall more than 1 percentage point below the baseline for 20 minutes, "
            f"where task=critical: {_CLOCK}",
        ),
        (
            {
                "task_success_delta_pct": -2,
                **_20,
                "cohorts": ["tenant=acme", "tenant=zeta"],
                "scope": "cohort",
            },
            {},
            "task success must not fall more than 2 % below the baseline for 20 minutes, "
            "also for tenant=acme or tenant=zeta alone: rolls back that cohort only at once",
        ),
        (
            {"high_severity_incidents_increase": 0, "action": "immediate_rollback"},
            {},
            "high-severity incidents must not exceed what the baseline's rate predicts: rolls back at once",
        ),
        (
            {"high_severity_incidents_increase": 2, "action": "immediate_rollback", "literal": True},
            {},
            "high-severity incidents must not exceed what the baseline's rate predicts by more than 2: "
            "rolls back at the first one, always",
        ),
        (
            {"high_severity_incidents_increase": 0, "max_duration_min": 0},
            {"decision": {"tier_a_breach": "page"}},
            "high-severity incidents must not exceed what the baseline's rate predicts: pages",
        ),
        (
            {"cost_per_request_delta_pct": 10, **_20},
            {},
            f"cost per request must not rise more than 10 % above the baseline for 20 minutes: {_CLOCK}",
        ),
    ],
)
def test_an_objective_in_words(group: dict[str, Any], keys: dict[str, Any], said: str) -> None:
    assert words_of(group, **keys) == said


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (TrafficSplit(10.0), "10 % of both arms' requests (9.5 to 10.5 %)"),
        (TrafficSplit(99.0, 20.0), "99 % of both arms' requests (98.8 to 99.2 %)"),  # of the smaller arm
        (TrafficSplit(12.5, 0.0), "12.5 % of both arms' requests (no more and no less)"),
    ],
)
def test_the_declared_split_in_words(declared: TrafficSplit, said: str) -> None:
    assert split_in_words(declared) == (
        f"the candidate must get {said}: while it does not, no comparison rolls back by itself, it pages instead"
    )


def test_the_proof_in_words() -> None:
    assert proof_in_words(Verification()) == (
        "a rollback is proven when at most 0.1 % of the requests are still the candidate's, "
        "within 5 minutes of turning the flag: else it is turned again and a page says so"
    )
