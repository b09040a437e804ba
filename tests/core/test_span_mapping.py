"""From spans to facts: what an event alone says of a request, and which labels may come later."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from monitor.config.mapping_file import read_mapping
from monitor.core.event import MAX_AT_MS
from monitor.core.span import Event, Span, Trace, Value
from monitor.core.span_mapping import (
    Convert,
    Field,
    as_choice,
    as_count,
    as_hashed,
    as_number,
    as_text,
    as_truth,
    labels_of,
    outcome_of,
    reads_events,
    repeated_by_outcomes,
    request_id_of,
    request_named_by,
    request_of,
    said_by,
)
from monitor.core.span_sources import (
    Entry,
    Evaluation,
    EventAttribute,
    RootAttribute,
    Scaled,
    Source,
    SpanAttribute,
    Translated,
)

MS = 1_000_000
TOLD_MS = 1_790_000_000_000
FIELDS = """
mapping: test.v1
fields:
  release: [{root: r}]
  cost_usd: [{event: {name: bill, attribute: usd}}]
  task_success: [{root: good}, {evaluation: task}, {event: {name: fed, attribute: good}}]
  human_handoff: [{root: handoff}]
outcome_at: [{root: ended}]
"""
MORE = """
mapping: test.v1
fields:
  release: [{root: r}]
  traffic: [{root: kind}]
  cost_usd: [{root: usd}, {root: dollars}]
  task_success: [{root: good}]
cohort: {tenant: [{root: tenant}], task: [{root: task}]}
outcomes: {grounded: [{evaluation: grounded}], kind: [{root: kind_was_told}]}
outcome_at: [{root: ended}, {root: finished}]
"""


def test_a_label_may_come_later_from_the_sources_that_are_events() -> None:
    """Not from the root span, even where an event carries an attribute of that name, and no cost at all."""
    mapping = read_mapping(FIELDS, "t.yaml")
    assert [(field.name, len(field.sources)) for field in mapping.late] == [("task_success", 2)]
    fed = Event("fed", 5, {"good": False, "handoff": True}, {})
    assert [(field.name, fact) for field, fact in labels_of(mapping, "t", fed)] == [("task_success", False)]
    for silent in (Event("bill", 5, {"usd": 2.0}, {}), Event("other", 5, {"good": True}, {})):
        assert labels_of(mapping, "t", silent) == []


@pytest.mark.parametrize(
    ("said", "at_ms"),
    [
        (0, 0),
        (MAX_AT_MS, MAX_AT_MS),
        (-1, TOLD_MS),
        (MAX_AT_MS + 1, TOLD_MS),
        ("0", TOLD_MS),
        (None, TOLD_MS),
    ],
)
def test_an_event_says_when_its_request_ended_or_it_is_when_the_event_was(
    said: int | str | None, at_ms: int
) -> None:
    named = {"r": "model-v42"} | ({} if said is None else {"ended": said})
    found = request_named_by(read_mapping(FIELDS, "t.yaml"), "t", Event("fed", TOLD_MS * MS, named, {}))
    assert found == {"release": "model-v42", "trace_id": "t", "at": at_ms}


def test_a_cohort_and_a_stage_are_no_labels_though_events_tell_them() -> None:
    told = FIELDS + "cohort: {tenant: [{event: {name: fed, attribute: tenant}}]}\n"
    mapping = read_mapping(told, "t.yaml")
    assert [field.path for field in mapping.late] == ["task_success"]
    assert labels_of(mapping, "t", Event("fed", 5, {"tenant": "acme"}, {})) == []


def _trace(start_ns: int = 0, end_ns: int = MS, **attributes: Value) -> Trace:
    root = Span("root", True, start_ns, end_ns, 0, attributes, {})
    return Trace("t", root, (root,), ())


@pytest.mark.parametrize(
    ("start_ns", "end_ns", "at_ms"),
    [
        (0, 0, None),  # a span that has not ended says 0
        (0, 1, 0),
        (1, 1, 0),
        (2, 1, None),
        (0, MS - 1, 0),
        (0, MS, 1),
        (0, TOLD_MS * MS + MS - 1, TOLD_MS),
        (0, MAX_AT_MS * MS + MS - 1, MAX_AT_MS),
        (0, MAX_AT_MS * MS + MS, None),
    ],
)
def test_a_request_happened_when_its_root_span_ended(start_ns: int, end_ns: int, at_ms: int | None) -> None:
    found = request_of(read_mapping(FIELDS, "t.yaml"), _trace(start_ns, end_ns, r="v42"), [])
    said = {"event_id": request_id_of("t"), "at": at_ms, "trace_id": "t", "release": "v42"}
    assert found == ("no_end" if at_ms is None else said)


def test_what_does_not_fit_is_named_and_the_next_source_is_asked() -> None:
    mapping, refused = read_mapping(MORE, "t.yaml"), list[str]()
    odd = _trace(r="v42", usd=-1.0, dollars=2.0, tenant="x" * 10_000, task="chat", good="maybe")
    assert request_of(mapping, odd, refused) == {
        "event_id": "otel-t", "trace_id": "t", "at": 1, "release": "v42", "cost_usd": 2.0, "cohort": {"task": "chat"},
    }  # fmt: skip
    assert sorted(refused) == ["cohort.tenant", "cost_usd", "task_success"]
    assert request_of(mapping, _trace(usd=1.0), []) == "no_release"


def test_an_event_names_its_request_by_release_traffic_and_cohort_alone() -> None:
    """What else stands beside an evaluation is the evaluation's own: its cost, its time."""
    told: dict[str, Value] = {
        "r": "v42",
        "kind": "shadow",
        "tenant": "acme",
        "task": "chat",
        "usd": 1.0,
        "good": True,
    }
    mapping = read_mapping(MORE, "t.yaml")
    named = request_named_by(mapping, "t", Event("e", TOLD_MS * MS + MS - 1, told, {}))
    assert named == {
        "at": TOLD_MS, "trace_id": "t", "release": "v42", "traffic": "shadow",
        "cohort": {"tenant": "acme", "task": "chat"},
    }  # fmt: skip
    del told["r"]
    assert request_named_by(mapping, "t", Event("e", TOLD_MS * MS, told, {"r": "v42"})) is None


@pytest.mark.parametrize(
    ("ended", "finished", "at_ms"), [(1, 2, 1), (-1, 2, 2), ("1", 2, 2), (None, 2, 2), (0.5, -2, 7)]
)
def test_the_first_place_that_says_when_a_request_ended_counts(
    ended: Value | None, finished: Value, at_ms: int
) -> None:
    said = {"r": "v42", "finished": finished} | ({} if ended is None else {"ended": ended})
    found = request_named_by(read_mapping(MORE, "t.yaml"), "t", Event("e", 7 * MS, said, {}))
    assert found is not None
    assert found["at"] == at_ms


def test_an_outcome_is_known_by_all_that_it_says() -> None:
    """The same labels of a request, told again, are the same outcome; any other label is another one."""
    mapping = read_mapping(MORE, "t.yaml")
    fields = {field.path: field for field in mapping.fields}
    good, grounded = fields["task_success"], fields["outcomes.grounded"]
    base = {"at": 7, "trace_id": "t", "release": "v42"}
    told = outcome_of(base, [(good, True), (grounded, False)])
    assert told == {
        **base, "event_id": told["event_id"], "kind": "outcome", "task_success": True, "outcomes": {"grounded": False},
    }  # fmt: skip
    assert outcome_of(dict(base), [(grounded, False), (good, True)]) == told
    others: list[list[tuple[Field, object]]] = [
        [(good, True)],
        [(good, False), (grounded, False)],
        [(good, True), (grounded, True)],
    ]
    ids = [told["event_id"], *(outcome_of(base, labels)["event_id"] for labels in others)]
    assert len(set(ids)) == 4
    assert base == {"at": 7, "trace_id": "t", "release": "v42"}


def test_an_outcome_repeats_of_its_request_what_says_whose_it_is() -> None:
    whose = {
        "at": 7, "trace_id": "t", "release": "v42", "traffic": "live", "request_id": "r-1", "unit_id": "u",
        "cohort": {"tenant": "acme"},
    }  # fmt: skip
    request = {"event_id": "otel-t", **whose, "task_success": True, "cost_usd": 1.0, "status": "ok"}
    assert repeated_by_outcomes(request) == whose
    assert repeated_by_outcomes({"at": 7, "event_id": "otel-t"}) == {"at": 7}


def test_labels_that_an_event_has_are_told_from_facts_and_from_entries_of_that_name() -> None:
    """`outcomes.kind` is a label; the event's own `kind` is none, and a cost cannot come later."""
    mapping = read_mapping(MORE, "t.yaml")
    assert said_by({"release": "v42", "cost_usd": 1.0, "kind": "request"}, mapping) == set()
    assert said_by({"task_success": False, "outcomes": {"kind": True}}, mapping) == {
        "task_success",
        "outcomes.kind",
    }


@pytest.mark.parametrize(
    ("make", "fits", "does_not"),
    [
        (lambda: as_text(3), {"abc": "abc", 123: "123"}, ("", "abcd", 0.5, True, ("a",))),
        (lambda: as_choice("live", "shadow"), {"live": "live", "shadow": "shadow"}, ("", "Live", 1)),
        (lambda: as_truth, {True: True, False: False, "true": True, "FALSE": False}, ("yes", "", 1, 0, 0.0)),
        (
            lambda: as_number(9.5),
            {0: 0.0, 0.25: 0.25, 9.5: 9.5},
            (-0.25, 9.75, "1", True, float("nan"), float("inf")),
        ),
        (lambda: as_count(9), {0: 0, 3.0: 3, 9: 9}, (-1, 10, 0.5, "1", True, float("nan"), float("inf"))),
    ],
    ids=["text", "choice", "truth", "number", "count"],
)
def test_a_fact_is_what_its_field_wants_or_absent(
    make: Callable[[], Convert], fits: dict[Value, object], does_not: tuple[Value, ...]
) -> None:
    convert = make()
    for value, fact in fits.items():
        assert (convert(value), type(convert(value))) == (fact, type(fact)), value
    assert [value for value in does_not if convert(value) is not None] == []


@pytest.mark.parametrize(
    ("source", "may_come_later"),
    [
        (Evaluation("task"), True),
        (EventAttribute("fed", "good"), True),
        (Translated(EventAttribute("fed", "good"), {}), True),
        (Scaled(Translated(Evaluation("task"), {}), 2.0), True),
        (Entry(EventAttribute("fed", "said"), "good"), True),
        (Entry(RootAttribute("said"), "good"), False),
        (RootAttribute("good"), False),
        (Scaled(RootAttribute("good"), 2.0), False),
        (SpanAttribute("good"), False),
    ],
    ids=str,
)
def test_what_reads_events_may_come_later_in_other_words_too(source: Source, may_come_later: bool) -> None:
    assert reads_events(source) is may_come_later


def test_a_unit_is_told_apart_and_not_named() -> None:
    """By a hash that others can compute too: also of a lone surrogate, which JSON lets through."""
    assert as_hashed("user-1") == sha256(b"user-1").hexdigest()
    assert as_hashed(7) == as_hashed("7") == sha256(b"7").hexdigest()
    assert (as_hashed(""), as_hashed(0.5)) == (None, None)
    assert as_hashed("\ud800") != as_hashed("\ud801")
