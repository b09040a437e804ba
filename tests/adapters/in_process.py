"""A contract server without a network between: for many thousand runs, and time that passes at once.

Whatever way a server is reached, it says in the same words that no answer comes, and keeps what it applies too late.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import httpx

from tests.adapters.receiver import FakeTime

SLOW_S = 30.0  # how late a slow system applies what it was asked
A = TypeVar("A")


class Lost(Exception):
    """No answer will ever come."""


class Dropped(Exception):
    """The connection ends without an answer."""


@dataclass
class Late(Generic[A]):
    """What was asked, gets no answer, and is applied once the clock has come so far."""

    clock: Callable[[], float] = lambda: 0.0
    waiting: list[tuple[float, A]] = field(default_factory=list)

    def add(self, asked: A) -> None:
        """Keep what will be applied `SLOW_S` from now."""
        self.waiting.append((self.clock() + SLOW_S, asked))

    def due(self, now_s: float) -> list[A]:
        """Return what is to be applied by now, the oldest first, and keep it no longer."""
        due = [asked for at_s, asked in self.waiting if at_s <= now_s]
        self.waiting = [one for one in self.waiting if one[0] > now_s]
        return due


class Answer(NamedTuple):
    """What goes back over the connection that is not there."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class InProcess(httpx.AsyncBaseTransport):
    """The way to a server in this process.

    Args:
        respond: The server: gets a request and its body; raises `Lost` or `Dropped` where there is no answer.
        time: What waiting for an answer that does not come takes from.
        attempt_s: How long one attempt waits.
    """

    def __init__(
        self, respond: Callable[[httpx.Request, bytes], Awaitable[Answer]], time: FakeTime, attempt_s: float
    ) -> None:
        self._respond, self._time, self._attempt_s = respond, time, attempt_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the server."""
        try:
            said = await self._respond(request, await request.aread())
        except Lost as error:
            self._time.seconds += self._attempt_s
            raise httpx.ReadTimeout("no answer", request=request) from error
        except Dropped as error:
            raise httpx.RemoteProtocolError("closed without an answer", request=request) from error
        return httpx.Response(
            said.status, headers=dict(said.headers), stream=_Body(said.body), request=request
        )


class _Body(httpx.AsyncByteStream):
    """An answer's body, read as it comes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
