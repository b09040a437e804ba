"""Every published event has a topic, a model and the contract's fields."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitor.core.decision import Reason, Type
from monitor.core.ids import decision_id, event_type
from monitor.wire.cloudevent import CloudEvent
from monitor.wire.messages import DATA_MODELS, check
from monitor.wire.topics import EVENT_TYPES, topic_of
from monitor.wire.trace_event import TraceEvent

CONTRACT_FIELDS = {
    *(
        "release",
        "baseline",
        "budget",
        "budget_digest",
        "arming",
        "objective",
        "metric",
        "cohort",
        "tier",
        "action",
    ),
    *("reason", "limit", "observed", "samples", "held_min", "breach_started_at", "decided_at", "deadline"),
    "exemplars",
}
LEDGER_ONLY = {"arming.created", "arming.ended", "budget.changed", "page.delivered", "command.refused"} | {
    "breaker.closed"
}


def test_every_published_event_has_a_model() -> None:
    assert set(DATA_MODELS) == set(EVENT_TYPES)


def test_the_topics_are_the_contracts() -> None:
    assert topic_of("rollback.requested") == "rollback.requests.v1"
    assert topic_of("monitor.blind") == "rollback.pages.v1"
    assert topic_of("evaldebt.closed") == "rollback.eval-debt.v1"
    assert topic_of("release.assessed") == "rollback.decisions.v1"


@pytest.mark.parametrize("kind", list(Type))
def test_every_type_the_engine_decides_is_published_or_the_ledgers_own(kind: Type) -> None:
    assert (topic_of(kind.value) is None) == (kind.value in LEDGER_ONLY)


@pytest.mark.parametrize("name", ["breach.started", "breach.cleared", "rollback.requested", "page.opened"])
def test_a_decision_has_the_contracts_fields_and_none_may_be_left_out(name: str) -> None:
    fields = DATA_MODELS[name].model_fields
    assert set(fields) >= CONTRACT_FIELDS
    assert all(fields[field].is_required() for field in CONTRACT_FIELDS)


def test_the_contracts_reasons_are_known() -> None:
    named = {"breach", "immediate", "commander", "commander_silent", "insufficient_evidence", "both_degraded"}
    assert {reason.value for reason in Reason} >= named | {"no_data", "blind", "budget_changed"}


def test_check_holds_envelope_and_data() -> None:
    data = {"arming": 1}
    fine = CloudEvent(decision_id("arming.created", "r", 1), event_type("arming.created"), "r", 0, data)
    check(fine)
    with pytest.raises(ValidationError, match="id"):
        check(CloudEvent("1", event_type("arming.created"), "r", 0, data))
    with pytest.raises(ValidationError, match="summary"):
        check(CloudEvent(fine.id, event_type("page.expired"), "r", 0, data))


def test_a_trace_event_has_the_contracts_fields() -> None:
    """A field that goes missing here would be ignored as unknown, silently."""
    assert len(TraceEvent.model_fields) == 27
    assert [name for name, field in TraceEvent.model_fields.items() if field.is_required()] == [
        "event_id",
        "at",
        "release",
    ]
