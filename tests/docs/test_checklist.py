"""The page about the checklist: its example is run, and its table is the code's."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.core.checklist import ASKED
from monitor.core.checklist_seen import State
from monitor.core.reference import ENOUGH_DAYS
from monitor.core.rehearsal import VALID_DAYS

TEXT = (Path(__file__).parent.parent.parent / "docs" / "checklist.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    section = re.split(r"^## ", TEXT.split(title, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_has_every_item_in_its_order_and_says_which_are_required() -> None:
    told = [(row[0].strip("`"), row[-1]) for row in rows("## The items")]
    assert told == [(name.value, "yes" if one.is_required else "recommended") for name, one in ASKED.items()]
    reasons = re.findall(r"^- `([a-z_]+)`: ", TEXT, flags=re.MULTILINE)
    assert reasons == [name.value for name, one in ASKED.items() if not one.is_required]
    assert {row[0].strip("`") for row in rows("# The checklist")} == {one.value for one in State}


def test_its_numbers_are_the_products() -> None:
    assert f"less than {VALID_DAYS} days old" in TEXT
    assert ENOUGH_DAYS == 3
    assert "counts from\nthree days on" in TEXT


def test_what_the_example_shows_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith("ROLLBACK_BUDGET_")]:
        monkeypatch.delenv(name)
    (budget,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "budgets").mkdir()
    (tmp_path / "budgets" / "model-v42.yaml").write_text(budget, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```console\n\$ (.*?)```", TEXT, re.DOTALL)
    command, _, shown = block.partition("\n")
    code = main(command.split()[1:])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "\n".join(line.rstrip() for line in out.splitlines()) == shown.rstrip()
