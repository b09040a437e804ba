"""`rollback-budget test`: one line a test, what came instead where one fails, and the right exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.cli import main

FILES = Path(__file__).parent.parent / "config" / "budget_tests"
BUDGET = (FILES / "good" / "chat.yaml").read_text(encoding="utf-8")
HEAD = """\
budget: chat.yaml
rate: 200/min
share: 20%
base: {task_success: 0.90, p95_ms: 2000}
tests:
"""
POISON = """\
  - name: a slow poison is rolled back
    traffic:
      - for: 25m
      - for: 30m
        candidate: {task_success: 0.80}
    expect:
      - rollback.requested: {objective: quality.task_success_delta_pct, between: [44m, 52m]}
      - not: page.opened
"""
HEALTHY = """\
  - {name: a healthy release is left alone, traffic: [{for: 30m}], expect: nothing}
"""
TOO_EARLY = """\
  - name: a slow poison is seen at once
    traffic:
      - for: 25m
      - for: 30m
        candidate: {task_success: 0.80}
    expect:
      - rollback.requested: {objective: quality.task_success_delta_pct, between: [25m, 30m]}
      - not: {breach.started: {objective: quality.task_success_delta_pct}}
"""
TOO_LITTLE = """\
  - name: a small harm is rolled back
    traffic: [{for: 30m, candidate: {task_success: 0.88}}]
    expect:
      - rollback.requested: {objective: quality.task_success_delta_pct}
      - release.assessed: {objective: quality.task_success_delta_pct, verdict: healthy}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "chat.yaml").write_text(BUDGET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *tests: str, name: str = "chat.tests.yaml") -> None:
    (folder / name).write_text(HEAD + "".join(tests), encoding="utf-8")


def test_one_line_a_test_says_that_it_passed_and_when(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, POISON, HEALTHY)
    assert main(["test", "chat.tests.yaml"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "chat.tests.yaml",
        "  pass  a slow poison is rolled back (rollback.requested at 48m)",
        "  pass  a healthy release is left alone",
        "2 of 2 passed",
    ]


def test_a_failure_says_what_was_expected_and_what_came_instead(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, HEALTHY, TOO_EARLY)
    assert main(["test", "."]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "chat.tests.yaml",
        "  pass  a healthy release is left alone",
        "  FAIL  a slow poison is seen at once",
        "        expected rollback.requested of quality.task_success_delta_pct between 25m and 30m",
    ]
    assert lines[4].startswith(
        "        came     rollback.requested at 48m: roll back: task success is 11.1 % below the baseline"
    )
    assert lines[5] == "        expected no breach.started of quality.task_success_delta_pct"
    assert lines[6].startswith("        came     breach.started at ")
    assert lines[-1] == "1 of 2 passed"


def test_where_nothing_came_the_rule_says_what_kept_it_back(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, TOO_LITTLE)
    assert main(["test", "chat.tests.yaml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:4] == [
        "  FAIL  a small harm is rolled back",
        "        expected rollback.requested of quality.task_success_delta_pct",
        "        came     nothing",
    ]
    assert lines[4].startswith(
        "        because  quality.task_success_delta_pct: not enough evidence (evidence at its strongest "
    )
    assert "        came     release.assessed at 30m: task success: inconclusive" in lines


def test_machines_get_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, HEALTHY, TOO_EARLY)
    assert main(["test", "chat.tests.yaml", "--output", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    (file,) = told["files"]
    good, bad = file["tests"]
    assert (file["file"], good["passed"], bad["passed"]) == ("chat.tests.yaml", True, False)
    assert (good["events"], good["expected"]) == (
        6_000,
        [{"expectation": "nothing", "met": True, "came": []}],
    )
    assert [one["met"] for one in bad["expected"]] == [False, False]
    kinds = [one["type"] for one in bad["decisions"]]
    assert kinds == ["breach.started", "evaldebt.created", "rollback.requested", "release.assessed"]
    requested = bad["decisions"][2]
    assert (requested["minute"], requested["tier"], requested["reason"]) == (48, "A", "breach")


def test_the_same_test_gives_the_same_answer_every_time(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, POISON)
    told = []
    for _ in range(2):
        assert main(["test", "chat.tests.yaml", "--output", "json"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


@pytest.mark.parametrize("seed", range(4))
def test_a_name_moves_a_test_by_no_more_than_its_first_round(
    seed: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Schedules follow expected values: renaming a test cannot turn a sound one red."""
    write(folder, POISON.replace("a slow poison", f"poison {seed}"))
    assert main(["test", "chat.tests.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1 passed"


def test_invalid_files_are_reported_together_and_nothing_is_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, POISON)
    write(folder, HEALTHY.replace("nothing", "noting"), name="b.tests.yaml")
    (folder / "c.tests.yml").write_text("budget: none.yaml\ntests: []\n", encoding="utf-8")
    assert main(["test", "."]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        'rollback-budget: b.tests.yaml:6: tests[0].expect: got "noting"; write a list of decisions, or nothing',
        "c.tests.yml:1: budget: there is no file none.yaml; name the budget as seen from this file",
        "c.tests.yml:2: tests: empty; write at least one entry",
    ]


def test_the_traffic_can_be_written_for_other_verbs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, POISON, HEALTHY)
    write(folder, HEALTHY, name="more.tests.yaml")
    assert main(["test", ".", "--write-traffic", "traffic"]) == 0
    names = sorted(path.name for path in (folder / "traffic").iterdir())
    assert names == [
        "a-healthy-release-is-left-alone-2.jsonl",
        "a-healthy-release-is-left-alone.jsonl",
        "a-slow-poison-is-rolled-back.jsonl",
    ]
    lines = (folder / "traffic" / names[2]).read_bytes().splitlines()
    assert len(lines) == 11_000
    assert not isinstance(decode(lines[0]), str)
    capsys.readouterr()
    command = ["backtest", "--budgets", "chat.yaml", "--events", f"traffic/{names[2]}", "--no-charts"]
    assert main(command) == 0
    assert "rolled back at minute 48" in capsys.readouterr().out


def test_traffic_that_cannot_be_written_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, HEALTHY)
    (folder / "taken").write_text("", encoding="utf-8")
    assert main(["test", ".", "--write-traffic", "taken"]) == 1
    assert "taken: cannot be written: File exists" in capsys.readouterr().err
