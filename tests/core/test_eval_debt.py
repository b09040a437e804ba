"""Eval debt: what a breach owes, until when, and which release is told of it."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf

import pytest

from monitor.core.budget import Objective, Unit
from monitor.core.cohort import OVERALL
from monitor.core.decision import Decision, Type
from monitor.core.eval_debt import (
    DUE_MS,
    Check,
    EvalDebt,
    closing,
    closing_id,
    debt,
    debts_of,
    owed_before,
    skeleton,
)
from monitor.core.ids import decision_id
from monitor.core.record import Arming, Finding, Observed
from tests.engine.worlds import (
    ACME,
    CANDIDATE,
    HANDOFF,
    MINUTE,
    START_MS,
    budget,
    handoff,
    held,
    incidents,
    objective,
)

ARMING = Arming(CANDIDATE, 1, "0" * 64, at_ms=0)


def finding(judged: Objective, baseline: float | None = 0.2) -> Finding:
    return Finding(judged, OVERALL, Observed(baseline, 0.5, 150.0, samples=(10, 10)), START_MS, 4, ())


def opened(release: str = CANDIDATE, baseline: str = "model-v41", at_ms: int = START_MS) -> Decision:
    watched = replace(budget(handoff()), release=release, baseline=baseline)
    return debt(watched, replace(ARMING, release=release), finding(handoff()), [], at_ms, at_ms)


def closed(owed: Decision, at_ms: int = START_MS + MINUTE) -> Decision:
    return closing(owed.data, at_ms, author="ada", note="labelled", evaluation="evals/a.yaml")


def test_the_debt_names_its_breach() -> None:
    watched = budget(handoff(), owner="team-chat", follow_ups=("label 50 traces",))
    owed = debt(watched, ARMING, finding(handoff()), ["leak"], START_MS, START_MS + MINUTE)
    held(owed)
    assert owed.decision_id == decision_id("evaldebt.created", CANDIDATE, 1, HANDOFF, {}, START_MS)
    assert (owed.data["owner"], owed.data["failure_classes"]) == ("team-chat", ["leak"])
    assert owed.data["debt_id"] == owed.decision_id


@pytest.mark.parametrize(
    ("judged", "baseline", "expect", "check", "most"),
    [
        (objective(), 0.9, "the task is done as the user asked", Check.JUDGED, None),
        (objective("p95", 15.0), 800.0, "it is answered within 920 ms", Check.LATENCY_MS, 920.0),
        (objective("model_p95", 10.0), 500.0, "its stage model ends within 550 ms", Check.JUDGED, None),
        (objective("p95", 15.0), inf, "p95 is no worse than with the baseline", Check.JUDGED, None),
        (
            objective("p95", 15.0, unit=Unit.POINTS),
            800.0,
            "p95 is no worse than with the baseline",
            Check.JUDGED,
            None,
        ),
        (objective("error", 50.0), 0.1, "it ends without an error", Check.JUDGED, None),
        (objective("outcome.kept", 0.0), 0.9, "kept does not happen", Check.JUDGED, None),
        (
            objective("cost_per_request", 50.0),
            0.0123457,
            "it costs at most 0.018519 USD",
            Check.COST_USD,
            0.018519,
        ),
        (objective("p95", 15.0), None, "p95 is no worse than with the baseline", Check.JUDGED, None),
        (objective("cost_per_request", 50.0), 0.01, "it costs at most 0.015 USD", Check.COST_USD, 0.015),
        (
            objective("parse_failures", 1.0, unit=Unit.POINTS),
            0.0,
            "the answer parses as its format says",
            Check.PARSES,
            None,
        ),
        (objective("refusal", 5.0), 0.1, "the request is answered and not refused", Check.NOT_REFUSED, None),
        (objective("outcome.grounded", -1.0), 0.9, "grounded holds", Check.JUDGED, None),
        (objective("outcome.leaked", 1.0), 0.1, "leaked does not happen", Check.JUDGED, None),
        (incidents(), 0.0, "no high-severity incident follows", Check.JUDGED, None),
    ],
)
def test_a_case_to_begin_from_says_what_its_limit_asks(
    judged: Objective, baseline: float | None, expect: str, check: Check, most: float | None
) -> None:
    case = skeleton(finding(judged, baseline), CANDIDATE)
    assert (case.expect, case.check, case.most) == (expect, check, most)
    held(debt(budget(judged), ARMING, finding(judged, baseline), [], START_MS, START_MS))


@pytest.mark.parametrize("indicator", ["abstention", "human_handoff", "user_retry", "fallback", "error"])
def test_every_rate_is_said_in_words(indicator: str) -> None:
    assert "baseline" not in skeleton(finding(objective(indicator, 5.0)), CANDIDATE).expect


def test_a_debt_is_overdue_after_its_due_date_and_not_when_it_is_closed() -> None:
    owed = opened()
    (one,) = debts_of([owed])
    assert one.due_ms == START_MS + DUE_MS
    assert [one.is_overdue(one.due_ms + late) for late in (-1, 0, 1)] == [False, False, True]
    (paid,) = debts_of([owed, closed(owed)])
    assert not paid.is_open
    assert not paid.is_overdue(paid.due_ms + 1)


def test_the_order_and_repeats_of_events_mean_nothing() -> None:
    events = [opened(at_ms=START_MS + number * MINUTE) for number in range(5)]
    events += [closed(events[1]), closed(events[1], START_MS)]
    wanted = [(one.debt_id, one.is_open) for one in debts_of(events)]
    assert [is_open for _, is_open in wanted] == [True, False, True, True, True]
    for seed in range(5):
        shuffled = [*events, *events]
        random.Random(seed).shuffle(shuffled)
        assert [(one.debt_id, one.is_open) for one in debts_of(shuffled)] == wanted


def test_whoever_closes_a_debt_it_is_the_same_event() -> None:
    owed = opened()
    events = [closed(owed, at_ms) for at_ms in (START_MS, START_MS + MINUTE)]
    for event in events:
        held(event)
    assert events[0].decision_id == events[1].decision_id
    assert events[0].type is Type.DEBT_CLOSED
    assert closed(opened(at_ms=START_MS + MINUTE)).decision_id != events[0].decision_id


def test_a_release_is_told_of_what_came_before_it() -> None:
    """Itself, its baseline, what else was tried on its baseline, and what came before those; never what comes after."""
    tried = {
        "v44": "v43",  # comes after
        "v43": "v41",  # itself, armed before
        "v42": "v41",  # tried on the same baseline
        "v41": "v40",  # its baseline
        "v40b": "v40",  # tried on the baseline's baseline
        "other-2": "other-1",
    }
    debts = debts_of(opened(release, baseline) for release, baseline in tried.items())
    assert {one.release for one in owed_before(debts, "v43", "v41")} == {"v43", "v42", "v41", "v40b"}
    assert {one.release for one in owed_before(debts, "other-3", "other-2")} == {"other-2"}
    assert owed_before(debts, "new-2", "new-1") == []
    paid: list[EvalDebt] = [replace(one, closed={}) for one in debts]
    assert owed_before(paid, "v43", "v41") == []


def test_a_cohort_s_debt_is_its_own() -> None:
    watched = budget(handoff())
    ours = replace(finding(handoff()), view=ACME)
    made = [debt(watched, ARMING, one, [], START_MS, START_MS) for one in (ours, finding(handoff()))]
    assert len({one.decision_id for one in made}) == 2
    assert made[0].data["cohort"] == {"tenant": "acme"}


def test_the_first_due_comes_first_and_then_the_smaller_id() -> None:
    together = [opened(f"model-v{number}") for number in range(6)]
    later = opened(at_ms=START_MS + MINUTE)
    found = debts_of([later, *together])
    assert [one.debt_id for one in found] == [*sorted(one.decision_id for one in together), later.decision_id]


def test_a_debt_is_closed_under_its_own_release_and_arming() -> None:
    owed = opened()
    event = closed(owed)
    assert event.decision_id == closing_id(owed.data)
    assert event.decision_id == decision_id("evaldebt.closed", CANDIDATE, 1, owed.decision_id, {})
    assert closing_id({**owed.data, "arming": 2}) != event.decision_id
    without = closing_id({**owed.data, "arming": None})  # a record that tells of none
    assert without == decision_id("evaldebt.closed", CANDIDATE, 0, owed.decision_id, {})


@pytest.mark.parametrize(
    ("where", "ends"), [("evals/a.yaml", f" of {CANDIDATE}: evals/a.yaml"), (None, f" of {CANDIDATE}")]
)
def test_a_closing_says_where_the_case_is_if_it_is_somewhere(where: str | None, ends: str) -> None:
    event = closing(opened().data, START_MS, author="ada", note="labelled", evaluation=where)
    held(event)
    assert event.data["evaluation"] == where
    assert event.data["summary"] == f"ada closed the eval debt for {HANDOFF}{ends}"
    assert event.at_ms == START_MS
