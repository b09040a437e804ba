"""Joining a trace: what belongs to it is a matter of stamps alone; nothing is lost between read and acknowledged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.otlp_payloads import START_MS, evaluation, logs_value, request, span, spans_value, trace_id
from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.adapters.kafka.trace_topic import encode
from monitor.adapters.otlp.decode import decode_logs, decode_spans
from monitor.config.mapping_file import load_mapping
from monitor.core.span import Parts
from monitor.engine import span_join
from monitor.engine.ports import Partition
from monitor.engine.span_join import JoinLimits, Place, SpanJoin

MAPPING = load_mapping("otel-genai.v1")
WINDOW_MS = 10_000
SPANS, LOGS = Partition("otlp_spans", 0), Partition("otlp_logs", 0)
Traces = Mapping[str, Parts]
Row = tuple[int, Traces]


def join(**limits: int) -> SpanJoin:
    return SpanJoin(MAPPING, JoinLimits(**{"window_ms": WINDOW_MS, **limits}))


def spans_of(*spans: object) -> Traces:
    found = decode_spans(spans_value(*spans), MAPPING.wanted)  # type: ignore[arg-type]  # spans of the SDK
    assert not isinstance(found, str)
    return found


def logs_of(*logs: object) -> Traces:
    found = decode_logs(logs_value(*logs), MAPPING.wanted)  # type: ignore[arg-type]  # log records of the SDK
    assert not isinstance(found, str)
    return found


def told(joining: SpanJoin) -> list[TraceRecord]:
    """Take what is due, acknowledge it, and read it as the monitor does."""
    batch = joining.take()
    joining.acknowledged(batch)
    values = [encode(facts) for _, facts in batch.events]
    assert all(isinstance(value, bytes) for value in values), values
    read = [decode(value) for value in values if isinstance(value, bytes)]
    return [one for one in read if isinstance(one, TraceRecord)]


def test_a_request_is_told_of_when_its_window_is_over_and_not_before() -> None:
    joining = join()
    joining.add(Place(SPANS, 0), 1_000, spans_of(*request(7)))
    joining.add(Place(LOGS, 0), 1_000 + WINDOW_MS, logs_of(evaluation(7, 5, "task_success", label="pass")))
    joining.close(1_000 + WINDOW_MS)
    assert told(joining) == []
    joining.close(1_001 + WINDOW_MS)
    (event,) = told(joining)
    assert (event.event_id, event.trace_id) == (f"otel-{trace_id(7)}", trace_id(7))
    assert event.at_ms == START_MS + 907
    assert (event.release, event.task_success, event.latency_ms) == ("model-v42", True, 907.0)
    assert (event.tokens_in, event.tokens_out, event.stage_ms) == (407, 120, {"model": 830.0})
    assert event.cohort == {"tenant": "tenant-07", "intent": "intent.7", "provider": "openai"}
    assert event.unit_id is not None
    assert "session" not in event.unit_id


def test_what_an_evaluation_says_later_is_an_outcome_of_the_same_request_and_only_what_is_new() -> None:
    joining = join()
    joining.add(Place(SPANS, 0), 0, spans_of(*request(7)))
    joining.close(WINDOW_MS + 1)
    (asked,) = told(joining)
    late = evaluation(7, 5, "task_success", label="fail")
    for offset in range(2):  # the collector sends it again
        joining.add(Place(LOGS, offset), 2 * WINDOW_MS + offset, logs_of(late))
    joining.close(3 * WINDOW_MS)
    (outcome,) = told(joining)
    assert (outcome.kind, outcome.task_success, outcome.latency_ms) == ("outcome", False, None)
    assert (outcome.at_ms, outcome.release, outcome.cohort) == (asked.at_ms, asked.release, asked.cohort)
    assert outcome.event_id != asked.event_id
    assert joining.counts.of["labelled_before"] == 1


def test_a_late_label_of_a_trace_nobody_knows_is_counted_unless_it_names_its_release() -> None:
    joining = join()
    beside = {
        "rollback_budget.release": "model-v42",
        "rollback_budget.at": START_MS + 3,
        "rollback_budget.tenant": "a",
    }
    joining.add(Place(LOGS, 0), 0, logs_of(evaluation(1, 5, "task_success", label="pass")))
    joining.add(Place(LOGS, 1), 0, logs_of(evaluation(2, 5, "task_success", label="pass", beside=beside)))
    joining.close(JoinLimits().root_wait_ms + 1)
    (event,) = told(joining)
    assert (event.kind, event.release, event.at_ms, event.task_success) == (
        "outcome",
        "model-v42",
        START_MS + 3,
        True,
    )
    assert event.cohort == {"tenant": "a"}
    assert joining.counts.of["unmatched"] == 1
    assert trace_id(1) in joining.counts.samples["unmatched"]


def test_what_cannot_be_told_of_is_counted_by_reason() -> None:
    joining = join(max_traces=3)
    orphan = span(1, 5, 4, (0, 1), {"gen_ai.operation.name": "chat"})
    nameless = span(2, 0, None, (0, 1), {})
    odd = span(3, 0, None, (0, 1), {"rollback_budget.release": "r", "rollback_budget.tenant": "x" * 65})
    for offset, one in enumerate((orphan, nameless, odd)):
        joining.add(Place(SPANS, offset), 0, spans_of(one))
    joining.close(JoinLimits().root_wait_ms + 1)
    (event,) = told(joining)
    assert (event.release, event.cohort) == ("r", None)
    counts = joining.counts.of
    assert (counts["no_root"], counts["no_release"], counts["refused:cohort.tenant"]) == (1, 1, 1)


def test_bounds_are_kept_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_join, "MAX_SPANS", 3)
    joining = join(max_traces=2, max_remembered=2)
    many = [span(0, number, 0, (0, 5), {"gen_ai.operation.name": "chat"}) for number in range(1, 9)]
    joining.add(Place(SPANS, 0), 0, spans_of(*many))
    joining.add(Place(SPANS, 1), 0, spans_of(span(0, 0, None, (0, 9), {"rollback_budget.release": "r"})))
    for number in range(1, 5):
        joining.add(Place(SPANS, 1 + number), 0, spans_of(*request(number)))
    assert joining.open_count == 2
    joining.close_all()
    assert len(told(joining)) == 5, "closed early is told of all the same, the root beyond the bound too"
    counts = joining.counts.of
    assert (counts["spans_over"], counts["closed_early"], counts["forgotten"]) == (5, 3, 3)


def test_a_place_is_free_when_all_that_came_of_it_is_acknowledged() -> None:
    joining = join()
    joining.add(Place(SPANS, 10), 0, spans_of(*request(1), *request(2)))
    joining.add(Place(SPANS, 11), 5_000, spans_of(*request(3)))
    joining.add(Place(SPANS, 12), 5_000, {})
    assert joining.safe_offsets() == {SPANS: 10}
    joining.close(WINDOW_MS + 1)
    batch = joining.take()
    assert len(batch.events) == 2
    assert joining.safe_offsets() == {SPANS: 10}, "sent is not acknowledged"
    joining.acknowledged(batch)
    assert joining.safe_offsets() == {SPANS: 11}
    joining.close_all()
    joining.acknowledged(joining.take())
    assert joining.safe_offsets() == {SPANS: 13}


# ---- laws

WORLD = 6


def world() -> list[Row]:
    """Return records of some traces with stamps: spans apart from their roots, labels in time, late and twice."""
    rows: list[Row] = []
    for number in range(WORLD):
        root, model = request(number)
        tool = span(
            number, 2, 0, (30.0, 90.0), {"gen_ai.operation.name": "execute_tool"}, failed=number % 2 == 0
        )
        begin = number * 700
        rows += [
            (begin, spans_of(model, tool)),
            (begin + 100 * number, spans_of(root)),
            (begin + 900, spans_of(model)),
            (begin + 1_500, logs_of(evaluation(number, 950.0, "task_success", label="pass"))),
            (begin + 2_500, logs_of(evaluation(number, 951.0, "task_success", label="fail"))),
            (begin + 30_000, logs_of(evaluation(number, 990.0, "groundedness", label="pass"))),
            (begin + 30_001, logs_of(evaluation(number, 980.0, "groundedness", label="fail"))),
            (begin + 30_002, logs_of(evaluation(number, 991.0, "incident_severity", label="high"))),
        ]
    return rows


ROWS = world()


def bridged(partitions: list[list[Row]], draw: Random) -> list[str]:
    """Read partitions in a drawn interleaving, closing now and then by what all of them are past; return the events."""
    joining, positions = join(), [0] * len(partitions)
    values = []
    while any(position < len(rows) for position, rows in zip(positions, partitions, strict=True)):
        number = draw.choice([n for n, rows in enumerate(partitions) if positions[n] < len(rows)])
        stamp_ms, traces = partitions[number][positions[number]]
        joining.add(Place(Partition("p", number), positions[number]), stamp_ms, traces)
        positions[number] += 1
        if draw.random() < 0.4:
            clocks = [rows[positions[n]][0] for n, rows in enumerate(partitions) if positions[n] < len(rows)]
            joining.close(min(clocks, default=10**9))
            batch = joining.take()
            joining.acknowledged(batch)
            values += [json.dumps(facts, sort_keys=True) for _, facts in batch.events]
    joining.close_all()
    batch = joining.take()
    joining.acknowledged(batch)
    assert joining.safe_offsets() == {
        Partition("p", n): len(rows) for n, rows in enumerate(partitions) if rows
    }
    return sorted([*values, *(json.dumps(facts, sort_keys=True) for _, facts in batch.events)])


ONE_BY_ONE = bridged([sorted(ROWS, key=lambda row: row[0])], Random(0))


def test_the_world_of_the_law_has_requests_and_outcomes() -> None:
    assert len(ONE_BY_ONE) == 3 * WORLD
    assert sum('"kind": "outcome"' in one for one in ONE_BY_ONE) == 2 * WORLD


@given(
    seed=st.integers(0, 2**32),
    partitions=st.integers(1, 5),
    repeats=st.lists(st.integers(0, len(ROWS) - 1), max_size=12),
)
def test_any_order_any_batches_and_repeated_records_give_the_same_events(
    seed: int, partitions: int, repeats: list[int]
) -> None:
    draw = Random(seed)
    spread: list[list[Row]] = [[] for _ in range(partitions)]
    # A record that is sent again is stamped again, never earlier.
    again = [(ROWS[number][0] + draw.randrange(20_000), ROWS[number][1]) for number in repeats]
    rows = [*ROWS, *again]
    draw.shuffle(rows)
    for row in rows:
        draw.choice(spread).append(row)
    for one in spread:
        one.sort(key=lambda row: row[0])
    assert bridged(spread, draw) == ONE_BY_ONE


@given(seed=st.integers(0, 2**32), at=st.integers(0, len(ROWS)))
def test_after_a_crash_what_is_read_again_adds_no_request_and_misses_none(seed: int, at: int) -> None:
    """Killed after any record, begun again at the committed offset: by ids, every request is there, first as it was."""
    rows = sorted(ROWS, key=lambda row: row[0])
    first, place = join(), Partition("p", 0)
    seen: dict[str, str] = {}

    def take(joining: SpanJoin) -> None:
        batch = joining.take()
        for _, facts in batch.events:
            seen.setdefault(facts["event_id"], json.dumps(facts, sort_keys=True))
        joining.acknowledged(batch)

    for offset, (stamp_ms, traces) in enumerate(rows[:at]):
        first.add(Place(place, offset), stamp_ms, traces)
        first.close(stamp_ms)
        take(first)
    begin = first.safe_offsets().get(place, 0)
    second = join()
    for offset, (stamp_ms, traces) in enumerate(rows[begin:], begin):
        second.add(Place(place, offset), stamp_ms, traces)
        second.close(stamp_ms)
        take(second)
    second.close_all()
    take(second)
    requests = [one for one in ONE_BY_ONE if '"kind"' not in one]
    assert [one for one in sorted(seen.values()) if '"kind"' not in one] == requests
