"""A server process that never outlives its parent, with bounded waits and a log that errors can quote."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from monitor.adapters.embedded.errors import EmbeddedUnavailable

_GUARD = Path(__file__).with_name("guard.py")
_PID_WAIT_S = 10.0
_POLL_S = 0.05
_LOG_READ = 1 << 20
_STACK_FRAMES = ("at ", "... ", "WARNING: ")
# Below what Linux (32768 and up), macOS and Windows (49152) give to whoever asks for any port: up there, a client or a
# server of somebody else may take the port of a server that is just starting, or stopped for a while.
_PORTS = range(15_000, 32_000)
_PORT_TRIES = 100

OnStep = Callable[[str], None]
"""Told each step of a start in a few words, for a progress display."""


def no_step(_text: str) -> None:
    """Tell nobody."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago; the caller retries where somebody was quicker."""
    for port in random.SystemRandom().sample(_PORTS, _PORT_TRIES):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, suppress(OSError):
            probe.bind((host, port))
            return port
    raise OSError(
        f"{host}: {_PORT_TRIES} ports of {_PORTS.start} to {_PORTS.stop} were tried, and none is free"
    )


class GuardedProcess:
    """One server under the guard (`guard.py`): it goes when we stop it, exit, crash or are killed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        name: str,
        grace_s: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the process; nothing starts yet.

        Args:
            folder: Where the server runs, and where its log and process id are written.
            grace_s: Seconds between the polite end and the hard one.
            environment: All of its environment variables; by default ours.
        """
        self._command = list(command)
        self._environment = environment
        self._folder = folder
        self._grace_s = grace_s
        self._pid_file = folder / f"{name}.pid"
        self.log_path = folder / f"{name}.log"
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server; its output goes to `log_path`, which starts anew."""
        self._pid_file.unlink(missing_ok=True)
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(self._pid_file), str(self._grace_s)]
        with self.log_path.open("wb") as log:
            self._guard = subprocess.Popen(
                guard + self._command,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in a terminal must reach the worker first, not its broker
            )

    @property
    def running(self) -> bool:
        """Whether the server is there."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The server's own process id (not the guard's)."""
        deadline = time.monotonic() + _PID_WAIT_S
        while time.monotonic() < deadline:
            if self._pid_file.exists():
                return int(self._pid_file.read_text())
            if not self.running:
                break
            time.sleep(_POLL_S)
        raise EmbeddedUnavailable(str(self._command[0]), "it is not running", f"see {self.log_path}")

    def stop(self) -> None:
        """End the server politely, then hard; returns when it is gone. Stopping twice is harmless."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        assert guard.stdin is not None  # opened as a pipe above
        guard.stdin.close()
        try:
            guard.wait(self._grace_s + 2)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def log_text(self) -> str:
        """Return what the server wrote since its start, at most the first megabyte."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open(errors="replace") as log:
            return log.read(_LOG_READ)

    def log_tail(self, line_count: int = 12) -> str:
        """Return the last lines the server wrote, without Java's stack frames: they hide what went wrong."""
        lines = [line for line in self.log_text().splitlines() if not line.lstrip().startswith(_STACK_FRAMES)]
        return "\n".join(lines[-line_count:])


def wait_until_ready(
    process: GuardedProcess, ready: Callable[[], bool], *, what: str, deadline_s: float
) -> None:
    """Return when `ready` says so.

    Raises:
        EmbeddedUnavailable: The process ended, or was not ready within `deadline_s`; quotes its log.
    """
    deadline = time.monotonic() + deadline_s
    while not ready():
        if not process.running:
            cause = f"it ended while starting:\n{process.log_tail()}\n"
            raise EmbeddedUnavailable(what, cause, f"the whole log is {process.log_path}")
        if time.monotonic() > deadline:
            cause = f"it was not ready after {deadline_s:g} s:\n{process.log_tail()}\n"
            raise EmbeddedUnavailable(what, cause, f"the whole log is {process.log_path}")
        time.sleep(_POLL_S)
