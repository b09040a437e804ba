"""The Apprise pager: every service once, none of them waited for without an end, no secret in any message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from monitor.adapters.pagers import apprise as module
from monitor.adapters.pagers.apprise import CALLS_MAX, ApprisePager, in_thread
from monitor.engine.act_events import notice_of
from monitor.engine.errors import PagerFailed
from tests.adapters.pagers.rigs import Text, words
from tests.adapters.pagers.systems import Asked, Front, Said, serving
from tests.adapters.pagers.test_faults import DATA, OPENED, change

NOTICE = notice_of(OPENED, "opened")


class Service:
    """A service of the library's `json://` kind."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.front = Front(self)

    def __call__(self, asked: Asked) -> Said:
        self.got.append(asked.json)
        return Said(200)

    @property
    def url(self) -> str:
        return self.front.url.replace("http://", "json://monitor:s3cret@") + "/?cto=60&rto=60"


@pytest.fixture
async def services() -> AsyncIterator[list[Service]]:
    made = [Service(), Service()]
    async with AsyncExitStack() as stack:
        for one in made:
            await stack.enter_async_context(serving(one.front))
        yield made


def pager(*services: Service) -> ApprisePager:
    return ApprisePager(Text("\n".join(one.url for one in services)), words)


async def test_every_service_gets_the_words_of_the_page(services: list[Service]) -> None:
    await pager(*services).notify(NOTICE)
    for one in services:
        (message,) = one.got
        said = words(NOTICE)
        assert (message["title"], message["message"], message["type"]) == (said.title, said.text(), "failure")


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("page.acknowledged", "info"), ("page.expired", "failure"), ("page.resolved", "success")],
)
async def test_a_change_of_a_page_has_its_own_colour(services: list[Service], kind: str, shown: str) -> None:
    await pager(services[0]).notify(notice_of(change(kind), kind.removeprefix("page."), DATA))
    assert [one["type"] for one in services[0].got] == [shown]


async def test_a_service_that_accepted_is_not_told_again_for_another_s_sake(services: list[Service]) -> None:
    well, broken = services
    broken.front.faults = ["500"]
    sender = pager(*services)
    with pytest.raises(PagerFailed, match=r"service 2 \(JSON\) did not accept it") as failed:
        await sender.notify(NOTICE)
    assert failed.value.retryable
    assert "s3cret" not in str(failed.value)
    await sender.notify(NOTICE)
    assert (len(well.got), len(broken.got)) == (1, 1)


async def test_a_service_that_never_answers_is_left_alone_in_the_end(
    services: list[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads are counted: a dead service must not gather more and more of them."""
    over = threading.Event()
    monkeypatch.setattr(module, "GRACE_S", 0.05)
    sender = ApprisePager(Text(services[0].url), words, attempt_s=0.05)

    def hangs(**_: object) -> None:
        over.wait(60)

    monkeypatch.setattr(sender._services[0], "notify", hangs)
    for _ in range(CALLS_MAX):
        with pytest.raises(PagerFailed, match=r"did not answer within 0\.1 s"):
            await sender.notify(NOTICE)
    with pytest.raises(PagerFailed, match=f"{CALLS_MAX} earlier calls have not come back"):
        await sender.notify(NOTICE)
    over.set()


async def test_a_call_that_raises_is_raised_where_it_is_waited_for() -> None:
    returned: list[bool] = []

    def breaks() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_thread(breaks, lambda: returned.append(True))
    assert returned == [True]


async def test_a_call_nobody_waits_for_any_more_still_counts_as_back() -> None:
    over, returned = threading.Event(), asyncio.Event()
    task = asyncio.create_task(in_thread(lambda: over.wait(60), returned.set))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    over.set()
    async with asyncio.timeout(60):
        await returned.wait()


async def test_no_call_keeps_the_process_from_ending() -> None:
    daemons: list[bool] = []
    await in_thread(lambda: daemons.append(threading.current_thread().daemon), lambda: None)
    assert daemons == [True]
