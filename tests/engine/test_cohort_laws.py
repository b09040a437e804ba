"""The same closed minutes give the same cohorts: however the log is partitioned, and in whatever order it came."""

from __future__ import annotations

from random import Random

import pytest

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.budget import Budget
from monitor.core.decision import Decision
from tests.engine.worlds import (
    BASELINE,
    CANDIDATE,
    MINUTE,
    START_MS,
    budget,
    handoff,
    names,
    objective,
    replayed,
    seen,
)

WATCHED: Budget = budget(
    objective(watched_dimensions=("tenant",), tier=handoff().tier),
    handoff(watched_dimensions=("tenant", "language")),
    objective("p95", 15.0, group="latency", watched_dimensions=("tenant",)),
)


def traffic(seed: int, *, minutes: int = 25, per_min: int = 40) -> list[TraceRecord]:
    """Two releases; new tenants appear now and then, and one is served badly by the candidate."""
    draw = Random(seed)
    events = []
    for number in range(minutes * per_min):
        minute = number // per_min
        tenant = draw.choice([f"tenant-{n}" for n in range(2 + minute // 5)])
        is_bad = tenant == "tenant-1" and number % 2 == 0 and minute > 6
        events.append(
            seen(
                f"e-{number}",
                START_MS + minute * MINUTE + int(draw.random() * MINUTE),
                CANDIDATE if number % 2 == 0 else BASELINE,
                cohort={
                    "tenant": tenant,
                    "language": draw.choice(("de", "en")),
                    "workflow": draw.choice("ab"),
                },
                task_success=draw.random() < (0.2 if is_bad else 0.9),
                human_handoff=draw.random() < 0.2,
                latency_ms=100.0 + draw.randrange(9),
            )
        )
    return events


def _said(decisions: list[Decision]) -> list[tuple[int, str, object]]:
    return sorted((one.at_ms, one.decision_id, one.data) for one in decisions)


@pytest.mark.parametrize("seed", range(4))
def test_no_partitioning_and_no_order_within_the_lateness_changes_what_is_decided(seed: int) -> None:
    events = sorted(traffic(seed), key=lambda event: event.at_ms)
    _, expected = replayed(WATCHED, events)
    assert "page.opened" in names(expected)
    draw = Random(f"order/{seed}")
    late = sorted(events, key=lambda event: event.at_ms + draw.random() * 1.5 * MINUTE)
    assert _said(replayed(WATCHED, late)[1]) == _said(expected)
    places = [draw.randrange(3) for _ in events]
    _, spread = replayed(WATCHED, events, partitions=3, place=lambda number: places[number])
    assert _said(spread) == _said(expected)


def test_another_budget_of_the_same_release_changes_nothing() -> None:
    events = sorted(traffic(9), key=lambda event: event.at_ms)
    alone = replayed(WATCHED, events)[1]
    other = budget(objective(), strata=("language", "tenant"), digest="1" * 64)
    together = replayed([WATCHED, other], events)[1]
    assert _said(alone) == _said([one for one in together if one.data["budget_digest"] == WATCHED.digest])
