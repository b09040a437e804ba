"""Aggregates: what one minute of one slice of one release adds up to.

Folding observations in any order, and merging partial aggregates in any grouping, gives the same aggregate:
merge is associative and commutative, and an empty aggregate changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import add
from typing import Final

from monitor.core.event import Observation
from monitor.core.exemplar import EXEMPLARS_PER_CELL, EXEMPLARS_PER_PART, Exemplar, offer
from monitor.core.indicator import LABELS
from monitor.core.sketch import Sketch
from monitor.core.units import UnitSample

NEVER_MS: Final = 1 << 62  # the first moment of an aggregate that holds no request
_LABEL_COUNT: Final = len(LABELS)  # what is stored has one place for each
_NOT_HELD: Final = ("_labelled", "is_changed", "packed", "packed_bytes")


class Aggregate:
    """Mergeable sums of one cell. Counts are whole numbers; sketches hold micro-units.

    Attributes:
        known, hits: Per label of `LABELS`: how many requests had it measured, and how many of them true.
        outcomes: Per named outcome `[hits, known]`.
        incidents: High-severity incidents.
        sketches: Per distribution (`latency`, `stage.<name>`, `cost`, `tokens`) that a budget asks for.
        first_at_ms: The earliest request; `NEVER_MS` without one.
        exemplars: Per indicator the few requests that would show its breach.
        parts: The breakdown: per value of a dimension (or of several together) what its requests add up to.
            What is in a part is nowhere else; `total` adds all up. Empty for a cell that is not broken down.
        units: A sample of the units it served; of a release as a whole alone, in its overall cell.
        is_changed: Whether it grew since whoever stores it looked last.
        packed: What whoever stores it packed a part into, until the part changes; not a part of what it holds.
        packed_bytes: How large the cell was when it was packed last.

    Labels that come later are counted by whole tuples first, since they repeat the same few, and added up in `settle`.
    """

    __slots__ = (
        "_labelled",
        "errors",
        "exemplars",
        "first_at_ms",
        "hits",
        "incidents",
        "is_changed",
        "known",
        "outcomes",
        "packed",
        "packed_bytes",
        "parts",
        "requests",
        "sketches",
        "timeouts",
        "units",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.timeouts = 0
        self.incidents = 0
        self.first_at_ms = NEVER_MS
        self.known = [0] * _LABEL_COUNT
        self.hits = [0] * _LABEL_COUNT
        self.outcomes: dict[str, list[int]] = {}
        self.sketches: dict[str, Sketch] = {}
        self.exemplars: dict[str, list[Exemplar]] = {}
        self.parts: dict[str, Aggregate] = {}
        self.units: UnitSample | None = None
        self.is_changed = False
        self.packed: bytes | None = None
        self.packed_bytes = 0
        self._labelled: dict[tuple[bool | None, ...], int] = {}

    def add_requests(
        self, requests: int, errors: int, timeouts: int, known: list[int], hits: list[int], first_at_ms: int
    ) -> None:
        """Count finished requests, with what is known of their labels, and when the earliest of them was."""
        self.packed = None
        if first_at_ms < self.first_at_ms:
            self.first_at_ms = first_at_ms
        self.requests += requests
        self.errors += errors
        self.timeouts += timeouts
        self.known = list(map(add, self.known, known))
        self.hits = list(map(add, self.hits, hits))

    def add_sizes(self, source: str, total: int, bins: Sequence[int], counts: Sequence[int]) -> None:
        """Add requests to a distribution: the sum of the finished ones' sizes, and how many are in each bin."""
        self.packed = None
        sketch = self.sketches.get(source)
        (sketch if sketch is not None else self._sketch(source)).add_counts(total, bins, counts)

    def add_labels(
        self, event: Observation, labels: tuple[bool | None, ...], outcomes: tuple[str, ...] = ()
    ) -> None:
        """Count what an event says about a request's outcome, whether with it or later."""
        self.packed = None
        self._labelled[labels] = self._labelled.get(labels, 0) + 1
        if outcomes and event.outcomes:
            self.add_outcomes(event.outcomes, outcomes)

    def add_outcomes(self, said: Mapping[str, bool], wanted: tuple[str, ...]) -> None:
        """Count the named outcomes that are wanted."""
        for name in wanted:
            value = said.get(name)
            if value is not None:
                self.add_outcome(name, int(value), 1)

    def add_outcome(self, name: str, hits: int, known: int) -> None:
        """Count a named outcome: of so many requests that told it, so many were true."""
        self.packed = None
        counts = self.outcomes.setdefault(name, [0, 0])
        counts[0] += hits
        counts[1] += known

    def settle(self) -> None:
        """Add the counted label tuples up into `known` and `hits`; asking for them again changes nothing."""
        for labels, count in self._labelled.items():
            for index, label in enumerate(labels):
                if label is not None:
                    self.known[index] += count
                    if label:
                        self.hits[index] += count
        self._labelled.clear()

    def _sketch(self, name: str) -> Sketch:
        sketch = self.sketches.get(name)
        if sketch is None:
            sketch = self.sketches[name] = Sketch()
        return sketch

    def wants(self, indicator: str, rank: int, size: int = EXEMPLARS_PER_CELL) -> bool:
        """Tell whether an exemplar of this rank could still be kept: a cheap look before one is made."""
        kept = self.exemplars.get(indicator)
        return kept is None or len(kept) < size or rank <= kept[-1].rank

    def keep(self, indicator: str, exemplar: Exemplar, size: int = EXEMPLARS_PER_CELL) -> None:
        """Offer a request as evidence for an indicator, of which `size` are kept."""
        self.packed = None
        offer(self.exemplars.setdefault(indicator, []), exemplar, size)

    def serve(self, unit_id: str) -> None:
        """Take note of the unit that a request served."""
        if self.units is None:
            self.units = UnitSample()
        self.units.offer(unit_id)

    def total(self) -> Aggregate:
        """Return the cell without its breakdown: what it and all its parts hold; itself where there are none."""
        if not self.parts:
            return self
        whole = Aggregate()
        whole.add_total(self)
        return whole

    def add_total(self, other: Aggregate) -> None:
        """Add all that `other` holds, without its breakdown."""
        self._add(other)
        for part in other.parts.values():
            self.add_total(part)

    def merge(self, other: Aggregate, exemplars: int = EXEMPLARS_PER_CELL) -> None:
        """Add all that `other` holds, part by part; of each indicator so many exemplars stay."""
        self._add(other, exemplars)
        for value, part in other.parts.items():
            mine = self.parts.get(value)
            if mine is None:
                mine = self.parts[value] = Aggregate()
            mine.merge(part, EXEMPLARS_PER_PART)

    def _add(self, other: Aggregate, exemplars: int = EXEMPLARS_PER_CELL) -> None:
        """Add what `other` holds outside its parts."""
        self.packed = None
        other.settle()
        self.requests += other.requests
        self.errors += other.errors
        self.timeouts += other.timeouts
        self.incidents += other.incidents
        self.first_at_ms = min(self.first_at_ms, other.first_at_ms)
        self.known = list(map(add, self.known, other.known))
        self.hits = list(map(add, self.hits, other.hits))
        for name, (hits, known) in other.outcomes.items():
            counts = self.outcomes.setdefault(name, [0, 0])
            counts[0] += hits
            counts[1] += known
        for name, sketch in other.sketches.items():
            self._sketch(name).merge(sketch)
        for name, kept in other.exemplars.items():
            for exemplar in kept:
                self.keep(name, exemplar, exemplars)
        if other.units is not None:
            if self.units is None:
                self.units = UnitSample()
            self.units.merge(other.units)

    def rate(self, source: str) -> tuple[int, int]:
        """Return (hits, known) of a rate: how many requests had it, of how many it was measured."""
        if source == "error":
            return self.errors, self.requests
        if source == "timeout":
            return self.timeouts, self.requests
        if source.startswith("outcome."):
            hits, known = self.outcomes.get(source.removeprefix("outcome."), (0, 0))
            return hits, known
        self.settle()
        index = LABELS.index(source)
        return self.hits[index], self.known[index]

    def distribution(self, source: str) -> Sketch:
        """Return the sketch of a distribution; an empty one where nothing was measured."""
        return self.sketches.get(source) or Sketch()

    def _as_tuple(self) -> tuple[object, ...]:
        self.settle()
        return tuple(getattr(self, name) for name in self.__slots__ if name not in _NOT_HELD)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aggregate) and self._as_tuple() == other._as_tuple()

    __hash__ = None  # type: ignore[assignment]  # mutable: hashing one would be a mistake


def merged(parts: list[Aggregate]) -> Aggregate:
    """Return a new aggregate that holds what all parts hold."""
    whole = Aggregate()
    for part in parts:
        whole.merge(part)
    return whole
