"""Workers as processes of their own: started, asked, and killed as a crash would."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

import monitor.adapters.embedded
from monitor.adapters.embedded.process import free_port

WAIT_S = 240.0  # for anything to happen, on a machine that has much else to do
GRACE_S = 20.0  # a worker that was asked to end is killed after this
_POLL_S = 0.1
_PREFIX = "ROLLBACK_BUDGET_"
_GUARD = Path(str(monitor.adapters.embedded.__file__)).with_name("guard.py")
_METRIC = re.compile(r"^rollback_budget_(\w+?)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)


async def eventually(holds: Callable[[], Awaitable[bool]], what: str, wait_s: float = WAIT_S) -> None:
    """Return when a condition holds; ask again and again, and fail with its name after a while."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    while not await holds():
        if loop.time() > deadline:
            raise AssertionError(f"not within {wait_s:g} s: {what}")
        await asyncio.sleep(_POLL_S)  # between two looks, not for something to have happened


class Worker:
    """One `rollback-budget run`, or another verb that stays; it ends with this process, however this process ends."""

    def __init__(
        self,
        name: str,
        folder: Path,
        settings: Mapping[str, str],
        verb: str = "run",
        program: Sequence[str] = ("monitor",),
        checkout: Path | None = None,
    ) -> None:
        """Describe the process; nothing starts yet.

        Args:
            program: The module that is run, and what stands before the verb.
            checkout: The sources it runs from; by default ours.
        """
        self.name, self.port, self._verb = name, free_port(), verb
        self._program, self._checkout = program, checkout
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder, self._settings = folder, dict(settings)
        self._pid_file = folder / f"{name}.pid"
        self._guard: subprocess.Popen[bytes] | None = None
        self._runs = 0

    def start(self) -> Worker:
        """Start the process under the guard of the embedded servers; returns at once."""
        self._runs += 1
        self._pid_file.unlink(missing_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith((_PREFIX, "PYTHON"))}
        if self._checkout is not None:  # compiled once per test run: a start takes a second then, not five
            kept["PYTHONPYCACHEPREFIX"] = str(self._folder.parent / "pycache")
        ports = {"HTTP_PORT": str(self.port), "BRIDGE_HTTP_PORT": str(self.port)}
        own = {"WORKER_ID": self.name, **ports, **self._settings}
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(self._pid_file), str(GRACE_S)]
        with self._log_path.open("wb") as log:
            self._guard = subprocess.Popen(
                [*guard, sys.executable, "-m", *self._program, self._verb],
                cwd=self._checkout,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**kept, **{_PREFIX + name: value for name, value in own.items()}},
                start_new_session=True,
            )
        return self

    @property
    def _log_path(self) -> Path:
        return self._folder / f"{self.name}.{self._runs}.log"

    @property
    def log(self) -> str:
        """What this run has written so far."""
        return self._log_path.read_text(errors="replace")

    def lines(self, part: str) -> list[str]:
        """Return the lines of this run's log that hold a text; the one that is just being written is none yet."""
        whole, _, _ = self.log.rpartition("\n")
        return [line for line in whole.splitlines() if part in line]

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The process's id; `has_begun` tells whether there is one."""
        return int(self._pid_file.read_text())

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a crash does, also where it has only just been started."""
        deadline = time.monotonic() + WAIT_S
        while not self.has_begun:
            assert self.is_running, f"{self.name} has ended:\n{self.log[-4000:]}"
            assert time.monotonic() < deadline, f"{self.name} has no process within {WAIT_S:g} s"
            time.sleep(_POLL_S)
        self.signal(signal.SIGKILL)
        self._ended()

    @property
    def has_begun(self) -> bool:
        """Whether its process is there to be signalled."""
        return self.is_running and self._pid_file.exists()

    @property
    def logs(self) -> list[str]:
        """What each of its runs has written."""
        paths = (self._folder / f"{self.name}.{run}.log" for run in range(1, self._runs + 1))
        return [path.read_text(errors="replace") for path in paths if path.exists()]

    async def terminate(self) -> int:
        """Ask it to end; returns its exit code."""
        self.signal(signal.SIGTERM)
        return await asyncio.to_thread(self._ended)

    def _ended(self) -> int:
        assert self._guard is not None
        return self._guard.wait(GRACE_S + 10)

    def close(self) -> None:
        """End it, whatever it is doing."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended, or has not begun
            self.signal(signal.SIGKILL)
        assert guard.stdin is not None  # opened as a pipe above: its end is the end of what it guards
        guard.stdin.close()
        guard.wait(GRACE_S + 10)

    async def get(self, path: str) -> httpx.Response | None:
        """Ask its web part; None where it does not listen."""
        try:
            async with httpx.AsyncClient(
                timeout=5, verify=False
            ) as client:  # loading certificates takes long
                return await client.get(self.url + path)
        except httpx.TransportError:
            return None

    async def status(self) -> dict[str, Any]:
        """Return what `/readyz` says; empty where nothing answers."""
        answer = await self.get("/readyz")
        return {} if answer is None else dict(answer.json())

    async def metrics(self) -> dict[str, float]:
        """Return its metrics, by name and labels as `events_total{result="late"}`."""
        answer = await self.get("/metrics")
        found = _METRIC.findall("" if answer is None else answer.text)
        return {f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in found}

    async def ready(self) -> None:
        """Return when it is."""

        async def is_ready() -> bool:
            assert self.is_running, f"{self.name} has ended:\n{self.log[-4000:]}"
            answer = await self.get("/readyz")
            return answer is not None and answer.status_code == 200

        await eventually(is_ready, f"{self.name} is ready")

    async def counted(self, name: str, count: float) -> None:
        """Return when a metric has a value: it is told after the store has it."""

        async def is_told() -> bool:
            assert self.is_running, f"{self.name} has ended:\n{self.log[-4000:]}"
            return (await self.metrics()).get(name) == count

        await eventually(is_told, f"{name} of {self.name} is {count:g}")

    async def steps(self, count: int = 2) -> None:
        """Return when its control plane has made so many whole steps more."""
        seen: set[float] = set()

        async def has_stepped() -> bool:
            seen.add((await self.metrics()).get("heartbeat_timestamp_seconds", -1.0))
            return len(seen - {-1.0}) > count

        await eventually(has_stepped, f"{self.name} makes {count} steps")
