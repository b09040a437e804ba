"""Columns: sums and ranks by part, and shapes and kinds in bounded room."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.columns import (
    NO_BIN,
    ByPart,
    bins_by_part,
    end_unfinished,
    kinds_by_part,
    sized,
    sized_whole,
)
from monitor.core.event import HIGH_SEVERITIES, UNFINISHED_US
from monitor.core.partition import PartitionFold
from monitor.core.rehearsal import stand_ins
from monitor.core.seen import SeenIds
from monitor.core.shape import ERROR, LABELS_ONLY, SHAPES_MAX, TIMEOUT, Kinds, Shapes
from monitor.core.sketch import BIN_COUNT, UNFINISHED_BIN, bin_of
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


def test_parts_keep_their_order_where_their_numbers_no_longer_fit_16_bits() -> None:
    for largest in (2**15 - 1, 2**15, 2**16 + 1):
        found = ByPart(np.array([largest, 1, 0, largest], dtype=np.int64))
        assert found.parts == [0, 1, largest]
        assert found.rows.tolist() == [2, 1, 0, 3]


_PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12)
_TABLE = [(1, 0, 7), (1, 1, 0), (1, 0, 2**40)]


@settings(LAWS, max_examples=30)
@given(_PAIRS)
def test_what_a_part_adds_up_to_is_what_its_requests_are_one_by_one(pairs: list[tuple[int, int]]) -> None:
    parts, kinds = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    expected = {
        part: [
            sum(column) for column in zip(*(_TABLE[kind] for own, kind in pairs if own == part), strict=True)
        ]
        for part in {part for part, _ in pairs}
    }
    found = list(kinds_by_part(parts, kinds, np.array(_TABLE, dtype=np.int64)))
    assert [part for part, _ in found] == sorted(expected)
    assert dict(found) == expected


@settings(LAWS, max_examples=30)
@given(
    _PAIRS, st.sampled_from([(0, 17, BIN_COUNT - 1), (40, 41, 43)])
)  # the first and the last; and near ones
def test_the_bins_of_a_part_are_those_of_its_requests_one_by_one(
    pairs: list[tuple[int, int]], numbers: tuple[int, int, int]
) -> None:
    told = [(part, numbers[which]) for part, which in pairs]
    parts, bins = (np.array(column, dtype=np.int64) for column in zip(*told, strict=True))
    counted = Counter(told)
    expected = [
        (part, own, [counted[part, index] for index in own])
        for part in sorted({part for part, _ in told})
        if (own := sorted({index for one, index in told if one == part}))
    ]
    assert list(bins_by_part(parts, bins)) == expected


_WHOLE = st.lists(st.none() | st.sampled_from([0, 1, 2, 3]) | st.integers(0, 2**53), max_size=6)


@settings(LAWS, max_examples=30)
@given(_WHOLE)
def test_a_value_is_told_in_whole_steps_and_none_is_in_no_bin(told: list[int | None]) -> None:
    expected = [(0, NO_BIN) if value is None else (value, bin_of(value)) for value in told]
    assert _pairs(sized_whole(told)) == expected
    halves = [None if value is None else value % 2**40 / 2 for value in told]
    expected = [
        (0, NO_BIN) if half is None else (round(half * 3), bin_of(round(half * 3))) for half in halves
    ]
    assert _pairs(sized(halves, 3)) == expected


def test_a_failure_has_no_latency_and_a_timeout_is_slower_than_all() -> None:
    values, bins = sized([5.0, 5.0, 5.0], 1)
    failed, unfinished = (np.array(flags) for flags in ([False, True, False], [False, False, True]))
    end_unfinished(values, bins, failed, unfinished)
    assert _pairs((values, bins)) == [(5, bin_of(5)), (0, NO_BIN), (UNFINISHED_US, UNFINISHED_BIN)]


def _pairs(columns: Any) -> list[tuple[int, int]]:
    values, bins = columns
    return list(zip(values.tolist(), bins.tolist(), strict=True))


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


def test_a_kind_is_counted_as_its_request_and_its_labels_are() -> None:
    kinds = Kinds()
    told = [("ok", (True, False, None)), ("error", (None, None, None)), ("timeout", (False, True, True))]
    assert [kinds.number(*one) for one in [*told, told[1]]] == [0, 1, 2, 1]
    assert len(kinds) == 3
    assert kinds.table.tolist() == [
        # itself, error, timeout; then which label is known, and which is true
        [1, 0, 0, 1, 1, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 1, 1, 1, 1, 0, 1, 1],
    ]
    assert kinds.endings.tolist() == [0, ERROR, TIMEOUT]
    assert kinds.table.dtype == kinds.endings.dtype == np.int64
    assert kinds.number("error", (True, True, True)) == 3  # met after somebody has looked
    assert kinds.table[3].tolist() == [1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert kinds.endings.tolist() == [0, ERROR, TIMEOUT, ERROR]


_DRILL = stand_ins("today").candidate
_ANY = st.builds(
    seen,
    event_id=st.just("e"),
    at_ms=st.just(START_MS),
    release=st.sampled_from([CANDIDATE, _DRILL, "stray"]),
    kind=st.sampled_from(["request", "outcome"]),
    traffic=st.sampled_from(["live", "shadow", "rehearsal"]),
    status=st.sampled_from(["ok", "error"]),
    incident_severity=st.sampled_from([None, "low", "high"]),
    task_success=st.sampled_from([True, None]),
)


@settings(LAWS, max_examples=30)
@given(st.lists(_ANY, min_size=1, max_size=8), st.integers(0, 8))
def test_what_follows_from_a_shape_is_what_its_event_says(events: list[Any], cut: int) -> None:
    """Live traffic counts for a release that a budget watches, and rehearsed traffic for a stand-in; no other."""
    plan = plan_of(objective(label_delay_min=90))
    plan.views[_DRILL] = plan.views[CANDIDATE]
    kinds = Kinds()
    shapes = Shapes(plan, kinds)
    assert {len(column) for column in shapes.of([])} == {0}
    shapes.of(events[:cut] or events[:1])  # what was met before is still known
    found = shapes.of(events)
    for event, kind, release, is_watched, counts, is_incident, delay_ms, may_show in zip(
        events, *(column.tolist() for column in found), strict=True
    ):
        assert shapes.releases[release] == event.release
        assert is_watched is (event.release != "stray")
        assert counts is ((event.release, event.traffic) in {(CANDIDATE, "live"), (_DRILL, "rehearsal")})
        assert is_incident is (counts and event.incident_severity in HIGH_SEVERITIES)
        assert may_show is (event.release in {CANDIDATE, _DRILL} or event.incident_severity is not None)
        assert delay_ms == (90 * 60_000 if event.is_outcome and event.release == CANDIDATE else 0)
        if event.is_outcome or not counts:
            assert kind == LABELS_ONLY
        else:
            assert kinds.labels[kind] == event.labels()
            assert kinds.endings[kind] == (ERROR if event.status == "error" else 0)
    assert len(set(shapes.releases)) == len(shapes.releases)
