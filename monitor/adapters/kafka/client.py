"""What every Kafka client here needs: bounded waits, a hard end, and a library that does not flood the log."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from monitor.engine.errors import LogUnreachable

_T = TypeVar("_T")

STOP_DEADLINE_S: Final = 5.0
_HARD_CLOSE_S: Final = 2.0
_SAME_MESSAGE_S: Final = 30.0

_PARTS: Final = ("_sender", "_message_accumulator", "_coordinator", "_fetcher")
_LIBRARY_LOGGERS: Final = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.consumer.subscription_state",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
    "aiokafka.producer.transaction_manager",
)


class _Heard:
    """Why the library could not connect to a broker: it only logs that, and what it raises names the addresses."""

    __slots__ = ("is_over", "last")

    def __init__(self) -> None:
        self.is_over = False  # tasks that a client starts have this for as long as they live
        self.last: BaseException | None = None


_heard: ContextVar[_Heard | None] = ContextVar("heard", default=None)
_HINTS: Final = (
    (ssl.SSLCertVerificationError, "set kafka_ca_file to who signed its certificate"),
    (ssl.SSLError, "is it TLS that this port speaks, and does it ask for a certificate (kafka_cert_file)?"),
    (ConnectionResetError, "is this the port for kafka_security_protocol?"),
    (SaslAuthenticationFailed, "look at kafka_username, kafka_password and kafka_sasl_mechanism"),
    (UnsupportedSaslMechanismError, "set kafka_sasl_mechanism to one of these"),
    (IncompatibleBrokerVersion, "is this the port for kafka_security_protocol?"),
    (
        KafkaConnectionError,
        "is this the port for kafka_security_protocol, and does it ask for a certificate?",
    ),
)


class _Overhear(logging.Filter):
    """Takes note of why a broker could not be connected to; lets everything pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; called by `logging`."""
        heard = _heard.get()
        if heard is not None and not heard.is_over and isinstance(record.args, tuple):
            heard.last = next((one for one in record.args if isinstance(one, BaseException)), heard.last)
        return True


class _Silence(logging.Filter):
    """Lets nothing pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; called by `logging`."""
        return False


async def bounded(call: Awaitable[_T], deadline_s: float, what: str) -> _T:
    """Await a call of the library, but not for ever: several of them never return while the broker is down.

    Raises:
        LogUnreachable: Not answered in time, or refused; says what was asked.
    """
    heard, before = _Heard(), _heard.get()
    _heard.set(heard)
    try:
        async with asyncio.timeout(deadline_s):
            return await call
    except TimeoutError as error:
        raise LogUnreachable(f"{what}: no answer within {deadline_s:g} s{_why(heard.last)}") from error
    except KafkaConnectionError as error:
        raise LogUnreachable(f"{what}: {_why(heard.last).removeprefix('; ') or error}") from error
    except KafkaError as error:
        raise LogUnreachable(f"{what}: {error}") from error
    finally:
        _heard.set(before)  # and no token: a generator may be closed in another context
        heard.is_over, heard.last = True, None


def _why(heard: BaseException | None) -> str:
    """Return what was overheard last, and what to do about it; nothing where nothing was."""
    if heard is None:
        return ""
    said = " ".join(str(heard).split()) or type(heard).__name__
    hint = next((text for kind, text in _HINTS if isinstance(heard, kind)), None)
    return f"; {said}" if hint is None else f"; {said}: {hint}"


async def stop_client(client: Any, deadline_s: float = STOP_DEADLINE_S) -> None:
    """Stop a producer, consumer or admin client; where it cannot (the broker is gone), cut it off.

    The library offers no abort: what it leaves behind would go on retrying for ever, so the tasks of its parts are
    ended, by the private names of the parts. The version is pinned, and tests guard the names.
    """
    stop = getattr(client, "stop", None) or client.close
    # A task of its own: where a part of the client has died, the library hands that part's end on, also a cancellation.
    leaving = asyncio.ensure_future(stop())
    try:
        await asyncio.wait({leaving}, timeout=deadline_s)
    except asyncio.CancelledError:
        leaving.cancel()
        raise
    if not leaving.done():
        leaving.cancel()
        await asyncio.wait({leaving}, timeout=_HARD_CLOSE_S)
    elif not leaving.cancelled() and leaving.exception() is None:
        return
    why = "no answer" if not leaving.done() or leaving.cancelled() else repr(leaving.exception())
    logging.getLogger(__name__).debug("a Kafka client did not stop politely: %s", why)
    await _cut_off(client)


async def _cut_off(client: Any) -> None:
    # All of them, and before anything else: a producer's sender waits for its requests when it is cancelled, and
    # these would put back in line what is failed below. It then breaks, or waits for ever for metadata.
    ended = list(_tasks_of(client))
    for task in ended:
        task.cancel()
    if ended:
        await asyncio.wait(ended, timeout=_HARD_CLOSE_S)
    if waiting := getattr(client, "_message_accumulator", None):
        _fail_all(waiting, KafkaConnectionError("the producer was given up"))
    connections = getattr(client, "client", None) or getattr(client, "_client", None)
    with suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(_HARD_CLOSE_S):
            if connections is not None:
                await connections.close()


def _tasks_of(client: Any) -> Iterator[asyncio.Task[Any]]:
    """Yield the tasks that run a method of one of the client's parts."""
    parts = [part for name in _PARTS if (part := getattr(client, name, None)) is not None]
    for task in asyncio.all_tasks():
        frame = getattr(task.get_coro(), "cr_frame", None)
        owner = None if frame is None else frame.f_locals.get("self")
        if any(owner is part for part in parts):
            yield task


def _fail_all(waiting: Any, error: KafkaError) -> None:
    """Tell whoever waits for a record that it was not acknowledged."""
    batches = [*(one for line in waiting._batches.values() for one in line), *waiting._pending_batches]
    # From there the end of a batch takes it out, also where it was put back in line.
    waiting._pending_batches.update(batches)
    waiting.fail_all(error)
    for batch in batches:
        batch._drain_waiter.exception()  # seen: nobody else may look at it any more


class OncePerPeriod(logging.Filter):
    """Lets the same message (before its arguments) through once in a while, and says how many it held back."""

    def __init__(self, period_s: float = _SAME_MESSAGE_S) -> None:
        super().__init__()
        self._period_s = period_s
        self._passed_at: dict[str, float] = {}
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; called by `logging`."""
        now, template = time.monotonic(), str(record.msg)
        if now - self._passed_at.get(template, -self._period_s) < self._period_s:
            self._held_back[template] = self._held_back.get(template, 0) + 1
            return False
        self._passed_at[template] = now
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, KafkaError):  # what Kafka answers is told in a line; a traceback is for a defect
            record.msg, record.args = f"{record.getMessage()}: {error!r}", ()
            record.exc_info = record.exc_text = None
        if held_back := self._held_back.pop(template, 0):
            record.msg = f"{record.getMessage()} ({held_back} times more since)"
            record.args = ()
        return True


def tame_library_logs() -> None:
    """Make aiokafka write warnings and errors only, each at most twice a minute.

    While a broker is away it would otherwise write several lines a second for each connection.
    """
    for name in _LIBRARY_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        if not any(isinstance(present, OncePerPeriod) for present in logger.filters):
            logger.addFilter(OncePerPeriod())


@contextmanager
def silent_library() -> Iterator[None]:
    """Write nothing of aiokafka's meanwhile: for probes, whose failures we report ourselves."""
    loggers, silence = [logging.getLogger(name) for name in _LIBRARY_LOGGERS], _Silence()
    for logger in loggers:
        logger.addFilter(silence)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(silence)


# Before any other filter, so that it hears what those hold back.
logging.getLogger("aiokafka").addFilter(_Overhear())
