"""What a process may use of its machine, taken away while it runs, and given back. Linux alone can do that."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.chaos.stopped import stopped

TRACER = "strace"


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


@asynccontextmanager
async def failing(pid: int, *calls: str) -> AsyncIterator[None]:
    """Let a process's system calls of these names fail as on a broken disk (EIO), for as long as this is entered.

    Raises:
        OSError: strace is not here, or may not follow other processes.
    """
    names = ",".join(calls)
    options = ["-f", "-q", "-p", str(pid), "-e", f"trace={names}", "-e", f"inject={names}:error=EIO"]
    tracer = await asyncio.create_subprocess_exec(
        TRACER, *options, "-o", os.devnull, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
        if tracer.returncode is not None:
            raise OSError(f"{TRACER} has ended with {tracer.returncode}: it may not follow the process")
    finally:
        with suppress(ProcessLookupError):
            tracer.terminate()  # it lets go of what it followed
        await tracer.wait()


async def starved(pid: int, seconds: float, share: float = 0.1) -> None:
    """Let a process have this share of its time."""
    for _ in range(round(seconds)):
        await stopped(pid, 1 - share)
        await asyncio.sleep(share)
