"""The whole show against a stand-in of the monitor: four stories, one flag, no servers and no waiting."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.console.demo.clock import ending_now
from monitor.console.demo.script import Phase
from monitor.console.demo.show import play
from monitor.console.demo.stories import BASELINE, FULL, SHORT, Plan, renamed
from tests.console.demo.stand_in import MINUTE_MS, Crew, Wall, clock_of, stage

ONLY_SILENCE = replace(SHORT, stories=SHORT.stories[3:], give_up_min=10, settle_at_most_min=5)


async def test_four_stories_end_as_promised(tmp_path: Path) -> None:
    on, monitor, watcher = stage(FULL, tmp_path)
    result = await play(FULL, on)
    assert [ending.missing for ending in result.endings] == [()] * 4
    assert result.as_promised
    assert [release for release, text in monitor.budgets if text] == [
        "chat-v42",
        "chat-v43",
        "chat-v44",
        "chat-v45",
    ]
    assert [release for release, text in monitor.budgets if text is None] == ["chat-v42"]
    assert on.flag.read().share_pct(BASELINE) == 100
    assert result.events == len(monitor.events)
    assert any(frame.page is not None for frame in watcher.frames)


async def test_the_first_breach_is_visible_within_a_minute_of_the_first_request(tmp_path: Path) -> None:
    on, _, _ = stage(FULL, tmp_path)
    result = await play(FULL, on)
    assert result.first_breach_s is not None
    assert result.first_breach_s < 60


@pytest.mark.parametrize("plan", [FULL, SHORT])
async def test_events_never_lie_ahead_and_end_about_now(plan: Plan, tmp_path: Path) -> None:
    wall = Wall()
    on, monitor, _ = stage(plan, tmp_path, wall=wall)
    began_ms = clock_of(wall, plan).origin_ms
    await play(plan, on)
    last_ms = monitor.latest_ms
    assert last_ms <= on.clock.at(wall.now_ms())
    assert (last_ms - began_ms) / MINUTE_MS < plan.expected_min, "what was planned is enough"
    assert wall.now_ms() - 90 * MINUTE_MS < last_ms <= wall.now_ms()


async def test_one_request_is_the_incident(tmp_path: Path) -> None:
    on, monitor, _ = stage(FULL, tmp_path)
    await play(FULL, on)
    incidents = [event for event in monitor.events if "incident_severity" in event]
    assert [event["release"] for event in incidents] == ["chat-v44"]


async def test_each_candidate_gets_its_share(tmp_path: Path) -> None:
    on, monitor, _ = stage(FULL, tmp_path)
    result = await play(FULL, on)
    for ending in result.endings:
        during = Counter(
            str(event["release"])
            for event in monitor.events
            if ending.started_ms < int(str(event["at"])) <= ending.flipped_ms
        )
        share_pct = 100 * during[ending.story.release] / during.total()
        assert share_pct == pytest.approx(ending.story.share_pct, abs=4)
        assert set(during) == {BASELINE, ending.story.release}


async def test_a_monitor_that_says_nothing_is_not_as_promised(tmp_path: Path) -> None:
    on, _, _ = stage(ONLY_SILENCE, tmp_path, wall=Wall(), silent=True)
    on = replace(on, broker=_Armed(on.broker))
    result = await play(ONLY_SILENCE, on)
    assert result.told
    assert not result.as_promised
    assert "the flag serves the baseline again" in result.endings[0].missing
    assert on.flag.read().share_pct(BASELINE) == 100


class _Armed:
    """A broker that only lets armings through."""

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self.send, self.arm, self.heard = broker.send, broker.arm, broker.heard


async def test_a_worker_that_ends_ends_the_show(tmp_path: Path) -> None:
    on, _, _ = stage(SHORT, tmp_path, crew=Crew(ends_at=50))
    with pytest.raises(RuntimeError, match="a worker has ended"):
        await play(SHORT, on)


async def test_a_show_that_is_ended_early_did_not_keep_its_promises(tmp_path: Path) -> None:
    on, _, _ = stage(SHORT, tmp_path, wall=Wall(at_most=100))
    result = await play(SHORT, on)
    assert (result.told, result.as_promised) == (False, False)


async def test_to_stay_is_to_go_on_with_healthy_traffic_until_asked(tmp_path: Path) -> None:
    wall = Wall(at_most=3_000)
    on, monitor, watcher = stage(SHORT, tmp_path, wall=wall)
    result = await play(SHORT, on, stay=True)
    assert result.as_promised
    assert watcher.frames[-1].phase is Phase.OVER
    assert {event["release"] for event in monitor.events[-1_000:]} == {BASELINE}


async def test_on_servers_that_stay_the_releases_have_other_names(tmp_path: Path) -> None:
    plan = renamed(SHORT, "-r7")
    on, _, _ = stage(plan, tmp_path)
    result = await play(plan, on)
    assert result.as_promised
    assert [ending.story.release for ending in result.endings] == [f"chat-v4{n}-r7" for n in (2, 3, 4, 5)]


def test_the_clock_meets_the_wall_at_the_planned_end() -> None:
    clock = ending_now(1_000_000_000, expected_min=120, speed=60)
    end_ms = 1_000_000_000 + 120_000
    assert clock.at(end_ms) == end_ms
    assert clock.at(1_000_000_000) == end_ms - 120 * MINUTE_MS
