"""Event time: minutes, the clock of a partition, the watermark over partitions, and what is late.

Everything here is whole epoch milliseconds or whole minutes since the epoch (`minute`), in event time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

BUCKET_MS: Final = 60_000  # the smallest stored slot; one tick ends each
LATENESS_MS: Final = 2 * BUCKET_MS  # how far behind its partition's clock an event still counts
FUTURE_MS: Final = 5 * BUCKET_MS  # how far ahead of its record an event may claim to be
DUPLICATE_MS: Final = 2 * BUCKET_MS  # how far the clock may move before an id is forgotten
DAY_MIN: Final = 24 * 60  # days in minutes, which is what a window is told in


def minute_of(at_ms: int) -> int:
    """Return the minute that a moment lies in."""
    return at_ms // BUCKET_MS


def tick_ms(minute: int) -> int:
    """Return the moment a minute begins, which is the tick that closes the minute before it."""
    return minute * BUCKET_MS


def closed_before(horizon_ms: int) -> int:
    """Return the first minute that is still open where everything up to `horizon_ms` was read."""
    return minute_of(horizon_ms - LATENESS_MS)


def watermark_minute(horizons_ms: Iterable[int | None]) -> int | None:
    """Return the first minute that is open in the slowest partition; None where one was never read."""
    slowest: int | None = None
    for horizon_ms in horizons_ms:
        if horizon_ms is None:
            return None
        slowest = horizon_ms if slowest is None else min(slowest, horizon_ms)
    return None if slowest is None else closed_before(slowest)
