"""The ids a partition has seen lately, so that a retry of a producer counts once."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.window import DUPLICATE_MS

SEEN_IDS_MAX: Final = 1_000_000  # contract: up to so many ids are remembered
_SLACK: Final = 4_096  # ids added between two looks at what can be forgotten


class SeenIds:
    """The ids seen while the clock moved less than two minutes; bounded, the oldest go first.

    Python's own keyed 64-bit string hash stands for an id: 8 bytes instead of a string, and not to be
    provoked from outside. It never leaves the process. What is too old is forgotten now and then, and always
    before an id is called a repeat.
    """

    __slots__ = ("_clocks", "_evicted", "_hashes", "_known", "_max", "_repeats", "_start", "_sweep_at")

    def __init__(self, max_ids: int) -> None:
        self._max = max_ids
        self._known: set[int] = set()
        self._repeats: dict[int, int] = {}  # sightings of an id behind its oldest one
        self._hashes = array("q")
        self._clocks = array("q")
        self._start = 0
        self._evicted = 0
        self._sweep_at = min(max_ids, _SLACK)

    @property
    def evicted(self) -> int:
        """How many ids were forgotten early because the bound was reached."""
        return self._evicted

    def __len__(self) -> int:
        return len(self._known)

    def is_repeat(self, event_id: str, clock_ms: int) -> bool:
        """Tell whether the id was seen lately; either way this is the newest sighting of it.

        Args:
            clock_ms: The partition's clock; it never goes back.
        """
        hashed, known = hash(event_id), self._known
        if hashed in known and self._is_recent(hashed, clock_ms):
            return True
        if len(known) >= self._sweep_at:
            self._make_room(clock_ms)
        known.add(hashed)
        self._hashes.append(hashed)
        self._clocks.append(clock_ms)
        return False

    def are_new(self, event_ids: Sequence[str], clocks: NDArray[np.int64]) -> list[int] | None:
        """Tell which of these ids were not seen lately, as `is_repeat` one after the other; None where that is all.

        Args:
            clocks: The partition's clock at each of them, rising.
        """
        hashes, known = list(map(hash, event_ids)), self._known
        if len(known) + len(hashes) > self._sweep_at:
            self._forget(int(clocks[0]) - DUPLICATE_MS)
            self._sweep_later(len(known) + len(hashes))
        many = len(known) + len(hashes)
        is_new = known.isdisjoint(hashes)
        if is_new:
            known.update(hashes)
            if len(known) < many:  # an id is twice among these
                known.difference_update(hashes)
                is_new = False
        if not is_new:
            ids = zip(event_ids, clocks.tolist(), strict=True)
            found = [index for index, (one, clock_ms) in enumerate(ids) if not self.is_repeat(one, clock_ms)]
            return None if len(found) == len(hashes) else found
        self._hashes.fromlist(hashes)
        self._clocks.frombytes(clocks.tobytes())
        if many > self._max:
            self._bound_by(clocks)
        return None

    def _bound_by(self, clocks: NDArray[np.int64]) -> None:
        """Make the room that each of the newest ids would have found, as if they had come one after the other."""
        count = len(clocks)
        first = self._max - len(self._known) + count  # before it, all had room
        for behind, clock_ms in enumerate(clocks[first:].tolist(), first - count):
            if self._clocks[self._start] <= clock_ms - DUPLICATE_MS:
                self._forget(clock_ms - DUPLICATE_MS)
            while len(self._known) + behind >= self._max:  # the oldest sighting may be of an id seen again
                self._evict()

    def _is_recent(self, hashed: int, clock_ms: int) -> bool:
        """Note another sighting of a known id, unless its last one turns out to be too old."""
        self._forget(clock_ms - DUPLICATE_MS)
        if hashed not in self._known:
            return False
        self._repeats[hashed] = self._repeats.get(hashed, 0) + 1
        self._hashes.append(hashed)
        self._clocks.append(clock_ms)
        if len(self._hashes) - self._start >= 2 * self._max:  # a flood of repeats is bounded too
            self._evict()
        return True

    def _make_room(self, clock_ms: int) -> None:
        self._forget(clock_ms - DUPLICATE_MS)
        while len(self._known) >= self._max:
            self._evict()
        self._sweep_later(len(self._known))

    def _sweep_later(self, ids: int) -> None:
        # A sweep costs what it forgets, however often it is made; what it has not come to yet takes memory.
        self._sweep_at = min(self._max, ids + ids // 4 + _SLACK)

    def _forget(self, limit_ms: int) -> None:
        """Forget the sightings of this moment and before."""
        end = bisect_right(self._clocks, limit_ms, self._start)
        if self._repeats:
            while self._start < end:
                at = self._start
                self._drop_oldest()
                end -= at + 1 - self._start  # dropping may have moved everything to the front
            return
        self._known.difference_update(self._hashes[self._start : end])
        self._start = end
        self._compact()

    def _evict(self) -> None:
        before = len(self._known)
        self._drop_oldest()
        self._evicted += before - len(self._known)

    def _drop_oldest(self) -> None:
        hashed = self._hashes[self._start]
        later = self._repeats.get(hashed)
        if later is None:
            self._known.discard(hashed)
        elif later == 1:
            del self._repeats[hashed]
        else:
            self._repeats[hashed] = later - 1
        self._start += 1
        self._compact()

    def _compact(self) -> None:
        """Give back what lies before the start, but seldom: a full memory moves on by one id at a time."""
        if self._start >= _SLACK and self._start * 2 > len(self._hashes):
            del self._hashes[: self._start]
            del self._clocks[: self._start]
            self._start = 0
