"""`rollback-budget replay`: decisions on stdout and nothing else, a summary on stderr, and exit codes to build on."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.adapters.kafka.decode import decode
from monitor.cli import main
from monitor.config.budget_file import load_budget
from monitor.engine.replay import Replay
from tests.golden.cases import CASES, FOLDER, Case
from tests.golden.replays import recorded
from tests.golden.traffic import hostile_lines

BY_NAME = {case.name: case for case in CASES}
BREACH, PAGED, HEALTHY = BY_NAME["incident_clean"], BY_NAME["latency_hold"], BY_NAME["inconclusive"]
Capture = pytest.CaptureFixture[bytes]


def run(capture: Capture, *arguments: str | Path) -> tuple[int, bytes, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capture.readouterr()
    return code, out, err.decode()


def lines(case: Case) -> list[bytes]:
    return gzip.decompress(case.events.read_bytes()).splitlines()


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "monitor", "replay", *(str(argument) for argument in arguments)]


def test_stdout_holds_the_decisions_and_stderr_what_people_want_to_know(capsysbinary: Capture) -> None:
    code, out, err = run(capsysbinary, *BREACH.arguments())
    assert code == 0
    assert [json.loads(line)["type"].split(".")[2] for line in out.splitlines()] == [
        "evaldebt",
        "rollback",
        "release",
    ]
    for said in ("1,800 records in", "events/s)", "accepted", "rollback.requested", "assistant-8: 1 breach"):
        assert said in err
    assert re.search(r"safety\.high_severity_incidents_increase +everybody +breach", err)
    assert "\x1b" not in err  # nobody watches: neither colours nor a meter


def test_machines_get_the_summary_as_json(capsysbinary: Capture, tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    code, _, err = run(capsysbinary, *BREACH.arguments(), "--output", "json", "--summary", file)
    written = json.loads(file.read_text())
    assert code == 0
    assert json.loads(err) == written
    assert isinstance(written.pop("seconds"), float)
    assert isinstance(written.pop("events_per_second"), int)
    assert written == {
        "records": 1800,
        "accepted": 1800,
        "rejected": {},
        "late": 0,
        "duplicates": 0,
        "other_releases": 0,
        "decisions": {
            "dev.rollbackbudget.evaldebt.created.v1": 1,
            "dev.rollbackbudget.release.assessed.v1": 1,
            "dev.rollbackbudget.rollback.requested.v1": 1,
        },
        "breaker": {"is_open": False, "rollbacks": 1, "max_rollbacks": 50, "within_min": 60, "withheld": 0},
    }


@pytest.mark.parametrize("form", ["in a row", "repeated", "with equals"])
def test_several_files_may_be_named_as_a_shell_gives_them(
    capsysbinary: Capture, tmp_path: Path, form: str
) -> None:
    whole = lines(HEALTHY)
    parts = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for number, part in enumerate(parts):
        part.write_bytes(b"\n".join(whole[number * 150 : (number + 1) * 150]))
    events: list[str | Path] = ["--events", *parts]
    if form == "repeated":
        events = [word for part in parts for word in ("--events", part)]
    if form == "with equals":
        events = [f"--events={parts[0]}", *parts[1:]]
    code, out, _ = run(capsysbinary, "replay", *events, "--budget", HEALTHY.budget)
    assert code == 0
    assert out == run(capsysbinary, *HEALTHY.arguments())[1]


def test_several_budgets_are_replayed_together(capsysbinary: Capture, tmp_path: Path) -> None:
    other = HEALTHY.budget.read_text().replace("assistant-8", "assistant-9")
    (tmp_path / "other.yaml").write_text(other)
    same = tmp_path / "same.yaml"
    same.write_text(HEALTHY.budget.read_text())  # the same budget twice is one budget
    budgets = ("--budget", HEALTHY.budget, tmp_path / "other.yaml", same)
    code, out, _ = run(capsysbinary, "replay", "--events", HEALTHY.events, *budgets)
    assert code == 0
    assert [json.loads(line)["subject"] for line in out.splitlines()] == ["assistant-8", "assistant-9"]


def test_what_the_loader_warns_of_is_said_on_stderr(capsysbinary: Capture, tmp_path: Path) -> None:
    budget = tmp_path / "budget.yaml"
    budget.write_text(HEALTHY.budget.read_text().replace("owner: assistant-team\n", ""))
    code, out, err = run(capsysbinary, "replay", "--budget", budget, "--events", HEALTHY.events)
    assert code == 0
    assert f"{budget}:2: warning: owner: missing; say who answers for this budget\n" in err
    assert b"warning" not in out


@pytest.mark.parametrize(
    ("case", "fail_on", "expected"),
    [
        (BREACH, "tier-a", 3),
        (BREACH, "tier-b", 3),
        (PAGED, "tier-a", 0),
        (PAGED, "tier-b", 3),
        (HEALTHY, "tier-b", 0),
    ],
)
def test_a_pipeline_can_fail_on_a_tier(
    capsysbinary: Capture, case: Case, fail_on: str, expected: int
) -> None:
    assert run(capsysbinary, *case.arguments(), "--fail-on", fail_on)[0] == expected


def test_a_page_that_says_there_is_no_data_is_no_breach(capsysbinary: Capture, tmp_path: Path) -> None:
    """The candidate falls silent while the baseline goes on: that is said, and fails no pipeline."""
    whole = [json.loads(line) for line in lines(BY_NAME["healthy"])]
    kept = [e for e in whole if e["release"] == "assistant-7" or e["event_id"] < "8-010"]
    (tmp_path / "silent.jsonl").write_text("\n".join(map(json.dumps, kept)))
    arguments = BY_NAME["healthy"].arguments(tmp_path / "silent.jsonl")
    code, out, _ = run(capsysbinary, *arguments, "--fail-on", "tier-b")
    reasons = {json.loads(line)["data"].get("reason") for line in out.splitlines() if b"page.opened" in line}
    assert (code, reasons) == (0, {"no_data"})


def test_rejected_lines_never_change_the_exit_code(capsysbinary: Capture, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(
        b"\n".join(line for lines_ in hostile_lines().values() for line in lines_)
    )
    code, out, err = run(capsysbinary, *HEALTHY.arguments(tmp_path / "bad.jsonl"), "--fail-on", "tier-b")
    assert (code, out) == (0, b"")
    assert "nothing was assessed: no event of the releases that the budgets name was accepted" in err


@pytest.mark.parametrize(("content", "records"), [(b"", 0), (b"\n", 1), (b"{}\n", 1), (b"{}\n\n", 2)])
def test_an_input_without_events_decides_nothing(
    capsysbinary: Capture, tmp_path: Path, content: bytes, records: int
) -> None:
    (tmp_path / "empty.jsonl").write_bytes(content)
    code, out, err = run(capsysbinary, *HEALTHY.arguments(tmp_path / "empty.jsonl"))
    assert (code, out) == (0, b"")
    assert f"{records} records in" in err


def test_windows_line_ends_and_a_last_line_without_one_are_fine(
    capsysbinary: Capture, tmp_path: Path
) -> None:
    (tmp_path / "dos.jsonl").write_bytes(b"\r\n".join(lines(HEALTHY)))
    said = run(capsysbinary, *HEALTHY.arguments(tmp_path / "dos.jsonl"))[1]
    assert said == recorded(HEALTHY)[1]


WRONG: dict[str, tuple[list[str], str]] = {
    "no such events": (
        ["--events", "absent.jsonl"],
        "absent.jsonl: cannot be read: No such file or directory",
    ),
    "events are a directory": (["--events", "."], ".: is a directory; name the files in it"),
    "not gzip": (["--events", "text.gz"], "text.gz: is not gzip: it begins with 74 65 78 74"),
    "no such budget": (["--budget", "absent.yaml"], "absent.yaml: no such file"),
    "a broken budget": (["--budget", "text.gz"], "text.gz"),
    "summary in no directory": (["--summary", "absent/s.json"], "--summary: absent/s.json cannot be written"),
    "summary is a directory": (["--summary", "."], "--summary: . cannot be written"),
    "a range beside files": (["--events", "kafka://h:1/t"], "--events: a Kafka range stands alone"),
    "an unknown tier": (["--fail-on", "tier-c"], "tier-c"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_2_before_anything_is_decided(
    capsysbinary: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.gz").write_bytes(b"text: no budget and no gzip")
    arguments, expected = WRONG[name]
    code, out, err = run(capsysbinary, *BREACH.arguments(), *arguments)
    assert (code, out) == (2, b"")
    assert expected in err


def test_a_file_that_breaks_off_is_1_and_nothing_is_assessed(capsysbinary: Capture, tmp_path: Path) -> None:
    """What was decided before stands; an assessment would speak for a recording that nobody has seen whole."""
    (tmp_path / "cut.jsonl.gz").write_bytes(BREACH.events.read_bytes()[:-4_000])
    summary = tmp_path / "summary.json"
    code, out, err = run(capsysbinary, *BREACH.arguments(tmp_path / "cut.jsonl.gz"), "--summary", summary)
    assert code == 1
    assert [json.loads(line)["type"].split(".")[2] for line in out.splitlines()] == ["evaldebt", "rollback"]
    assert re.search(r"cut\.jsonl\.gz: broke off: .*; 1\d\d\d lines were read before", err)
    assert not summary.exists()


def test_standard_input_is_read_as_it_comes() -> None:
    done = subprocess.run(
        command("--budget", HEALTHY.budget, "--events", "-"),
        input=b"\n".join(lines(HEALTHY)),
        capture_output=True,
        check=True,
        timeout=600,
    )
    assert done.stdout == recorded(HEALTHY)[1]


@pytest.mark.parametrize(("more", "expected"), [([], 0), (["--fail-on", "tier-a"], 3)])
def test_a_reader_that_leaves_ends_it_quietly(more: list[str], expected: int) -> None:
    """`| head -1`: no traceback, no noise; and what a pipeline asked for is still found out."""
    with subprocess.Popen(
        command("--budget", BREACH.budget, "--events", "-", *more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(b"\n".join(lines(BREACH)), timeout=600)
    assert process.returncode == expected
    assert b"Traceback" not in err
    assert b"Broken pipe" not in err
    assert (b"records in" in err) is bool(more)


def test_on_a_terminal_a_meter_shows_how_far_it_is(
    capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(BREACH.arguments()) == 0
    said, shown = capsysbinary.readouterr().out, terminal.getvalue()
    assert said == recorded(BREACH)[1]
    assert "events/s" in shown
    assert "kB" in shown


def test_its_help_names_every_kind_of_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in (
        ".jsonl",
        ".gz",
        ".zst",
        "standard input",
        "kafka://host:port/topic",
        "offsets=0:100-250",
        "Example:",
    ):
        assert word in shown


def test_the_examples_in_the_golden_readme_run(
    capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER.parent.parent)
    found = re.search(r"rollback-budget (replay .*)", (FOLDER / "README.md").read_text())
    assert found is not None
    assert run(capsysbinary, *found[1].split())[0] == 0


def test_a_partition_that_has_ended_holds_nothing_back() -> None:
    """A range of a topic whose one partition went quiet early is decided as it is read, not at its end."""
    budget = load_budget(BREACH.budget.read_text(), "budget.yaml")
    replay = Replay([budget], decode, partitions=2)
    first, *rest = lines(BREACH)
    replay.feed(first, partition=1)
    assert not any(replay.feed(line, partition=0) for line in rest)
    assert "rollback.requested" in [decision.type.value for decision in replay.end(1)]
    assert replay.end(0) == []
    assert [decision.type.value for decision in replay.finish()] == ["release.assessed"]
