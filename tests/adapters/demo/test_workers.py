"""The demo's workers are processes that never go unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.adapters.demo import workers
from monitor.adapters.demo.workers import Worker, WorkerCrew, WorkerEnded


def worker(folder: Path, **settings: str) -> Worker:
    variables = {f"ROLLBACK_BUDGET_{name}": value for name, value in settings.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_BUDGET_")}
    return Worker("worker-1", folder, {**kept, **variables})


async def test_a_worker_that_cannot_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    crew = WorkerCrew([worker(tmp_path, KAFKA_BOOTSTRAP="nowhere")])
    try:
        with pytest.raises(
            WorkerEnded, match=r"(?s)worker-1 has ended; the end of .*ROLLBACK_BUDGET_KAFKA_BOOTSTRAP"
        ):
            await crew.start()
        with pytest.raises(WorkerEnded, match="worker-1 has ended"):
            crew.check()
    finally:
        await crew.stop()


async def test_a_worker_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    one = worker(tmp_path, KAFKA_BOOTSTRAP="127.0.0.1:1")
    times = iter((0.0, 1_000.0))
    try:
        one.start()
        with pytest.raises(WorkerEnded, match="worker-1 is not ready after"):
            await one.wait_until_ready(clock=lambda: next(times))
    finally:
        one.stop()


def test_each_worker_asks_for_a_port_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter((20_001, 20_002))
    monkeypatch.setattr(workers, "free_port", lambda: next(ports))
    urls = [worker(tmp_path).url for _ in range(2)]
    assert urls == ["http://127.0.0.1:20001", "http://127.0.0.1:20002"]
