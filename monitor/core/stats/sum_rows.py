"""Rows of whole numbers, one a minute: the newest as tuples, older ones packed into bytes.

A tuple of five sums takes some 300 bytes, of which 60 are the sums; a cohort that is watched for a day has thousands of
rows, and few of them are asked for at a tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Generic, TypeAlias, TypeVar, cast

Row = TypeVar("Row", bound=tuple[int, ...])

_Block: TypeAlias = tuple[int, bytes]
"""Bytes of a number, and those of all numbers of all its rows."""

BLOCK_ROWS: Final = 32  # packed, and unpacked, as one: half an hour, as a block of `packed_minutes`
_NEWEST_ROWS: Final = 3 * BLOCK_ROWS  # then the oldest of them are packed
_UNPACKED: Final = 1_024  # blocks, of some 15 KB


class SumRows(Generic[Row]):
    """Rows by their number; the oldest can be forgotten, and the others move up."""

    __slots__ = ("_asked", "_first", "_newest", "_packed", "_skipped", "last")

    def __init__(self, first: Row) -> None:
        self.last = first
        self._newest = [first]
        self._packed: list[_Block] = []
        self._asked: dict[
            int, int
        ] = {}  # the row of a block that was asked for first since the last one came
        self._skipped = 0  # rows of the first block that are forgotten
        self._first = 0  # the number of the first of the newest

    def __len__(self) -> int:
        return self._first + len(self._newest)

    def __getitem__(self, row: int) -> Row:
        at = row - self._first
        if at >= 0:
            return self._newest[at]
        if row < 0:
            raise IndexError(f"row {row}: rows are numbered from 0")
        number, place = divmod(row + self._skipped, BLOCK_ROWS)
        block = self._packed[number]
        is_first = self._asked.setdefault(number, place) == place
        return cast("Row", _row_of(block, place) if is_first else _unpacked(block)[place])

    def __iter__(self) -> Iterator[Row]:
        return (self[row] for row in range(len(self)))

    def append(self, row: Row) -> None:
        """Add a row, of as many numbers as the others."""
        self.last = row
        if self._asked:
            self._asked.clear()
        newest = self._newest
        newest.append(row)
        if len(newest) >= _NEWEST_ROWS:
            self._packed.append(_packed(newest[:BLOCK_ROWS]))
            del newest[:BLOCK_ROWS]
            self._first += BLOCK_ROWS

    def copy(self) -> SumRows[Row]:
        """Return the same rows, which grow by themselves from now on."""
        made = SumRows(self.last)
        made._newest, made._packed = list(self._newest), list(self._packed)
        made._skipped, made._first = self._skipped, self._first
        return made

    def drop(self, rows: int) -> None:
        """Forget the oldest rows; at least one is left."""
        kept = self._first - rows
        if kept <= 0:
            del self._newest[:-kept]
            self._packed.clear()
            self._skipped = self._first = 0
            return
        self._first = kept
        gone, self._skipped = divmod(self._skipped + rows, BLOCK_ROWS)
        del self._packed[:gone]


def _packed(rows: list[Row]) -> _Block:
    width = max(number.bit_length() for row in rows for number in row) // 8 + 1  # with room for the sign
    return width, b"".join(number.to_bytes(width, "little", signed=True) for row in rows for number in row)


def _row_of(block: _Block, place: int) -> tuple[int, ...]:
    width, packed = block
    size, read = len(packed) // BLOCK_ROWS, int.from_bytes
    at = size * place
    return tuple(
        [read(packed[one : one + width], "little", signed=True) for one in range(at, at + size, width)]
    )


@lru_cache(maxsize=_UNPACKED)
def _unpacked(block: _Block) -> list[tuple[int, ...]]:
    """All rows of a block: who asks for a second one looks deep, and asks for most."""
    return [_row_of(block, place) for place in range(BLOCK_ROWS)]
