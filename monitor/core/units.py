"""Samples of units (users, sessions), and whether their assignment sticks: who was served by which arm, and when.

A sample holds the 256 smallest 64-bit hashes of the unit ids it was offered (a bottom-k sample). Every sample
picks by the same hashes, so the units below a ceiling are all there or not at all: two samples can be intersected.
Merging is union and keeping the smallest: associative, commutative, idempotent, and bounded.

A share that is raised moves units from the baseline to the candidate, one that is lowered moves them back, and
neither is a fault. What is one: units that leave the smaller arm for the other while others come from there. Over
the newest hour in two halves, of the units known from both halves: the part of the smaller arm's older ones that
the other arm served later, and the part of its newer ones that the other arm served earlier. Both must be above
5 %, with at least 100 units each, by a binomial bound of p < 1e-4.

Not seen: units that change arms within half an hour and stay away then, units that come once, and changes that
only go one way. Source of the samples: Thorup 2013 (bottom-k sketches).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from monitor.core.stats.evidence import evidence_for, kl

UNITS_KEPT: Final = 256  # more than the 100 that a finding takes; some units do not come back
HASH_BYTES: Final = 8  # 64 bits: no two of a million units are alike by chance
HALF_MIN: Final = 30  # two of them are an hour: time for units to come back
EVERY_MIN: Final = 10  # a look takes all samples of an hour
MOVED_SHARE: Final = 0.05  # stray requests and a release taken back move fewer units both ways
UNITS_LEAST: Final = 100  # of fewer, a share of a few percent is a unit or two
MOVED_NATS: Final = evidence_for(1e-4)  # looked at six times an hour, as long as a release lives


def unit_hash(unit_id: str) -> bytes:
    """Return a unit's hash: the same on every machine."""
    return blake2b(unit_id.encode(), digest_size=HASH_BYTES).digest()


class UnitSample:
    """The smallest hashes of the units offered so far."""

    __slots__ = ("_ceiling", "_hashes")

    def __init__(self, hashes: Iterable[bytes] = ()) -> None:
        self._hashes = set(hashes)
        self._ceiling: bytes | None = None  # no hash from here on is kept
        self._settle()

    def offer(self, unit_id: str) -> None:
        """Take note of a unit."""
        found = unit_hash(unit_id)
        if self._ceiling is not None and found >= self._ceiling:
            return
        self._hashes.add(found)
        if len(self._hashes) >= 2 * UNITS_KEPT:  # sorted once in a while, not for every unit
            self._settle()

    def merge(self, other: UnitSample) -> None:
        """Take note of all units of another sample."""
        self._hashes |= other._hashes
        self._settle()

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The kept hashes, rising."""
        self._settle()
        return tuple(sorted(self._hashes))

    @property
    def ceiling(self) -> bytes | None:
        """The largest hash kept, where larger ones may be missing; None where every unit is there."""
        found = self.hashes
        return found[-1] if len(found) == UNITS_KEPT else None

    def _settle(self) -> None:
        if len(self._hashes) > UNITS_KEPT:
            kept = sorted(self._hashes)[:UNITS_KEPT]
            self._hashes, self._ceiling = set(kept), kept[-1]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnitSample) and self.hashes == other.hashes

    __hash__ = None  # type: ignore[assignment]  # mutable: hashing one would be a mistake


class Share(NamedTuple):
    """So many units, of so many."""

    moved: int
    units: int

    @property
    def is_evident(self) -> bool:
        """Tell whether more than 5 % moved, beyond chance."""
        if self.units < UNITS_LEAST or self.moved <= MOVED_SHARE * self.units:
            return False
        return self.units * kl((self.moved - 1) / self.units, MOVED_SHARE) >= MOVED_NATS


@dataclass(frozen=True, slots=True)
class Moves:
    """How units of the smaller arm changed arms between the older and the newer half of an hour.

    Attributes:
        left: Of its older units that came again, those that the other arm served.
        came: Of its newer units that had come before, those that the other arm had served.
    """

    left: Share
    came: Share

    @property
    def is_not_sticky(self) -> bool:
        """Tell whether units evidently go both ways."""
        return self.left.is_evident and self.came.is_evident


class UnitWatch:
    """The units of both arms over the newest hour, minute by minute."""

    __slots__ = ("_minutes", "_taken")

    def __init__(self) -> None:
        self._minutes: deque[tuple[UnitSample, UnitSample]] = deque(maxlen=2 * HALF_MIN)
        self._taken = 0

    def append(self, candidate: UnitSample, baseline: UnitSample) -> Moves | None:
        """Take in a closed minute's samples; every ten minutes, once there is an hour, return what they show."""
        self._minutes.append((candidate, baseline))
        self._taken += 1
        if len(self._minutes) < 2 * HALF_MIN or self._taken % EVERY_MIN:
            return None
        return moves(list(self._minutes))


def moves(minutes: list[tuple[UnitSample, UnitSample]]) -> Moves:
    """Return how the units of both arms moved between the first and the second half of some minutes."""
    ceiling = min(
        (found for pair in minutes for one in pair if (found := one.ceiling) is not None), default=None
    )
    half = len(minutes) // 2
    older, newer = (
        [_below(ceiling, (pair[arm] for pair in part)) for arm in (0, 1)]
        for part in (minutes[:half], minutes[half:])
    )
    sizes = [len(older[arm] | newer[arm]) for arm in (0, 1)]
    small = 0 if sizes[0] <= sizes[1] else 1
    other = 1 - small
    again = older[small] & (newer[small] | newer[other])
    known = newer[small] & (older[small] | older[other])
    return Moves(
        left=Share(len(again & newer[other]), len(again)), came=Share(len(known & older[other]), len(known))
    )


def _below(ceiling: bytes | None, samples: Iterable[UnitSample]) -> set[bytes]:
    """Return the units of all samples up to the ceiling: below it, each sample has them all."""
    found: set[bytes] = set()
    for sample in samples:
        found.update(sample.hashes)
    return found if ceiling is None else {one for one in found if one <= ceiling}
