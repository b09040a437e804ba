"""What the embedded servers have in common: a folder, ports of their own, and a process that goes when we go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from monitor.adapters.embedded.errors import EmbeddedUnavailable
from monitor.adapters.embedded.process import GuardedProcess, OnStep, free_port

HOST: Final = "127.0.0.1"
_PORT_TRIES: Final = 3
_PORT_TAKEN: Final = "Address already in use"


class EmbeddedServer(ABC):
    """One server in one folder. It dies with this process, however this process ends.

    Attributes:
        name: What errors call it.
        ports: How many it needs.
    """

    name: str
    ports: int = 1

    def __init__(self, data_dir: Path, on_step: OnStep) -> None:
        """Describe the server; nothing starts yet.

        Args:
            data_dir: Holds the data and the log; made where it is missing.
            on_step: Told what is being done, for a progress display.
        """
        self._folder = data_dir.resolve()
        self._on_step = on_step
        self._ports: tuple[int, ...] = ()
        self._process: GuardedProcess | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Fetch and write what has to be there before any start, whatever its ports."""

    @abstractmethod
    def _run(self, *ports: int) -> None:
        """Start the process as `_process` and return when it answers."""

    def start(self) -> Self:
        """Start the server and return when it answers, with what is in its folder.

        Raises:
            EmbeddedUnavailable: With the cause and the remedy.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prepare()
        for tries_left in reversed(range(_PORT_TRIES)):
            self._ports = self._ports or tuple(free_port(HOST) for _ in range(self.ports))
            try:
                self._run(*self._ports)
                return self
            except EmbeddedUnavailable:
                port_taken = self._process is not None and _PORT_TAKEN in self._process.log_text()
                self.stop()
                if not port_taken or not tries_left:
                    raise
                self._ports = ()  # somebody took the port between our look and the server's bind
        raise AssertionError("unreachable: the last try returns or raises")

    def stop(self) -> None:
        """Stop the server: politely, then hard. Its folder stays."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL). Its folder stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    @property
    def port(self) -> int:
        """Where clients connect to; stays the same over `stop` and `start` of this object."""
        if not self._ports:
            raise EmbeddedUnavailable(self.name, "it was never started", "call start() first")
        return self._ports[0]

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise EmbeddedUnavailable(self.name, "it is not running", "call start() first")
        return self._process.pid

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
