"""Exemplars: a few requests that show a breach, chosen so that no order of arrival changes the choice.

Each candidate exemplar has a rank; the smallest ranks win. A bad label ranks by a hash of its trace (a fair
draw), a slow or dear request by its size (the worst ones), an incident by its time (the first ones).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple
from zlib import crc32

EXEMPLARS_PER_CELL: Final = 5  # a person looks at a few; a breach shows over many minutes, each with its own
EXEMPLARS_PER_PART: Final = (
    2  # of a cell that is broken down: parts are many, and a breach shows over many minutes
)
_ROOM: Final = 64  # exemplars taken in before the outranked are looked for


class Exemplar(NamedTuple):
    """One request kept as evidence: its rank, its trace (or event) id and its failure class, if named."""

    rank: int
    trace_id: str
    failure_class: str


def fair_rank(trace_id: str) -> int:
    """Return a rank that is a fair draw and the same everywhere."""
    return crc32(trace_id.encode())


def offer(kept: list[Exemplar], exemplar: Exemplar, size: int = EXEMPLARS_PER_CELL) -> None:
    """Keep the exemplar if it is among the `size` smallest; `kept` stays sorted and without repeats."""
    if len(kept) >= size and exemplar >= kept[-1]:
        return
    if exemplar in kept:
        return
    insort(kept, exemplar)
    del kept[size:]


def smallest(groups: Iterable[Iterable[Exemplar]], size: int) -> list[Exemplar]:
    """Return the `size` smallest exemplars of several groups, each trace once."""
    by_trace: dict[str, Exemplar] = {}
    for group in groups:
        for exemplar in group:
            known = by_trace.get(exemplar.trace_id)
            if known is None or exemplar < known:
                by_trace[exemplar.trace_id] = exemplar
    return sorted(by_trace.values())[:size]


class ExemplarHistory:
    """A slice's exemplars, minute by minute, as far as one of them can be among the best of a stretch that ends now.

    Of a day with thousands that is some hundred: an exemplar that enough later ones outrank is never shown again.
    """

    __slots__ = ("_keep_min", "_kept", "_most", "_room")

    def __init__(self, most: int, keep_min: int) -> None:
        self._most = most
        self._keep_min = keep_min
        self._kept: list[tuple[int, Exemplar]] = []
        self._room = _ROOM

    def __len__(self) -> int:
        return len(self._kept)

    def append(self, minute: int, exemplars: Iterable[Exemplar]) -> None:
        """Take in a minute's; minutes come in order."""
        self._kept += [(minute, one) for one in exemplars]
        if len(self._kept) >= self._room:
            self._kept = list(self._unrivalled(minute))[::-1]
            self._room = 2 * len(self._kept) + _ROOM

    def best(self, start: int, size: int) -> list[Exemplar]:
        """Return the `size` smallest of the minutes from `start` to the newest, each trace once; at most `most`."""
        return smallest([[one for minute, one in self._kept if minute >= start]], min(size, self._most))

    def _unrivalled(self, newest: int) -> Iterator[tuple[int, Exemplar]]:
        """Yield what may still be shown, newest first."""
        best: dict[str, Exemplar] = {}
        for minute, exemplar in reversed(self._kept):
            if minute <= newest - self._keep_min:
                return
            known = best.get(exemplar.trace_id)
            if known is not None and known <= exemplar:
                continue
            if known is None and len(best) >= self._most:
                last = max(best.values())
                if exemplar >= last:
                    continue
                del best[last.trace_id]
            best[exemplar.trace_id] = exemplar
            yield minute, exemplar
