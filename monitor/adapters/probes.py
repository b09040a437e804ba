"""What a process answers those who watch it, and a web part for a process that no host gives one.

The web part is a thread: an event loop that hangs could not say that it does.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from threading import Thread
from typing import Any, ClassVar, Final, NamedTuple

from monitor.core.errors import MonitorError

_log = logging.getLogger(__name__)

_ASK_S: Final = 5.0  # for a request to come in, so that nobody's silence holds a thread
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"


class AddressUnusable(MonitorError):
    """The probes cannot listen where the settings say; the message names them."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What is answered. Each is asked anew every time, and returns at once."""

    is_alive: Callable[[], bool]
    is_ready: Callable[[], bool]
    status: Callable[[], Mapping[str, object]]
    metrics: Callable[[], tuple[bytes, str]]


class Answer(NamedTuple):
    """One answer."""

    status: int
    content_type: str
    body: bytes


def pages_of(probes: Probes) -> Mapping[str, Callable[[], Answer]]:
    """Return the pages by their paths: whoever runs several kinds of processes asks all of them alike."""

    def livez() -> Answer:
        alive = probes.is_alive()
        return _as_json({"alive": alive}, is_well=alive)

    def readyz() -> Answer:
        return _as_json(probes.status(), is_well=probes.is_ready())

    def metrics() -> Answer:
        body, content_type = probes.metrics()
        return Answer(200, content_type, body)

    return {"/livez": livez, "/readyz": readyz, "/metrics": metrics}


def _as_json(value: Mapping[str, object], *, is_well: bool) -> Answer:
    return Answer(200 if is_well else 503, _JSON, json.dumps(dict(value)).encode())


class ProbeServer:
    """The web part; listens from when it is made until `close`.

    Args:
        port: 0 takes a free one.

    Raises:
        AddressUnusable: It cannot listen there.
    """

    def __init__(self, probes: Probes, host: str, port: int) -> None:

        class Pages(_Handler):
            """The pages of these probes."""

            pages = pages_of(probes)

        try:
            self._server = _Server((host, port), Pages)
        except OSError as error:
            raise AddressUnusable(
                f"the probes cannot listen on {host}:{port}: {error.strerror or error}; set http_host and the port of "
                "this process to an address that is free, or the port to 0"
            ) from error
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="probes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; who is being answered is answered."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Take the address; the library would look the host's name up too, for seconds, and it is used nowhere."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a defect; who asked and did not wait is none."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("a probe could not be answered; please report it")


class _Handler(BaseHTTPRequestHandler):
    timeout = _ASK_S
    server_version, sys_version = "rollback-budget", ""
    pages: ClassVar[Mapping[str, Callable[[], Answer]]] = {}

    def do_GET(self) -> None:
        """Answer; what a probe sends beside its path is nobody's business."""
        page = self.pages.get(self.path.partition("?")[0])
        status, content_type, body = Answer(404, _TEXT, b"not here\n") if page is None else page()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing: probes come every few seconds."""
