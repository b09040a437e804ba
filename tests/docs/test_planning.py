"""The planning guide shows what the command prints: its examples are run, its tables are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.core.assumptions import DEFAULT_LATENCY_SIGMA, DEFAULT_MEAN_SIGMA, DEFAULT_OUTCOME, DEFAULT_RATES
from monitor.core.forecast import Remark
from monitor.core.indicator import Direction
from monitor.core.outlook_words import requests_words
from monitor.core.stats.planning import UNKNOWN_START_NATS, WAIT_MIN

GUIDE = Path(__file__).parent.parent.parent / "docs" / "planning.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BUDGET = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[0]
BLOCKS = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)


def section(title: str) -> str:
    return re.split(r"^## ", TEXT.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the guide names, where a reader has them."""
    head, tail = BUDGET.split("rollback_budget:\n")[0], BUDGET[BUDGET.index("\ndecision:") :]
    safety = re.findall(r"  safety:\n(?:    .*\n)+", BUDGET)[0]
    (tmp_path / "budget.yaml").write_text(BUDGET, encoding="utf-8")
    (tmp_path / "safety.yaml").write_text(f"{head}rollback_budget:\n{safety}{tail}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def printed(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    program, *arguments = command.split()
    assert program == "rollback-budget"
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.count("\n") > 2])
def test_what_an_example_shows_is_what_the_command_prints(
    block: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, _, shown = block.removeprefix("$ ").partition("\n")
    out = printed(command, capsys)
    assert "\n".join(line.rstrip() for line in out.splitlines()) == shown.rstrip()


def test_the_table_is_made_by_the_commands_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = section("How many requests that is")
    made = []
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        plan = json.loads(printed(command, capsys))
        share = f"{100 * plan['traffic']['candidate_share']:g} %"
        for one in plan["objectives"]:
            limit = f"`{one['objective'].split('.', 1)[1]}: {one['limit']:+g}`"
            made.append(
                [limit, share, *(requests_words(harm["candidate_requests"]) for harm in one["harms"])]
            )
    assert made
    assert rows(text) == sorted(made, key=lambda row: row[0])


def test_the_defaults_are_the_ones_of_the_code() -> None:
    expected = {f"`{name}`": value for name, value in DEFAULT_RATES.items()} | {
        "`outcome.<name>`, a fall is harm": DEFAULT_OUTCOME[Direction.LOWER_IS_WORSE],
        "`outcome.<name>`, a rise is harm": DEFAULT_OUTCOME[Direction.HIGHER_IS_WORSE],
        "`<latency>_sigma`": DEFAULT_LATENCY_SIGMA,
        "`cost_per_request_sigma`, `tokens_per_request_sigma`": DEFAULT_MEAN_SIGMA,
        "`<metric>_coverage`": 1.0,
        "`phi`": 1.0,
    }
    table = section("What it reads").split("| name | taken as |", 1)[1]
    assert {name: float(value) for name, value in rows(table)} == expected


def test_every_warning_is_explained() -> None:
    assert [row[0].strip("`") for row in rows(section("Warnings"))] == [remark.value for remark in Remark]


def test_the_numbers_in_the_text_are_the_ones_of_the_code() -> None:
    assert f"stretch + {WAIT_MIN} min" in TEXT
    assert f"fewer than {UNKNOWN_START_NATS:.1f} / I requests" in TEXT
