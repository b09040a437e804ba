"""Carrying effects out beside the stream: tried again until done, and never two tries of one event at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from monitor.adapters.faust_app.host import _Trier
from monitor.engine.errors import LogUnreachable, PagerFailed

EVENT = {"id": "e1"}


class System:
    """An outside system that fails as planned, then works."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.done = asyncio.Event()
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, event: Mapping[str, Any]) -> bool:
        self.calls += 1
        self.begun.set()
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self.done.set()
        return answer


@pytest.mark.parametrize(
    "failure", [False, PagerFailed("no answer", retryable=True), LogUnreachable("the ledger is away")]
)
async def test_what_could_not_be_done_is_tried_again_until_it_is(
    failure: bool | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only the record of it could not be written: done and not on record is not done."""
    monkeypatch.setattr("monitor.adapters.faust_app.host.RETRY_S", 0.0)
    trier, system = _Trier(), System(failure, failure)
    assert not await trier.tried(system, EVENT)
    trier.later(system, EVENT, first_wait_s=0.0)
    async with asyncio.timeout(10):
        await system.done.wait()
    assert system.calls == 3


async def test_two_ways_to_the_same_event_are_one_try() -> None:
    """A restart finds it in the ledger while the topic brings it again."""
    trier, system = _Trier(), System()
    system.open.clear()
    first = asyncio.create_task(trier.tried(system, EVENT))
    await system.begun.wait()
    assert await trier.tried(system, EVENT)
    other = System()
    assert await trier.tried(other, {"id": "e2"})
    system.open.set()
    assert await first
    assert (system.calls, other.calls) == (1, 1)
