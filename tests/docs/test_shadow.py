"""`docs/shadow.md`: the traffic it shows gives the output it shows, and its tables name what there is."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.cli.shadow import FailOn
from monitor.cli.side_by_side import FILES_MAX
from monitor.core.pairing import PAIRED_MAX, WAITING_MAX
from monitor.core.shadow_budget import Verdict
from monitor.core.shadow_tally import NAMES_MAX, VALUES_SHOWN

PAGE = (Path(__file__).parents[2] / "docs" / "shadow.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[0])


def test_the_shown_traffic_gives_what_the_page_shows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The budget's verdict `beyond` ends it with 3."""
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as traffic:
        exec(block("python"), {})
    Path("mirrored.jsonl").write_text(traffic.getvalue(), encoding="utf-8")
    Path("v42.yaml").write_text(block("yaml"), encoding="utf-8")
    command, _, shown = block("console").partition("\n")
    assert main(command.removeprefix("$ rollback-budget ").split()) == 3
    printed = capsys.readouterr().out
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()


def test_the_page_names_what_there_is() -> None:
    page = " ".join(PAGE.split())  # wherever its lines end
    assert all(f"`{one.value.replace('_', ' ')}`" in page for one in Verdict)
    assert all(f"`--fail-on {one.value}`" in page for one in FailOn)
    assert f"({FILES_MAX} at most)" in page
    assert f"{WAITING_MAX:,} requests of each release" in page
    assert f"the {PAIRED_MAX:,} newest pairs" in page
    assert f"the {VALUES_SHOWN} values" in page
    assert f"At most {NAMES_MAX} named" in page


def test_the_truth_lies_in_the_intervals_of_the_real_example() -> None:
    rows = re.findall(
        r"^\| .* \| ([+-][\d.]+) (?:pp|%) \| [+-][\d.]+ (?:pp|%) \((\S+) to (\S+)\) \|$", PAGE, re.MULTILINE
    )
    assert len(rows) == 6
    assert all(float(low) <= float(truth) <= float(high) for truth, low, high in rows)
