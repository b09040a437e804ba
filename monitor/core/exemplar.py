"""Exemplars: a few requests that show a breach, chosen so that no order of arrival changes the choice.

Each candidate exemplar has a rank; the smallest ranks win. A bad label ranks by a hash of its trace (a fair
draw), a slow or dear request by its size (the worst ones), an incident by its time (the first ones).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

EXEMPLARS_PER_CELL: Final = 5
EXEMPLARS_PER_PART: Final = (
    2  # of a cell that is broken down: parts are many, and a breach shows over many minutes
)


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
