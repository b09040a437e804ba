"""A client of the library that is made when it is needed; after a failure it is given up and a new one is made.

One that hangs hangs for ever, so nothing waits for it: it is stopped beside what goes on, within bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from monitor.adapters.kafka.client import bounded, stop_client
from monitor.engine.errors import LogUnreachable

_T = TypeVar("_T")


class LazyClient:
    """One producer, consumer or admin client at a time.

    Args:
        make: Makes one that is not started.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None
        self._making = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def ready(self) -> Any:
        """Return the client, started; unbounded, and raises what the library raises."""
        async with self._making:
            if self._made is None:
                made = self._make()
                try:
                    await made.start()
                except BaseException:  # also a cancellation: a half-started client must not stay behind
                    self._leave(made)
                    raise
                self._made = made
            return self._made

    async def ask(self, call: Callable[[Any], Awaitable[_T]], what: str, within_s: float) -> _T:
        """Ask something within bounds, connecting included.

        Raises:
            LogUnreachable: No answer in time, or a refusal; the next question goes through a new connection.
        """
        try:
            return await bounded(self._asked(call), within_s, what)
        except LogUnreachable:
            self.give_up(self._made)
            raise

    async def _asked(self, call: Callable[[Any], Awaitable[_T]]) -> _T:
        return await call(await self.ready())

    def give_up(self, client: Any) -> None:
        """Leave a connection behind, unless another one has taken its place already."""
        if client is not None and client is self._made:
            self._made = None
            self._leave(client)

    def _leave(self, client: Any) -> None:
        task = asyncio.create_task(stop_client(client))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def close(self) -> None:
        """Give all connections back, within bounds."""
        self.give_up(self._made)
        if self._leaving:
            await asyncio.wait(self._leaving)
