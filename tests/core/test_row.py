"""What a minute adds up to is what its requests are one by one, counted in the plainest way."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import TraceRecord
from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, CohortKey, by_every, cohort_key
from monitor.core.event import UNFINISHED_US
from monitor.core.exemplar import EXEMPLARS_PER_CELL, EXEMPLARS_PER_PART, Exemplar
from monitor.core.indicator import LABELS
from monitor.core.partition import PartitionFold
from monitor.core.plan import View, exemplar_id
from monitor.core.row import GATHER, row_of
from monitor.core.seen import SeenIds
from monitor.core.shape import Kinds
from monitor.core.sketch import UNFINISHED_BIN, Sketch, bin_of
from tests.engine.worlds import (
    ACME,
    CANDIDATE,
    LAWS,
    START_MS,
    T0,
    handoff,
    incidents,
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
LABEL = st.sampled_from([True, False, None])
EVENTS = st.lists(
    st.builds(
        seen,
        event_id=st.uuids().map(str),
        at_ms=st.integers(START_MS, START_MS + 59_999),
        status=st.sampled_from(["ok", "ok", "error", "timeout"]),
        task_success=LABEL,
        human_handoff=LABEL,
        fallback_used=LABEL,
        cohort=st.none() | st.fixed_dictionaries({"tenant": st.sampled_from(["acme", "globex", ""])}),
        latency_ms=st.none() | st.floats(0, 86_400_000),
        cost_usd=st.none() | st.floats(0, 1_000_000),
        tokens_in=st.none() | st.integers(0, 2**53),
        tokens_out=st.none() | st.integers(0, 2**53),
        outcomes=st.none() | st.dictionaries(st.sampled_from(["grounded", "x"]), st.booleans()),
        trace_id=st.sampled_from([None, "t1", "t2", "t3", "t4"]),
        failure_class=st.sampled_from([None, "wrong"]),
    ),
    max_size=25,
    unique_by=lambda event: event.event_id,
)


def plainly(events: list[TraceRecord], view: View, most: int = EXEMPLARS_PER_PART) -> Aggregate:
    """Return what these requests add up to."""
    whole = Aggregate()
    whole.requests = len(events)
    ended = Counter(event.status for event in events)
    whole.errors, whole.timeouts = ended["error"], ended["timeout"]
    whole.first_at_ms = min(event.at_ms for event in events)
    labels = [event.labels() for event in events]
    whole.known = [sum(value is not None for value in column) for column in zip(*labels, strict=True)]
    whole.hits = [sum(value is True for value in column) for column in zip(*labels, strict=True)]
    for name in view.outcomes:
        said = [event.outcomes[name] for event in events if event.outcomes and name in event.outcomes]
        if said:
            whole.outcomes[name] = [sum(said), len(said)]
    for source in view.sketches:
        sizes = [size for event in events if (size := event.size_of(source)) is not None]
        is_open = [source == "latency" and size == UNFINISHED_US for size in sizes]
        bins = [UNFINISHED_BIN if late else bin_of(size) for size, late in zip(sizes, is_open, strict=True)]
        if sizes:
            total = sum(size for size, late in zip(sizes, is_open, strict=True) if not late)
            whole.sketches[source] = Sketch(dict(Counter(bins)), total)
    for rule in view.exemplars:
        ranked = ((rule.rank(event, event.labels()), event) for event in events)
        shown = {
            Exemplar(rank, exemplar_id(one), one.failure_class or "")
            for rank, one in ranked
            if rank is not None
        }
        if shown:
            whole.exemplars[rule.indicator] = sorted(shown)[:most]
    return whole


@settings(LAWS, max_examples=80)
@given(EVENTS, st.integers(0, 25))
def test_a_part_is_its_requests_counted_one_by_one(events: list[TraceRecord], cut: int) -> None:
    (view,) = (one for one in WATCHED.views[CANDIDATE] if one.key == by_every(OVERALL, TENANT))
    fold = PartitionFold(WATCHED, SeenIds(99))
    fold.fold_many(events[:cut])
    assert fold.cells is not None  # adding up in between changes nothing
    fold.fold_many(events[cut:])
    parts = {
        value: part
        for key, cell in fold.cells.items()
        if key.view == view.key
        for value, part in cell.parts.items()
    }
    by_tenant: dict[str, list[TraceRecord]] = {}
    for event in events:
        by_tenant.setdefault((event.cohort or {}).get("tenant", ""), []).append(event)
    assert parts == {value: plainly(own, view) for value, own in by_tenant.items()}


ACME_CHAT = cohort_key({"tenant": "acme", "workflow": "chat"})
SLICED = plan_of(
    objective(critical_cohorts=(ACME, ACME_CHAT)), handoff(), objective("p95", 15.0), objective("tool_p95", 15.0),
    objective("cost_per_request", 5.0), objective("outcome.grounded", -2.0, critical_cohorts=(ACME,)),
    objective("error", 5.0), objective("timeout", -5.0), objective("outcome.x", 2.0), incidents(),
)  # fmt: skip


@settings(LAWS, max_examples=60)
@given(EVENTS, st.integers(0, 25))
def test_a_slice_is_its_requests_counted_one_by_one(events: list[TraceRecord], cut: int) -> None:
    """Those that lie in it, and of nobody else's not even an exemplar."""
    for number, event in enumerate(events):
        event.stage_ms = {"tool": 7.0 * number} if number % 3 else None
        event.cohort = {**(event.cohort or {}), "workflow": "chat"} if number % 2 else event.cohort
    fold = PartitionFold(SLICED, SeenIds(99))
    fold.fold_many(events[:cut])
    for event in events[cut:]:
        fold.fold(event, None)
    for view in SLICED.views[CANDIDATE]:
        inside = [event for event in events if dict(view.within).items() <= (event.cohort or {}).items()]
        expected = plainly(inside, view, EXEMPLARS_PER_CELL) if inside else Aggregate()
        assert fold.cells.get(CellKey(T0, CANDIDATE, view.key), Aggregate()) == expected
        assert (CellKey(T0, CANDIDATE, view.key) in fold.changed) is bool(inside)


def test_labels_that_come_later_show_requests_by_their_label_alone() -> None:
    """An `outcome` is no second request: not a slow one, not a dear one, whatever stands in it."""
    told = [
        seen(
            f"e-{number}", START_MS, kind="outcome", status="error", task_success=number % 2 == 0, latency_ms=9e4,
            cost_usd=50.0, stage_ms={"tool": 9e4}, failure_class="wrong" if number < 2 else None,
            cohort={"tenant": "acme" if number < 2 else "globex"}, outcomes={"grounded": number > 0},
        )
        for number in range(4)
    ]  # fmt: skip
    fold = PartitionFold(SLICED, SeenIds(99))
    fold.fold_many(told)

    def shown(view: CohortKey) -> dict[str, list[tuple[str, str]]]:
        kept = fold.cells[CellKey(T0, CANDIDATE, view)].exemplars
        return {
            name: sorted((one.trace_id, one.failure_class) for one in ones) for name, ones in kept.items()
        }

    assert shown(OVERALL) == {
        "task_success": [("e-1", "wrong"), ("e-3", "")],
        "outcome.grounded": [("e-0", "wrong")],
    }
    assert shown(ACME) == {"task_success": [("e-1", "wrong")], "outcome.grounded": [("e-0", "wrong")]}
    assert shown(ACME_CHAT) == {}


def test_requests_are_looked_at_when_512_wait() -> None:
    """As they came they take ten times the room."""
    kinds, cells = Kinds(), dict[CellKey, Aggregate]()
    row = row_of(T0, CANDIDATE, WATCHED.views[CANDIDATE], cells, kinds, lambda cell, key: None, later=False)
    kind = np.array([kinds.number("ok", (None,) * len(LABELS))])
    for number in range(GATHER):
        assert (row.parts_made, row.names_made) == (0, 0)
        row.add([seen(f"e-{number}", START_MS, cohort={"tenant": "acme"})], kind, np.array([START_MS]))
    assert (row.parts_made, row.names_made) == (1, len("acme"))
    assert row.waiting == GATHER
    row.settle()
    assert row.waiting == 0
    assert [part.requests for cell in cells.values() for part in cell.parts.values()] == [GATHER]
