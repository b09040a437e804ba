"""`rollback-budget doctor` where nothing answers: every check is made, says its remedy, and it ends with 1."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monitor.cli import main

P = "ROLLBACK_BUDGET_"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(P)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:1")  # nobody is there
    monkeypatch.setenv(f"{P}REDIS_URL", "redis://:planted@127.0.0.1:1/0")


def test_one_failure_keeps_no_other_check_from_being_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("release: a\n")
    monkeypatch.setenv(f"{P}BUDGETS", str(tmp_path))
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    for check in ("settings", "budgets", "kafka", "topics", "rights", "workers", "clock", "redis", "pagers"):
        assert f"\n{check} " in out
    assert "→ rollback-budget validate" in out
    assert "planted" not in out + err


def test_a_bridge_is_asked_about_where_one_is_set_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def told() -> dict[str, str]:
        assert main(["doctor", "--output", "json"]) == 1  # Kafka is away
        findings = json.loads(capsys.readouterr().out)["findings"]
        return {one["subject"]: one["health"] for one in findings if one["check"] == "bridge"}

    assert told() == {"-": "skipped"}
    file = tmp_path / "mine.yaml"
    file.write_text("mapping: mine\nfields: {releas: [{root: r}]}\n", encoding="utf-8")
    monkeypatch.setenv(f"{P}BRIDGE_MAPPING", str(file))
    assert told() == {str(file): "failed", "rollback-budget-bridge": "failed"}
    monkeypatch.setenv(f"{P}BRIDGE_MAPPING", "openinference.v1")
    assert told()["openinference.v1"] == "ok"


def test_settings_that_cannot_be_used_are_a_finding_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"{P}SLACK_TOKEN_FILE", str(tmp_path / "missing"))
    assert main(["doctor", "--output", "json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["well"] is False
    failed = [one for one in shown["findings"] if one["health"] == "failed"]
    assert "cannot be read" in failed[0]["text"]
    assert failed[0]["remedy"]
