"""How often Python's cyclic collector looks for garbage, in processes that take in events by the thousand.

Its own thresholds are for programs that hold little: 700 objects more than before, and it looks. Thousands of records
are in hand at a time here, so it went through all of them again and again: a tenth of a worker's CPU seconds, and stays
of up to 0.1 s on its event loop, which incidents waited for. What is in hand is freed by its reference counts. Cycles
are still found, only later, so none that comes with every fetch may hold the fetch's bytes: `kafka/drain.py` breaks
the client's own.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM: Final = 20_000, 10, 10  # more objects than are in hand at a time


def spare_what_is_here() -> None:
    """Never look again at what there is now, and seldom at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SELDOM)


@contextmanager
def looking_seldom() -> Iterator[None]:
    """Look as seldom while the block runs."""
    before = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
