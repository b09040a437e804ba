"""Whether reading stands still although the log goes on: what the library's clients are known to do in silence.

A consumer may be alive, a member of its group, answered in whatever it asks, and fetch nothing any more (aiokafka's
issues 1154, 847 and 625 tell of such). It has no sign of health, so progress is looked at: ends move, positions do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from monitor.core.errors import MonitorError
from monitor.engine.ports import Partition

STUCK_S: Final = 30.0
LOOK_S: Final = 1.0  # between two looks
_STEP_S: Final = 3.0  # counted of one look at most: a process that was stopped is not a reader that is
_FRESH_S: Final = 10.0  # an end that was asked for longer ago proves nothing


class ReaderStuck(MonitorError):
    """Reading stands still, also with a new client; whoever runs the process starts it again."""


class Progress:
    """How long each partition that is being read has stood still.

    Args:
        limit_s: From when on a partition is stuck.
        steady: Seconds of a clock that never jumps.
    """

    def __init__(self, limit_s: float = STUCK_S, steady: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._steady = limit_s, steady
        self._looked_s = steady()
        self._ends: dict[Partition, tuple[int, float]] = {}
        self._known: dict[Partition, tuple[int, float]] = {}

    @property
    def is_due(self) -> bool:
        """Tell whether it is time to look again."""
        return self._steady() - self._looked_s >= min(LOOK_S, self._limit_s / 4)

    def ends(self, ends: Mapping[Partition, int]) -> None:
        """Take in how far the log reaches, as it has just answered."""
        now_s = self._steady()
        self._ends.update((partition, (end, now_s)) for partition, end in ends.items())

    def excused(self) -> None:
        """Begin anew: there was an answer or an error, so it is not silence that keeps us."""
        self._known.clear()

    def stuck(self, positions: Mapping[Partition, int]) -> list[Partition]:
        """Return the partitions that stand still for too long.

        Args:
            positions: Of those that are being read: a paused one has a reason to stand.
        """
        now_s = self._steady()
        step_s, self._looked_s = min(_STEP_S, now_s - self._looked_s), now_s
        known, self._known = self._known, {}
        for partition, position in positions.items():
            before, still_s = known.get(partition, (position, 0.0))
            end, asked_s = self._ends.get(partition, (0, now_s))
            is_still = position == before and position < end and now_s - asked_s <= _FRESH_S
            self._known[partition] = position, still_s + step_s if is_still else 0.0
        return [one for one, (_, still_s) in self._known.items() if still_s >= self._limit_s]
