"""The traces topic, as the bridge writes it: events keyed by trace, acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer

from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.lazy import LazyClient
from monitor.adapters.kafka.security import KafkaAccess
from monitor.core.span_mapping import Facts

SEND_S: Final = 30.0
_LINGER_MS: Final = 5
_write: Final = msgspec.json.Encoder().encode


def encode(facts: Facts) -> bytes | str:
    """Return a trace event as the monitor reads it, or the reason why it would be a dead letter there."""
    value = _write(facts)
    read = decode(value)
    return read if isinstance(read, str) else value


class KafkaTraceTopic:
    """`TraceTopic` on Kafka. Idempotent: the library's own retries double nothing; ours are dropped by their ids."""

    def __init__(self, access: KafkaAccess, topic: str) -> None:
        self._topic = topic
        self._producer = LazyClient(
            lambda: AIOKafkaProducer(
                **access.client_options(),
                enable_idempotence=True,
                acks="all",
                linger_ms=_LINGER_MS,
                request_timeout_ms=int(SEND_S * 1000),
            )
        )

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Append all of them; return when they are acknowledged. Raises `LogUnreachable`."""
        await self._producer.ask(
            lambda producer: self._sent(producer, events), f"{len(events)} events for {self._topic}", SEND_S
        )

    async def _sent(self, producer: Any, events: Sequence[tuple[str, bytes]]) -> None:
        # Those that were not waited for are nobody's errors: all are looked at before one is raised.
        waiting = [await producer.send(self._topic, value, key=key.encode()) for key, value in events]
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def close(self) -> None:
        """Give the connection back, within bounds."""
        await self._producer.close()
