"""An end for a worker whose event loop hangs: it can neither say so nor leave its group, and nobody else restarts it.

Whoever takes its partitions over is protected by the store's token; what is lost without this is the worker itself.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event, Thread
from typing import Final

_log = logging.getLogger(__name__)

HANGS_S: Final = 60.0
"""Far beyond any session of the group and any stay that is meant (50 ms): this is a defect, not a busy machine."""
HUNG: Final = 70
"""Exit code: a defect of ours."""
_TICKS: Final = 60  # looks within the limit


def end_process() -> None:
    """Say where every thread stands, and end without asking anybody: the loop that would do it hangs."""
    _log.critical("the event loop has hung for %g s; the worker ends. Please report where:", HANGS_S)
    faulthandler.dump_traceback(file=sys.stderr)
    sys.stderr.flush()
    os._exit(HUNG)


@asynccontextmanager
async def guarded_loop(
    limit_s: float = HANGS_S, end: Callable[[], None] = end_process
) -> AsyncIterator[None]:
    """Watch the running loop from a thread while this is entered.

    Looks are counted and not time: a process that was stopped, or that gets no processor, does not look either.
    """
    beats, over = [0], Event()

    def watch() -> None:
        seen, missed = -1, 0
        while not over.wait(0):
            time.sleep(limit_s / _TICKS)
            missed = missed + 1 if beats[0] == seen else 0
            seen = beats[0]
            if missed >= _TICKS and not over.is_set():
                end()
                return

    async def beat() -> None:
        while True:
            beats[0] += 1
            await asyncio.sleep(limit_s / _TICKS / 4)

    beating = asyncio.create_task(beat())
    Thread(target=watch, name="loop guard", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        beating.cancel()
