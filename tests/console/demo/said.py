"""Events as the monitor would say them, for the tests of the demo."""

from __future__ import annotations

import json

from monitor.console.demo.sightings import (
    ASSESSED,
    BREACH_STARTED,
    DEBT,
    DECISIONS,
    EVAL_DEBT,
    LEDGER,
    PAGE_OPENED,
    PAGES,
    REQUESTED,
    REQUESTS,
    VERIFIED,
    Sighting,
    sighting,
)
from monitor.core.moment import rfc3339

LATENCY = "latency.p95_delta_pct"
SUCCESS = "quality.task_success_delta_pct"
SAFETY = "safety.high_severity_incidents_increase"


def event(topic: str, event_type: str, release: str, **data: object) -> Sighting:
    """Return an event as it is read from Kafka."""
    body = {"release": release, "summary": f"{event_type} of {release}", **data}
    headers = [
        ("ce_type", f"dev.rollbackbudget.{event_type}".encode()),
        ("ce_id", f"{event_type}-{release}".encode()),
    ]
    seen = sighting(topic, release.encode(), headers, json.dumps(body).encode())
    assert seen is not None
    return seen


def armed(release: str) -> tuple[Sighting, ...]:
    return (event(LEDGER, "arming.created.v1", release),)


def breach(release: str, objective: str, at_ms: int = 0) -> tuple[Sighting, ...]:
    data = {"objective": objective, "breach_started_at": rfc3339(at_ms), "reason": "breach"}
    return (event(DECISIONS, BREACH_STARTED, release, **data),)


def page(release: str, objective: str, deadline_ms: int) -> tuple[Sighting, ...]:
    data = {"objective": objective, "tier": "B", "deadline": rfc3339(deadline_ms)}
    return event(PAGES, PAGE_OPENED, release, **data), event(EVAL_DEBT, DEBT, release, objective=objective)


def rollback(release: str, objective: str, tier: str, reason: str) -> tuple[Sighting, ...]:
    data = {"objective": objective, "tier": tier, "reason": reason}
    return (
        event(REQUESTS, REQUESTED, release, **data),
        event(LEDGER, REQUESTED, release, **data),
        event(EVAL_DEBT, DEBT, release, objective=objective),
    )


def verified(release: str) -> tuple[Sighting, ...]:
    return (event(DECISIONS, VERIFIED, release),)


def assessed(release: str) -> tuple[Sighting, ...]:
    return (event(DECISIONS, ASSESSED, release, complete=True),)
