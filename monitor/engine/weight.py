"""How much the next write of a partition weighs, so that folding stops in time.

Known exactly is what the cells took when they were packed last. What was folded since is guessed, on the safe side and
without a look at the cells; only where the guess comes near the bound are they looked at.
"""

from __future__ import annotations

from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.partition import PartitionFold
from monitor.core.plan import Plan
from monitor.engine.inventory import NAME_BYTES, Inventory
from monitor.engine.ports import MAX_FLUSH_FIELDS

_CELL_BYTES: Final = 576  # with its share of a manifest, and a sample of units that is not yet full
_UNIT_BYTES: Final = 2_048
_PART_BYTES: Final = 192
_SKETCH_BYTES: Final = 48
_BIN_BYTES: Final = 5  # a bin and its count, one by one
_EXEMPLAR_BYTES: Final = 96
_OUTCOME_BYTES: Final = 80
_META_BYTES: Final = 16_384
_MAX_FIELDS: Final = MAX_FLUSH_FIELDS // 2 - 256  # every cell may need a manifest beside it


class Scale:
    """Weighs what a fold has changed since its last write.

    Args:
        max_bytes: Of one write. Folding goes on to a quarter of it; what a run of records may add to that fits in.
    """

    def __init__(self, fold: PartitionFold, inventory: Inventory, max_bytes: int) -> None:
        self._fold = fold
        self._inventory = inventory
        self._max_bytes = max_bytes
        self._plan: Plan | None = None
        self._slices = self._growth = 1
        self._heaviest = _CELL_BYTES
        self.written()

    def written(self) -> None:
        """Begin anew: what was changed is stored."""
        self._records = 0
        self._weighed = _META_BYTES
        self._weighed_from = self._fold.changed_bytes

    def packed(self, size: int) -> None:
        """Note how large a cell came out."""
        self._heaviest = max(self._heaviest, size)

    def folded(self, records: int) -> None:
        """Note that so many records were folded."""
        self._records += records

    @property
    def room(self) -> int:
        """How many records may be folded before the next look; 0 where what is changed has to be written first."""
        self._follow_plan()
        if not self._fold.changed:
            return self._run(self._guess)  # a write without cells is as small as can be: folding goes on
        if len(self._fold.changed) > _MAX_FIELDS:
            return 0
        guess = self._guess
        if guess > self._max_bytes // 4:
            if self._records:
                self._weigh()
                guess = self._guess
            if guess > self._max_bytes // 8:
                return 0
        return self._run(guess)

    def _run(self, guess: int) -> int:
        fields, spare = _MAX_FIELDS - len(self._fold.changed), self._max_bytes - guess
        return max(1, min(fields // self._slices, spare // (self._slices * self._heaviest + self._growth)))

    @property
    def _guess(self) -> int:
        new = self._fold.changed_bytes - self._weighed_from
        return self._weighed + max(0, new) + self._records * self._growth

    def _follow_plan(self) -> None:
        plan = self._fold.plan
        if plan is self._plan:
            return
        self._plan = plan
        views = max(plan.views.values(), key=len, default=())
        sketches = sum(len(view.sketches) for view in views)
        self._slices = len(views) + 1
        self._growth = 32 * self._slices + 16 * sketches

    def _weigh(self) -> None:
        fold = self._fold
        cells = fold.cells
        minutes = {key.minute for key in fold.changed}
        weight = _META_BYTES + sum(weight_of(cells[key]) for key in fold.changed)
        weight += NAME_BYTES * (len(fold.changed) + sum(self._inventory.size_of(one) for one in minutes))
        self._weighed, self._weighed_from, self._records = weight, fold.changed_bytes, 0


def weight_of(cell: Aggregate) -> int:
    """Return how many bytes a cell takes at most, with its name and its share of a manifest."""
    weight = _CELL_BYTES + _alone(cell) + (_UNIT_BYTES if cell.units is not None else 0)
    for value, part in cell.parts.items():
        weight += len(part.packed) if part.packed is not None else _PART_BYTES + _alone(part)
        weight += 4 * len(value)
    return weight


def _alone(cell: Aggregate) -> int:
    weight = _OUTCOME_BYTES * len(cell.outcomes)
    for sketch in cell.sketches.values():
        weight += _SKETCH_BYTES + _BIN_BYTES * len(sketch.bins)
    for kept in cell.exemplars.values():
        weight += sum(_EXEMPLAR_BYTES + 4 * (len(one.trace_id) + len(one.failure_class)) for one in kept)
    return weight
