"""`rollback-budget rehearse` with a real worker, a real Kafka, a real Valkey and a flag file, at 60 times the speed."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.kafka.topics import DECISIONS
from monitor.cli import main
from monitor.core.decision import Type
from monitor.core.rehearsal import PREFIX, is_rehearsal
from tests.integration.heard import Heard
from tests.integration.stage import Stage, staged

SPEED = 60
BUDGET = """\
release: {release}
baseline: {release}-before
window: 24h
owner: answers-team
on_call: ada
rollback_budget:
  quality:
    task_success_delta_pct: -2
    max_duration_min: 20
flag:
  actuator: flagd-file
  key: chat
  baseline_variation: old
  candidate_variation: new
verify:
  within: 24h
"""
FLAG = {
    "state": "ENABLED",
    "variants": {"old": "old", "new": "new"},
    "defaultVariant": "old",
    "targeting": {"fractional": [["new", 50], ["old", 50]]},
}


@pytest.fixture
async def stage(kafka: str, tmp_path: Path, unique: str) -> AsyncIterator[Stage]:
    async with staged(kafka, tmp_path, unique) as stage:
        yield stage


def flags(stage: Stage) -> Any:
    return json.loads((stage.folder / "flags.json").read_text())


async def rollback_budget(*arguments: str) -> int:
    """Run the command as a person does: in a thread, since it has an event loop of its own."""
    return await asyncio.to_thread(main, list(arguments))


async def all_heard(stage: Stage) -> Heard:
    """Return what stands on the topics, about every release: a drill's stand-ins have names of their own."""
    heard = await Heard(stage.access, "").start()
    try:
        await heard.to_end()
    finally:
        await heard.stop()
    return heard


def drills(heard: Heard) -> set[str]:
    return {one.release for one in heard.said if is_rehearsal(one.release)}


async def test_a_drill_goes_the_whole_way_and_leaves_nothing_behind(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rehearsed flag is turned and set back, the real one is not touched, nobody is paged and nothing is owed."""
    release = stage.release("v2")
    wall_ms = time.time_ns() // 1_000_000
    settings = {
        "event_time_speed": SPEED,
        "event_time_origin_ms": wall_ms,
        "wall_origin_ms": wall_ms,
        "flagd_file": stage.folder / "flags.json",
        "budgets": stage.budgets,
    }
    stage.budget("v2", BUDGET.format(release=release))
    before = {"flags": {"chat": FLAG, "chat-rehearsal": FLAG}}
    (stage.folder / "flags.json").write_text(json.dumps(before))
    for name in [name for name in os.environ if name.startswith("ROLLBACK_BUDGET_")]:
        monkeypatch.delenv(name)
    mine = {**settings, "kafka_bootstrap": stage.access.bootstrap, "redis_url": stage.valkey.url}
    mine |= {"traces_topic": stage.traces, "traces_partitions": stage.partitions, "group": stage.name}
    for name, value in mine.items():
        monkeypatch.setenv(f"ROLLBACK_BUDGET_{name.upper()}", str(value))
    worker = stage.worker("w", **settings)
    await worker.ready()
    earlier = drills(await all_heard(stage))

    file = str(stage.budgets / "v2.yaml")
    code = await rollback_budget("rehearse", "--budget", file, "--author", "dana", "--output", "json")
    out, err = capsys.readouterr()
    assert code == 0, err + worker.log[-4_000:]

    told = json.loads(out)
    assert (told["succeeded"], told["restored"], told["stored"]) == (True, True, True)
    assert (told["release"], told["flag"], told["real_flag"]) == (release, "chat-rehearsal", False)
    assert set(told["seconds"]) == {
        "flag", "arm", "decide", "apply", "verify", "disarm", "restore", "total"
    }  # fmt: skip
    assert flags(stage) == before

    heard = await all_heard(stage)
    (on_record,) = [one for one in heard.of(Type.ROLLBACK_REHEARSED) if one.release == release]
    assert on_record.topic == DECISIONS
    (name,) = drills(heard) - earlier
    assert name.startswith(PREFIX)
    assert heard.of(Type.ROLLBACK_VERIFIED, name)
    assert heard.of(Type.DEBT_CREATED, name) == []
    assert heard.entry(Type.PAGE_DELIVERED, name) == []
    assert heard.of(Type.ROLLBACK_REQUESTED, release) == []

    assert await rollback_budget("status", release, "--output", "json") == 0
    (standing,) = json.loads(capsys.readouterr().out)["releases"]
    assert (standing["stage"], standing["rehearsed"]["counts"]) == ("watching", True)
    assert standing["rehearsed"]["days_ago"] == 0
    assert "Traceback" not in worker.log
