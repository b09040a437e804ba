"""The session in docs/evidence.md is what the commands say, its shell line checks the chain, each file is named."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monitor.adapters.evidence_zip import read_pack
from monitor.cli import main
from monitor.core.evidence_pack import DECISIONS, PREVIOUS
from tests.golden.cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
TEXT = PAGE.read_text(encoding="utf-8")
CASE = next(case for case in CASES if case.name == "latency_silence")
SESSION = re.compile(r"^\$ rollback-budget (evidence .*)\n((?:[^$`].*\n)+)", re.MULTILINE)
# Another version of the monitor is another manifest, and another one is no other page.
MANIFEST = re.compile(r"SHA-256 [0-9a-f]{64}|[\d,]+ bytes")


def test_the_session_and_the_shell_line_are_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(CASE.decisions, "decisions.jsonl")
    shutil.copy(CASE.budget, "budget.yaml")
    sessions = SESSION.findall(TEXT)
    assert len(sessions) == 2
    for command, expected in sessions:
        assert main(command.split()) == 0
        assert MANIFEST.sub("", capsys.readouterr().out) == MANIFEST.sub("", expected)
    (tmp_path / "lines").write_bytes(read_pack(Path("evidence.zip"))[DECISIONS])
    pipe = re.search(r"unzip -p evidence\.zip decisions\.jsonl \| (.*?)\s+#", TEXT)
    assert pipe is not None
    found = subprocess.run(f"cat lines | {pipe[1]}", shell=True, capture_output=True, text=True, check=True)
    fourth = (tmp_path / "lines").read_text().splitlines()[3]
    assert f'"{PREVIOUS}":"{found.stdout.split()[0]}"' in fourth


def test_every_file_is_named(tmp_path: Path) -> None:
    out = tmp_path / "pack.zip"
    assert main(["evidence", "assistant-8", "--events", str(CASE.decisions), "--out", str(out)]) == 0
    table = TEXT[TEXT.index("| file | holds |") :].split("\n\n", 1)[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}
    assert named == set(read_pack(out))
