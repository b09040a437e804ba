"""The output in docs/scorecard.md is what the command says, and its table names every result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.core.scorecard import Result
from tests.golden.cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "scorecard.md"
TEXT = PAGE.read_text(encoding="utf-8")
SESSION = re.compile(r"\$ rollback-budget scorecard (\S+) --events decisions\.jsonl\n(.*?)```", re.DOTALL)


def test_the_worked_example_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    session = SESSION.search(TEXT)
    assert session is not None
    case = next(case for case in CASES if case.name == "latency_silence")
    assert main(["scorecard", session.group(1), "--events", str(case.decisions)]) == 0
    assert capsys.readouterr().out == session.group(2)


def test_every_result_is_explained_the_worst_first() -> None:
    table = TEXT[TEXT.index("| result | when |") :].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [one.value for one in Result]
