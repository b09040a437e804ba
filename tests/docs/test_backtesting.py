"""The worked example of docs/backtesting.md is run as it stands, and its tables are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.config.budget_tests_model import BudgetTestsFile, BudgetTestSpec, SliceSpec, StretchSpec
from monitor.config.expectations import CONDITIONS, VERDICTS
from monitor.core.expectation import EXPECTABLE
from monitor.engine.rehearsed_traffic import AMOUNT_SIGMA, LATENCY_SIGMA

TEXT = (Path(__file__).parent.parent.parent / "docs" / "backtesting.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w.-]+)`:\n\n```yaml\n(.*?)```", TEXT, re.DOTALL))
SESSIONS = re.findall(r"```console\n\$ rollback-budget (.*?)\n(.*?)```", TEXT, re.DOTALL)
CHANGES = {
    "10-min": ("-2.0\n    max_duration_min: 20", "-2.0\n    max_duration_min: 10"),
    "minus-6": ("-2.0", "-6"),
    "minus-15": ("-2.0", "-15"),
}


def rows(title: str) -> list[str]:
    """Return the code in the first cells of the table with this heading."""
    table = TEXT[TEXT.index(f"| {title} |") :].split("\n\n", 1)[0]
    return [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]


def test_the_worked_example_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sorted(FILES) == ["chat.tests.yaml", "chat.yaml", "hasty.tests.yaml"]
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "what-if").mkdir()
    for name, change in CHANGES.items():
        assert f"`what-if/{name}.yaml`" in TEXT
        (tmp_path / "what-if" / f"{name}.yaml").write_text(
            FILES["chat.yaml"].replace(*change), encoding="utf-8"
        )
    codes = []
    for command, expected in SESSIONS:
        codes.append(main(shlex.split(command)))
        out, err = capsys.readouterr()
        said = "".join(f"{line.rstrip()}\n" for line in out.splitlines())  # tables are padded, pages are not
        assert (said, err) == (expected, "")
    assert codes == [0, 1, 0]


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("Key of the file", list(BudgetTestsFile.model_fields)),
        ("Key of a test", list(BudgetTestSpec.model_fields)),
        ("Key of a stretch", [field.alias or name for name, field in StretchSpec.model_fields.items()]),
        ("Condition", list(CONDITIONS)),
    ],
)
def test_every_key_is_in_its_table(title: str, keys: list[str]) -> None:
    assert rows(title) == keys


def test_what_the_text_names_is_what_there_is() -> None:
    assert all(f"`{one.value}`" in TEXT for one in EXPECTABLE)
    assert all(f"`{one}`" in TEXT for one in VERDICTS)
    assert all(f"{key}: " in TEXT for key in SliceSpec.model_fields)
    assert f"spread {LATENCY_SIGMA} for a latency" in TEXT
    assert f"{AMOUNT_SIGMA} for costs and tokens" in TEXT
