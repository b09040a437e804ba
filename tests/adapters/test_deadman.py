"""The dead-man's switch: asked for once, by the client that judges addresses, and its URL stays a secret."""

from __future__ import annotations

import pytest
from aiohttp import web

from monitor.adapters.deadman import DeadMansSwitch
from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.http import WebhookFailed
from tests.adapters.receiver import receiver


async def test_it_is_asked_for_once() -> None:
    async with receiver() as there:
        switch = DeadMansSwitch(there.url, allow_private=True)
        await switch.ping()
        await switch.close()
        assert [(one.method, one.body) for one in there.got] == [("GET", "")]


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_what_is_no_success_is_said_without_the_path_and_not_repeated(status: int) -> None:
    async with receiver() as there:
        there.then = lambda _: web.Response(status=status, headers={"location": "http://127.0.0.1:1/"})
        switch = DeadMansSwitch(there.url + "/planted-secret", allow_private=True)
        with pytest.raises(WebhookFailed, match=str(status)) as failed:
            await switch.ping()
        await switch.close()
        assert "planted" not in str(failed.value)
        assert len(there.got) == 1


async def test_a_private_address_is_refused_unless_it_is_meant() -> None:
    async with receiver() as there:
        switch = DeadMansSwitch(there.url, allow_private=False)
        with pytest.raises(WebhookUnusable, match="private or loopback"):
            await switch.ping()
        await switch.close()
        assert there.got == []


@pytest.mark.parametrize("url", ["ftp://x/planted", "https://user:planted@x/", "planted"])
def test_a_url_that_can_never_work_is_said_at_once(url: str) -> None:
    with pytest.raises(WebhookUnusable, match="watch_ping_url") as refused:
        DeadMansSwitch(url, allow_private=True)
    assert "planted" not in str(refused.value)
