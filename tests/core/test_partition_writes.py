"""What a fold marks to be written: all that changed, and each cell once."""

from __future__ import annotations

from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.window import closed_before
from tests.engine.worlds import (
    CANDIDATE,
    MINUTE,
    START_MS,
    T0,
    folded,
    handoff,
    incidents,
    objective,
    plan_of,
    seen,
)

PLAN = plan_of(objective(), handoff(), incidents())


def test_an_incident_that_comes_late_is_written_too() -> None:
    """Nothing else changes in its minute: what is not marked is lost with the worker."""
    clock_ms = START_MS + 60 * MINUTE
    fold, _ = folded([seen("a", clock_ms)], PLAN)
    fold.stored(frozenset(fold.changed))
    fold.fold(seen("b", START_MS, incident_severity="high"), None)
    assert CellKey(closed_before(clock_ms), CANDIDATE, OVERALL) in fold.changed


def test_a_cell_that_changes_often_is_written_once() -> None:
    fold, _ = folded([seen("a", START_MS)], PLAN)
    key = CellKey(T0, CANDIDATE, OVERALL)
    fold.cells[key].packed_bytes = 700
    fold.stored(frozenset(fold.changed))
    for name in ("b", "c"):
        fold.fold(seen(name, START_MS, incident_severity="high"), None)
    assert fold.changed == {key}
    assert fold.changed_bytes == fold.held_bytes == 700
