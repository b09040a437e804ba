"""Aggregates: any order and any grouping of the same observations is the same aggregate."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.aggregate import NEVER_MS, Aggregate, merged
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL
from monitor.core.event import size_of
from monitor.core.exemplar import EXEMPLARS_PER_PART, Exemplar
from monitor.core.indicator import LABELS
from monitor.core.sketch import UNFINISHED_BIN
from monitor.core.units import unit_hash
from tests.engine.worlds import ACME, CANDIDATE, LAWS, START_MS, T0, folded, handoff, objective, plan_of, seen

PLAN = plan_of(
    objective(critical_cohorts=(ACME,)), handoff(), objective("p95", 15.0), objective("tool_p95", 15.0),
    objective("cost_per_request", 5.0), objective("tokens_per_request", 5.0),
    objective("outcome.grounded", -2.0), objective("error", 5.0),
)  # fmt: skip
LABEL = st.sampled_from([True, False, None])
FIELDS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["request", "request", "outcome"]),
        "status": st.sampled_from(["ok", "ok", "error", "timeout"]),
        "task_success": LABEL,
        "human_handoff": LABEL,
        "outcomes": st.none() | st.dictionaries(st.sampled_from(["grounded", "x"]), st.booleans()),
        "incident_severity": st.sampled_from([None, None, "low", "high", "critical"]),
        "latency_ms": st.none() | st.integers(0, 100_000),
        "stage_ms": st.none() | st.just({"tool": 7.0}),
        "cost_usd": st.none() | st.just(0.25),
        "tokens_in": st.none() | st.just(3),
        "tokens_out": st.none() | st.just(4),
        "cohort": st.sampled_from([None, {"tenant": "acme"}, {"tenant": "globex"}]),
    }
)


def _events(rows: list[dict[str, Any]]) -> list[TraceRecord]:
    return [seen(f"e-{at}", START_MS + at * 1_000, **row) for at, row in enumerate(rows)]


EVENTS: st.SearchStrategy[list[TraceRecord]] = st.lists(FIELDS, max_size=14).map(_events)


def _cell(events: list[TraceRecord], view: Any = OVERALL) -> Aggregate:
    """What one minute's events add up to, through the one fold there is."""
    return folded(events, PLAN)[0].cells.get(CellKey(T0, CANDIDATE, view), Aggregate())


@settings(LAWS, max_examples=60)
@given(EVENTS, st.randoms(use_true_random=False))
def test_folding_in_any_order_is_the_same(events: list[TraceRecord], chance: Any) -> None:
    shuffled = sorted(events, key=lambda _: chance.random())
    for view in (OVERALL, ACME):
        assert _cell(shuffled, view) == _cell(events, view)


@settings(LAWS, max_examples=60)
@given(EVENTS, st.data())
def test_folding_in_any_grouping_is_the_same(events: list[TraceRecord], data: st.DataObject) -> None:
    groups = [data.draw(st.integers(0, 2)) for _ in events]
    parts = [_cell([one for one, group in zip(events, groups, strict=True) if group == n]) for n in range(3)]
    a, b, c = (deepcopy(part) for part in parts)
    assert (
        merged([a, b, c]) == merged([c, a, b]) == merged([merged([a, b]), c]) == merged([a, merged([b, c])])
    )
    assert merged(parts) == _cell(events)
    assert parts == [a, b, c]  # merging changes only what is merged into


@settings(LAWS, max_examples=40)
@given(EVENTS)
def test_an_empty_aggregate_changes_nothing(events: list[TraceRecord]) -> None:
    whole = _cell(events)
    before = deepcopy(whole)
    whole.merge(Aggregate())
    assert whole == before == merged([Aggregate(), before])


@pytest.mark.parametrize(
    "source, fields, counted",
    [
        ("task_success", {"task_success": True}, (1, 1)),
        ("task_success", {"task_success": False}, (0, 1)),
        ("task_success", {}, (0, 0)),  # absent is outside the denominator
        ("outcome.grounded", {"outcomes": {"grounded": True}}, (1, 1)),
        ("outcome.grounded", {"outcomes": {"other": True}}, (0, 0)),
        ("error", {"status": "error"}, (1, 1)),
        ("error", {"status": "timeout"}, (0, 1)),
        ("timeout", {"status": "timeout"}, (1, 1)),
        ("timeout", {}, (0, 1)),  # every request has a status
        ("timeout", {"kind": "outcome"}, (0, 0)),  # an outcome is no second request
    ],
)
def test_what_counts_in_a_rate(source: str, fields: dict[str, Any], counted: tuple[int, int]) -> None:
    assert _cell([seen("e", START_MS, **fields)]).rate(source) == counted


@pytest.mark.parametrize(
    "source, fields, count, total",
    [
        ("latency", {"latency_ms": 12.5}, 1, 12_500),
        ("latency", {"latency_ms": 12.5, "status": "error"}, 0, 0),  # failing fast is not being fast
        ("latency", {"latency_ms": 12.5, "status": "timeout"}, 1, 0),  # slower than every finished one
        ("latency", {"status": "timeout"}, 1, 0),
        ("latency", {}, 0, 0),
        ("latency", {"latency_ms": 12.5, "kind": "outcome"}, 0, 0),
        ("stage.tool", {"stage_ms": {"tool": 2.0, "model": 9.0}}, 1, 2_000),
        ("stage.tool", {"stage_ms": {"tool": 2.0}, "status": "error"}, 0, 0),
        ("cost", {"cost_usd": 0.5, "status": "error"}, 1, 500_000),  # a failed request was paid for
        ("cost", {"cost_usd": 3.0}, 1, 3_000_000),
        ("tokens", {"tokens_in": 3, "tokens_out": 4}, 1, 7),
        ("tokens", {"tokens_in": 3}, 0, 0),  # half a sum would look cheap
    ],
)
def test_what_counts_in_a_distribution(source: str, fields: dict[str, Any], count: int, total: int) -> None:
    sketch = _cell([seen("e", START_MS, **fields)]).distribution(source)
    assert (sketch.count, sketch.total) == (count, total)


def test_a_timeout_lies_above_every_finished_request() -> None:
    events = [
        seen("a", START_MS, latency_ms=86_400_000.0),
        seen("b", START_MS, latency_ms=1.0, status="timeout"),
    ]
    bins = _cell(events).distribution("latency").bins
    assert bins[UNFINISHED_BIN] == 1
    assert len(bins) == 2


def test_a_timeout_is_a_microsecond_longer_than_the_day_that_a_request_may_take() -> None:
    longest, hung = seen("a", START_MS, latency_ms=86_400_000.0), seen("b", START_MS, status="timeout")
    assert size_of(longest, "latency") == 86_400_000_000
    assert size_of(hung, "latency") == 86_400_000_001


def test_the_first_request_is_the_earliest_one() -> None:
    events = [seen("a", START_MS + 900), seen("b", START_MS + 300), seen("c", START_MS + 100, kind="outcome")]
    assert _cell(events).first_at_ms == START_MS + 300


def test_an_aggregate_is_equal_by_content_alone() -> None:
    one, other = _cell([seen("a", START_MS)]), _cell([seen("b", START_MS)])
    assert one == other
    assert one != Aggregate()
    with pytest.raises(TypeError):
        hash(one)


def test_units_are_added_up_too() -> None:
    one, other = Aggregate(), Aggregate()
    other.serve("user-1")
    one.merge(other)
    assert one.units is not None
    assert one.units == other.units
    assert one.units.hashes == (unit_hash("user-1"),)
    assert one.units is not other.units  # what comes to one later is none of the other's


ALL = [1] * len(LABELS)
TOLD = seen("e", START_MS, outcomes={"grounded": False})
CHANGES: dict[str, Callable[[Aggregate], object]] = {
    "requests": lambda cell: cell.add_requests(1, 0, 0, ALL, ALL, START_MS),
    "sizes": lambda cell: cell.add_sizes("latency", 5, [3], [1]),
    "labels": lambda cell: cell.add_labels(TOLD, (True,) * len(LABELS)),
    "outcomes": lambda cell: cell.add_labels(TOLD, (None,) * len(LABELS), ("grounded",)),
    "outcome": lambda cell: cell.add_outcome("grounded", 1, 1),
    "exemplar": lambda cell: cell.keep("error", Exemplar(1, "t", "")),
    "merge": lambda cell: cell.merge(_cell([seen("e", START_MS)])),
    "total": lambda cell: cell.add_total(_cell([seen("e", START_MS)])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_part_was_packed_into_holds_no_longer_than_the_part(
    change: Callable[[Aggregate], object],
) -> None:
    """Else the change would not be stored, and be lost with the worker."""
    cell = _cell([seen("a", START_MS, latency_ms=1.0)])
    before = deepcopy(cell)
    assert (cell.packed, cell.packed_bytes) == (None, 0)
    cell.packed = b"as it was"
    assert cell == before
    change(cell)
    assert cell != before
    assert cell.packed is None


def test_an_aggregate_begins_with_nothing() -> None:
    empty = Aggregate()
    assert (empty.requests, empty.errors, empty.timeouts, empty.incidents) == (0, 0, 0, 0)
    assert (empty.first_at_ms, empty.is_changed, empty.packed_bytes) == (NEVER_MS, False, 0)
    assert empty.known == empty.hits == [0] * len(LABELS)
    assert [empty.rate(source) for source in (*LABELS, "error", "timeout", "outcome.x")] == [(0, 0)] * (
        len(LABELS) + 3
    )
    assert empty.distribution("latency").count == 0


def test_labels_count_as_often_as_they_are_told_and_once() -> None:
    """However often the counts are looked at in between, and whoever takes them over."""
    cell, labels = Aggregate(), tuple((True, False, None)[place % 3] for place in range(len(LABELS)))
    for times in (1, 2, 3):
        cell.add_labels(TOLD, labels)
        taken = merged([deepcopy(cell)])
        counted = {True: (times, times), False: (0, times), None: (0, 0)}
        for one in (taken, cell, cell):
            assert [one.rate(source) for source in LABELS] == [counted[label] for label in labels]
    other = Aggregate()
    other.add_labels(TOLD, labels)
    other.merge(cell)
    assert [other.rate(LABELS[place]) for place in range(3)] == [(4, 4), (0, 4), (0, 0)]


def test_only_outcomes_that_are_wanted_and_told_are_counted() -> None:
    cell = Aggregate()
    for said in ({"a": True, "b": True}, {"a": False, "x": True}, {}, None, {"a": True}):
        cell.add_labels(seen("e", START_MS, outcomes=said), (None,) * len(LABELS), ("a", "b", "c"))
    cell.add_labels(seen("e", START_MS, outcomes={"a": True}), (None,) * len(LABELS))
    assert cell.outcomes == {"a": [2, 3], "b": [1, 1]}
    whole = merged([cell, cell])
    assert [whole.rate(f"outcome.{name}") for name in "abc"] == [(4, 6), (2, 2), (0, 0)]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), max_size=12), st.integers(1, 4))
def test_whatever_would_be_kept_is_wanted_and_nothing_that_ranks_behind_all(
    offered: list[tuple[int, str]], size: int
) -> None:
    cell = Aggregate()
    for rank, trace in offered:
        exemplar, before = Exemplar(rank, trace, ""), deepcopy(cell.exemplars.get("error", []))
        is_wanted = cell.wants("error", rank, size)
        cell.keep("error", exemplar, size)
        kept = cell.exemplars["error"]
        assert is_wanted or kept == before
        assert not is_wanted or len(before) < size or rank <= before[-1].rank
    assert cell.wants("another", 10**9, size)


def test_a_total_is_the_cell_itself_unless_it_is_broken_down() -> None:
    plain, parted = _cell([seen("a", START_MS)]), Aggregate()
    assert plain.total() is plain
    parted.parts = {"x": deepcopy(plain), "y": deepcopy(plain)}
    parted.incidents = 1
    assert parted.rate("error") == (0, 0)
    assert (parted.total().rate("error"), parted.total().incidents, parted.total().parts) == ((0, 2), 1, {})


def test_merged_parts_keep_a_parts_number_of_exemplars_and_stay_apart() -> None:
    one, other = Aggregate(), Aggregate()
    for number, cell in enumerate((one, other)):
        for value in ("acme", f"own-{number}"):
            part = cell.parts[value] = Aggregate()
            for rank in range(EXEMPLARS_PER_PART):
                part.keep("error", Exemplar(2 * rank + number, f"t{rank}-{number}", ""))
    whole = merged([one, other])
    assert sorted(whole.parts) == ["acme", "own-0", "own-1"]
    ranks = [kept.rank for kept in whole.parts["acme"].exemplars["error"]]
    assert ranks == list(range(EXEMPLARS_PER_PART))
    assert whole.parts["own-1"] == other.parts["own-1"]
    assert whole.parts["own-1"] is not other.parts["own-1"]


def test_an_aggregate_is_equal_to_aggregates_alone() -> None:
    assert Aggregate() == Aggregate()
    assert (Aggregate() == 0) is False
