"""How long work stays on the event loop before everybody else gets a turn.

Counted by what was done and never by a clock: the same work gives the same turns, here and in a simulated world. A
stay is a tenth of the 50 ms that nobody may stay, because machines differ, and others want to run too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeVar

_T = TypeVar("_T")

STAY_US: Final = 5_000  # of work at the costs below, as measured on a core that had other work too
NAME_US: Final = 1  # a field's name, decoded
CHECK_US: Final = 5  # a field, taken apart, checked and noted
CHECKED_BYTES: Final = 500  # of a field, in a microsecond
CELL_US: Final = 15  # a cell, put together
CELL_BYTES: Final = 15  # of a cell, in a microsecond
STEP_US: Final = 100  # a look at a release for which nothing is due
LANES: Final = 4


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


async def in_lanes(items: Iterable[_T], work: Callable[[_T], Awaitable[int]]) -> int:
    """Do a piece of work for each item, a few at once: one that waits for the store or the log holds up no other.

    What has begun is done to its end, also where another fails: a send that is cut short may have been done or not.

    Returns:
        The sum of what the pieces of work returned.

    Raises:
        Exception: The first failure. It ends its lane; the others go on with what is left.
    """
    waiting, done = iter(items), 0

    async def lane() -> None:
        nonlocal done
        stay = Stay()
        for item in waiting:
            result = await work(item)
            done += result  # in one with the line above it would be read before the wait
            if stay.is_over_after(STEP_US):
                await asyncio.sleep(0)

    for failure in await asyncio.gather(*(lane() for _ in range(LANES)), return_exceptions=True):
        if failure is not None:
            raise failure
    return done
