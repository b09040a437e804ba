"""What the engine decides fits what the wire promises: a replay whose every event is held to its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.decision import Decision
from monitor.core.rederive import derive
from monitor.engine.replay import Replay
from monitor.wire.cloudevent import from_binary, of_decision, to_binary, to_line
from monitor.wire.messages import check

BUDGET = """
release: model-v42
baseline: model-v41
window: 24h
rollback_budget:
  quality: {task_success_delta_pct: -2.0, max_duration_min: 5, tier: B}
  escalation: {human_handoff_delta_pct: 8, max_duration_min: 5, cohorts: [workflow=refund]}
  latency: {p95_delta_pct: 15, max_duration_min: 5}
  safety: {high_severity_incidents_increase: 0, action: immediate_rollback, literal: true}
"""
START_MS = 1_795_341_600_000
MINUTES = 40


def _events() -> Iterator[bytes]:
    draw = Random(7)
    for minute in range(MINUTES):
        for index in range(60):
            is_candidate = index % 2 == 1
            event = {
                "event_id": f"{minute}-{index}",
                "at": START_MS + minute * 60_000 + index * 900,
                "release": "model-v42" if is_candidate else "model-v41",
                "trace_id": f"t-{minute}-{index}",
                "cohort": {"workflow": "refund" if index % 3 else "search"},
                "task_success": draw.random() < (0.4 if is_candidate else 0.9),
                "human_handoff": draw.random() < 0.05,
                "latency_ms": draw.uniform(100, 900),
                "failure_class": "wrong_refund",
            }
            if (minute, index) == (MINUTES - 5, 1):
                event["incident_severity"] = "critical"
            yield json.dumps(event).encode()


JUDGED = ("breach.started", "breach.cleared", "page.opened", "evaldebt.created", "rollback.requested")
MAX_BYTES = 64 * 1024  # what a recording's line, and many a consumer, holds


def test_every_decision_of_a_replay_fits_its_model() -> None:
    replay = Replay([load_budget(BUDGET, "budget.yaml")], decode)
    decisions: list[Decision] = []
    for value in _events():
        decisions += replay.feed(value)
    decisions += replay.finish()
    for decision in decisions:
        event = of_decision(decision)
        check(event)
        message = to_binary(event)
        assert len(to_line(event)) < MAX_BYTES
        if decision.type.value in JUDGED and decision.data["objective"] is not None:
            assert derive(decision.data).disagreements == []
        assert to_line(from_binary(message.value, message.headers)) == to_line(event)
    assert {decision.type.value for decision in decisions} >= {
        "breach.started",
        "page.opened",
        "evaldebt.created",
        "rollback.requested",
        "page.resolved",
        "release.assessed",
    }
