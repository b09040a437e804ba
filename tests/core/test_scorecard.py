"""The scorecard: the worst ground is the result, and what is missing or thin is never counted as passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.decision import Decision, Type
from monitor.core.moment import rfc3339
from monitor.core.scorecard import LINES_MAX, Known, Result, Scorecard, scorecard
from monitor.core.scorecard_parts import number_of

RELEASE = "model-v42"
TIERS = ("A", "B")
VERDICTS = ("healthy", "inconclusive", "no_data", "breach")


def decision(kind: Type, minute: float, **data: Any) -> Decision:
    name = f"{kind.value}-{minute}-{data.get('objective')}-{data.get('cohort')}"
    return Decision(kind, name, RELEASE, int(minute * 60_000), {"arming": 1, **data})


def row(objective: str, verdict: object, tier: str | None = "A", **more: Any) -> dict[str, Any]:
    return {"objective": objective, "verdict": verdict, "tier": tier, "cohort": {}, **more}


def assessed(*rows: object, minute: float = 60, **more: Any) -> Decision:
    return decision(Type.RELEASE_ASSESSED, minute, objectives=list(rows), **more)


def card_of(*decisions: Decision, **more: Any) -> Scorecard:
    given_: dict[str, Any] = {
        "debts": (),
        "state": "watching",
        "blind": None,
        "spec": None,
        "rehearsed": None,
    }
    return scorecard(Known(RELEASE, 1, decisions, source="ledger", **{**given_, **more}))


def spec_of(*objectives: str) -> Mapping[str, Any]:
    asked = [{"id": one, "indicator": "error", "tier": "A", "limit": 2, "unit": "pct"} for one in objectives]
    return {"objectives": asked, "owner": "chat", "on_call": "chat-oncall"}


@given(
    st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(TIERS)), min_size=1, max_size=6),
    st.booleans(),
)
def test_the_worst_objective_is_the_result(verdicts: list[tuple[str, str]], is_rolled_back: bool) -> None:
    """By brute force: the first of the closed list, the worst first, that anything on record speaks for."""
    decisions = [assessed(*(row(f"g.o{place}", *one) for place, one in enumerate(verdicts)))]
    if is_rolled_back:
        decisions.insert(0, decision(Type.ROLLBACK_REQUESTED, 30, summary="roll back: worse"))
    worst = [
        ("rolled_back", is_rolled_back),
        ("breach_hard", ("breach", "A") in verdicts),
        ("breach_soft", ("breach", "B") in verdicts),
        ("no_data", any(verdict == "no_data" for verdict, _ in verdicts)),
        ("inconclusive", any(verdict == "inconclusive" for verdict, _ in verdicts)),
        ("healthy", True),
    ]
    assert card_of(*decisions).result.value == next(name for name, is_so in worst if is_so)


def test_what_was_never_assessed_is_not_healthy() -> None:
    card = card_of(decision(Type.ARMING_CREATED, 0))
    assert (card.result, card.reason) == (Result.NOT_ASSESSED, "no assessment of it is on record")
    assert card_of(assessed()).result is Result.NOT_ASSESSED


def test_an_objective_of_the_budget_without_a_verdict_is_seen_to_be_missing() -> None:
    card = card_of(assessed(row("g.one", "healthy")), spec=spec_of("g.one", "g.two"))
    assert (card.result, [one.verdict for one in card.objectives]) == (
        Result.NOT_ASSESSED,
        ["healthy", "not_assessed"],
    )
    assert card.reason == "g.two: the assessment has no verdict for it"
    assert card_of(assessed(row("g.one", "healthy")), spec=spec_of("g.one")).result is Result.HEALTHY


@pytest.mark.parametrize("verdict", [None, "fine", 1, True, ["healthy"], "not_assessed"])
def test_a_verdict_that_nobody_knows_is_none(verdict: object) -> None:
    assert card_of(assessed(row("g.one", verdict))).result is Result.NOT_ASSESSED


@pytest.mark.parametrize(
    ("tier", "result"), [("A", "breach_hard"), ("B", "breach_soft"), (None, "breach_hard")]
)
def test_a_breach_whose_tier_is_not_known_counts_as_the_hard_one(tier: str | None, result: str) -> None:
    assert card_of(assessed(row("g.one", "breach", tier))).result.value == result


def test_a_slice_counts_in_breach_and_undecided_is_said() -> None:
    """As for a gate: a cohort too small to be decided says nothing against the release, one in breach does."""
    whole, small = row("g.one", "healthy"), row("g.one", "inconclusive", cohort={"tenant": "acme"})
    card = card_of(assessed(whole, small, complete=True))
    assert card.result is Result.HEALTHY
    assert card.reason == (
        "the one objective is shown to be within the limit up to 1970-01-01T01:00:00.000Z (the whole window); "
        "slices not decided: 1"
    )
    broken = row(
        "g.one", "breach", "B", cohort={"tenant": "acme"}, limit=-2, observed={"delta": -9.5, "unit": "pct"}
    )
    card = card_of(assessed(whole, broken))
    assert (card.result, card.reason) == (
        Result.BREACH_SOFT,
        "g.one for tenant=acme is in breach: -9.5 % where the limit is -2 %",
    )


@pytest.mark.parametrize(
    ("after", "result"),
    [
        ([decision(Type.BREACH_STARTED, 70, objective="g.one")], Result.INCONCLUSIVE),
        (
            [
                decision(Type.BREACH_STARTED, 70, objective="g.one"),
                decision(Type.BREACH_CLEARED, 71, objective="g.one"),
            ],
            Result.HEALTHY,
        ),
        (
            [
                decision(Type.BREACH_STARTED, 70, objective="g.one", cohort={"tenant": "acme"}),
                decision(Type.BREACH_CLEARED, 71, objective="g.one"),
            ],
            Result.INCONCLUSIVE,
        ),
        ([decision(Type.PAGE_OPENED, 70, objective="g.one", tier="B", reason="breach")], Result.BREACH_SOFT),
        (
            [decision(Type.PAGE_OPENED, 70, objective="g.one", tier="A", reason="immediate")],
            Result.BREACH_HARD,
        ),
        ([decision(Type.PAGE_OPENED, 70, objective="g.one", tier="A", reason="no_data")], Result.NO_DATA),
        ([decision(Type.PAGE_OPENED, 70, objective="g.one", reason="both_degraded")], Result.INCONCLUSIVE),
        (
            [
                decision(
                    Type.DECISION_OBSERVED,
                    70,
                    objective="g.one",
                    tier="A",
                    reason="breach",
                    would_be="rollback.requested",
                )
            ],
            Result.BREACH_HARD,
        ),
        ([decision(Type.BUDGET_CHANGED, 70)], Result.NOT_ASSESSED),
    ],
)
def test_what_came_after_the_assessment_is_not_covered_by_it(after: list[Decision], result: Result) -> None:
    healthy = assessed(row("g.one", "healthy"))
    assert card_of(healthy, *after).result is result
    again = assessed(row("g.one", "healthy"), minute=80)
    assert card_of(healthy, *after, again).result is Result.HEALTHY


@pytest.mark.parametrize(
    ("accounting", "result"),
    [("sustained", Result.INCONCLUSIVE), ("cumulative", Result.BREACH_SOFT), (None, Result.BREACH_SOFT)],
)
def test_minutes_in_all_are_a_breach_where_the_budget_adds_them_up(
    accounting: str | None, result: Result
) -> None:
    """Without a budget on record the page counts as the breach that it may be."""
    spec = None if accounting is None else {"objectives": [{"id": "g.one", "accounting": accounting}]}
    page = decision(
        Type.PAGE_OPENED, 70, objective="g.one", tier="B", reason="cumulative", summary="g.one broke"
    )
    card = card_of(assessed(row("g.one", "healthy")), page, spec=spec)
    assert (card.result, card.reason) == (result, "g.one broke")


def test_a_monitor_that_does_not_see_has_shown_nothing() -> None:
    card = card_of(assessed(row("g.one", "healthy")), blind={"since": "then", "summary": "kafka is away"})
    assert (card.result, card.reason) == (
        Result.NOT_ASSESSED,
        "the monitor does not see it since then: kafka is away",
    )


FOLLOWED = {
    (): ("requested", "nothing on record says that it was applied"),
    (Type.ROLLBACK_APPLIED,): (
        "applied",
        "it was applied after 60 s, and no proof by the traffic is on record",
    ),
    (Type.ROLLBACK_APPLIED, Type.ROLLBACK_VERIFIED): ("verified", "the traffic proved it after 120 s"),
    (Type.ROLLBACK_FAILED,): ("failed", "it FAILED after 60 s: no answer"),
    (Type.ROLLBACK_FAILED, Type.ROLLBACK_APPLIED): (
        "applied",
        "it was applied after 120 s, and no proof by the traffic is on record",
    ),
}


@pytest.mark.parametrize("steps", FOLLOWED)
def test_a_rollback_is_told_with_what_became_of_it(steps: Sequence[Type]) -> None:
    request = decision(Type.ROLLBACK_REQUESTED, 30, summary="roll back: worse")
    after = [
        decision(kind, 31 + place, request_id=request.decision_id, message="no answer")
        for place, kind in enumerate(steps)
    ]
    card = card_of(request, *after)
    newest, words = FOLLOWED[tuple(steps)]
    assert card.result is Result.ROLLED_BACK
    assert card.reason == f"a rollback was requested at {rfc3339(1_800_000)} (worse); {words}"
    assert [one.newest for one in card.rollbacks] == [newest]


def test_a_breach_that_was_rolled_back_is_decided_and_another_is_not() -> None:
    begun = [decision(Type.BREACH_STARTED, 30, objective=one) for one in ("a", "b")]
    request = decision(Type.ROLLBACK_REQUESTED, 30, objective="a", summary="roll back: worse")
    grounds = [one.words for one in card_of(*begun, request).grounds]
    assert [words for words in grounds if "nothing has decided it" in words] == [
        f"b is beyond its limit since {rfc3339(1_800_000)}, and nothing has decided it"
    ]


def test_a_cohort_s_rollback_is_its_own_and_says_so() -> None:
    one, two = (
        decision(Type.ROLLBACK_REQUESTED, 30, cohort={"tenant": name}, scope="cohort")
        for name in ("acme", "hooli")
    )
    applied = decision(Type.ROLLBACK_APPLIED, 31, request_id=two.decision_id)
    card = card_of(one, two, applied)
    assert [(found.cohort, found.newest) for found in card.rollbacks] == [
        ({"tenant": "acme"}, "requested"),
        ({"tenant": "hooli"}, "applied"),
    ]
    assert card.reason.startswith("a rollback of tenant=acme only was requested at ")
    assert card.reason.endswith("; and 1 more")


def test_lists_are_bounded_and_what_is_left_out_is_counted() -> None:
    started = [decision(Type.BREACH_STARTED, minute, objective="g.one") for minute in range(LINES_MAX + 7)]
    card = card_of(
        *started, assessed(*(row(f"g.o{place}", "healthy") for place in range(LINES_MAX + 1)), minute=9_999)
    )
    assert (len(card.happened), len(card.objectives)) == (LINES_MAX, LINES_MAX)
    assert card.left_out == {"happened": 8, "objectives": 1}
    assert card.happened[-1].type == "release.assessed"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "objectives",
    "cohort",
    "tier",
    "verdict",
    "limit",
    "observed",
    "samples",
    "summary",
    "watched",
    "reason",
)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Type)),
            st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=4),
        ),
        min_size=1,
        max_size=4,
    ),
    st.dictionaries(st.sampled_from(("objective", *KEYS[1:])), ANYTHING),
)
def test_rubbish_on_record_ends_nothing_and_is_never_healthy(
    found: list[tuple[Type, dict[str, Any]]], rubbish: dict[str, Any]
) -> None:
    decisions = [
        decision(kind, minute, objective="g.one", **data) for minute, (kind, data) in enumerate(found)
    ]
    card = card_of(*decisions, assessed({**rubbish, "objective": "g.one", "verdict": None}, minute=99))
    assert card.result is not Result.HEALTHY


@given(st.one_of(st.none(), st.booleans(), st.text(), st.floats(), st.integers()))
def test_a_number_is_finite_or_not_known(value: object) -> None:
    found = number_of(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    assert found is None or (is_number and found == value and abs(found) < float("inf"))
    assert is_number or found is None
