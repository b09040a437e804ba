"""What a watch shows, together with what other watches of the same budget say about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from monitor.core.cohort import CohortKey
from monitor.core.record import Finding
from monitor.core.stages import stage_moves
from monitor.core.sustained import Judgement
from monitor.core.watch import Watch
from monitor.core.window import minute_of

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator


def finding_of(evaluator: Evaluator, watch: Watch, judged_to: int, judgement: Judgement | None) -> Finding:
    """Return what a watch shows, and of an end-to-end latency which of its stages moved."""
    found = watch.finding(judged_to, evaluator.budget.exemplars, judgement)
    start = minute_of(found.started_ms)
    moves = stage_moves(watch, _of_slice(evaluator, watch.view), start, start + found.held_min)
    return replace(found, stages=moves) if moves else found


def unjudged(evaluator: Evaluator, watch: Watch, judged_to: int) -> Finding:
    """Return what a watch shows, for a page that rests on no judgement of it."""
    return replace(watch.finding(judged_to, evaluator.budget.exemplars, None), evidence=None)


def _of_slice(evaluator: Evaluator, view: CohortKey) -> Iterator[Watch]:
    """Yield the watches of one slice, as the budget names it or as it was discovered."""
    for objective in evaluator.budget.objectives:
        watch = evaluator.watches.get((objective.objective_id, view))
        if watch is not None:
            yield watch
    values = dict(view)
    for dimension in evaluator.cohorts.dimensions():
        cohort = dimension.cohorts.get(values.get(dimension.dimension, ""))
        if cohort is not None and cohort.watch.view == view:
            yield cohort.watch
