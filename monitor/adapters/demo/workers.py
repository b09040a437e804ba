"""The monitor's workers as the demo runs them: the product's own `run`, each a process of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from monitor.adapters.embedded.process import GuardedProcess, free_port
from monitor.core.errors import MonitorError

_GRACE_S = 12.0  # a worker flushes and leaves its group within this
_READY_S = 180.0  # two Python processes and a first rebalance, on a busy machine
_POLL_S = 0.25
_ASK_S = 2.0
_LINE_CHARS = 200  # a JSON line with a traceback fills a screen


class WorkerEnded(MonitorError):
    """A worker did not come up, or ended in the middle of the show; the message quotes its log."""


class Worker:
    """One `rollback-budget run`: its settings come by environment, its output goes to a log file."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Describe the worker; nothing starts yet.

        Args:
            environment: All environment variables of the process, the settings of all workers among them.
        """
        self.name = name
        self.port = free_port()
        own = {"ROLLBACK_BUDGET_WORKER_ID": name, "ROLLBACK_BUDGET_HTTP_PORT": str(self.port)}
        self._process = GuardedProcess(
            [sys.executable, "-m", "monitor", "run"],
            folder=folder,
            name=name,
            grace_s=_GRACE_S,
            environment={**environment, **own},
        )

    @property
    def url(self) -> str:
        """Where the worker answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        """The worker's output."""
        return self._process.log_path

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def start(self) -> None:
        """Start the process; returns at once."""
        self._process.start()

    def check(self) -> None:
        """Raise `WorkerEnded` where the process is not running."""
        if not self._process.running:
            raise WorkerEnded(f"{self.name} has ended; {self._tail()}")

    def _tail(self) -> str:
        lines = (line[:_LINE_CHARS] for line in self._process.log_tail().splitlines())
        return "\n  ".join([f"the end of {self.log_path}:", *lines])

    def stop(self) -> None:
        """End the process politely, then hard; returns when it is gone."""
        self._process.stop()

    async def wait_until_ready(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Return when the worker says it is ready.

        Raises:
            WorkerEnded: It ended, or is not ready within `_READY_S`.
        """
        deadline = clock() + _READY_S
        async with httpx.AsyncClient(timeout=_ASK_S) as client:
            while not await _is_ready(client, f"{self.url}/readyz"):
                self.check()
                if clock() > deadline:
                    raise WorkerEnded(f"{self.name} is not ready after {_READY_S:g} s; {self._tail()}")
                await asyncio.sleep(_POLL_S)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.TransportError:
        return False  # not listening yet


class WorkerCrew:
    """All workers of a show."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    @property
    def url(self) -> str:
        """Where one of them answers: any takes any order."""
        return self._workers[0].url

    async def start(self) -> None:
        """Start all of them and wait until each is ready."""
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            await worker.wait_until_ready()

    def check(self) -> None:
        """Raise `WorkerEnded` where one of them is gone."""
        for worker in self._workers:
            worker.check()

    async def stop(self) -> None:
        """End all of them, at the same time."""
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in self._workers))
