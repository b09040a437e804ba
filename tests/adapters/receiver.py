"""A real HTTP server on loopback that keeps what it was sent: what webhooks are tested against."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web
from standardwebhooks import Webhook

from monitor.adapters.http import Limits, Timing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="  # 32 made-up bytes, for tests only
LOCAL = Limits(allow_private=True, attempt_s=30.0)  # a busy machine is no receiver that does not answer


@dataclass
class Sent:
    """One request as the server got it."""

    method: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def verify(self, secret: str = SECRET) -> None:
        """Check the signature with the library a receiver would use; raises where it does not hold."""
        Webhook(secret).verify(self.body, self.headers, json_parse=False)


Reply = Callable[[Sent], "web.Response | Awaitable[web.Response]"]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """The server: answers with `replies` in turn, then with `then` for ever."""

    url: str = ""
    got: list[Sent] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    then: Reply = lambda _: web.json_response({})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep the request and answer."""
        sent = Sent(request.method, dict(request.query), dict(request.headers), await request.text())
        self.got.append(sent)
        reply = (self.replies.pop(0) if self.replies else self.then)(sent)
        return reply if isinstance(reply, web.Response) else await reply


@asynccontextmanager
async def loopback(handle: Handler, *, max_bytes: int = 1024**2) -> AsyncIterator[str]:
    """Serve every path on a free loopback port; yields the address, without a slash at its end."""
    app = web.Application(client_max_size=max_bytes)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on a free loopback port."""
    made = Receiver()
    async with loopback(made.handle) as url:
        made.url = f"{url}/hook"
        yield made


@dataclass
class FakeTime:
    """Time that passes only by being waited for."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.waits.append(seconds)
        self.seconds += seconds

    def timing(self) -> Timing:
        """Return it as the adapters take it; chance always draws the longest wait."""
        return Timing(monotonic=lambda: self.seconds, sleep=self.sleep, chance=lambda: 1.0)


def answer(status: int, body: object = None, **headers: str) -> Reply:
    """Return a reply with that status; header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.json_response(body if body is not None else {}, status=status, headers=named)
