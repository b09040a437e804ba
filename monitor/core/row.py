"""One minute of one release, as requests come: written down in columns, added up when somebody looks at its cells.

A request has many slices, and what it adds is the same in each: its labels, its status, its sizes and the bins they
fall into. So that is found once, for many requests at a time, and kept as one fact that waits in every slice the
request lies in; `settle` adds the facts of a slice up together. Adding up is commutative, so when it happens changes
nothing; which value of a dimension gets a part of its own depends on the order of the log, and is settled at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import repeat
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from monitor.core.aggregate import Aggregate, Kind
from monitor.core.breakdown import Breakdown
from monitor.core.cell import CellKey
from monitor.core.cohort import CohortKey, matches
from monitor.core.event import UNFINISHED_US, Observation
from monitor.core.exemplar import EXEMPLARS_PER_CELL, EXEMPLARS_PER_PART, Exemplar
from monitor.core.indicator import IndicatorKind
from monitor.core.plan import ExemplarRule, View, exemplar_id
from monitor.core.sketch import UNFINISHED_BIN, bins_of, whole_of

Fact: TypeAlias = tuple[Any, ...]
"""A request: its kind, its time, the event itself where a slice may show it, then a value and its bin per source."""

Mark: TypeAlias = "Callable[[Aggregate, CellKey], None]"
"""Told that a cell is to be written anew."""

NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
_KIND, _AT, _EVENT, _SIZES = 0, 1, 2, 3
_KINDS_MAX: Final = 4_096  # of one status: labels come from outside, and their combinations are many


class _Labelled(dict[tuple[bool | None, ...], Kind]):
    """The kinds of one status, by their labels."""

    def __init__(self, status: str) -> None:
        super().__init__()
        self._status = status

    def __missing__(self, labels: tuple[bool | None, ...]) -> Kind:
        if len(self) >= _KINDS_MAX:
            self.clear()
        kind = self[labels] = Kind(labels, self._status)
        return kind


class Kinds:
    """The combinations of status and labels met so far: requests repeat the same few."""

    def __init__(self) -> None:
        self._by_status = {status: _Labelled(status) for status in ("ok", "error", "timeout")}

    def of(self, events: Sequence[Observation]) -> list[Kind]:
        """Return each request's kind."""
        by_status = self._by_status
        return [by_status[event.status][event.labels()] for event in events]


class Slice:
    """A slice that is not broken down: its cell, and the facts that wait for it."""

    __slots__ = ("cell", "facts", "key", "view")

    def __init__(self, view: View, key: CellKey, cell: Aggregate) -> None:
        self.view = view
        self.key = key
        self.cell = cell
        self.facts: list[Fact] = []


class Row:
    """One minute of one release: the cells of its slices, and the slices that are broken down."""

    __slots__ = ("_is_shown", "_kinds", "_mark", "_sources", "broken", "plain", "waiting")

    def __init__(self, plain: list[Slice], broken: list[Breakdown], kinds: Kinds, mark: Mark) -> None:
        self.plain = plain
        self.broken = broken
        self._kinds = kinds
        self._mark = mark
        self.waiting = 0
        views = [one.view for one in plain] + [one.view for one in broken]
        self._sources = tuple(sorted({source for view in views for source in view.sketches}))
        self._is_shown = any(view.exemplars or view.outcomes for view in views)

    def add_requests(self, events: Sequence[Observation]) -> None:
        """Take in requests, in the order of the log."""
        facts = self._facts(events)
        cohorts = [event.cohort or NOBODY for event in events]
        mark = self._mark
        for one in self.plain:
            chosen = _within(one.view.key, facts, cohorts)
            if chosen:
                one.facts += chosen
                if not one.cell.is_changed:
                    mark(one.cell, one.key)
        for broken in self.broken:
            broken.wait(facts, cohorts, mark)
        self.waiting += len(facts)

    def _facts(self, events: Sequence[Observation]) -> list[Fact]:
        kinds = self._kinds.of(events)
        are_ok = all(kind.status == "ok" for kind in set(kinds))
        columns: list[Iterable[Any]] = [
            kinds,
            [event.at_ms for event in events],
            events if self._is_shown else repeat(None),
        ]
        for source in self._sources:
            columns += _sizes(events, source, are_ok=are_ok)
        return list(zip(*columns, strict=False))  # `repeat` has no end

    def add_labels(self, event: Observation) -> None:
        """Take in what became known later of a request."""
        labels, cohort = event.labels(), event.cohort or NOBODY
        for one in self.plain:
            if matches(one.view.key, cohort):
                one.cell.add_labels(event, labels, one.view.outcomes)
                _keep(event, labels, one.view, one.cell, EXEMPLARS_PER_CELL)
                self._mark(one.cell, one.key)
        for broken in self.broken:
            if matches(broken.view.within, cohort):
                part, cell, key = broken.place(cohort)
                part.add_labels(event, labels, broken.view.outcomes)
                _keep(event, labels, broken.view, *_holder(broken.view, part, cell))
                self._mark(cell, key)

    def settle(self) -> None:
        """Add up what waits."""
        self.waiting = 0
        for one in self.plain:
            if one.facts:
                self._add_up(one.facts, one.view, one.cell, one.cell)
                one.facts = []
        for broken in self.broken:
            for facts, (part, cell, _) in broken.waited():
                self._add_up(facts, broken.view, part, cell)

    def _add_up(self, facts: list[Fact], view: View, part: Aggregate, cell: Aggregate) -> None:
        columns = list(zip(*facts, strict=True))
        counts: Counter[Kind] = Counter(columns[_KIND])
        part.add_requests(counts, min(columns[_AT]))
        if view.outcomes:
            for event in columns[_EVENT]:
                if event.outcomes:
                    part.add_outcomes(event.outcomes, view.outcomes)
        for source in view.sketches:
            values, bins = self._column(columns, source)
            if None in bins:
                values = tuple(value for value in values if value is not None)
                bins = tuple(index for index in bins if index is not None)
            if bins:
                part.add_sizes(source, values, bins)
        for rule in view.exemplars:
            shown = self._candidates(rule, columns, counts, *_holder(view, part, cell))
            for event, kind in shown:
                _offer(rule, event, kind.labels, *_holder(view, part, cell))

    def _column(self, columns: list[tuple[Any, ...]], source: str) -> list[tuple[Any, ...]]:
        at = _SIZES + 2 * self._sources.index(source)
        return columns[at : at + 2]

    def _candidates(
        self,
        rule: ExemplarRule,
        columns: list[tuple[Any, ...]],
        counts: Counter[Kind],
        holder: Aggregate,
        size: int,
    ) -> Iterable[tuple[Observation, Kind]]:
        """Yield the requests that could be among the few a rule keeps: a cheap look past the many that cannot."""
        pairs = zip(columns[_EVENT], columns[_KIND], strict=True)
        if rule.label >= 0:
            bad = {kind for kind in counts if kind.labels[rule.label] is rule.harmful}
            return [pair for pair in pairs if pair[1] in bad] if bad else ()
        if rule.kind is IndicatorKind.RATE or rule.source not in self._sources:
            return pairs
        values = self._column(columns, rule.source)[0]
        known = [value for value in values if value is not None]
        if not known:
            return ()
        floor = nlargest(size, known)[-1]
        kept = holder.exemplars.get(rule.indicator)
        if kept is not None and len(kept) >= size:
            floor = max(floor, -kept[-1].rank)
        return [
            pair for pair, value in zip(pairs, values, strict=True) if value is not None and value >= floor
        ]


def _within(key: CohortKey, facts: list[Fact], cohorts: Sequence[Mapping[str, str]]) -> list[Fact]:
    """Return the facts of the requests that lie in a slice."""
    if not key:
        return facts
    pairs = zip(facts, cohorts, strict=True)
    if len(key) == 1:  # the usual case, written out
        ((dimension, value),) = key
        return [fact for fact, of in pairs if of.get(dimension) == value]
    return [fact for fact, of in pairs if matches(key, of)]


def _sizes(
    events: Sequence[Observation], source: str, *, are_ok: bool
) -> tuple[Sequence[int | None], Sequence[int | None]]:
    """Return how large each request is in a distribution, and its bin; None where it is not in it."""
    if source == "cost":
        return _binned([event.cost_usd for event in events], 1_000_000)
    if source == "latency" and are_ok:
        return _binned([event.latency_ms for event in events], 1_000)
    if source == "tokens":
        return _binned([event.tokens for event in events])
    values, bins = _binned([event.size_of(source) for event in events])
    if source == "latency":
        pairs = zip(values, bins, strict=True)
        bins = [UNFINISHED_BIN if value == UNFINISHED_US else index for value, index in pairs]
    return values, bins


def _binned(
    told: Sequence[float | None], per_unit: int | None = None
) -> tuple[Sequence[int | None], Sequence[int | None]]:
    """Return values as whole smallest steps, and their bins; without `per_unit` they are whole already."""
    known: list[Any] = [value for value in told if value is not None]
    if not known:
        nothing = [None] * len(told)
        return nothing, nothing
    values = known if per_unit is None else whole_of(known, per_unit).tolist()
    bins = bins_of(values).tolist()
    if len(known) == len(told):
        return values, bins
    each = iter(zip(values, bins, strict=True))
    pairs = [(None, None) if value is None else next(each) for value in told]
    return [value for value, _ in pairs], [index for _, index in pairs]


def _holder(view: View, part: Aggregate, cell: Aggregate) -> tuple[Aggregate, int]:
    """Return what keeps a slice's exemplars, and how many: a watched part keeps its own."""
    return (part, EXEMPLARS_PER_PART) if view.is_watched else (cell, EXEMPLARS_PER_CELL)


def _keep(
    event: Observation, labels: tuple[bool | None, ...], view: View, holder: Aggregate, size: int
) -> None:
    for rule in view.exemplars:
        _offer(rule, event, labels, holder, size)


def _offer(
    rule: ExemplarRule, event: Observation, labels: tuple[bool | None, ...], holder: Aggregate, size: int
) -> None:
    rank = rule.rank(event, labels)
    if rank is not None and holder.wants(rule.indicator, rank, size):
        holder.keep(rule.indicator, Exemplar(rank, exemplar_id(event), event.failure_class or ""), size)
