"""What becomes of the output where it goes nowhere: a full disk, a reader that left, a closed stream."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden.cases import CASES

CASE = next(case for case in CASES if case.name == "healthy")
FULL = Path("/dev/full")
SETTINGS = (sys.executable, "-m", "monitor", "settings")
REPLAY = (sys.executable, "-m", "monitor", *CASE.arguments())


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [SETTINGS, REPLAY], ids=["a page", "lines as they come"])
def test_a_full_disk_is_said_and_fails(command: tuple[str, ...]) -> None:
    """`> decisions.jsonl` that holds half of them must not pass for all of them."""
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("rollback-budget: the output cannot be written: No space left on device\n")
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
