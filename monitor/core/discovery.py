"""Which values of a watched dimension are judged by themselves: those the candidate served first, up to a cap.

Closed minutes alone decide, in their order and by name within one: whoever runs over the same minutes finds the
same values, live, replayed or restarted, however the partitions were interleaved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from monitor.core.cohort import OTHER

DISCOVERED_MAX: Final = 200
"""Values of one dimension that one objective judges; all others are judged together, as `OTHER`."""


class Discovery:
    """The values of one dimension, for one objective.

    Attributes:
        first_minutes: When each value, in the order of discovery, was first seen in the candidate's traffic.
        beyond: Values beyond the cap that one minute had, at most: those judged as `OTHER`.
    """

    __slots__ = ("_most", "beyond", "first_minutes")

    def __init__(self, most: int = DISCOVERED_MAX) -> None:
        self.first_minutes: dict[str, int] = {}
        self.beyond = 0
        self._most = most

    def see(self, minute: int, values: Iterable[str]) -> list[str]:
        """Take in the values of one minute of the candidate, and return those that are judged from it on.

        `OTHER` is among them once there is a value beyond the cap, here or where the minute was folded.
        """
        known = self.first_minutes
        fresh = sorted(value for value in values if value not in known or value == OTHER)
        is_other = OTHER in fresh
        if is_other:
            fresh.remove(OTHER)
        room = self._most - len(known) + (OTHER in known)
        beyond = fresh[room:]
        del fresh[room:]
        self.beyond = max(self.beyond, len(beyond) + is_other)
        if (beyond or is_other) and OTHER not in known:
            fresh.append(OTHER)
        known.update(dict.fromkeys(fresh, minute))
        return fresh
