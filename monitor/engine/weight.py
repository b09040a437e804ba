"""How much the next write of a partition weighs, so that folding stops in time: a write is atomic, and has its bounds.

Known exactly is what the cells took when they were packed last. What was folded since is guessed, on the safe side and
without a look at the cells; only where the guess comes near the bound are they looked at. How much records can add at
most is known before they are folded: new parts in each slice, with their names, and exemplars, whose texts are as long
as the records say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from monitor.core.aggregate import Aggregate
from monitor.core.event import Observation
from monitor.core.partition import OTHER_RELEASES_MAX, PartitionFold
from monitor.core.placing import Told
from monitor.core.plan import SHARDS, Plan, exemplar_id
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.engine.inventory import NAME_BYTES, Inventory
from monitor.engine.ports import MAX_FLUSH_FIELDS, SourceRecord

_CELL_BYTES: Final = 576  # with its share of a manifest, and a sample of units that is not yet full
_UNIT_BYTES: Final = 2_048
_PART_BYTES: Final = 192  # without its name
_NAME_MOST: Final = 256  # bytes of a value's name
_SKETCH_BYTES: Final = 48
_BIN_BYTES: Final = 5  # a bin and its count, one by one
_FEW_BINS: Final = 64  # fewer are not looked at closely
_EXEMPLAR_BYTES: Final = 24  # without its texts
_KEPT_BYTES: Final = 96  # the name of an indicator that has exemplars
_OUTCOME_BYTES: Final = 80
_META_BYTES: Final = 16_384
_OTHERS_BYTES: Final = OTHER_RELEASES_MAX * 540  # of releases that nobody watches, with the longest names
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
        self._slices = self._growth = self._part_bytes = self._kept_bytes = self._row_cells = self._rules = 1
        self._admitted = 0  # what exemplars of the records may take that there was room for
        self.written()

    def written(self) -> None:
        """Begin anew: what was changed is stored."""
        self._begin(_META_BYTES)

    def _begin(self, weighed: int) -> None:
        self._weighed = weighed
        self._records = self._exemplar_bytes = 0
        self._weighed_from, self._cells_from = self._fold.changed_bytes, len(self._fold.changed)
        self._parts_from, self._names_from = self._fold.parts_made

    def folded(self, records: int) -> None:
        """Note that so many records were folded: those that there was `room` for."""
        self._records += records
        self._exemplar_bytes += self._admitted
        self._admitted = 0

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

    def room(
        self,
        records: Sequence[SourceRecord],
        told: Told,
        rows: Callable[[], int] = lambda: _MAX_FIELDS,
    ) -> int:
        """Return how many of the first events may be folded before the next look, where the write is not full.

        Args:
            records: As what they came.
            told: The events; at least one.
            rows: Returns how many minutes of watched releases the records can touch, at most; as many as there are
                where nobody knows.
        """
        changed = self._fold.changed
        fields = _MAX_FIELDS - len(changed)
        # What is not changed yet may have to be written too.
        unchanged = max(0, self._fold.held_bytes - self._fold.changed_bytes)
        spare = self._max_bytes - self._guess - unchanged - _OTHERS_BYTES
        opened = rows() * self._row_cells  # cells, at most
        many, names, is_measured = len(told.events), self._slices * _NAME_MOST, False
        # By each rule in each slice: the place among the events, and the bytes, of what may be an exemplar.
        shown = np.flatnonzero(told.traits.may_show).tolist()
        sizes = [_EXEMPLAR_BYTES + _shown_bytes(told.events[index]) for index in shown]
        while True:
            cells, count = min(opened, many * self._slices), bisect_left(shown, many)
            self._admitted = sum(sizes[:count]) * self._rules
            added = cells * _CELL_BYTES + self._admitted + count * self._slices * self._kept_bytes
            added += many * (self._slices * self._part_bytes + self._growth + names)
            if many <= 1 or (cells <= fields and added <= spare):
                return max(1, many)
            if is_measured:
                many //= 2
            else:  # the names of all values in a record take no more than the record
                names, is_measured = min(names, _longest(records)), True

    @property
    def _guess(self) -> int:
        new = self._fold.changed_bytes - self._weighed_from
        cells = len(self._fold.changed) - self._cells_from
        parts, names = self._fold.parts_made
        made = (parts - self._parts_from) * (self._part_bytes + self._kept_bytes) + names - self._names_from
        grown = self._records * self._growth + self._exemplar_bytes
        return self._weighed + max(0, new) + max(0, cells) * _CELL_BYTES + made + grown

    def _follow_plan(self) -> None:
        plan = self._fold.plan
        if plan is self._plan:
            return
        self._plan = plan
        views = max(plan.views.values(), key=len, default=())
        sketches = sum(len(view.sketches) for view in views)
        self._slices = len(views) + 1
        self._row_cells = 1 + sum(SHARDS if view.by else 1 for view in views)
        # An incident is an exemplar of each slice, whatever it is judged by.
        self._rules = max(
            (sum(len(view.exemplars) + 1 for view in own) for own in plan.views.values()), default=1
        )
        outcomes = sum(len(view.outcomes) for view in views)
        # To parts that are there: a bin of each distribution. What else they may hold has its bounds.
        self._growth = 16 + _BIN_BYTES * sketches + outcomes
        sources = max((len(view.sketches) for view in views), default=0)
        rules = max((len(view.exemplars) for view in views), default=0)
        named = max((len(view.outcomes) for view in views), default=0)
        self._part_bytes = _PART_BYTES + _SKETCH_BYTES * sources + _OUTCOME_BYTES * named
        self._kept_bytes = _KEPT_BYTES * rules

    def _weigh(self) -> None:
        fold = self._fold
        cells = fold.cells
        minutes = {key.minute for key in fold.changed}
        weight = _META_BYTES + sum(weight_of(cells[key]) for key in fold.changed)
        weight += NAME_BYTES * (len(fold.changed) + sum(self._inventory.size_of(one) for one in minutes))
        self._begin(weight)


def weight_of(cell: Aggregate) -> int:
    """Return how many bytes a cell takes at most, with its name and its share of a manifest."""
    weight = _CELL_BYTES + _alone(cell) + (_UNIT_BYTES if cell.units is not None else 0)
    for value, part in cell.parts.items():
        weight += len(part.packed) if part.packed is not None else _PART_BYTES + _alone(part)
        weight += len(value.encode())
    return weight


def _alone(cell: Aggregate) -> int:
    weight = _OUTCOME_BYTES * len(cell.outcomes) + _SKETCH_BYTES * len(cell.sketches)
    if cell.requests < _FEW_BINS:  # none of them is in more than one bin
        weight += _BIN_BYTES * cell.requests * len(cell.sketches)
    else:
        weight += sum(map(_bins_weight, cell.sketches.values()))
    for kept in cell.exemplars.values():
        weight += _KEPT_BYTES
        weight += sum(_EXEMPLAR_BYTES + _texts_bytes(one.trace_id, one.failure_class) for one in kept)
    return weight


def _longest(records: Sequence[SourceRecord]) -> int:
    return max(map(len, filter(None, [one.value for one in records])), default=0)


def _shown_bytes(event: Observation) -> int:
    return _texts_bytes(exemplar_id(event), event.failure_class or "")


def _texts_bytes(trace_id: str, failure_class: str) -> int:
    return len(trace_id.encode()) + len(failure_class.encode())


def _bins_weight(sketch: Sketch) -> int:
    one_by_one = _BIN_BYTES * sketch.width
    if one_by_one < _BIN_BYTES * _FEW_BINS:
        return one_by_one
    bins, counts = sketch.rising()
    last = bins[-2] if bins[-1] == UNFINISHED_BIN else bins[-1]
    dense = (last - bins[0] + 1) * (1 if max(counts) < 1 << 8 else _BIN_BYTES)
    return min(one_by_one, dense)
