"""`rollback-budget gate`: what a pipeline is told at the end of a stage, and its exit code."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from monitor.core.moment import rfc3339
from tests.cli.ledger_world import MINUTE_MS, arming_of
from tests.cli.verbs import give, world_of
from tests.golden.traffic import START_MS


def asked(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, Any]]:
    code, out, err = give(capsys, "gate", "assistant-8", "--output", "json", *more)
    assert err == ""
    return code, json.loads(out)


def grounds(said: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["ground"], one["asks_for"]) for one in said["grounds"]}


def test_a_healthy_release_goes_on_and_the_stage_is_on_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "healthy", 110)
    code, said = asked(capsys, "--stage", "share-10")
    assert (code, said["answer"], said["stage"]) == (0, "promote", "share-10"), said["grounds"]
    assert grounds(said) == {("not_rehearsed", "promote")}
    assert {one["verdict"] for one in said["assessment"]["objectives"]} == {"healthy"}
    assert said["assessment"]["stage"] == "share-10"
    assert [(one.kind, one.author) for one in world.commands] == [("assess", "dana")]
    code, out, _ = give(capsys, "gate", "assistant-8", "--require-rehearsal")
    assert code == 3
    assert out.startswith("hold: assistant-8 at the end of canary\n  hold: its rollback was never rehearsed")


def test_an_early_release_is_held_and_told_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world_of(monkeypatch, "inconclusive", 30)
    code, said = asked(capsys)
    assert (code, said["answer"]) == (3, "hold")
    assert ("inconclusive", "hold") in grounds(said)
    assert give(capsys, "gate", "assistant-8", "--fail-on", "roll-back")[0] == 0


def test_an_open_page_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world_of(monkeypatch, "latency_hold", 45)
    code, said = asked(capsys)
    assert (code, said["answer"]) == (3, "hold")
    assert {("page_open", "hold"), ("breach", "hold"), ("suspect", "hold")} <= grounds(said)


def test_what_was_rolled_back_is_rolled_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world_of(monkeypatch, "latency_hold", 45)
    assert give(capsys, "decide", "assistant-8", "rollback", "--reason", "users complain")[0] == 0
    code, said = asked(capsys, "--fail-on", "roll-back")
    assert (code, said["answer"]) == (3, "roll_back")
    assert ("rolled_back", "roll_back") in grounds(said)
    assert "eval_debt" not in {ground for ground, _ in grounds(said)}, "what it broke itself is no debt yet"


def test_a_case_that_is_owed_from_before_holds_unless_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "latency_hold", 45)
    asyncio.run(world.record([arming_of(world.budget, 2, START_MS + 45 * MINUTE_MS)]))
    assert ("eval_debt", "hold") in grounds(asked(capsys)[1])
    assert ("eval_debt", "promote") in grounds(asked(capsys, "--allow-debt")[1])


def test_nobody_who_answers_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world_of(monkeypatch, "healthy", 110).is_down = True
    code, said = asked(capsys, "--wait", "0.2")
    assert (code, said["answer"], said["assessment"]) == (3, "hold", None)
    assert ("not_assessed", "hold") in grounds(said)
    assert "no worker answered within 0.2 s" in str(said["grounds"])


def test_a_watch_that_was_ended_by_hand_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world_of(monkeypatch, "healthy", 110)
    give(capsys, "disarm", "assistant-8", "--reason", "enough")
    code, said = asked(capsys)
    assert code == 3
    assert {("not_watched", "hold"), ("not_assessed", "hold")} <= grounds(said)
    assert "no longer watched" in str(said["grounds"])


def test_a_window_that_was_watched_to_its_end_speaks_for_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "healthy", 110)
    tick = world.evaluator.progress.tick
    assert tick is not None
    asyncio.run(world.record(world.evaluator.finish(tick, 0, complete=True)))
    code, said = asked(capsys)
    assert (code, said["assessment"]["stage"], said["assessment"]["complete"]) == (0, "window", True)


def test_a_release_that_nobody_armed_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world_of(monkeypatch, "healthy", 110)
    code, out, err = give(capsys, "gate", "assistant-9")
    assert (code, out) == (1, "")
    assert "assistant-9 was never armed: did you mean assistant-8?" in err


@pytest.mark.parametrize("stage", ["", "a b", "x" * 65])
def test_a_stage_is_a_name(
    stage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_of(monkeypatch, "healthy", 110)
    code, _, err = give(capsys, "gate", "assistant-8", "--stage", stage)
    assert (code, world.commands) == (2, [])
    assert "stage" in err


def test_the_moment_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    world = world_of(monkeypatch, "healthy", 110)
    _, said = asked(capsys)
    tick = world.evaluator.progress.tick
    assert tick is not None
    assert said["assessment"]["decided_at"] == rfc3339(tick * MINUTE_MS)
