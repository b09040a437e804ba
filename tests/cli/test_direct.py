"""A commander's rollback while Kafka and Redis are away: the flag is turned from here, and a journal says so."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from monitor.cli import main

P = "ROLLBACK_BUDGET_"
BUDGET = """\
release: v42
baseline: v41
window: 24h
owner: dana
on_call: dana
rollback_budget:
  quality: {task_success_delta_pct: -2.0, max_duration_min: 20}
flag: {actuator: flagd-file, key: chat, baseline_variation: a, candidate_variation: b}
"""
FLAGS = {"flags": {"chat": {"state": "ENABLED", "variants": {"a": 1, "b": 2}, "defaultVariant": "b"}}}
WHY = ("--reason", "it hurts")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a budget and a flag that serves the candidate; neither Kafka nor Redis is anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("USER", "dana")
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv(f"{P}REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv(f"{P}FLAGD_FILE", str(tmp_path / "flags.json"))
    Path("budget.yaml").write_text(BUDGET)
    Path("flags.json").write_text(json.dumps(FLAGS))
    return tmp_path


def directly(*more: str, release: str = "v42", decision: str = "rollback") -> int:
    return main(["decide", release, decision, *WHY, "--direct", *more])


def served() -> str:
    flag: dict[str, Any] = json.loads(Path("flags.json").read_text())["flags"]["chat"]
    return str(flag["defaultVariant"])


def journal(name: str = "rollback-budget-direct.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def test_the_flag_is_turned_and_the_journal_has_the_order_before_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert directly("--budget", "budget.yaml") == 0
    assert served() == "a"
    ordered, applied = journal()
    assert (ordered["stage"], ordered["author"], ordered["reason"]) == ("ordered", "dana", "it hurts")
    assert (applied["stage"], applied["changed"], applied["command_id"]) == (
        "applied",
        True,
        ordered["command_id"],
    )
    assert applied["before"]["defaultVariant"] == "b"
    assert Path("rollback-budget-direct.jsonl").stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr().out
    assert "rolled back: flagd-file chat serves a (was turned and read back)" in said
    merge = said.partition("when Kafka is back: ")[2].strip()
    assert shlex.split(merge) == [
        *("rollback-budget", "decide", "--reason", "it hurts (turned directly)"),
        *("v42", "rollback"),
    ]


def test_doing_it_twice_turns_nothing_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert directly("--budget", "budget.yaml") == 0
    capsys.readouterr()
    assert directly("--budget", "budget.yaml", "--output", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answer"], told["changed"], told["on_record"]) == ("applied", False, False)
    assert len(journal()) == 4


def test_a_flag_system_that_does_not_confirm_is_a_failure_and_is_written_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{P}FLAGD_FILE", "none.json")
    assert directly("--budget", "budget.yaml", "--journal", "j") == 1
    assert "none.json" in capsys.readouterr().err
    assert [one["stage"] for one in journal("j")] == ["ordered", "failed"]


def test_what_cannot_be_written_down_first_is_not_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert directly("--budget", "budget.yaml", "--journal", "no/such/folder") == 2
    assert "nothing was turned" in capsys.readouterr().err
    assert served() == "b"


@pytest.mark.parametrize(
    ("given", "release", "decision", "why"),
    [
        (("--budget", "budget.yaml"), "v42", "continue", "only `rollback --direct --budget FILE`"),
        ((), "v42", "rollback", "only `rollback --direct --budget FILE`"),
        (("--budget", "budget.yaml", "--page", "p"), "v42", "rollback", "no page to be answered"),
        (("--budget", "budget.yaml"), "v43", "rollback", "is the budget of v42, not of v43"),
        (("--budget", "plain.yaml"), "v42", "rollback", "names no flag"),
        (("--budget", "observes.yaml"), "v42", "rollback", "only observes"),
        (("--budget", "none.yaml"), "v42", "rollback", "none.yaml"),
    ],
)
def test_what_makes_no_sense_turns_nothing(
    given: tuple[str, ...], release: str, decision: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("plain.yaml").write_text(BUDGET.partition("flag:")[0])
    Path("observes.yaml").write_text(f"{BUDGET}mode: observe\n")
    assert directly(*given, release=release, decision=decision) == 2
    assert why in capsys.readouterr().err
    assert served() == "b"
    assert not Path("rollback-budget-direct.jsonl").exists()


def test_a_budget_without_direct_is_told_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", "v42", "rollback", *WHY, "--budget", "budget.yaml"]) == 2
    assert "--direct" in capsys.readouterr().err
