"""Which cells a tick of one budget reads, and what a cell says with the labels that came later."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cohort import OVERALL
from monitor.core.partition import CellKey

_EMPTY = Aggregate()  # what a missing cell holds; nobody folds into it


def needed_cells(budget: Budget, now: int) -> list[CellKey]:
    """Return the keys of the cells that the tick `now` reads, each once."""
    keys: dict[CellKey, None] = {}
    for release in (budget.release, budget.baseline):
        keys[CellKey(now - 1, release, OVERALL)] = None
        for objective in budget.objectives:
            # Incidents are judged as they come: no label delays them.
            delay_min = objective.label_delay_min if objective.is_guarded else 0
            for view in objective.views():
                key = CellKey(now - 1 - delay_min, release, view)
                keys[key] = None
                if delay_min:
                    keys[key._replace(later=True)] = None
    return list(keys)


def cell_of(cells: Mapping[CellKey, Aggregate], key: CellKey) -> Aggregate:
    """Return a cell; an empty one where nothing was folded."""
    return cells.get(key, _EMPTY)


def with_labels(cells: Mapping[CellKey, Aggregate], key: CellKey) -> Aggregate:
    """Return a minute's requests together with the labels that came later."""
    later = cells.get(key._replace(later=True))
    if later is None:
        return cell_of(cells, key)
    whole = Aggregate()
    whole.merge(cell_of(cells, key))
    whole.merge(later)
    return whole
