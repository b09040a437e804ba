"""Minutes that few windows touch any more, in a tenth of the memory: what each added to its bins, from a first row on.

Rows of `stats.exceedance` are sums since the first minute, so most of their numbers say again what the row before them
said. Packed, a block of them is its first row, and of each later one the bins it had requests in and how many. The rows
that come out of it are the ones that went in, to the last bit: packing looks, and keeps as it is what the numbers do
not tell (weights of strata, and sums whose precision was given up).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

BLOCK_MIN: Final = 32
"""Minutes in a block."""

_UNPACKED: Final = 48  # blocks: a deep look at a window asks three of them again and again; 200 KB each

Plane: TypeAlias = NDArray[Any]
"""Sums of both arms above each edge; one row, or rows: shape (2, edges) or (rows, 2, edges)."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedMinutes:
    """A block of rows.

    Attributes:
        lowest: The bin whose upper edge the first column stands for.
        weight_bits: Of a weighted request's whole-number sums, where the numbers tell them.
        first: The first row of each plane: plain counts, weighted over minutes, and over strata where there are any;
            of no meaning where a plane is whole.
        places, numbers: Where in the later rows' bins there were requests, and how many.
        whole: The planes behind the first that the numbers do not tell, as they are; None for one that they tell.
    """

    lowest: int
    weight_bits: int
    first: tuple[Plane, ...]
    places: NDArray[Any]
    numbers: NDArray[Any]
    whole: tuple[Plane | None, ...]

    @property
    def edges(self) -> int:
        """How many columns there are."""
        return int(self.first[0].shape[1])

    @property
    def nbytes(self) -> int:
        """Memory of the block."""
        kept = (*self.first, self.places, self.numbers, *self.whole)
        return sum(int(one.nbytes) for one in kept if one is not None)

    def row(self, plane: int, at: int, *, is_deep: bool) -> Plane:
        """Return one row of a plane, with the block's own columns; not to be changed.

        Where there are no strata, the minutes are what they would say.

        Args:
            is_deep: More rows of this block are going to be asked for: all are unpacked, and remembered for a while.
        """
        plane = min(plane, len(self.first) - 1)
        kept = self.whole[plane - 1] if plane else None
        if kept is not None:
            found: Plane = kept[at]
        elif is_deep:
            found = _unpacked(self)[plane][at]
        else:
            above = self.above(at)
            added = above if plane == 0 else weighted(above, self.weight_bits)
            found = self.first[plane] + added.sum(axis=0)
        return found

    def above(self, minutes: int) -> NDArray[np.int64]:
        """Return the exceedances of the minutes behind the first row, one by one."""
        added = np.zeros((minutes, 2, self.edges), dtype=np.int64)
        until = int(self.places.searchsorted(added.size))
        added.ravel()[self.places[:until]] = self.numbers[:until]
        return added[..., ::-1].cumsum(axis=-1)[..., ::-1]

    def less(self, base: Sequence[Plane], lowest: int) -> PackedMinutes:
        """Return the block counted from a row on that lies before it; `base` has the history's columns of now."""
        left = self.lowest - lowest
        base = [row[:, left : left + self.edges] for row in base]
        return replace(
            self,
            first=tuple(one - row for one, row in zip(self.first, base, strict=False)),
            whole=tuple(
                None if one is None else one - row for one, row in zip(self.whole, base[1:], strict=False)
            ),
        )

    def coarser(self, bits: int) -> PackedMinutes:
        """Return the block with so many bits of its weighted sums given up."""
        minutes = _unpacked(self)[1]
        return replace(
            self, whole=tuple((minutes if plane is None else plane) >> bits for plane in self.whole)
        )


def pack(planes: Sequence[Plane], lowest: int, weight_bits: int) -> PackedMinutes:
    """Return `BLOCK_MIN` rows of each plane as a block of their own."""
    above = np.diff(planes[0].astype(np.int64), axis=0)
    added = above.copy()
    added[..., :-1] -= above[..., 1:]
    found = added.ravel()
    places = np.flatnonzero(found)
    numbers = found[places]
    packed = PackedMinutes(
        lowest,
        weight_bits,
        tuple(plane[0].copy() for plane in planes),
        places.astype(np.min_scalar_type(len(found))),
        numbers.astype(np.min_scalar_type(int(numbers.max(initial=0)))),
        (None, *(plane.copy() for plane in planes[2:])),
    )
    if np.array_equal(_unpacked(packed)[1], planes[1]):
        return packed
    return replace(packed, whole=tuple(plane.copy() for plane in planes[1:]))


def wider(plane: Plane, left: int, edges: int) -> Plane:
    """Return a plane with columns added on the left, and on the right until there are so many.

    Below the first edge everything is above it; beyond the last only the unfinished are.
    """
    columns = plane.shape[-1]
    if columns == edges:
        return plane
    grown = np.zeros((*plane.shape[:-1], edges), plane.dtype)
    if columns:  # else nothing was counted
        grown[..., left : left + columns] = plane
        grown[..., :left] = plane[..., :1]
        grown[..., left + columns :] = plane[..., -1:]
    return grown


def weighted(above: NDArray[np.int64], weight_bits: int) -> NDArray[np.int64]:
    """Return strata's exceedances, each arm's times the other's part of the requests, in quanta.

    Args:
        above: Both arms' in each stratum, shape (strata, 2, edges); one without a request in an arm weighs nothing.
    """
    n = above[..., :1].sum(axis=-1)
    part = np.divide(
        n[:, ::-1], n.sum(axis=1, keepdims=True), out=np.zeros(n.shape), where=n.all(axis=1, keepdims=True)
    )
    quanta: NDArray[np.float64] = above * (part * 2.0**weight_bits)[..., None]
    return np.rint(quanta, out=quanta).astype(np.int64)


@lru_cache(maxsize=_UNPACKED)
def _unpacked(block: PackedMinutes) -> tuple[Plane, Plane]:
    """All rows of the planes that the numbers tell: plain counts, and weighted over minutes."""
    above = block.above(BLOCK_MIN - 1)
    return _summed(block.first[0], above), _summed(block.first[1], weighted(above, block.weight_bits))


def _summed(first: Plane, added: NDArray[np.int64]) -> Plane:
    rows = np.empty((len(added) + 1, *first.shape), dtype=np.int64)
    rows[0] = first
    rows[1:] = added
    return rows.cumsum(axis=0, out=rows)
