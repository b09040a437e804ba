"""A process that is stopped where it is: alive, and mute; it does not know that it was stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress


async def stopped(pid: int, seconds: float) -> None:
    """Stop a process for so long; also where this is cancelled it goes on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        with suppress(ProcessLookupError):  # somebody killed it meanwhile
            os.kill(pid, signal.SIGCONT)
