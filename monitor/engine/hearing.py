"""Incidents heard ahead of the ticks: which of them may be judged now, and which still lack their reference.

While an instance catches up, the data plane is far ahead of the ticks. An incident judged then would find an
empty reference and page, where the same log read in order rolls back. So it waits for the minutes before it,
but not for ever: a partition that cannot be read must not keep an incident from being judged.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from monitor.core.cell import Incident

HEARD_MAX: Final = 1_000  # per release; one that is forgotten here is judged when its minute closes
SIGHT_MIN: Final = 3  # so far ahead of the next tick is in sight: the lateness, and a minute to get there
SIGHT_WAIT_S: Final = 30.0  # for the ticks to come near; then it is judged by what is known
WAY_S: Final = 1.0  # for so long at most, other work stands back while incidents are judged


class Hearing:
    """The incidents that wait for judgement, by release.

    Args:
        steady: Seconds of a clock that never jumps.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._waiting: dict[str, deque[tuple[float, Incident]]] = {}
        self._news = asyncio.Event()
        self._first: set[str] = set()
        self._turn = asyncio.Lock()
        self._calm = asyncio.Event()

    def note(self, incident: Incident) -> None:
        """Take an incident in."""
        waiting = self._waiting.setdefault(incident.release, deque(maxlen=HEARD_MAX))
        waiting.append((self._steady(), incident))
        self._news.set()

    async def news(self, timeout_s: float) -> None:
        """Return when an incident was taken in since the last call, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()

    def releases(self) -> list[str]:
        """Return the releases for which incidents wait."""
        return [release for release, waiting in self._waiting.items() if waiting]

    @contextmanager
    def judging(self) -> Iterator[list[str]]:
        """Give the releases for which incidents wait; whoever asks for the way stands back meanwhile."""
        releases = self.releases()
        self._first.update(releases)
        self._calm.clear()
        try:
            yield releases
        finally:
            self._first.clear()
            self._calm.set()

    async def give_way(self, release: str | None = None) -> None:
        """Let others have their turn, and incidents that are being judged all of theirs.

        Between an incident and its rollback lie a dozen answers of the log and the store; each would wait for a turn of
        everybody else. It lasts a second at most: no number of incidents stops the reading or the ticks.

        Args:
            release: Whose evaluation is held meanwhile: who judges its incidents waits for that.
        """
        if release is None:
            await asyncio.sleep(0)
        else:
            async with self._turn:  # of several evaluations under way one goes on in each round of the loop
                await asyncio.sleep(0)
        if self._first and release not in self._first:
            with suppress(TimeoutError):
                async with asyncio.timeout(WAY_S):
                    await self._calm.wait()

    def due(self, release: str, next_tick: int | None) -> Iterator[Incident]:
        """Yield the incidents to be judged now, in the order they came; the others go on waiting.

        Each is taken when it is asked for: two evaluations of a release, one of them given up, share what is there.

        Args:
            next_tick: The next minute to be evaluated; None before the first.
        """
        waiting = self._waiting.get(release, deque())
        for _ in range(len(waiting)):
            if not waiting:
                return
            heard_s, incident = waiting.popleft()
            in_sight = incident.minute <= (next_tick or 0) + SIGHT_MIN
            if in_sight or self._steady() - heard_s >= SIGHT_WAIT_S:
                yield incident
            else:
                waiting.append((heard_s, incident))
