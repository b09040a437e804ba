"""What is only observed is the same decision, marked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.budget import Mode, OnSilence
from monitor.core.decision import Action, Decision, Type
from monitor.core.ladder import as_if, as_observed
from tests.engine.worlds import budget


@pytest.mark.parametrize(
    ("kind", "action"), [(Type.ROLLBACK_REQUESTED, Action.ROLLBACK), (Type.PAGE_OPENED, Action.PAGE)]
)
def test_an_observed_decision_says_what_it_would_be(kind: Type, action: Action) -> None:
    decided = Decision(
        kind, "d-1", "model-v42", 60_000, {"action": action.value, "arming": 3, "summary": "worse"}
    )
    observed = as_observed(decided)
    assert (observed.type, observed.data["action"]) == (Type.DECISION_OBSERVED, Action.WATCH.value)
    assert observed.decision_id != decided.decision_id
    back = as_if(observed)
    assert (back.type, back.decision_id, back.release, back.at_ms) == (kind, "d-1", "model-v42", 60_000)
    assert back.data["action"] == action.value
    assert as_if(decided) is decided


@pytest.mark.parametrize(
    ("mode", "silence"),
    [(Mode.PAGE, OnSilence.HOLD), (Mode.AUTO, OnSilence.ROLLBACK)],
)
def test_where_people_are_only_asked_silence_is_no_order(mode: Mode, silence: OnSilence) -> None:
    assert replace(budget(), mode=mode, on_silence=OnSilence.ROLLBACK).silence is silence
