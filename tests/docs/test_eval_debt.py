"""`docs/eval-debt.md`: the shown commands say what the page says, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.cli.debt import Format
from monitor.core.eval_debt import DUE_MS
from monitor.wire.eval_debt import EvalDebtCreated

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "eval-debt.md").read_text(encoding="utf-8")
RECORDED = str(ROOT / "tests" / "golden" / "latency_hold" / "decisions.jsonl")


def test_the_shown_commands_print_what_the_page_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from a recording long ago: what was due then is overdue."""
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    shown = re.split(r"^\$ rollback-budget (.*)\n", block, flags=re.MULTILINE)[1:]
    assert len(shown) == 4
    for command, printed in zip(shown[::2], shown[1::2], strict=True):
        monkeypatch.setenv("ROLLBACK_BUDGET_EVENT_TIME_SPEED", "1")
        monkeypatch.setenv("ROLLBACK_BUDGET_EVENT_TIME_ORIGIN_MS", "1795000000000")
        monkeypatch.setenv("ROLLBACK_BUDGET_WALL_ORIGIN_MS", "1")
        assert main([*command.split(), "--debts", RECORDED]) == 0
        assert capsys.readouterr().out == printed


def test_the_page_names_what_there_is() -> None:
    assert all(f"| `{form.value}`" in PAGE for form in Format)
    fields = re.findall(r"^\| (`[a-z_`, ]+`) \|", PAGE, re.MULTILINE)
    named = {name for cell in fields for name in re.findall(r"`([a-z_]+)`", cell)}
    assert named - {form.value for form in Format} <= set(EvalDebtCreated.model_fields)
    assert DUE_MS == 7 * 24 * 3_600_000
    assert "seven days" in PAGE
