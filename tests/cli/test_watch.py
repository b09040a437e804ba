"""`rollback-budget watch --once`: how it stands, in words, as JSON and as an exit code."""

from __future__ import annotations

import json
import os

import pytest

import monitor.watcher
from monitor.cli import main
from monitor.core.vigil import Finding, Phase, Trouble
from monitor.engine.watchman import Watched

P = "ROLLBACK_BUDGET_"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(P):
            monkeypatch.delenv(name)
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:1")  # nobody is there
    monkeypatch.setenv(f"{P}WATCH_SILENCE_S", "1")


def test_without_kafka_it_says_so_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--once", "--output", "json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "trouble"
    assert [one["trouble"] for one in shown["troubles"]] == ["kafka", "silent"]
    assert "Kafka has not answered the watcher" in shown["troubles"][0]["text"]
    assert (shown["partitions"], shown["slowest_canary_ms"]) == (0, None)


@pytest.mark.parametrize(
    ("found", "code", "text"),
    [
        (Watched(Phase.WELL, (), 8, 1_234), 0, "well: 8 partitions, the slowest canary event took 1.2 s\n"),
        (
            Watched(Phase.TROUBLE, (Finding(Trouble.SILENT, 0, "nobody is there"),), 0, None),
            1,
            "silent: nobody is there\n",
        ),
    ],
    ids=["well", "trouble"],
)
def test_people_read_one_line_for_each_finding(
    found: Watched, code: int, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor.watcher, "probe", lambda _: found)
    assert main(["watch", "--once"]) == code
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("WATCH_PING_URL", "https://user:planted@example.org/x", "WATCH_PING_URL"),
        ("WATCH_PING_URL", "planted", "WATCH_PING_URL"),
        ("WATCH_EVERY_S", "0", "WATCH_EVERY_S"),
        ("PAGERS", "slack", "slack_token"),
    ],
)
def test_what_can_never_work_is_said_before_anything_is_waited_for(
    setting: str,
    value: str,
    word: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(P + setting, value)
    assert main(["watch"]) in (1, 2)
    out, err = capsys.readouterr()
    assert word.lower() in err.lower()
    assert "planted" not in out + err
