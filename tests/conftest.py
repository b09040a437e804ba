"""Real servers for the tests: one Kafka and one Valkey per test run, embedded, or those that the environment names.

`ROLLBACK_BUDGET_TEST_KAFKA` (host:port) and `ROLLBACK_BUDGET_TEST_REDIS` (redis://…) name servers to use instead.
Under pytest-xdist the first worker that needs a server starts it, all share it, and it ends after the last one.
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import pytest
from hypothesis import settings

from monitor.adapters.embedded.errors import EmbeddedUnavailable
from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.valkey import EmbeddedValkey

# A law holds or it does not; how long an example takes on a busy machine says nothing about it. The same tree has the
# same examples everywhere, so that a run that was green is green; `make laws` looks at others, and finds what it finds.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("others", deadline=None)
settings.load_profile("same")

# How long the worker that started a server stays for the others' sake: the tests of real workers may need an hour for
# themselves on a slow machine, and would lose their broker with it.
_OTHERS_WAIT_S = 7_200


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector: what is made here stays, and need never be looked at again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Keep the tests that share a broker in one process."""
    from tests.turns import InTurns

    return InTurns(config, log)


class _Server(Protocol):
    def stop(self) -> None: ...


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of a real Kafka."""

    def start(folder: Path) -> tuple[_Server, str]:
        with suppress(EmbeddedUnavailable):  # some twenty brokers are started, and each can do without
            EmbeddedKafka(tmp_path_factory.mktemp("archive")).archive()
        server = EmbeddedKafka(folder).start()
        return server, server.bootstrap

    with _server("kafka", "ROLLBACK_BUDGET_TEST_KAFKA", tmp_path_factory, start) as address:
        yield address


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Valkey."""

    def start(folder: Path) -> tuple[_Server, str]:
        server = EmbeddedValkey(folder).start()
        return server, server.url

    with _server("valkey", "ROLLBACK_BUDGET_TEST_REDIS", tmp_path_factory, start) as address:
        yield address


@pytest.fixture
def unique() -> str:
    """A name that no other test and no earlier run has used."""
    return f"test-{uuid.uuid4().hex[:12]}"


@contextmanager
def _server(
    name: str,
    variable: str,
    folders: pytest.TempPathFactory,
    start: Callable[[Path], tuple[_Server, str]],
) -> Iterator[str]:
    if address := os.environ.get(variable):
        yield address
    elif "PYTEST_XDIST_WORKER" not in os.environ:
        server, address = start(folders.mktemp(name))
        try:
            yield address
        finally:
            server.stop()
    else:
        with _shared(folders.getbasetemp().parent / f"shared-{name}", start) as address:
            yield address


@contextmanager
def _shared(folder: Path, start: Callable[[Path], tuple[_Server, str]]) -> Iterator[str]:
    """Share one server among processes: whoever comes first starts it and stays until nobody uses it."""
    users, written = folder / "users", folder / "address"
    me = users / str(os.getpid())
    server: _Server | None = None
    users.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        if not written.exists():
            server, address = start(folder / "data")
            written.write_text(address)
        me.touch()
    try:
        yield written.read_text()
    finally:
        me.unlink()
        if server is not None:
            _stop_after_the_last(server, folder / "lock", users, written)


def _stop_after_the_last(server: _Server, lock: Path, users: Path, written: Path) -> None:
    deadline = time.monotonic() + _OTHERS_WAIT_S
    while True:
        with _locked(lock):
            if not any(_alive(int(user.name)) for user in users.iterdir()) or time.monotonic() > deadline:
                written.unlink()  # a worker that comes later starts its own
                break
        time.sleep(0.1)
    server.stop()


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() or not Path("/proc").exists()


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
