"""Reads what a recording shows of a baseline, through the product's own fold. Loaded by the verb when it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from monitor.adapters.kafka.decode import decode
from monitor.cli.plan import BadPlan
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.partition import PartitionFold
from monitor.core.plan import Plan, plan_for
from monitor.core.seen import SEEN_IDS_MAX, SeenIds

if TYPE_CHECKING:
    from monitor.adapters.recordings import FileRecordings

_NAMED: int = 5  # releases that an error names


@dataclass(slots=True)
class History:
    """The baseline's live requests in a recording.

    Attributes:
        cells: Per slice, all its minutes together.
        minutes: Those with a request.
        rejected: Lines that are no trace events, by reason; they are left out.
    """

    cells: dict[CohortKey, Aggregate] = field(default_factory=dict)
    minutes: set[int] = field(default_factory=set)
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """All requests of the baseline."""
        return self._requests(OVERALL)

    @property
    def per_s(self) -> float:
        """Requests of the baseline per second, from its first minute to its last; silent minutes count."""
        return self.requests / (60.0 * (max(self.minutes) - min(self.minutes) + 1))

    def baseline(self, view: CohortKey) -> Aggregate | None:
        """Return what is known of a slice; of all requests where the slice has none."""
        return self.cells.get(view if self._requests(view) else OVERALL)

    def shares(self) -> dict[CohortKey, float]:
        """Return each slice's part of the requests, where it has any."""
        return {view: self._requests(view) / self.requests for view in self.cells if self._requests(view)}

    def _requests(self, view: CohortKey) -> int:
        cell = self.cells.get(view)
        return 0 if cell is None else cell.requests


def read_history(budget: Budget, recording: FileRecordings, names: Sequence[str]) -> History:
    """Return what a recording shows of the budget's baseline.

    Raises:
        BadPlan: It holds no live request of it.
        RecordingUnreadable, RecordingBroken: A file cannot be read, or not to its end.
    """
    history = History()
    fold = PartitionFold(_baseline_only(budget), SeenIds(SEEN_IDS_MAX))
    for batch in recording.batches():
        for line in batch:
            event = decode(line)
            if isinstance(event, str):
                history.rejected[event] += 1
            else:
                fold.fold(event, None)
        fold.take_incidents()  # they are counted in the cells
        closed = frozenset(fold.closed_keys())
        _merge(history, fold, closed)
        fold.stored(closed)
        fold.forget_closed()
    _merge(history, fold, frozenset(fold.cells))
    if not history.requests:
        others = ", ".join(sorted(fold.others)[:_NAMED]) or "none"
        raise BadPlan(
            f"--history: {', '.join(names)}: no live request of the baseline {budget.baseline}; "
            f"releases in it: {others}. Name a recording of the baseline, or leave --history out"
        )
    return history


def _baseline_only(budget: Budget) -> Plan:
    """Return the plan of the baseline's slices, each as a whole: nothing here looks at strata or watched values."""
    objectives = tuple(replace(one, watched_dimensions=()) for one in budget.objectives)
    whole = plan_for([replace(budget, objectives=objectives, strata=())])
    return Plan(
        views={budget.baseline: whole.views[budget.baseline]},
        label_delay_ms={budget.baseline: whole.label_delay_ms[budget.baseline]},
    )


def _merge(history: History, fold: PartitionFold, keys: frozenset[object]) -> None:
    for key in [key for key in fold.cells if key in keys]:
        cell = fold.cells[key]
        history.cells.setdefault(key.view, Aggregate()).merge(cell)
        if cell.requests:
            history.minutes.add(key.minute)
