"""What becomes of the output where it goes nowhere: a full disk, a reader that left, a closed stream."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli import main
from tests.golden.cases import CASES

CASE = next(case for case in CASES if case.name == "healthy")
SETTINGS = (sys.executable, "-m", "monitor", "settings")
REPLAY = (sys.executable, "-m", "monitor", *CASE.arguments())


@pytest.mark.parametrize("command", [SETTINGS, REPLAY], ids=["a page", "lines as they come"])
def test_an_output_that_cannot_be_written_is_said_and_fails(command: tuple[str, ...], tmp_path: Path) -> None:
    """`> decisions.jsonl` on a full disk must not pass for all of them; here no file may have a byte."""
    no_room = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *command]
    with (tmp_path / "decisions.jsonl").open("w") as full:
        done = subprocess.run(no_room, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("rollback-budget: the output cannot be written: File too large\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("command", [SETTINGS, REPLAY], ids=["a page", "lines as they come"])
def test_a_reader_that_left_is_no_fault_of_anybody(command: tuple[str, ...]) -> None:
    """As `| head -1` leaves: nothing is said about it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        said = started.stderr.read().decode()
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "cannot be written" not in said


def test_a_closed_stdout_is_no_crash() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *SETTINGS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_on_a_narrow_terminal_loses_no_name_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(CASE.arguments()) == 0
    assert capsysbinary.readouterr().out
    rows = [line.split() for line in terminal.getvalue().splitlines() if " everybody " in line]
    assert rows
    assert all("." in row[0] and row[2] == "healthy" and "…" not in "".join(row) for row in rows), rows


def test_an_error_that_names_what_stands_in_a_file_does_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debts = tmp_path / "debts.jsonl"
    due = "2026-11-09T09:40:00.000Z"
    debt = {"debt_id": "\x1b[2J\x9b31m\u202e", "due_at": due, "release": "a", "baseline": "b"}
    debts.write_text(json.dumps(debt))
    assert main(["debt", "show", "0123456789", "--debts", str(debts)]) == 2
    said = capsys.readouterr().err
    assert "open are" in said
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)
