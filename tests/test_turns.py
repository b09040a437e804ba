"""Tests that share a broker run one after the other, whatever the test runner's own marks do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_RUNS = """
import os
import pytest

@pytest.mark.parametrize("number", range(4))
def test_says_where(number):
    with open(os.environ["TURNS"], "a") as file:
        file.write(f"{os.environ['PYTEST_XDIST_WORKER']}\\n")
"""
_CONFTEST = """
def pytest_xdist_make_scheduler(config, log):
    from tests.turns import InTurns
    return InTurns(config, log)
"""


@pytest.mark.parametrize("folder", ["tests/integration"])
def test_what_shares_a_broker_runs_in_one_process(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir(parents=True)
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    for name in ("test_one.py", "test_two.py"):
        (place / name).write_text(_RUNS)
    root = Path(__file__).parent.parent
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env = {**plain, "TURNS": str(tmp_path / "turns"), "PYTHONPATH": str(root)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
        ".",
    ]
    done = subprocess.run(
        command, check=False, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    who = (tmp_path / "turns").read_text().split()
    assert len(who) == 8
    assert len(set(who)) == 1
