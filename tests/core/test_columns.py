"""Columns: sums and ranks by part, and shapes and kinds in bounded room."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.columns import ByPart
from monitor.core.partition import PartitionFold
from monitor.core.seen import SeenIds
from monitor.core.shape import SHAPES_MAX, Kinds, Shapes
from tests.engine.worlds import (
    CANDIDATE,
    LAWS,
    START_MS,
    T0,
    handoff,
    objective,
    plan_of,
    seen,
)

TENANT = ("tenant",)
WATCHED = plan_of(
    objective(watched_dimensions=TENANT), handoff(watched_dimensions=TENANT),
    objective("p95", 15.0, watched_dimensions=TENANT), objective("cost_per_request", 5.0, watched_dimensions=TENANT),
    objective("tokens_per_request", 5.0, watched_dimensions=TENANT),
    objective("outcome.grounded", -2.0, watched_dimensions=TENANT),
    objective("timeout", 5.0, watched_dimensions=TENANT),
)  # fmt: skip


@LAWS
@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 2**62)), min_size=1), st.integers(1, 5))
def test_sums_and_ranks_by_part(pairs: list[tuple[int, int]], count: int) -> None:
    parts, values = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    found = ByPart(parts)
    expected: dict[int, list[int]] = {}
    for part, value in pairs:
        expected.setdefault(part, []).append(value)
    assert found.parts == sorted(expected)
    assert found.sums(values) == [sum(expected[part]) for part in found.parts]
    assert found.least(values) == [min(expected[part]) for part in found.parts]
    chosen = {(int(parts[row]), int(values[row])) for row in found.foremost(values, count).tolist()}
    assert chosen == {(part, value) for part, own in expected.items() for value in sorted(set(own))[:count]}


def test_shapes_and_kinds_take_bounded_room() -> None:
    """Releases and labels come from outside."""
    fold = PartitionFold(WATCHED, SeenIds(9))
    for start in range(0, 3 * SHAPES_MAX, 512):
        events = [seen(f"e-{n}", START_MS, task_success=True) for n in range(start, start + 512)]
        for number, event in enumerate(events[1:], start):
            event.release = f"stray-{number}"
        fold.fold_many(events)
    assert len(fold._shapes) <= SHAPES_MAX + 512
    (cell,) = (cell for key, cell in fold.cells.items() if key == CellKey(T0, CANDIDATE, OVERALL))
    assert cell.rate("task_success") == (24, 24)


def test_numbers_begin_anew_after_all_is_forgotten() -> None:
    kinds = Kinds()
    shapes = Shapes(WATCHED, kinds)
    one, other = seen("e-1", START_MS, task_success=True), seen("e-2", START_MS, status="error")
    assert shapes.of([one, other, one]).kind.tolist() == [0, 1, 0]
    assert kinds.endings.tolist() == [0, 1]
    kinds.clear()
    assert Shapes(WATCHED, kinds).of([other]).kind.tolist() == [0]
    assert kinds.endings.tolist() == [1]
    assert kinds.labels == [other.labels()]
