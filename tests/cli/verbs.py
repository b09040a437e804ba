"""Verbs given as a person gives them, over a ledger world, in the recording's own event time."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from monitor.cli import main, orders, sight
from monitor.config.settings import Settings
from monitor.engine.ports import Partition
from tests.cli.ledger_world import MINUTE_MS, LedgerWorld
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

P = "ROLLBACK_BUDGET_"


def now_is(monkeypatch: pytest.MonkeyPatch, now_ms: int) -> None:
    """Let event time be the recording's, and now this moment of it, however long the test takes."""
    monkeypatch.setenv(f"{P}EVENT_TIME_SPEED", "1")
    monkeypatch.setenv(f"{P}EVENT_TIME_ORIGIN_MS", str(now_ms))
    wall_ns = time.time_ns()
    monkeypatch.setenv(f"{P}WALL_ORIGIN_MS", str(wall_ns // 1_000_000))
    stands_still = SimpleNamespace(time_ns=lambda: wall_ns, monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr("monitor.adapters.timebase.time", stands_still)


def sees(monkeypatch: pytest.MonkeyPatch, until_ms: int) -> None:
    """Let the stored state be read up to a moment of event time."""

    async def stored(_settings: Settings) -> sight.Horizons:
        return {Partition("llm.traces.v1", number): until_ms for number in range(2)}

    monkeypatch.setattr(sight, "stored_horizons", stored)


def world_of(monkeypatch: pytest.MonkeyPatch, name: str, minute: int) -> LedgerWorld:
    """Return a monitor that has watched a golden case up to a minute, and sees its traffic up to a moment ago."""
    now_ms = START_MS + minute * MINUTE_MS
    sees(monkeypatch, now_ms - 1_000)
    now_is(monkeypatch, now_ms)
    (case,) = (one for one in CASES if one.name == name)
    return at_ledger(monkeypatch, LedgerWorld(case, until_min=minute))


def at_ledger(monkeypatch: pytest.MonkeyPatch, world: LedgerWorld) -> LedgerWorld:
    """Let the verbs reach this world for Kafka, and dana give them."""
    monkeypatch.setattr(orders, "kafka_log", lambda _settings: world)
    monkeypatch.setattr(orders, "REST_S", 0.01)  # everything is on record when the order returns
    monkeypatch.setenv("USER", "dana")
    return world


def give(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a verb; returns its exit code, what it printed, and what it complained of."""
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err
