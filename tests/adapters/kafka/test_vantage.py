"""A client that failed is given up, stopped and replaced: one that hangs would hang for ever."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from monitor.adapters.kafka import vantage
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.vantage import KafkaVantage
from monitor.engine.errors import LogUnreachable


class Producer:
    """A producer of the library that does as it is told."""

    made: list[Producer]

    def __init__(self, **options: Any) -> None:
        self.started = self.stopped = False
        self.fails = self.plan(len(self.made))
        self.made.append(self)

    plan: Callable[[int], str]

    async def start(self) -> None:
        self.started = True
        if self.fails == "start":
            raise KafkaConnectionError("no route to host")

    async def stop(self) -> None:
        self.stopped = True

    async def send_and_wait(self, topic: str, value: bytes, *, partition: int) -> SimpleNamespace:
        if self.fails == "send":
            raise KafkaConnectionError("gone")
        return SimpleNamespace(offset=len(self.made))


@pytest.mark.parametrize("fails", ["start", "send"])
async def test_after_a_failure_the_next_question_goes_through_a_new_client(
    fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Producer] = []
    monkeypatch.setattr(Producer, "made", made, raising=False)
    monkeypatch.setattr(
        Producer, "plan", staticmethod(lambda count: fails if count == 0 else ""), raising=False
    )
    monkeypatch.setattr(vantage, "AIOKafkaProducer", Producer)
    seen = KafkaVantage(KafkaAccess("127.0.0.1:9"), "traces", "group")
    with pytest.raises(LogUnreachable, match="traces/0"):
        await seen.send(0, b"x")
    assert await seen.send(0, b"x") == 2
    assert await seen.send(0, b"x") == 2, "what works is kept"
    await seen.close()
    assert [(one.started, one.stopped) for one in made] == [(True, True), (True, True)]
