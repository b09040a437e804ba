"""`rollback-budget settings`: the effective settings, where each came from, and no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monitor.cli import main
from monitor.config.settings import Settings

P = "ROLLBACK_BUDGET_"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(P):
            monkeypatch.delenv(name)


def test_people_see_every_setting_and_its_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("group: chat\n", encoding="utf-8")
    monkeypatch.setenv(f"{P}SETTINGS_FILE", str(file))
    monkeypatch.setenv(f"{P}BUDGETS", "a.yaml,b")
    monkeypatch.setenv(f"{P}REDIS_URL", "redis://:planted@cache:6379/0")
    assert main(["settings"]) == 0
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in out.splitlines()[1:]}
    assert set(rows) == {P + name.upper() for name in Settings.model_fields}
    assert rows[f"{P}GROUP"].split() == ["chat", str(file)]
    assert rows[f"{P}BUDGETS"].endswith(f"a.yaml, b{' ' * (rows[f'{P}BUDGETS'].count(' ') - 1)}{P}BUDGETS")
    assert rows[f"{P}HTTP_PORT"].split() == ["6066", "default"]
    assert "planted" not in out + err
    assert err == ""


def test_machines_get_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{P}HTTP_PORT", "7000")
    assert main(["settings", "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["http_port"] == {"value": 7000, "from": f"{P}HTTP_PORT", "variable": f"{P}HTTP_PORT"}
    assert shown["redis_url"]["from"] == "default"
    assert set(shown) == set(Settings.model_fields)


def test_a_bad_setting_is_one_clear_message_and_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{P}HTTP_PORT", "seven")
    assert main(["settings"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f'rollback-budget: environment: {P}HTTP_PORT: got "seven"; write a whole number\n'


def test_a_misspelt_variable_is_pointed_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{P}LOGLEVEL", "debug")
    assert main(["settings"]) == 0
    assert capsys.readouterr().err == f"warning: {P}LOGLEVEL is no setting; did you mean {P}LOG_LEVEL?\n"
