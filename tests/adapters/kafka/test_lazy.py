"""A client that is made when it is needed: one at a time, given up after a failure, never left behind."""

from __future__ import annotations

import asyncio

import pytest

from monitor.adapters.kafka.lazy import LazyClient
from monitor.engine.errors import LogUnreachable


class Client:
    def __init__(self, fails: bool = False) -> None:
        self.fails, self.started, self.stopped = fails, 0, 0

    async def start(self) -> None:
        await asyncio.sleep(0)
        self.started += 1
        if self.fails:
            raise OSError("no broker")

    async def stop(self) -> None:
        self.stopped += 1


class Maker:
    def __init__(self) -> None:
        self.made: list[Client] = []
        self.fails = False

    def __call__(self) -> Client:
        self.made.append(Client(self.fails))
        return self.made[-1]


async def never(_: Client) -> None:
    await asyncio.Event().wait()


async def test_all_who_ask_at_once_share_one_client() -> None:
    maker = Maker()
    lazy = LazyClient(maker)
    assert len({id(one) for one in await asyncio.gather(*(lazy.ready() for _ in range(5)))}) == 1
    assert [one.started for one in maker.made] == [1]


async def test_after_silence_the_next_question_goes_through_a_new_client() -> None:
    maker = Maker()
    lazy = LazyClient(maker)
    with pytest.raises(LogUnreachable, match=r"how far: no answer within 0\.01 s"):
        await lazy.ask(never, "how far", 0.01)
    assert await lazy.ready() is maker.made[1]
    lazy.give_up(maker.made[0])  # somebody else learns late that the first one was given up
    assert await lazy.ready() is maker.made[1]
    await lazy.close()
    assert [one.stopped for one in maker.made] == [1, 1]


async def test_one_that_could_not_start_does_not_stay_behind() -> None:
    maker = Maker()
    maker.fails = True
    lazy = LazyClient(maker)
    with pytest.raises(OSError, match="no broker"):
        await lazy.ready()
    await lazy.close()
    assert [one.stopped for one in maker.made] == [1]
