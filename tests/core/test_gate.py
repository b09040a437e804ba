"""The gate: what holds a release, what rolls it back, and that nothing unknown is promoted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import Mode
from monitor.core.gate import Answer, Asked, Ground, Known, gate
from monitor.core.sight import Sight


def row(
    objective: str = "quality", verdict: str = "healthy", tier: str = "A", **cohort: str
) -> dict[str, Any]:
    return {
        "objective": objective,
        "verdict": verdict,
        "tier": tier,
        "cohort": cohort,
        "summary": f"{objective}: {verdict}",
    }


def assessed(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"objectives": list(rows)}


WELL = Known(
    assessment=assessed(row(), row("latency", tier="B")),
    unanswered=None,
    is_watched=True,
    rollback=None,
    sight=Sight.LIVE,
    halted=None,
    breaches=(),
    pages=(),
    overrides={},
    debts=(),
    rehearsed="last rehearsed today",
    has_rehearsed=True,
    mode=Mode.AUTO,
)


def test_what_is_seen_watched_and_healthy_is_promoted() -> None:
    assert gate(WELL, Asked()) == gate(WELL, Asked(wants_rehearsal=True))
    assert gate(WELL, Asked()).answer is Answer.PROMOTE
    assert gate(WELL, Asked()).points == ()


@pytest.mark.parametrize(
    ("change", "answer", "ground"),
    [
        ({"rollback": "users complain"}, Answer.ROLL_BACK, Ground.ROLLED_BACK),
        ({"assessment": assessed(row(verdict="breach"))}, Answer.ROLL_BACK, Ground.BREACH),
        ({"assessment": assessed(row(verdict="breach", tier="B"))}, Answer.HOLD, Ground.BREACH),
        ({"assessment": assessed(row(), row(verdict="breach", tenant="acme"))}, Answer.HOLD, Ground.BREACH),
        ({"assessment": assessed(row(verdict="inconclusive"))}, Answer.HOLD, Ground.INCONCLUSIVE),
        ({"assessment": assessed(row(verdict="no_data"))}, Answer.HOLD, Ground.NO_DATA),
        ({"assessment": None, "unanswered": "no worker"}, Answer.HOLD, Ground.NOT_ASSESSED),
        ({"assessment": assessed()}, Answer.HOLD, Ground.NOT_ASSESSED),
        ({"is_watched": False}, Answer.HOLD, Ground.NOT_WATCHED),
        ({"sight": Sight.LATE}, Answer.HOLD, Ground.NOT_SEEN),
        ({"sight": Sight.BLIND}, Answer.HOLD, Ground.NOT_SEEN),
        ({"halted": "its records cannot be read"}, Answer.HOLD, Ground.HALTED),
        ({"breaches": ["too slow"]}, Answer.HOLD, Ground.SUSPECT),
        ({"pages": ["too slow"]}, Answer.HOLD, Ground.PAGE_OPEN),
        ({"debts": ["a case of last week"]}, Answer.HOLD, Ground.EVAL_DEBT),
        ({"has_rehearsed": False}, Answer.PROMOTE, Ground.NOT_REHEARSED),
        ({"overrides": {"latency": "held by ada"}}, Answer.PROMOTE, Ground.OVERRIDDEN),
        ({"mode": Mode.OBSERVE}, Answer.PROMOTE, Ground.MODE),
    ],
)
def test_each_ground_by_itself(change: dict[str, Any], answer: Answer, ground: Ground) -> None:
    found = gate(replace(WELL, **change), Asked())
    assert found.answer is answer
    (point,) = found.points
    assert (point.ground, point.asks_for) == (ground, answer)
    assert point.words


@pytest.mark.parametrize("verdict", ["inconclusive", "no_data", "healthy"])
def test_a_slice_that_is_not_decided_holds_nobody(verdict: str) -> None:
    known = replace(WELL, assessment=assessed(row(), row(verdict=verdict, tenant="acme")))
    assert gate(known, Asked()).answer is Answer.PROMOTE


def test_an_objective_for_one_slice_alone_is_decided_there() -> None:
    known = replace(WELL, assessment=assessed(row(verdict="inconclusive", workflow="payments")))
    assert gate(known, Asked()).answer is Answer.HOLD


def test_what_is_spared_may_be_unknown_and_not_broken() -> None:
    spared = Asked(spared=["quality"])
    for verdict, answer in {"no_data": Answer.PROMOTE, "breach": Answer.ROLL_BACK}.items():
        found = gate(replace(WELL, assessment=assessed(row(verdict=verdict))), spared)
        assert (found.answer, len(found.points)) == (answer, 1)


@pytest.mark.parametrize("held_back", ["quality", None])
def test_a_commander_who_holds_a_breach_back_is_not_overruled_by_a_pipeline(held_back: str | None) -> None:
    known = replace(
        WELL, assessment=assessed(row(verdict="breach")), overrides={held_back: "ada: cold cache"}
    )
    assert gate(known, Asked()).answer is Answer.HOLD


def test_what_is_asked_for_besides() -> None:
    untried, owed = replace(WELL, has_rehearsed=False), replace(WELL, debts=["a case"])
    assert gate(untried, Asked(wants_rehearsal=True)).answer is Answer.HOLD
    assert gate(owed, Asked(allows_debt=True)).answer is Answer.PROMOTE


@given(
    st.builds(
        Known,
        assessment=st.none()
        | st.lists(
            st.builds(
                row,
                st.sampled_from(["quality", "latency"]),
                st.sampled_from(["healthy", "inconclusive", "breach", "no_data"]),
                st.sampled_from(["A", "B"]),
            )
        ).map(lambda rows: assessed(*rows)),
        unanswered=st.none(),
        is_watched=st.booleans(),
        rollback=st.none() | st.just("it was slow"),
        sight=st.sampled_from(Sight),
        halted=st.none() | st.just("a defect"),
        breaches=st.lists(st.just("slow"), max_size=1),
        pages=st.lists(st.just("slow"), max_size=1),
        overrides=st.dictionaries(st.sampled_from([None, "quality"]), st.just("ada"), max_size=1),
        debts=st.lists(st.just("owed"), max_size=1),
        rehearsed=st.none(),
        has_rehearsed=st.booleans(),
        mode=st.sampled_from(Mode),
    ),
    st.builds(Asked, st.sets(st.sampled_from(["quality"])), st.booleans(), st.booleans()),
)
def test_the_answer_is_the_weightiest_ground_and_promoted_is_only_what_is_known_to_be_well(
    known: Known, asked: Asked
) -> None:
    found = gate(known, asked)
    weights = [list(Answer).index(one.asks_for) for one in found.points]
    assert weights == sorted(weights, reverse=True)
    assert found.answer is (found.points[0].asks_for if found.points else Answer.PROMOTE)
    if found.answer is Answer.PROMOTE:
        assert (known.sight, known.is_watched) == (Sight.LIVE, True)
        assert not any((known.rollback, known.halted, known.breaches, known.pages))
        rows: Any = (known.assessment or {})["objectives"]
        assert rows
        assert all(one["verdict"] != "breach" for one in rows)
