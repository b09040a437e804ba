"""How long work stays on the event loop before everybody else gets a turn.

Counted by what was done and never by a clock: the same work gives the same turns, here and in a simulated world. A
stay is a tenth of the 50 ms that nobody may stay, because machines differ, and others want to run too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

STAY_US: Final = 5_000  # of work at the costs below, as measured on a core that had other work too
NAME_US: Final = 1  # a field's name, decoded
CHECK_US: Final = 5  # a field, taken apart, checked and noted
CHECKED_BYTES: Final = 500  # of a field, in a microsecond
CELL_US: Final = 15  # a cell, put together
CELL_BYTES: Final = 15  # of a cell, in a microsecond


class Stay:
    """What was done since others had their turn."""

    def __init__(self) -> None:
        self._spent_us = 0

    def is_over_after(self, cost_us: int) -> bool:
        """Note work that is about to be done; tell whether others have to get their turn before it."""
        self._spent_us += cost_us
        if self._spent_us <= STAY_US:
            return False
        self._spent_us = cost_us
        return True


def checking_us(packed: bytes) -> int:
    """Return what holding a stored field to its seal costs."""
    return CHECK_US + len(packed) // CHECKED_BYTES


def decoding_us(packed: bytes) -> int:
    """Return what putting a stored cell together costs."""
    return CELL_US + len(packed) // CELL_BYTES


async def in_turns(work: Iterator[None]) -> None:
    """Do work that yields wherever others may have their turn."""
    for _ in work:
        await asyncio.sleep(0)
