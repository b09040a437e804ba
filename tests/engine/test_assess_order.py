"""The order `assess`: a pipeline is told how far a release is, and the watch goes on as if nobody had asked."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.config.budget_file import load_budget
from monitor.core.decision import Decision, Type
from monitor.engine.answer import answer
from monitor.engine.replay import Replay
from tests.engine.worlds import (
    BAD,
    GOOD,
    HANDOFF,
    SUCCESS,
    Drive,
    budget,
    command,
    handoff,
    held,
    incidents,
    objective,
)
from tests.golden.cases import CASES
from tests.golden.traffic import STORIES, lines_of

MASKED = next(case for case in CASES if case.name == "masked_tenant")


def _say(drive: Drive, kind: str, **more: Any) -> list[Decision]:
    return drive.note(answer(drive.evaluator, command(kind, drive.at_ms + 30_000, **more)))


def _assess(drive: Drive, **more: Any) -> Decision:
    (decision,) = _say(drive, "assess", **{"stage": "canary", **more})
    return decision


def test_a_pipeline_is_told_what_each_objective_has_come_to() -> None:
    drive = Drive(budget(objective(), handoff()))
    drive.run(5)
    drive.tick(GOOD, GOOD, late=7)
    assessed = _assess(drive)
    assert assessed.type is Type.RELEASE_ASSESSED
    data = assessed.data
    assert (data["stage"], data["complete"], data["late_count"]) == ("canary", False, 7)
    assert data["ordered_by"] == {"command_id": "c-1", "author": "ada", "signed": None}
    rows: Any = data["objectives"]
    assert [row["objective"] for row in rows] == [SUCCESS, HANDOFF]
    assert _assess(drive, command_id="c-2").decision_id != assessed.decision_id
    assert _assess(drive).decision_id == assessed.decision_id, "the same order has the same answer"


@pytest.mark.parametrize("asked_at", range(1, 14))
def test_to_be_asked_changes_nothing(asked_at: int) -> None:
    def story(drive: Drive, asked_at: int | None) -> list[Decision]:
        said: list[Decision] = []
        for minute, arm in enumerate([GOOD] * 2 + [BAD] * 3 + [GOOD] * 3 + [BAD] * 5, 1):
            said += drive.tick(arm, late=minute)
            if minute == asked_at:
                _assess(drive)
        return said

    watched = budget(objective(), handoff(), incidents())
    assert story(Drive(watched), asked_at) == story(Drive(watched), None)


def test_to_be_asked_every_minute_changes_nothing_of_cohorts_and_evidence() -> None:
    def replayed(*, asked: bool) -> list[Decision]:
        replay = Replay([load_budget(MASKED.budget.read_text(), "budget.yaml")], decode)
        (evaluator,) = replay.evaluators
        said: list[Decision] = []
        tick: int | None = None
        for line in lines_of(STORIES[MASKED.traffic]):
            said += replay.feed(line)
            if asked and evaluator.progress.tick != tick:
                tick = evaluator.progress.tick
                order = command("assess", 0, command_id=f"c-{tick}", stage="canary")
                held(answer(evaluator, order)[0])
        return [*said, *replay.finish()]

    assert replayed(asked=True) == replayed(asked=False)


def test_what_was_never_seen_and_what_is_over_cannot_be_assessed() -> None:
    drive = Drive(budget())
    unseen = _assess(drive)
    assert "no minute of it is closed yet" in str(unseen.data["summary"])
    drive.run(3)
    _say(drive, "disarm")
    assert _assess(drive, command_id="c-2").type is Type.COMMAND_REFUSED


def test_a_locked_release_can_be_assessed() -> None:
    drive = Drive(budget())
    drive.run(3)
    _say(drive, "decide", decision="rollback")
    assert "a rollback was requested" in str(_assess(drive, command_id="c-2").data["summary"])
