"""The stories end as promised in the monitor's own engine: replayed over the demo's traffic, without servers."""

from __future__ import annotations

import json

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.console.demo.flagfile import flag_text, parse_flag
from monitor.console.demo.pools import load_pools
from monitor.console.demo.stories import BASELINE, FLAG_KEY, FULL, SHORT, Plan, Story, budget_text
from monitor.console.demo.traffic import Harm, Traffic, trace_event
from monitor.core.decision import Decision, Type
from monitor.engine.replay import Replay
from tests.console.demo.said import LATENCY, SAFETY, SUCCESS

POOLS = load_pools()
MINUTE_MS = 60_000
BEGIN_MS = 1_795_305_600_000
CLEAN_MIN = 3
SEEDS = (7,)


def decisions(plan: Plan, story: Story, seed: int, after_min: int) -> list[Decision]:
    """Return what the engine decides when the story's release is rolled out `after_min` minutes into the show."""
    rollout_ms = (after_min + CLEAN_MIN) * MINUTE_MS
    lasts_min = story.lasts_min or 60
    flag = parse_flag(flag_text(FLAG_KEY, BASELINE, story.release, story.share_pct), FLAG_KEY)
    replay = Replay([load_budget(budget_text(plan, story), story.name)], decode)
    traffic, found, incident_sent = Traffic(POOLS, seed), list[Decision](), False
    for _ in traffic.until(after_min * MINUTE_MS):
        pass
    for request in traffic.until(rollout_ms + lasts_min * MINUTE_MS):
        release = flag.variation(request.unit_id) if request.at_ms >= rollout_ms else BASELINE
        harm, severity = (story.harm if release == story.release else Harm.NONE), None
        if harm is Harm.INCIDENT and not incident_sent:
            due_ms = rollout_ms + story.incident_after_min * MINUTE_MS
            severity = "high" if (incident_sent := request.at_ms >= due_ms) else None
        event = trace_event(
            request,
            traffic.serve(request, harm),
            run_id="replay",
            at_ms=BEGIN_MS + request.at_ms,
            release=release,
            severity=severity,
        )
        found += replay.feed(json.dumps(event).encode())
    return found + replay.finish()


def after_rollout_min(found: list[Decision], wanted: Type, objective: str, after_min: int) -> float:
    """Return how many minutes into the rollout the first such decision came."""
    begin_ms = BEGIN_MS + (after_min + CLEAN_MIN) * MINUTE_MS
    mine = (one for one in found if one.type is wanted and one.data["objective"] == objective)
    return (next(mine).at_ms - begin_ms) / MINUTE_MS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plan", [FULL, SHORT], ids=["full", "short"])
def test_the_healthy_release_is_found_healthy(plan: Plan, seed: int) -> None:
    found = decisions(plan, plan.stories[0], seed, after_min=0)
    assert not {Type.PAGE_OPENED, Type.ROLLBACK_REQUESTED} & {one.type for one in found}
    (assessed,) = (one for one in found if one.type is Type.RELEASE_ASSESSED)
    assert assessed.data["complete"] is True
    assert "4 healthy" in str(assessed.data["summary"])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_slow_release_is_paged_and_then_rolled_back_by_silence(seed: int) -> None:
    found = decisions(FULL, FULL.stories[1], seed, after_min=27)
    assert after_rollout_min(found, Type.BREACH_STARTED, LATENCY, 27) <= 6
    paged_min = after_rollout_min(found, Type.PAGE_OPENED, LATENCY, 27)
    # Real latencies vary together: their minutes count for less than they number.
    assert 10 <= paged_min <= 35
    assert after_rollout_min(found, Type.ROLLBACK_REQUESTED, LATENCY, 27) == paged_min + 15
    (requested,) = (one for one in found if one.type is Type.ROLLBACK_REQUESTED)
    assert (requested.data["reason"], requested.data["tier"]) == ("commander_silent", "B")


@pytest.mark.parametrize("seed", SEEDS)
def test_the_one_incident_rolls_back_at_once(seed: int) -> None:
    found = decisions(FULL, FULL.stories[2], seed, after_min=60)
    (requested,) = (one for one in found if one.type is Type.ROLLBACK_REQUESTED)
    assert (requested.data["objective"], requested.data["reason"]) == (SAFETY, "immediate")
    assert 6 <= after_rollout_min(found, Type.ROLLBACK_REQUESTED, SAFETY, 60) < 7


@pytest.mark.parametrize("seed", SEEDS)
def test_the_quiet_loss_of_success_is_rolled_back(seed: int) -> None:
    found = decisions(FULL, FULL.stories[3], seed, after_min=75)
    (requested,) = (one for one in found if one.type is Type.ROLLBACK_REQUESTED)
    assert (requested.data["objective"], requested.data["reason"], requested.data["tier"]) == (
        SUCCESS,
        "breach",
        "A",
    )
    assert 10 <= after_rollout_min(found, Type.ROLLBACK_REQUESTED, SUCCESS, 75) <= 20
