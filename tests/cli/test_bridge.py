"""`rollback-budget bridge`: what it can never do is said before anything is waited for; what it did, twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import monitor.bridge
from monitor.bridge import Bridged, limits_of
from monitor.cli import main
from monitor.config.settings import Settings
from monitor.engine.span_join import JoinLimits

P = "ROLLBACK_BUDGET_"
DONE = Bridged("otel-genai.v1", {"no_root": 2, "records": 9, "requests": 3}, {"no_root": "trace 0af7"})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(P):
            monkeypatch.delenv(name)
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:1")  # nobody is there


def test_a_mapping_that_cannot_be_used_is_told_with_all_its_problems_and_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mapping: mine\nfields: {releas: [{root: r}]}\n", encoding="utf-8")
    assert main(["bridge", "--once", "--mapping", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(".yaml:")[2][:8] for line in err.splitlines()] == ["1: mappi", "2: field"]


def test_a_setting_that_cannot_be_used_is_told_and_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{P}BRIDGE_WINDOW_S", "200")
    assert main(["bridge"]) == 2
    assert f"{P}BRIDGE_WINDOW_S" in capsys.readouterr().err


def test_without_kafka_it_says_so_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridge", "--once"]) == 1
    assert "connecting to 127.0.0.1:1" in capsys.readouterr().err


def test_people_read_a_line_for_each_count_with_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor.bridge, "run_bridge", lambda *_, **__: DONE)
    assert main(["bridge", "--once"]) == 0
    assert capsys.readouterr().out == (
        "otel-genai.v1: 3 requests and 0 outcomes of 9 records\nno_root: 2, such as trace 0af7\n"
    )


def test_machines_get_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def run(_: Settings, *given: object, **how: object) -> Bridged:
        asked.append((given, how))
        return DONE

    monkeypatch.setattr(monitor.bridge, "run_bridge", run)
    assert main(["bridge", "--once", "--mapping", "openinference.v1", "--output", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"mapping": DONE.mapping, "counts": DONE.counts, "samples": DONE.samples}
    assert asked == [(("openinference.v1",), {"once": True})]


def test_the_settings_defaults_are_the_joins() -> None:
    assert limits_of(Settings()) == JoinLimits()
