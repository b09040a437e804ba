"""The log's time as event time: the same, or in demos and simulations a line through it (`adapters/timebase.py`)."""

from __future__ import annotations

from collections.abc import Callable


def speed_of(event_time: Callable[[int], int]) -> float:
    """Return how much faster event time runs than the log's."""
    return (event_time(1_000_000) - event_time(0)) / 1_000_000


def is_unchanged(event_time: Callable[[int], int]) -> bool:
    """Tell whether the log's time is event time already, as it is wherever nothing is sped up."""
    return event_time(0) == 0 and speed_of(event_time) == 1
