"""A real Chromium, driven by its own protocol over the HTTP client that the worker has: no further package.

`ROLLBACK_BUDGET_TEST_CHROMIUM` names the program (`make integration-console`); nothing is looked for without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp

PROGRAM = os.environ.get("ROLLBACK_BUDGET_TEST_CHROMIUM")
WAIT_S = 30.0
# The page's clock can be set on, as after a sleep; nothing else of it is changed.
LEAP = "{ const now = Date.now.bind(Date); window.leapMs = 0; Date.now = () => now() + window.leapMs; }"


class Tab:
    """One page of a browser of its own: nothing is shared with other tabs."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    async def call(self, method: str, **params: Any) -> Any:
        """Give an order of the protocol."""
        return await self._browser.call(method, session=self._session, **params)

    async def evaluate(self, script: str) -> Any:
        """Return what an expression comes to in the page; a promise is waited for."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, condition: str) -> None:
        """Return when a condition holds in the page; the page itself looks, several times a second."""
        script = f"""new Promise((done, late) => {{
            const looks = setInterval(() => {{ if ({condition}) {{ clearInterval(looks); done(true); }} }}, 50);
            setTimeout(() => late(new Error({json.dumps(condition)})), {WAIT_S * 1000});
        }})"""
        await self.evaluate(script)

    async def type(self, text: str) -> None:
        """Write where the focus is."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Press a key, as a hand does."""
        code = {"Enter": 13, "Tab": 9, "Escape": 27}[key]
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        text = {"text": "\r"} if key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **shared, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    async def text(self, selector: str) -> str:
        """Return what is seen of the first element."""
        return str(await self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def size(self, width: int, height: int) -> None:
        """Be a screen of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def offline(self, is_off: bool) -> None:
        """Lose the network, or have it again."""
        conditions = {"offline": is_off, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await self.call("Network.emulateNetworkConditions", **conditions)


class Browser:
    """A running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def listen(self) -> None:
        """Hand answers to whoever waits for them."""
        async for message in self._socket:
            told = json.loads(message.data)
            waiting = self._waiting.pop(told.get("id"), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(told)

    async def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        """Give an order, and return its answer."""
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        to = {} if session is None else {"sessionId": session}
        await self._socket.send_json({"id": number, "method": method, "params": params, **to})
        told = await asyncio.wait_for(self._waiting[number], WAIT_S + 5)
        assert "error" not in told, (method, told)
        return told["result"]

    async def open(self, url: str) -> Tab:
        """Open a page in a browser of its own."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        made = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"])
        await tab.call("Page.enable")
        await tab.call("Network.enable")
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=LEAP)
        await tab.call("Page.navigate", url=url)
        await tab.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab


@asynccontextmanager
async def chromium(program: str) -> AsyncIterator[Browser]:
    """Run one until the end of the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        flags = (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--remote-debugging-port=0",
        )
        process = await asyncio.create_subprocess_exec(
            program, *flags, f"--user-data-dir={folder}", "about:blank", stderr=asyncio.subprocess.PIPE
        )
        try:
            assert process.stderr is not None
            async with asyncio.timeout(WAIT_S):
                while b"DevTools listening on " not in (line := await process.stderr.readline()):
                    assert line, "the browser ended"
            address = line.decode().rpartition(" ")[2].strip()
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(address, max_msg_size=0) as socket,
            ):
                browser = Browser(socket)
                listens = asyncio.create_task(browser.listen())
                try:
                    yield browser
                finally:
                    listens.cancel()
        finally:
            process.terminate()
            await process.wait()
