"""The probes' web part over real sockets: it answers beside the loop, and leaves its address when it is closed."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from monitor.adapters.probes import AddressUnusable, Probes, ProbeServer
from monitor.adapters.telemetry.setup import CONTENT_TYPE

WELL: dict[str, bool] = {}


def is_well(what: str) -> bool:
    return WELL.get(what, True)


PROBES = Probes(
    is_alive=lambda: is_well("alive"),
    is_ready=lambda: is_well("ready"),
    status=lambda: {"state": "idle", "unread": 0},
    metrics=lambda: (b"a_metric 1\n", CONTENT_TYPE),
)


@pytest.fixture(autouse=True)
def all_is_well() -> Iterator[None]:
    yield
    WELL.clear()


@pytest.fixture
def server() -> Iterator[ProbeServer]:
    made = ProbeServer(PROBES, "127.0.0.1", 0)
    yield made
    made.close()


def get(server: ProbeServer, path: str) -> tuple[int, str, bytes]:
    try:
        with urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_each_page_answers_in_its_form(server: ProbeServer) -> None:
    assert get(server, "/livez") == (200, "application/json", b'{"alive": true}')
    status, kind, body = get(server, "/readyz?verbose=1")
    assert (status, kind, json.loads(body)) == (200, "application/json", {"state": "idle", "unread": 0})
    assert get(server, "/metrics") == (200, CONTENT_TYPE, b"a_metric 1\n")
    assert get(server, "/")[0] == 404


@pytest.mark.parametrize(("what", "path"), [("alive", "/livez"), ("ready", "/readyz")])
def test_what_is_not_well_is_503_and_says_so(server: ProbeServer, what: str, path: str) -> None:
    WELL[what] = False
    status, kind, body = get(server, path)
    assert (status, kind) == (503, "application/json")
    assert json.loads(body)


async def test_a_loop_that_hangs_keeps_no_answer(server: ProbeServer) -> None:
    """This coroutine never gives the loop back while it asks, as a decoder that hangs would not."""
    WELL["alive"] = False
    assert get(server, "/livez")[0] == 503


def test_who_says_nothing_keeps_nobody_from_an_answer(server: ProbeServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        time.sleep(0.05)
        assert get(server, "/livez")[0] == 200


def test_an_answer_tells_nothing_of_the_machine(server: ProbeServer) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/livez", timeout=20) as answer:
        assert "ython" not in str(answer.headers)


def test_who_asks_and_does_not_wait_is_no_error_and_a_defect_is(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, object]:
        raise ZeroDivisionError("a defect")

    server = ProbeServer(replace(PROBES, status=broken), "127.0.0.1", 0)
    asked = socket.create_connection(("127.0.0.1", server.port))
    asked.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asked.sendall(b"GET /metr")
    asked.close()  # with a reset
    with pytest.raises(OSError, match="closed connection"):
        get(server, "/readyz")
    assert get(server, "/livez")[0] == 200
    server.close()
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]
    assert "Exception occurred" not in capfd.readouterr().err, "the library would write it past the log"


def loopbacks() -> list[str]:
    """Return the names of this machine's own addresses; not every one has a newer kind."""
    with suppress(OSError):
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return ["127.0.0.1", "localhost", "::1"]
    return ["127.0.0.1", "localhost"]


@pytest.mark.parametrize("host", loopbacks())
def test_it_listens_on_either_kind_of_address(host: str) -> None:
    server = ProbeServer(PROBES, host, 0)
    name = f"[{host}]" if ":" in host else host
    with urlopen(f"http://{name}:{server.port}/livez", timeout=20) as answer:
        assert answer.status == 200
    server.close()


def test_an_address_that_is_taken_is_said_with_what_to_do(server: ProbeServer) -> None:
    with pytest.raises(AddressUnusable, match=rf"listen on 127\.0\.0\.1:{server.port}: .*; set http_host"):
        ProbeServer(PROBES, "127.0.0.1", server.port)
    with pytest.raises(AddressUnusable, match=r"cannot listen on 192\.0\.2\.1:0"):
        ProbeServer(PROBES, "192.0.2.1", 0)


def test_when_it_is_closed_the_address_is_free() -> None:
    first = ProbeServer(PROBES, "127.0.0.1", 0)
    assert get(first, "/livez")[0] == 200  # and the connection is closed by us: its address lingers
    first.close()
    second = ProbeServer(PROBES, "127.0.0.1", first.port)
    assert second.port == first.port
    second.close()
