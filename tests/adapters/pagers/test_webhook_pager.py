"""The webhook pager against a real HTTP server."""

from __future__ import annotations

import pytest

from monitor.adapters.http import SignedWebhook
from monitor.adapters.pagers.webhook import WebhookPager
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import page_words
from tests.adapters.notices import notice
from tests.adapters.receiver import LOCAL, SECRET, FakeTime, Receiver, answer, receiver


def pager(server: Receiver) -> WebhookPager:
    """Return a pager of that server."""
    return WebhookPager(SignedWebhook(server.url, SECRET, limits=LOCAL, timing=FakeTime().timing()))


async def test_the_notice_arrives_whole_and_signed() -> None:
    async with receiver() as server:
        sender = pager(server)
        await sender.notify(notice())
        await sender.close()
    (sent,) = server.got
    sent.verify()
    assert sent.json == {
        "event_id": "e1", "page_id": "p1", "state": "opened", "release": "model-v42",
        "text": "task success is 12.3 % below the baseline", "deadline_ms": 1_795_000_000_000,
        "event": {"objective": "quality.task_success_delta_pct", "cohort": {"tenant": "Müller & Söhne"}},
        "about": "page", "severity": "warning", "link": None,
        "title": page_words(notice()).title, "message": page_words(notice()).text(),
        "commands": [{"does": does, "command": command} for does, command in page_words(notice()).commands],
    }  # fmt: skip


async def test_two_changes_of_a_page_are_two_posts_and_a_repeat_has_the_same_id_and_bytes() -> None:
    async with receiver() as server:
        sender = pager(server)
        await sender.notify(notice("e1", "opened"))
        await sender.notify(notice("e2", "resolved"))
        await sender.notify(notice("e1", "opened"))
        await sender.close()
    assert [sent.headers["webhook-id"] for sent in server.got] == ["e1", "e2", "e1"]
    assert server.got[0].body == server.got[2].body
    assert len({sent.headers["webhook-id"]: sent.json["state"] for sent in server.got}) == 2


async def test_a_lost_answer_is_a_repeat_with_the_same_id() -> None:
    async with receiver() as server:
        server.replies = [answer(500), answer(503)]
        sender = pager(server)
        await sender.notify(notice())
        await sender.close()
    assert [sent.headers["webhook-id"] for sent in server.got] == ["e1"] * 3


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (404, False), (429, True), (500, True)])
async def test_without_a_confirmation_the_page_counts_as_not_delivered(status: int, retryable: bool) -> None:
    async with receiver() as server:
        server.then = answer(status)
        sender = pager(server)
        with pytest.raises(PagerFailed, match=str(status)) as failed:
            await sender.notify(notice())
        await sender.close()
    assert failed.value.retryable == retryable


async def test_an_address_nobody_allowed_is_a_final_failure() -> None:
    async with receiver() as server:
        sender = WebhookPager(SignedWebhook(server.url, SECRET))
        with pytest.raises(PagerFailed, match="private or loopback") as failed:
            await sender.notify(notice())
        await sender.close()
    assert (failed.value.retryable, server.got) == (False, [])
