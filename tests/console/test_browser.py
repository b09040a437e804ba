"""The commander's console in a real browser, where `make integration-console` names one.

`make test` needs no browser: `test_web.py` holds the console's files to what can be told without.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import faust
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.adapters.faust_app.api_pages import add_api, add_files
from monitor.console.web import console_files
from monitor.core.decision import Decision, Type
from monitor.engine.ports import LedgerEntry
from tests.adapters.test_command_api import TOKEN, Worker, api
from tests.console.browser import PROGRAM, Browser, Tab, chromium

PHONE, DESK = (390, 844), (1280, 800)
BACK, ON = "#pages button.danger", "#pages button.go"


class Awake(Worker):
    """A worker whose page was delivered: its clock runs."""

    def __init__(self) -> None:
        super().__init__()
        decisions = [entry.decision for entry in self.on_record().entries()]
        opened = max((one for one in decisions if one.type is Type.PAGE_OPENED), key=lambda one: one.at_ms)
        data = {"event_id": opened.decision_id, "page_id": opened.data["page_id"], "pager": "log"}
        told = Decision(Type.PAGE_DELIVERED, "told", opened.release, opened.at_ms, data)
        for entry in (*self.on_record().entries(), LedgerEntry(told, None, is_published=True)):
            self.book.note(entry)


async def sees(_request: Any) -> web.Response:
    return web.json_response({"ready": True, "sight": "live", "cause": None, "sight_age_s": 60.0})


if PROGRAM is not None:
    INSTALLED = PROGRAM

    @pytest.fixture
    async def browser() -> AsyncIterator[Browser]:
        async with chromium(INSTALLED) as running:
            yield running

    @pytest.fixture
    def worker() -> Worker:
        return Awake()

    @pytest.fixture
    async def url(worker: Worker) -> AsyncIterator[str]:
        app: Any = faust.App("console-test", broker="memory://", autodiscover=False)
        add_api(app, api(worker))
        add_files(app, console_files())
        app.web.web_app.router.add_get("/readyz", sees)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        async with TestServer(app.web.web_app, host="127.0.0.1", port=port):
            yield f"http://127.0.0.1:{port}/console"

    async def signed_in(browser: Browser, url: str, name: str, size: tuple[int, int] = DESK) -> Tab:
        """Sign in with the keyboard alone."""
        tab = await browser.open(url)
        await tab.size(*size)
        await tab.type(name)
        await tab.press("Tab")
        await tab.type(TOKEN)
        await tab.press("Enter")
        await tab.until("document.querySelector('article.page .left')?.innerText.includes(':')")
        return tab

    @pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
    async def test_one_screen_says_all_and_has_both_buttons(
        browser: Browser, url: str, size: tuple[int, int]
    ) -> None:
        tab = await signed_in(browser, url, "dana", size)
        told = await tab.text("article.page")
        for words in (
            "p95 latency is",
            "everybody",
            "Since",
            "95 % sure",
            "without an answer the release is held",
        ):
            assert words in told
        for button in (BACK, ON):
            place = f"document.querySelector('{button}').getBoundingClientRect()"
            assert await tab.evaluate(f"{place}.bottom <= innerHeight && {place}.right <= innerWidth")
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

    async def test_a_wrong_token_is_told_and_nothing_is_shown(browser: Browser, url: str) -> None:
        tab = await browser.open(url)
        await tab.type("dana")
        await tab.press("Tab")
        await tab.type("wrong")
        await tab.press("Enter")
        await tab.until("document.querySelector('#sign-in-why').innerText")
        assert "does not take this token" in await tab.text("#sign-in-why")
        assert await tab.evaluate("sessionStorage.length + document.querySelectorAll('article').length") == 0

    async def test_the_second_of_two_commanders_is_told_which_decision_stands(
        browser: Browser, url: str
    ) -> None:
        dana, eve = await signed_in(browser, url, "dana"), await signed_in(browser, url, "eve", PHONE)
        for tab, button in ((dana, ON), (eve, BACK)):
            await tab.evaluate(f"document.querySelector('{button}').click()")
        await dana.press("Enter")
        await dana.until("document.querySelector('#told').innerText.startsWith('Done')")
        await eve.press("Enter")
        told = "document.querySelector('#told').innerText + document.querySelector('#sure-late').innerText"
        await eve.until(f"({told}).includes('dana holds back')")

    async def test_after_a_sleep_the_clock_is_right_and_old_news_are_named_old(
        browser: Browser, url: str
    ) -> None:
        tab = await signed_in(browser, url, "dana")
        left = "document.querySelector('.left').innerText.split(':').reduce((m, s) => 60 * Number(m) + Number(s))"
        before = await tab.evaluate(left)
        await tab.offline(True)
        await tab.evaluate("window.leapMs = 300_000")
        await tab.until("document.title.startsWith('NOT CONNECTED')")
        assert before - 360 < await tab.evaluate(left) <= before - 295  # an answer may have come between
        assert "What you see is from" in await tab.text("#stale")
        assert "UNKNOWN" in await tab.text("#sight")
        await tab.offline(False)
        await tab.until("document.querySelector('#stale').hidden && !document.title.startsWith('NOT')")
        assert "LIVE" in await tab.text("#sight")

    async def test_a_session_ends_without_a_hand_on_it_but_not_while_a_clock_runs(
        browser: Browser, url: str
    ) -> None:
        tab = await signed_in(browser, url, "dana")
        await tab.evaluate("window.leapMs = 16 * 60_000")
        await tab.until(
            "document.querySelector('.left').innerText !== '0:00'"
        )  # the monitor's clock, asked anew
        assert await tab.text("#who") == "dana"
        await tab.evaluate(f"document.querySelector('{ON}').click()")
        await tab.press("Enter")
        await tab.until("document.querySelectorAll('article.page').length === 0")
        await tab.evaluate("window.leapMs += 16 * 60_000")
        await tab.until("document.querySelector('#sign-in-why').innerText")
        assert "15 minutes" in await tab.text("#sign-in-why")

    async def test_an_order_whose_answer_is_lost_counts_once(browser: Browser, url: str) -> None:
        tab = await signed_in(browser, url, "dana")
        script = """{ const real = window.fetch; window.ids = [];
            window.fetch = async (path, options) => {
              if (!options?.body) return real(path, options);
              ids.push(JSON.parse(options.body).command_id);
              const answer = await real(path, options);
              if (ids.length === 1) throw new TypeError("lost");
              return answer; }; }"""
        await tab.evaluate(script)
        await tab.evaluate("document.querySelector('.page .aside button').click()")
        await tab.until("document.querySelector('#told').innerText.startsWith('Not known')")
        await tab.evaluate("document.querySelector('.page .aside button').click()")
        await tab.until("document.querySelector('#told').innerText.startsWith('Done')")
        assert await tab.evaluate("ids.length === 2 && ids[0] === ids[1]")
