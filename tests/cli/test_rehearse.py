"""`rollback-budget rehearse`: what may be rehearsed on which flag, and how the end is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main, rehearse_stage
from monitor.cli.rehearse_stage import Cast, Played, _decision, cast_of
from monitor.config.budget_file import load_budget
from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.core.budget import Budget
from monitor.engine.drill import Rehearsal, Step, Told
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check

P = "ROLLBACK_BUDGET_"
HEAD = """\
release: model-v42
baseline: model-v41
window: 24h
rollback_budget: {quality: {task_success_delta_pct: -2, max_duration_min: 20}}
"""
FLAG = "flag: {actuator: flagd-file, key: chat, baseline_variation: v41, candidate_variation: v42}\n"
WEBHOOK = "flag: {actuator: webhook, key: chat, baseline_variation: v41, candidate_variation: v42}\n"


def budget(flag: str) -> Budget:
    return load_budget(HEAD + flag, "a budget")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(P)]:
        monkeypatch.delenv(name)
    (tmp_path / "b.yaml").write_text(HEAD + FLAG)
    (tmp_path / "without.yaml").write_text(HEAD)
    (tmp_path / "webhook.yaml").write_text(HEAD + WEBHOOK)
    (tmp_path / "drill.yaml").write_text((HEAD + FLAG).replace("model-v42", "rollback-budget-rehearsal-x"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--budget", "without.yaml"], "names no flag"),
        (["--budget", "webhook.yaml", "--for-real"], "cannot set a flag back through webhook"),
        (["--budget", "b.yaml", "--flag", "chat"], "say so with --for-real"),
        (["--budget", "b.yaml", "--flag", "x", "--for-real"], "give one of the two"),
        (["--budget", "."], "b.yaml"),
        (["--budget", "drill.yaml"], "begins as the releases of rehearsals do"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_before_anything_is_touched(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rehearse", "--author", "dana", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "is_real", "turned"),
    [(None, False, "chat-rehearsal"), ("drill", False, "drill"), (None, True, "chat")],
)
def test_the_real_flag_is_turned_only_where_that_is_said(key: str | None, is_real: bool, turned: str) -> None:
    assert cast_of(budget(FLAG), key=key, is_real=is_real, author="dana").flag.key == turned


def test_systems_that_cannot_set_back_still_have_drills() -> None:
    assert cast_of(budget(WEBHOOK), key=None, is_real=False, author="dana").flag.key == "chat-rehearsal"
    assert [name for name, system in FLAG_SYSTEMS.items() if not system.is_set_back] == ["webhook"]


def played(who: Cast, *, fails: bool) -> Played:
    rehearsal = Rehearsal(seconds={"decide": 0.4, "apply": 1.1, "verify": 200.0, "total": 201.5})
    if fails:
        rehearsal.failed_at = Step.APPLY
        rehearsal.problems.append("apply: the token is not accepted; check it")
    return Played(rehearsal, _decision("run", who, rehearsal, 1_790_000_000_000), is_stored=not fails)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("output", ["text", "json"])
def test_the_end_is_told_and_is_the_exit_code(
    fails: bool, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(settings: Any, who: Cast, told: Told) -> Played:
        told(Step.APPLY, "")
        told(Step.APPLY, "turned")
        return played(who, fails=fails)

    monkeypatch.setattr(rehearse_stage, "play", play)
    assert main(["rehearse", "--budget", "b.yaml", "--author", "dana", "--output", output]) == int(fails)
    out = capsys.readouterr().out
    words = "failed: apply: the token is not accepted" if fails else "turned 1.5 s after the breach"
    assert words in out
    if output == "json":
        assert json.loads(out)["succeeded"] is not fails


@pytest.mark.parametrize("fails", [False, True])
def test_what_goes_on_record_fits_its_schema(fails: bool) -> None:
    who = cast_of(budget(FLAG), key=None, is_real=False, author="dana")
    check(of_decision(played(who, fails=fails).decision))
