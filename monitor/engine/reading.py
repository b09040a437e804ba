"""Which cells a tick of one budget reads, and what they say: totals, strata, and the values of a dimension."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Objective, Scope
from monitor.core.cell import CellKey
from monitor.core.cohort import EVERY, OTHER, OVERALL, CohortKey, by_every
from monitor.core.plan import SHARDS, folded_views
from monitor.core.units import UnitSample
from monitor.core.watch import Watch

Pair: TypeAlias = tuple[Aggregate, Aggregate]
"""The same minute and slice of the candidate and of the baseline."""

EMPTY = Aggregate()  # what a missing cell holds; nobody folds into it


class Read(NamedTuple):
    """A cell that every tick reads, `delay_min` minutes after its own minute is closed."""

    delay_min: int
    release: str
    view: CohortKey
    later: bool
    shard: int

    def key(self, now: int) -> CellKey:
        """Return the cell of a tick."""
        return CellKey(now - 1 - self.delay_min, self.release, self.view, self.later, self.shard)


def reads_of(budget: Budget) -> tuple[Read, ...]:
    """Return what each tick of a budget reads, each cell once."""
    reads: dict[Read, None] = {}
    for release in (budget.release, budget.baseline):
        for view in (OVERALL, by_every(OVERALL, budget.strata)):
            reads.update(dict.fromkeys(_cells(0, release, view, later=False)))
        for objective in budget.objectives:
            delay_min = delay_of(objective)
            for view in (objective.where, *folded_views(objective, budget.strata)):
                reads.update(dict.fromkeys(_cells(delay_min, release, view, later=False)))
                if delay_min:
                    reads.update(dict.fromkeys(_cells(delay_min, release, view, later=True)))
            if objective.scope is Scope.COHORT:  # whether it is gone is not asked later, when labels come
                for view in objective.views()[1:]:
                    reads.update(dict.fromkeys(_cells(0, release, view, later=False)))
            # A slice's past is recorded when all its labels are there, those of another objective too.
            for view, folded in zip(objective.views(), folded_views(objective, budget.strata), strict=False):
                recorded_min = slice_delay_of(budget, view)
                if view != OVERALL and recorded_min != delay_min:
                    for later in (False, True):
                        reads.update(dict.fromkeys(_cells(recorded_min, release, folded, later=later)))
    return tuple(reads)


def slice_delay_of(budget: Budget, view: CohortKey) -> int:
    """Return how many minutes later all labels of a slice that a budget names are there."""
    return max((delay_of(one) for one in budget.objectives if view in one.views()), default=0)


def _cells(delay_min: int, release: str, view: CohortKey, *, later: bool) -> Iterator[Read]:
    shards = SHARDS if any(value == EVERY for _, value in view) else 1
    for shard in range(shards):
        yield Read(delay_min, release, view, later, shard)


def delay_of(objective: Objective) -> int:
    """Return how many minutes later an objective is judged: incidents are judged as they come."""
    return objective.label_delay_min if objective.is_guarded else 0


def feed(watch: Watch, minute: int, pair: Pair, strata: tuple[Pair, ...] = ()) -> None:
    """Let a watch take in a minute, and what it is made of."""
    watch.append(minute, *pair, strata)


def _joined(whole: Aggregate, named: Aggregate) -> Aggregate:
    """Return the same requests with the distributions and outcomes of two foldings of them."""
    if (
        not named.sketches.keys() - whole.sketches.keys()
        and not named.outcomes.keys() - whole.outcomes.keys()
    ):
        return whole
    made = Aggregate()
    made.add_total(whole)
    made.sketches = {**named.sketches, **made.sketches}
    made.outcomes = {**named.outcomes, **made.outcomes}
    return made


class Reading:
    """One tick's cells of both arms, as the watches need them; each answer is made once.

    Args:
        cells: Merged over all partitions; a missing key is an empty cell.
    """

    def __init__(self, budget: Budget, cells: Mapping[CellKey, Aggregate]) -> None:
        self._arms = budget.release, budget.baseline
        self._strata = budget.strata
        self._cells = cells
        self._parts: dict[tuple[int, str, CohortKey, bool], Mapping[str, Aggregate]] = {}
        self._wholes: dict[tuple[int, str, CohortKey, bool], Aggregate] = {}
        self._rests: dict[tuple[int, CohortKey, frozenset[str], bool], tuple[Pair, tuple[Pair, ...]]] = {}

    def overall(self, minute: int, view: CohortKey, *, with_labels: bool = False) -> Pair:
        """Return both arms of an overall view: everybody, or an objective's own slice.

        Args:
            with_labels: Together with the labels that came later.
        """
        candidate, baseline = self._arms
        return (
            self._overall(minute, candidate, view, with_labels),
            self._overall(minute, baseline, view, with_labels),
        )

    def cohort(self, minute: int, view: CohortKey, *, with_labels: bool = False) -> Pair:
        """Return both arms of a cohort that the budget names."""
        candidate, baseline = self._arms
        return (
            self._cell(minute, candidate, view, with_labels).total(),
            self._cell(minute, baseline, view, with_labels).total(),
        )

    def slice(self, minute: int, view: CohortKey, *, with_labels: bool = False) -> Pair:
        """Return both arms of a slice with all that any objective keeps of it, in whichever way it is folded."""
        whole = self.overall(minute, view, with_labels=with_labels)
        named = self.cohort(minute, view, with_labels=with_labels)
        candidate, baseline = (_joined(one, other) for one, other in zip(whole, named, strict=True))
        return candidate, baseline

    def units(self, minute: int) -> tuple[UnitSample, UnitSample]:
        """Return a sample of the units that each arm served, candidate first."""
        candidate, baseline = (
            self._cell(minute, arm, OVERALL, with_labels=False).units or UnitSample() for arm in self._arms
        )
        return candidate, baseline

    def strata(self, minute: int, view: CohortKey, *, with_labels: bool = False) -> tuple[Pair, ...]:
        """Return an overall view stratum by stratum, in the order of their keys; nothing where there is but one."""
        return self._pairs(minute, by_every(view, self._strata), with_labels)

    def has_strata_beyond(self, minute: int) -> bool:
        """Tell whether a minute had more strata than are told apart."""
        return any(OTHER in parts for parts in self.values(minute, by_every(OVERALL, self._strata)))

    def values(
        self, minute: int, view: CohortKey, *, with_labels: bool = False
    ) -> tuple[Mapping[str, Aggregate], Mapping[str, Aggregate]]:
        """Return what each value of a watched dimension adds up to, in the candidate and in the baseline."""
        candidate, baseline = self._arms
        return (
            self._broken(minute, candidate, view, with_labels),
            self._broken(minute, baseline, view, with_labels),
        )

    def rest(
        self, minute: int, view: CohortKey, apart: frozenset[str], *, with_labels: bool = False
    ) -> tuple[Pair, tuple[Pair, ...]]:
        """Return what all values of a dimension but some add up to, and the same value by value."""
        key = minute, view, apart, with_labels
        found = self._rests.get(key)
        if found is None:
            pairs = self._pairs(minute, view, with_labels, apart)
            whole = Aggregate(), Aggregate()
            for pair in pairs:
                for total, part in zip(whole, pair, strict=True):
                    total.add_total(part)
            found = self._rests[key] = whole, pairs
        return found

    def _pairs(
        self, minute: int, view: CohortKey, with_labels: bool, apart: frozenset[str] = frozenset()
    ) -> tuple[Pair, ...]:
        mine, theirs = self.values(minute, view, with_labels=with_labels)
        values = sorted({*mine, *theirs} - apart)
        if len(values) < 2 and not apart:
            return ()
        return tuple((mine.get(value, EMPTY), theirs.get(value, EMPTY)) for value in values)

    def _overall(self, minute: int, release: str, view: CohortKey, with_labels: bool) -> Aggregate:
        key = minute, release, view, with_labels
        whole = self._wholes.get(key)
        if whole is None:
            shards = self._shards(minute, release, by_every(view, self._strata), with_labels)
            if shards:
                whole = Aggregate()
                for shard in shards:
                    whole.add_total(shard)
            else:  # it is not broken down, or was folded before it was
                whole = self._cell(minute, release, view, with_labels).total()
            self._wholes[key] = whole
        return whole

    def _broken(
        self, minute: int, release: str, view: CohortKey, with_labels: bool
    ) -> Mapping[str, Aggregate]:
        key = minute, release, view, with_labels
        parts = self._parts.get(key)
        if parts is None:
            parts = self._parts[key] = {
                value: part
                for shard in self._shards(minute, release, view, with_labels)
                for value, part in shard.parts.items()
            }
        return parts

    def _shards(self, minute: int, release: str, view: CohortKey, with_labels: bool) -> list[Aggregate]:
        """Return the cells of a breakdown that hold anything."""
        if all(value != EVERY for _, value in view):
            return []
        cells = (self._cell(minute, release, view, with_labels, shard) for shard in range(SHARDS))
        return [cell for cell in cells if cell is not EMPTY]

    def _cell(
        self, minute: int, release: str, view: CohortKey, with_labels: bool, shard: int = 0
    ) -> Aggregate:
        key = CellKey(minute, release, view, shard=shard)
        cell = self._cells.get(key, EMPTY)
        later = self._cells.get(key._replace(later=True)) if with_labels else None
        if later is None:
            return cell
        whole = Aggregate()
        whole.merge(cell)
        whole.merge(later)
        return whole
