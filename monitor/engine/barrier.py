"""What everybody wrote to a topic before a moment is read before something is done at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.engine.ports import Follower, Record


class Barrier:
    """Reads a topic to the end it has now, by a reader of its own: the one that follows it may be behind.

    Args:
        fresh: Makes that reader, when it is first needed.
        take: Takes in what it read; records that are known already change nothing there.
    """

    def __init__(self, fresh: Callable[[], Follower], take: Callable[[list[Record]], None]) -> None:
        self._fresh, self._take = fresh, take
        self._follower: Follower | None = None
        self._lock = asyncio.Lock()  # ticks and incidents ask at the same time; the reader is one

    async def read(self) -> None:
        """Return when all is taken in that was on the topic at the time of the call.

        Raises:
            LogUnreachable: It is not known what is there.
        """
        async with self._lock:
            if self._follower is None:
                follower = self._fresh()
                await follower.start()
                self._follower = follower
            self._take(await self._follower.read_to_end())

    async def read_ahead(self) -> None:
        """Take in what has come by now and ask nobody: whoever reads next waits for that much less."""
        if self._follower is None or self._lock.locked():
            return  # nobody has read yet, or somebody is at it
        async with self._lock:
            self._take(await self._follower.read_ahead())

    async def stop(self) -> None:
        """Leave."""
        if self._follower is not None:
            await self._follower.stop()
