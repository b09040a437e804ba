"""How much the next write of a partition weighs, so that folding stops in time.

Known exactly is what the cells took when they were packed last. What was folded since is guessed, on the safe side and
without a look at the cells; only where the guess comes near the bound are they looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.exemplar import EXEMPLARS_PER_PART
from monitor.core.partition import PartitionFold
from monitor.core.plan import SHARDS, Plan
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.engine.inventory import NAME_BYTES, Inventory
from monitor.engine.ports import MAX_FLUSH_FIELDS

_CELL_BYTES: Final = 576  # with its share of a manifest, and a sample of units that is not yet full
_UNIT_BYTES: Final = 2_048
_PART_BYTES: Final = 192
_SKETCH_BYTES: Final = 48
_BIN_BYTES: Final = 5  # a bin and its count, one by one
_FEW_BINS: Final = 64  # fewer are not looked at closely
_EXEMPLAR_BYTES: Final = 96
_OUTCOME_BYTES: Final = 80
_META_BYTES: Final = 16_384
_MAX_FIELDS: Final = MAX_FLUSH_FIELDS // 2 - 256  # every cell may need a manifest beside it


class Scale:
    """Weighs what a fold has changed since its last write.

    Args:
        max_bytes: Of one write. Folding goes on until a quarter of it is known to be reached, which is looked at where
            five eighths of it are guessed; what a run of records may add to that fits in.
    """

    def __init__(self, fold: PartitionFold, inventory: Inventory, max_bytes: int) -> None:
        self._fold = fold
        self._inventory = inventory
        self._max_bytes = max_bytes
        self._plan: Plan | None = None
        self._slices = self._growth = self._part_bytes = self._run_growth = self._row_cells = 1
        self.written()

    def written(self) -> None:
        """Begin anew: what was changed is stored."""
        self._records = 0
        self._weighed = _META_BYTES
        self._weighed_from = self._fold.changed_bytes
        self._parts_from = self._fold.parts_made

    def folded(self, records: int) -> None:
        """Note that so many records were folded."""
        self._records += records

    @property
    def is_full(self) -> bool:
        """Tell whether what is changed has to be written before more is folded."""
        self._follow_plan()
        changed = self._fold.changed
        if not changed:
            return False  # a write without cells is as small as can be
        if len(changed) > _MAX_FIELDS:
            return True
        if self._guess > self._max_bytes * 5 // 8 and self._records:
            self._weigh()
        return self._weighed > self._max_bytes // 4 or self._guess > self._max_bytes * 5 // 8

    def room(self, records: int, rows: Callable[[], int] = lambda: _MAX_FIELDS) -> int:
        """Return how many of so many records may be folded before the next look, where the write is not full.

        Args:
            rows: Returns how many minutes of watched releases the records can touch, at most; as many as there are
                where nobody knows.
        """
        changed, held_bytes = self._fold.changed, self._fold.held_bytes
        fields = _MAX_FIELDS - len(changed)
        # What is not changed yet may have to be written too.
        spare = self._max_bytes - self._guess - max(0, held_bytes - self._fold.changed_bytes)
        sure = min(fields // self._slices, spare // (self._slices * _CELL_BYTES + self._run_growth))
        if sure >= records:
            return records
        cells = rows() * self._row_cells
        if cells <= fields and cells * _CELL_BYTES + records * self._run_growth <= spare:
            return records
        return max(1, sure)

    @property
    def _guess(self) -> int:
        new = self._fold.changed_bytes - self._weighed_from
        parts = self._fold.parts_made - self._parts_from
        return self._weighed + max(0, new) + parts * self._part_bytes + self._records * self._growth

    def _follow_plan(self) -> None:
        plan = self._fold.plan
        if plan is self._plan:
            return
        self._plan = plan
        views = max(plan.views.values(), key=len, default=())
        sketches = sum(len(view.sketches) for view in views)
        self._slices = len(views) + 1
        self._row_cells = 1 + sum(SHARDS if view.by else 1 for view in views)
        self._run_growth = 32 * self._slices + 16 * sketches
        rules = sum(len(view.exemplars) for view in views)
        outcomes = sum(len(view.outcomes) for view in views)
        # To parts that are there: a bin of each distribution. What else they may hold has its bounds.
        self._growth = 16 + _BIN_BYTES * sketches + outcomes
        most = max((len(view.sketches) for view in views), default=0)
        self._part_bytes = _PART_BYTES + _SKETCH_BYTES * most + EXEMPLARS_PER_PART * _EXEMPLAR_BYTES * rules

    def _weigh(self) -> None:
        fold = self._fold
        cells = fold.cells
        minutes = {key.minute for key in fold.changed}
        weight = _META_BYTES + sum(weight_of(cells[key]) for key in fold.changed)
        weight += NAME_BYTES * (len(fold.changed) + sum(self._inventory.size_of(one) for one in minutes))
        self._weighed, self._weighed_from, self._records = weight, fold.changed_bytes, 0
        self._parts_from = fold.parts_made


def weight_of(cell: Aggregate) -> int:
    """Return how many bytes a cell takes at most, with its name and its share of a manifest."""
    weight = _CELL_BYTES + _alone(cell) + (_UNIT_BYTES if cell.units is not None else 0)
    for value, part in cell.parts.items():
        weight += len(part.packed) if part.packed is not None else _PART_BYTES + _alone(part)
        weight += 4 * len(value)
    return weight


def _alone(cell: Aggregate) -> int:
    weight = _OUTCOME_BYTES * len(cell.outcomes) + _SKETCH_BYTES * len(cell.sketches)
    if cell.requests < _FEW_BINS:  # none of them is in more than one bin
        weight += _BIN_BYTES * cell.requests * len(cell.sketches)
    else:
        weight += sum(map(_bins_weight, cell.sketches.values()))
    for kept in cell.exemplars.values():
        weight += sum(_EXEMPLAR_BYTES + 4 * (len(one.trace_id) + len(one.failure_class)) for one in kept)
    return weight


def _bins_weight(sketch: Sketch) -> int:
    one_by_one = _BIN_BYTES * sketch.width
    if one_by_one < _BIN_BYTES * _FEW_BINS:
        return one_by_one
    bins, counts = sketch.rising()
    last = bins[-2] if bins[-1] == UNFINISHED_BIN else bins[-1]
    dense = (last - bins[0] + 1) * (1 if max(counts) < 1 << 8 else _BIN_BYTES)
    return min(one_by_one, dense)
