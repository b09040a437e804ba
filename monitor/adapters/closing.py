"""Giving connections back when a process ends: all at once, within bounds, whatever one of them does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Final

CLOSE_S: Final = 5.0
_log = logging.getLogger(__name__)


async def close_all(parts: Iterable[object], within_s: float = CLOSE_S) -> None:
    """Close whatever has connections of its own; what cannot be closed in time is left behind and named.

    Args:
        within_s: Seconds for all of them together.
    """
    closing = {
        asyncio.ensure_future(_closed(one)): type(one).__name__
        for one in {id(one): one for one in parts}.values()
        if hasattr(one, "close")
    }
    if not closing:
        return
    done, late = await asyncio.wait(closing, timeout=within_s)
    for task in late:
        task.cancel()
        _log.warning("%s did not close within %g s", closing[task], within_s)
    for task in done:
        if (error := task.exception()) is not None:
            _log.warning("%s did not close: %s", closing[task], type(error).__name__)


async def _closed(one: object) -> None:
    ending = getattr(one, "close")()  # noqa: B009 - not every part has one
    if isinstance(ending, Awaitable):
        await ending
