"""Faust hosts the worker: signals, crash handling, the probes' web part, and the agents that run effects.

It keeps no table and no state that matters: positions of the two effect topics are its own, and every effect
is looked up in the ledger before it runs. The data plane and the control plane are one service inside it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faust
from faust.auth import SASLCredentials, SSLCredentials
from mode import Service

from monitor.adapters.command_api import CommandApi
from monitor.adapters.faust_app.api_pages import Files, add_api, add_files
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import PAGES, REQUESTS
from monitor.adapters.probes import Answer, Probes, pages_of
from monitor.engine.errors import LogUnreachable, PagerFailed

_log = logging.getLogger(__name__)

RETRY_S = 30.0  # until an effect that could not be carried out is tried again
DRAIN_S = 10.0  # for the tasks to flush and leave, once they were asked to
_SILENCED = ("faust", "mode", "aiokafka", "aiohttp.access")


class Runs(Protocol):
    """The tasks that Faust hosts."""

    async def prepare(self) -> None:
        """Read what has to be known before anything is decided."""

    async def run(self) -> None:
        """Run until `stop`; raising ends the worker."""

    async def stop(self) -> None:
        """End, within bounds."""

    async def close(self) -> None:
        """Give connections back."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the agents call with each event of their topic: the CloudEvent as a dict.

    Attributes:
        unfinished: Events that were recorded and whose effect was not, as the ledger has it at the start: whoever
            was to try again later has ended since.
    """

    on_request: Callable[[Mapping[str, Any]], Awaitable[bool]]
    on_page: Callable[[Mapping[str, Any]], Awaitable[bool]]
    unfinished: Callable[[], Sequence[Mapping[str, Any]]]
    decode: Callable[[bytes | None, list[tuple[str, bytes]]], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Where the host listens and what it is called.

    Attributes:
        group: Consumer group of the effect topics, shared by all workers.
    """

    group: str
    worker_id: str
    http_host: str
    http_port: int
    session_timeout_ms: int
    log_level: str


def serve(
    access: KafkaAccess,
    runs: Runs,
    effects: Effects,
    probes: Probes,
    options: HostOptions,
    api: CommandApi | None = None,
    console: Files | None = None,
) -> None:
    """Run the worker until a signal; raises SystemExit with its code, as Faust does.

    The topics have to exist: an agent whose topic is missing at its start gets nothing, ever.

    Args:
        api: Takes orders; None where there is no such door.
        console: The files of the commander's console; it needs the API, and is not there without it.
    """
    app = _app(access, options)
    _add_agents(app, effects)
    _add_pages(app, probes)
    if api is not None:
        add_api(app, api)
        add_files(app, console or {})
    worker = faust.Worker(
        app,
        _Tasks(runs),
        loglevel="warn",
        quiet=True,
        redirect_stdouts=False,
        override_logging=False,
    )
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.WARNING)
    tame_library_logs()
    worker.execute_from_commandline()


def _app(access: KafkaAccess, options: HostOptions) -> faust.App:
    session_s = options.session_timeout_ms / 1000
    return faust.App(
        f"{options.group}-effects",
        broker=";".join(f"kafka://{server}" for server in access.bootstrap.split(",")),
        broker_credentials=_credentials(access),
        broker_client_id=options.worker_id,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 4,
        broker_request_timeout=max(30.0, 2 * session_s),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=options.worker_id,  # back after a crash, effects need not wait for the session
        datadir=str(Path(tempfile.gettempdir()) / f"{options.group}-{options.worker_id}"),
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        web_host=options.http_host,
        web_bind=options.http_host,
        web_port=options.http_port or _free_port(options.http_host),
        web_in_thread=False,
        web_router_enabled=False,
        web_tables_enabled=False,
        web_stats_enabled=False,
        web_graph_enabled=False,
        autodiscover=False,
    )


def _free_port(host: str) -> int:
    """Return a port that was free a moment ago, and say which: the library takes no 0 for an answer."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
    _log.warning("the console and the probes listen on http://%s:%d", host, port)
    return port


def _credentials(access: KafkaAccess) -> SASLCredentials | SSLCredentials | None:
    given = access.client_options()
    context = given.get("ssl_context")
    if access.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=access.username,
            password=given.get("sasl_plain_password"),
            mechanism=access.sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context=context) if context is not None else None


def _add_agents(app: faust.App, effects: Effects) -> None:
    trier = _Trier()
    for name, calls in ((REQUESTS, effects.on_request), (PAGES, effects.on_page)):
        topic = app.topic(name, value_type=bytes, value_serializer="raw", key_serializer="raw")
        app.agent(topic, name=f"effects of {name}", concurrency=1)(_agent(calls, effects.decode, trier))

    async def go_on() -> None:
        for event in effects.unfinished():
            for calls in (effects.on_request, effects.on_page):  # each ignores what is not its own
                trier.later(calls, event, first_wait_s=0.0)

    app.task(go_on)


def _agent(
    call: Callable[[Mapping[str, Any]], Awaitable[bool]],
    decode: Callable[[bytes | None, list[tuple[str, bytes]]], Mapping[str, Any] | None],
    trier: _Trier,
) -> Callable[[Any], Awaitable[None]]:
    async def run(stream: Any) -> None:
        async for record in stream.events():
            event = decode(record.value, list((record.headers or {}).items()))
            if event is not None and not await trier.tried(call, event):
                trier.later(call, event)

    return run


class _Trier:
    """Carries effects out, and tries again beside the stream: one broken system must not hold the next rollback up."""

    def __init__(self) -> None:
        self._at_work: set[str] = set()
        self._waiting: set[asyncio.Task[None]] = set()

    async def tried(
        self, call: Callable[[Mapping[str, Any]], Awaitable[bool]], event: Mapping[str, Any]
    ) -> bool:
        """Try once; False where it has to be tried again. Somebody else's try at the same event is as good."""
        key = str(event.get("id"))
        if key in self._at_work:
            return True
        self._at_work.add(key)
        try:
            return await call(event)
        except PagerFailed as error:
            _log.error("not everybody is told about %s: %s; next try in %g s", key, error, RETRY_S)
        except LogUnreachable as error:
            _log.error("the effect of %s is not on record: %s; next try in %g s", key, error, RETRY_S)
        finally:
            self._at_work.discard(key)
        return False

    def later(
        self,
        call: Callable[[Mapping[str, Any]], Awaitable[bool]],
        event: Mapping[str, Any],
        *,
        first_wait_s: float = RETRY_S,
    ) -> None:
        """Try until it is done."""

        async def again() -> None:
            wait_s = first_wait_s
            while True:
                await asyncio.sleep(wait_s)
                if await self.tried(call, event):
                    return
                wait_s = RETRY_S

        task = asyncio.get_running_loop().create_task(again())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)


def _add_pages(app: faust.App, probes: Probes) -> None:
    for path, page in pages_of(probes).items():
        app.page(path, name=path.strip("/"))(_page(page))


def _page(answer: Callable[[], Answer]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def page(view: Any, _request: Any) -> Any:
        status, content_type, body = answer()
        return view.bytes(body, content_type=content_type.partition(";")[0], status=status)

    return page


class _Tasks(Service):
    """The data plane and the control plane, as Faust starts and stops them."""

    def __init__(self, runs: Runs, **options: Any) -> None:
        super().__init__(**options)
        self._runs = runs
        self._running: asyncio.Future[Any] | None = None

    async def on_start(self) -> None:
        """Prepare before anything else of the worker counts as started."""
        await self._runs.prepare()
        self._running = self.add_future(self._run())

    async def _run(self) -> None:
        try:
            await self._runs.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it was ends the worker, and a supervisor restarts it
            _log.exception("the worker cannot go on")
            await self.crash(error)

    async def on_stop(self) -> None:
        """Flush and leave; the library would cancel the tasks at once."""
        await self._runs.stop()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=DRAIN_S)

    async def on_shutdown(self) -> None:
        """Give connections back, once every task has ended."""
        await self._runs.close()
