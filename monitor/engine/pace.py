"""How much the data plane takes at once, and how often it writes."""

from __future__ import annotations

from typing import Final

SLICE_RECORDS: Final = 1_000  # folded before the event loop gets a turn: a few milliseconds
MAX_RECORDS: Final = 4_000  # taken from the client at once
BEHIND_RECORDS: Final = 5 * MAX_RECORDS  # unread by so many, a worker catches up
BEHIND_FLUSHES: Final = 5  # times as long between two writes then: what is written would change again at once
BEHIND_MOST_MS: Final = 5_000  # but no longer: who has written nothing for 20 s is taken for stuck


def flush_after_ms(interval_ms: int, unread: int) -> int:
    """Return how long after the last write the next one is due; one that is full is never waited for.

    Args:
        interval_ms: As it is set.
        unread: Records that are still to be read.
    """
    if unread <= BEHIND_RECORDS:
        return interval_ms
    return max(interval_ms, min(interval_ms * BEHIND_FLUSHES, BEHIND_MOST_MS))
