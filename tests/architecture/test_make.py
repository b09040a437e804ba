"""The way in: what a newcomer types, and what they are told where their machine lacks something."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

TARGETS = ("setup", "demo", "test", "check", "bench", "clean", "requirements")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on this project's Makefile, detached from the make that may be running these tests."""
    outside = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=outside, capture_output=True, text=True, timeout=600, check=False
    )


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


# Each stands in for `python -c CODE`: $2 is the code.
BARE = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11;; *) exit 0;; esac'
OLD = 'case "$2" in *print*) echo 3.9;; *) exit 1;; esac'


def test_make_alone_lists_what_there_is() -> None:
    listed = re.findall(r"^  make ([\w-]+) +\S", make().stdout, flags=re.MULTILINE)
    assert set(TARGETS) <= set(listed)


@pytest.mark.parametrize(
    ("scripts", "said"),
    [
        ({"bare": BARE}, ("ensurepip", "python3.11-venv", "apt-get install python3-venv")),
        ({"old": OLD, "bare": BARE}, ("ensurepip", "python3.11-venv")),
        ({"old": OLD}, ("needs Python 3.11 or later", "old=3.9", "PYTHON=")),
        ({}, ("needs Python 3.11 or later", "found: none")),
    ],
)
def test_a_machine_that_lacks_something_is_told_what(
    tmp_path: Path, scripts: dict[str, str], said: tuple[str, ...]
) -> None:
    pythons = [program(tmp_path / name, script) for name, script in scripts.items()]
    answer = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHONS={' '.join(pythons) or tmp_path / 'none'}")
    assert answer.returncode == 2
    assert all(words in answer.stderr for words in said), answer.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("target", "job"),
    [("demo", "/bin/rollback-budget demo"), ("test", "/bin/pytest"), ("check", "/bin/mypy")],
)
def test_every_way_in_sets_up_first(tmp_path: Path, target: str, job: str) -> None:
    """Nothing has to be done before `make demo` and `make test`: both begin with the environment."""
    planned = make("--dry-run", target, f"VENV={tmp_path / 'venv'}").stdout
    assert planned.index("--require-hashes") < planned.index(job)


def test_every_pinned_package_is_pinned_by_hash() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-cross-check.txt"):
        pins = re.split(r"\n(?=[a-z])", (ROOT / name).read_text(encoding="utf-8"))[1:]
        assert len(pins) > 20
        assert [pin for pin in pins if not re.match(r"\S+==\S+ (?:; .+ )?\\\n +--hash=sha256:", pin)] == []


def test_what_the_worker_runs_is_what_was_tested() -> None:
    """A worker is installed from requirements.txt, tests run with requirements-dev.txt: one version of each."""
    worker, tested = (
        set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert worker <= tested


def test_the_run_of_a_submission_is_a_program() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
