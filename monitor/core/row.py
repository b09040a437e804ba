"""One minute of one release: requests as they come, then in columns, added up when somebody looks at its cells.

A request has many slices, and what it adds is the same in each: its kind, its sizes and the bins they fall into. So
that is found once, for many requests at a time (`gather`), with the number of the part it goes to in each slice;
`settle` adds the columns up. Adding up is commutative, so when it happens changes nothing; which value of a dimension
gets a part of its own depends on the order of the log, and requests are gathered in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.aggregate import Aggregate
from monitor.core.breakdown import OUTSIDE, Breakdown, Mark, Slice
from monitor.core.cell import CellKey
from monitor.core.cohort import matches
from monitor.core.columns import (
    NO_BIN,
    ByPart,
    bins_by_part,
    end_unfinished,
    kinds_by_part,
    sized,
    sized_whole,
)
from monitor.core.event import Observation
from monitor.core.exemplar import EXEMPLARS_PER_CELL, EXEMPLARS_PER_PART, Exemplar, fair_rank
from monitor.core.indicator import LABELS, IndicatorKind
from monitor.core.plan import ExemplarRule, View, exemplar_id
from monitor.core.shape import ERROR, LABELS_ONLY, TIMEOUT, Ints, Kinds
from monitor.core.sketch import UNFINISHED_BIN

NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
GATHER: Final = 512  # requests that wait as they came; as objects they take ten times the room
_KNOWN: Final = TIMEOUT + 1  # what comes before is known of every request
_HITS: Final = _KNOWN + len(LABELS)  # how often each label was told comes before, how often it held after
_UNKNOWN: Final = -1  # an outcome that was not told


class Row:
    """One minute of one release: its slices, and what waits to be added up.

    Attributes:
        slices: Where requests go.
        waiting: How many requests wait.
        parts_made, names_made: How many parts of its slices were made here, for values that had none, and how many
            bytes their names have.
    """

    __slots__ = (
        "_came", "_columns", "_failures", "_ids", "_is_shown", "_kinds", "_mark", "_outcomes", "_sources", "_unread",
        "names_made", "parts_made", "slices", "waiting",
    )  # fmt: skip

    def __init__(self, slices: list[Slice | Breakdown], kinds: Kinds, mark: Mark) -> None:
        self.slices = slices
        self._kinds = kinds
        self._mark = mark
        self.waiting = self.parts_made = self.names_made = 0
        views = [one.view for one in slices]
        self._sources = sorted({source for view in views for source in view.sketches})
        self._outcomes = sorted({name for view in views for name in view.outcomes})
        self._is_shown = any(view.exemplars for view in views)
        self._came: list[tuple[Sequence[Observation], Ints, Ints]] = []
        self._unread = 0
        self._columns: list[list[Ints]] = []
        self._ids: list[str] = []
        self._failures: list[str | None] = []

    def add(self, events: Sequence[Observation], kinds: Ints, ats: Ints) -> None:
        """Take in requests, and labels that come later, in the order of the log.

        Args:
            kinds: What they are, by number; `LABELS_ONLY` for labels.
            ats: When they were.
        """
        self._came.append((events, kinds, ats))
        self.waiting += len(events)
        self._unread += len(events)
        if self._unread >= GATHER:
            self.gather()

    def gather(self) -> None:
        """Put what came into columns: its parts are there then, and its cells marked."""
        if not self._unread:
            return
        came, self._came, self._unread = self._came, [], 0
        events, kinds, ats = came[0]
        if len(came) > 1:
            events = list(chain.from_iterable(one[0] for one in came))
            kinds, ats = (np.concatenate([one[at] for one in came]) for at in (1, 2))
        cohorts = [event.cohort or NOBODY for event in events]
        parts_before, names_before = self._made()
        parts = [one.parts(cohorts, self._mark) for one in self.slices]
        parts_now, names_now = self._made()
        self.parts_made += parts_now - parts_before
        self.names_made += names_now - names_before
        are_labels = kinds == LABELS_ONLY
        if are_labels.any():
            for index in np.flatnonzero(are_labels).tolist():
                self._add_labels(events[index], cohorts[index])
            kept = ~are_labels
            kinds, ats, *parts = (column[kept] for column in (kinds, ats, *parts))
            events = [event for event, is_kept in zip(events, kept.tolist(), strict=True) if is_kept]
        if not events:
            return
        columns = [kinds, ats, *parts]
        for source in self._sources:
            columns += self._sizes(events, kinds, source)
        columns += [_said(events, name) for name in self._outcomes]
        self._columns.append(columns)
        if self._is_shown:
            self._ids += [event.trace_id or event.event_id for event in events]  # `exemplar_id`, written out
            self._failures += [event.failure_class for event in events]

    def _made(self) -> tuple[int, int]:
        return sum(len(one.places) for one in self.slices), sum(one.names_bytes for one in self.slices)

    def _sizes(self, events: Sequence[Observation], kinds: Ints, source: str) -> tuple[Ints, Ints]:
        """Return how large each request is in a distribution, and its bin."""
        if source == "latency":
            values, bins = sized([event.latency_ms for event in events], 1_000)
            ended = self._kinds.endings[kinds]
            if ended.any():
                end_unfinished(values, bins, ended == ERROR, ended == TIMEOUT)
            return values, bins
        if source == "cost":
            return sized([event.cost_usd for event in events], 1_000_000)
        if source == "tokens":
            counts = [(event.tokens_in, event.tokens_out) for event in events]  # `tokens`, written out
            return sized_whole(
                [None if one is None or other is None else one + other for one, other in counts]
            )
        return sized_whole([event.size_of(source) for event in events])

    def _add_labels(self, event: Observation, cohort: Mapping[str, str]) -> None:
        """Take in what became known later of a request."""
        labels = event.labels()
        for one in self.slices:
            if matches(one.view.within, cohort):
                part, cell, _ = one.place(cohort)
                part.add_labels(event, labels, one.view.outcomes)
                for rule in one.view.exemplars:
                    rank = rule.rank(event, labels)
                    if rank is not None:
                        shown = Exemplar(rank, exemplar_id(event), event.failure_class or "")
                        _offer(rule, shown, *_holder(one.view, part, cell))

    def settle(self) -> None:
        """Add up what waits."""
        if not self.waiting:
            return
        self.gather()
        self.waiting = 0
        waited, self._columns = self._columns, []
        if not waited:
            return
        columns = (
            waited[0] if len(waited) == 1 else [np.concatenate(each) for each in zip(*waited, strict=True)]
        )
        settled = _Settled(self, columns)
        for index, one in enumerate(self.slices):
            settled.add_up(one, columns[2 + index])
        self._ids, self._failures = [], []


class _Settled:
    """The columns of a row while they are added up."""

    def __init__(self, row: Row, columns: list[Ints]) -> None:
        self.kinds, self.ats = columns[:2]
        at = 2 + len(row.slices)
        self.sizes = {}
        for source in row._sources:
            self.sizes[source] = columns[at], columns[at + 1]
            at += 2
        self.outcomes = dict(zip(row._outcomes, columns[at:], strict=True))
        self.table = row._kinds.table
        self.labels = row._kinds.labels
        self.ids, self.failures = row._ids, row._failures
        self._ranks: dict[ExemplarRule, tuple[Ints, Ints]] = {}

    def add_up(self, one: Slice | Breakdown, parts: Ints) -> None:
        """Add up what is in one slice."""
        inside = np.flatnonzero(parts != OUTSIDE)
        if not len(inside):
            return
        chosen = slice(None) if len(inside) == len(parts) else inside
        own = parts[chosen]
        view, places, by_part = one.view, one.places, ByPart(own)
        firsts = by_part.least(self.ats[chosen])
        added = kinds_by_part(own, self.kinds[chosen], self.table)
        for (number, sums), first_at_ms in zip(added, firsts, strict=True):
            places[number][0].add_requests(
                sums[0], sums[ERROR], sums[TIMEOUT], sums[_KNOWN:_HITS], sums[_HITS:], first_at_ms
            )
        for name in view.outcomes:
            _add_outcomes(one, name, own, self.outcomes[name][chosen])
        for source in view.sketches:
            values, bins = self.sizes[source]
            _add_sizes(one, source, own, by_part, values[chosen], bins[chosen])
        for rule in view.exemplars:
            self._show(one, rule, parts)

    def _show(self, one: Slice | Breakdown, rule: ExemplarRule, parts: Ints) -> None:
        """Offer the requests that could be among the few a rule keeps."""
        rows, ranks = self._ranked(rule)
        own = parts[rows]
        if (own == OUTSIDE).any():
            rows, ranks, own = (column[own != OUTSIDE] for column in (rows, ranks, own))
        if not len(rows):
            return
        size = _holder(one.view, *one.places[0][:2])[1]
        for at in ByPart(own).foremost(ranks, size).tolist():
            part, cell, _ = one.places[int(own[at])]
            holder, size = _holder(one.view, part, cell)
            rank, row = int(ranks[at]), int(rows[at])
            if holder.wants(rule.indicator, rank, size):
                shown = Exemplar(rank, self.ids[row], self.failures[row] or "")
                holder.keep(rule.indicator, shown, size)

    def _ranked(self, rule: ExemplarRule) -> tuple[Ints, Ints]:
        """Return the requests that are exemplars by a rule, and the rank of each."""
        found = self._ranks.get(rule)
        if found is None:
            found = self._ranks[rule] = self._rank(rule)
        return found

    def _rank(self, rule: ExemplarRule) -> tuple[Ints, Ints]:
        if rule.kind in (IndicatorKind.QUANTILE, IndicatorKind.MEAN):
            values, bins = self.sizes[rule.source]
            rows = np.flatnonzero(bins != NO_BIN)
            return rows, -values[rows]
        rows = np.flatnonzero(self._is_harmful(rule))
        return rows, np.array([fair_rank(self.ids[row]) for row in rows.tolist()], dtype=np.int64)

    def _is_harmful(self, rule: ExemplarRule) -> NDArray[np.bool_]:
        if rule.label < 0 and rule.source not in ("error", "timeout"):
            return np.equal(self.outcomes[rule.source.removeprefix("outcome.")], int(rule.harmful))
        if rule.label >= 0:
            kinds = np.array([labels[rule.label] is rule.harmful for labels in self.labels], dtype=bool)
        else:
            ended = self.table[:, ERROR if rule.source == "error" else TIMEOUT]
            kinds = np.equal(ended, int(rule.harmful))
        return np.take(kinds, self.kinds)


def _add_sizes(
    one: Slice | Breakdown, source: str, own: Ints, by_part: ByPart, values: Ints, bins: Ints
) -> None:
    known = bins != NO_BIN
    if not known.any():
        return
    counted = np.where(bins == UNFINISHED_BIN, 0, values)  # what never finished is in no sum
    totals = dict(zip(by_part.parts, by_part.sums(counted), strict=True))
    if not known.all():
        own, bins = own[known], bins[known]
    for number, found, counts in bins_by_part(own, bins):
        one.places[number][0].add_sizes(source, totals[number], found, counts)


def _add_outcomes(one: Slice | Breakdown, name: str, own: Ints, said: Ints) -> None:
    known = np.bincount(own[said != _UNKNOWN]).tolist()
    hits = np.bincount(own[said == 1], minlength=len(known)).tolist()
    for number, count in enumerate(known):
        if count:
            one.places[number][0].add_outcome(name, hits[number], count)


def _said(events: Sequence[Observation], name: str) -> Ints:
    """Return what each event says about an outcome: 1, 0 or `_UNKNOWN`."""
    told = ((event.outcomes or {}).get(name) for event in events)
    return np.fromiter((_UNKNOWN if value is None else value for value in told), np.int64, len(events))


def _holder(view: View, part: Aggregate, cell: Aggregate) -> tuple[Aggregate, int]:
    """Return what keeps a slice's exemplars, and how many: a watched part keeps its own."""
    return (part, EXEMPLARS_PER_PART) if view.is_watched else (cell, EXEMPLARS_PER_CELL)


def _offer(rule: ExemplarRule, shown: Exemplar, holder: Aggregate, size: int) -> None:
    if holder.wants(rule.indicator, shown.rank, size):
        holder.keep(rule.indicator, shown, size)


def row_of(
    minute: int, release: str, views: Sequence[View], cells: dict[CellKey, Aggregate], kinds: Kinds, mark: Mark, *,
    later: bool,
) -> Row:  # fmt: skip
    """Return the row of a minute of a release, with its cells as far as they are there."""
    slices: list[Slice | Breakdown] = []
    for view in views:
        key = CellKey(minute, release, view.key, later)
        slices.append(Breakdown(view, key, cells) if view.by else Slice(view, key, cells))
    return Row(slices, kinds, mark)
