"""What every pager promises, over the memory twin, the log and a signed webhook."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
import structlog

from monitor.adapters.http import SignedWebhook
from monitor.adapters.memory.pager import MemoryPager
from monitor.adapters.pagers.log import LogPager
from monitor.adapters.pagers.webhook import WebhookPager
from monitor.adapters.telemetry.logs import configure_logs
from monitor.engine.ports import Pager
from tests.adapters.notices import notice
from tests.adapters.receiver import LOCAL, SECRET, receiver

Told = dict[str, tuple[str, str, str]]  # by event id: page, state, text


@dataclass
class Subject:
    """A pager, and what arrived at its other end, each event once, as the pager's reader would count it."""

    pager: Pager
    told: Callable[[], Told]


@pytest.fixture(params=["memory", "log", "webhook"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Each pager in turn."""
    if request.param == "memory":
        memory = MemoryPager()
        yield Subject(
            memory, lambda: {key: (n.page_id, n.state, n.text) for key, n in memory.delivered.items()}
        )
    elif request.param == "log":
        root, out = logging.getLogger(), io.StringIO()
        handlers, level = root.handlers[:], root.level
        configure_logs(stream=out)
        yield Subject(LogPager(), lambda: _told([json.loads(line) for line in out.getvalue().splitlines()]))
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    else:
        async with receiver() as server:
            hook = SignedWebhook(server.url, SECRET, limits=LOCAL)
            yield Subject(WebhookPager(hook), lambda: _told([sent.json for sent in server.got]))
            await hook.close()


def _told(seen: list[dict[str, str]]) -> Told:
    return {one["event_id"]: (one["page_id"], one["state"], one["text"]) for one in seen if "event_id" in one}


async def test_a_notice_reaches_the_other_end(subject: Subject) -> None:
    await subject.pager.notify(notice())
    assert subject.told() == {"e1": ("p1", "opened", notice().text)}


async def test_a_repeat_is_told_apart_from_a_change(subject: Subject) -> None:
    await subject.pager.notify(notice("e1", "opened"))
    await subject.pager.notify(notice("e1", "opened"))
    await subject.pager.notify(notice("e2", "resolved"))
    assert {key: state for key, (_, state, _) in subject.told().items()} == {"e1": "opened", "e2": "resolved"}


async def test_all_notices_of_a_page_share_its_id(subject: Subject) -> None:
    for number, state in enumerate(["opened", "acknowledged", "expired", "resolved"]):
        await subject.pager.notify(notice(f"e{number}", state))
    assert {page for page, _, _ in subject.told().values()} == {"p1"}
