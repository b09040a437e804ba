"""What a process may use of its machine, taken away while it runs, and given back. Linux alone can do that."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.chaos.stopped import stopped


@asynccontextmanager
async def limited(pid: int, what: int) -> AsyncIterator[None]:
    """Let a process get no more of something than it has, for as long as this is entered.

    Raises:
        OSError: The process is gone, or this system cannot do it.
    """
    if not hasattr(resource, "prlimit"):
        raise OSError("this system sets no limits of other processes")
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (0, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, what, (soft, hard))


async def starved(pid: int, seconds: float, share: float = 0.1) -> None:
    """Let a process have this share of its time."""
    for _ in range(round(seconds)):
        await stopped(pid, 1 - share)
        await asyncio.sleep(share)
