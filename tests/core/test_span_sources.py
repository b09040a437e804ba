"""Sources of facts: each reads its own place, and there the earliest that has something."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.span import Event, Span, Trace, Value, root_of
from monitor.core.span_sources import (
    FLAG_EVENTS,
    FLAG_VARIANTS,
    Evaluation,
    EventAttribute,
    FlagVariant,
    ResourceAttribute,
    RootAttribute,
    RootDuration,
    RootStatus,
    Scaled,
    SpanAttribute,
    SpanDuration,
    SpansSucceeded,
    SpanSum,
    Translated,
    Where,
    text_of,
)

MS = 1_000_000
OK, ERROR = 1, 2
TOOL = Where("kind", frozenset({"tool", "mcp"}))


def span(start_ms: int = 0, end_ms: int = 10, status: int = OK, **attributes: Any) -> Span:
    return Span(f"s{start_ms}", False, start_ms * MS, end_ms * MS, status, attributes, {"host": "a"})


def trace(*spans: Span, events: tuple[Event, ...] = ()) -> Trace:
    """A trace whose first span is the root."""
    return Trace("t", spans[0], spans, events)


def event(name: str, **attributes: Any) -> Event:
    return Event(name, 5, {key.replace("__", "."): value for key, value in attributes.items()}, {"host": "b"})


def evaluated(name: str = "task", *, label: Value | None = None, score: Value | None = None) -> Event:
    said: dict[str, Any] = {"gen_ai.evaluation.name": name}
    said |= {} if label is None else {"gen_ai.evaluation.score.label": label}
    said |= {} if score is None else {"gen_ai.evaluation.score.value": score}
    return Event("gen_ai.evaluation.result", 5, said, {})


def test_an_attribute_is_read_where_the_source_says() -> None:
    given = trace(span(own=1), span(1, own=2, other=3), span(2, other=4), events=(event("e", own=5),))
    assert [RootAttribute(name).read(given) for name in ("own", "other")] == [1, None]
    assert [SpanAttribute(name).read(given) for name in ("own", "other", "none")] == [1, 3, None]
    assert [ResourceAttribute(name).read(given) for name in ("host", "own")] == ["a", None]


def test_an_events_attribute_is_that_of_the_earliest_event_of_its_name_that_has_it() -> None:
    events = (event("other", a=1), event("mine"), event("mine", a=2, b=0), event("mine", a=3, b=4))
    given = trace(span(), events=events)
    assert [EventAttribute("mine", name).read(given) for name in ("a", "b", "c")] == [2, 0, None]


@pytest.mark.parametrize("name", FLAG_EVENTS)
@pytest.mark.parametrize("variant", FLAG_VARIANTS)
def test_a_flags_variant_is_that_of_its_earliest_evaluation(name: str, variant: str) -> None:
    """Of its own key and in an event of a flag, also in the older words of the conventions."""
    given = trace(
        span(),
        events=(
            Event("another", 1, {"feature_flag.key": "model", variant: "no flag's event"}, {}),
            Event(name, 2, {"feature_flag.key": "colour", variant: "another flag's"}, {}),
            Event(name, 3, {"feature_flag.key": "model"}, {}),
            Event(name, 4, {"feature_flag.key": "model", variant: "v42"}, {}),
            Event(name, 5, {"feature_flag.key": "model", variant: "later"}, {}),
        ),
    )
    assert FlagVariant("model").read(given) == "v42"
    assert FlagVariant("prompt").read(given) is None


@pytest.mark.parametrize(
    ("label", "score", "passed"),
    [
        ("pass", None, True),
        ("Passed", 0.0, True),  # a label that is known says more than a score
        ("FAIL", 1.0, False),
        ("no", None, False),
        ("unsure", None, None),
        ("unsure", 0.5, True),
        (True, 0.4, False),  # a label is a text
        (None, 0.5, True),  # from the threshold on
        (None, 0.49, False),
        (None, 1, True),
        (None, True, None),  # a truth is no score
        (None, "0.9", None),
        (None, None, None),
    ],
)
def test_an_evaluations_result_is_its_label_else_its_score(
    label: Value | None, score: Value | None, passed: bool | None
) -> None:
    given = trace(span(), events=(evaluated(label=label, score=score),))
    assert Evaluation("task", 0.5).read(given) is passed
    assert Evaluation("task", 0.5, inverted=True).read(given) is (None if passed is None else not passed)
    words = {"pass": "resolved", "fail": "open"}
    in_words = None if passed is None else words["pass" if passed else "fail"]
    assert Evaluation("task", 0.5, labels=words).read(given) == in_words


def test_without_a_threshold_a_score_says_nothing() -> None:
    given = trace(span(), events=(evaluated(score=0.9), evaluated(label="maybe", score=0.9)))
    assert Evaluation("task").read(given) is None


def test_the_earliest_evaluation_of_its_name_that_can_be_read_counts() -> None:
    events = (
        Event("another", 1, {"gen_ai.evaluation.name": "task", "gen_ai.evaluation.score.label": "fail"}, {}),
        evaluated("style", label="fail"),
        evaluated(label="unsure"),
        evaluated(label="pass"),
        evaluated(label="fail"),
    )
    assert Evaluation("task").read(trace(span(), events=events)) is True


def test_a_label_of_ones_own_is_taken_as_it_is_written() -> None:
    words = {"Leak": "pii", "pass": "none"}
    told = [
        Evaluation("task", labels=words).read(trace(span(), events=(evaluated(label=label),)))
        for label in ("Leak", "leak", "pass", "fail", 7)
    ]
    assert told == ["pii", None, "none", None, None]
    assert Evaluation("task").read(trace(span(), events=(evaluated(label="Leak"),))) is None


@pytest.mark.parametrize(("status", "said"), [(0, "ok"), (OK, "ok"), (ERROR, "error")])
def test_the_roots_status_alone_is_the_requests(status: int, said: str) -> None:
    assert RootStatus().read(trace(span(status=status), span(1, status=ERROR))) == said


def test_durations_are_milliseconds_to_the_nanosecond() -> None:
    root = Span("r", True, 5, 1_000_000_000_005, OK, {}, {})  # 1,000 s: a divisor that is off by one shows
    given = trace(root, root._replace(span_id="t", attributes={"kind": "tool"}))
    assert RootDuration().read(given) == 1_000_000.0
    assert SpanDuration(TOOL).read(given) == 1_000_000.0


def test_spans_side_by_side_take_their_time_once() -> None:
    given = trace(
        span(0, 90), span(10, 30, kind="tool"), span(20, 40, kind="mcp"), span(50, 60, kind="model")
    )
    assert SpanDuration(TOOL).read(given) == 30.0
    assert SpanDuration(TOOL).read(trace(span(0, 90))) is None


@pytest.mark.parametrize(
    ("statuses", "said"), [((), None), ((OK, 0), True), ((OK, ERROR), False), ((ERROR, OK), False)]
)
def test_spans_have_succeeded_where_none_has_failed(statuses: tuple[int, ...], said: bool | None) -> None:
    spans = [span(at, status=status, kind="tool") for at, status in enumerate(statuses)]
    given = trace(span(status=ERROR), *spans, span(9, status=ERROR, kind="model"))
    assert SpansSucceeded(TOOL).read(given) is said


def test_a_sum_takes_of_each_span_the_first_name_that_is_a_number() -> None:
    given = trace(
        span(new=100),
        span(1, kind="tool", new=2, old=7),
        span(2, kind="mcp", old=0.5),
        span(3, kind="tool", new="2", old=True),  # neither is a number
        span(4, kind="tool", new=False, old=4),
    )
    assert SpanSum(TOOL, ("new", "old")).read(given) == 6.5
    assert SpanSum(TOOL, ("none",)).read(given) is None
    assert SpanSum(TOOL, ("zero",)).read(trace(span(kind="tool", zero=0))) == 0


def test_what_has_no_translation_is_absent() -> None:
    source = Translated(RootAttribute("x"), {"a": "one", "true": "two", "3": "three"})
    found = [source.read(trace(span(x=value))) for value in ("a", True, 3, "b", ("a",))]
    assert found == ["one", "two", "three", None, None]
    assert source.read(trace(span())) is None


def test_a_number_is_scaled_and_anything_else_is_left_to_its_field() -> None:
    source = Scaled(RootAttribute("x"), 1_000.0)
    assert [source.read(trace(span(x=value))) for value in (2, 0.5, "2", True)] == [2_000.0, 500.0, "2", True]
    assert source.read(trace(span())) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), ("", ""), (True, "true"), (False, "false"), (7, "7"), (0.5, None), (("a",), None)],
)
def test_what_has_a_single_text(value: Value, text: str | None) -> None:
    assert text_of(value) == text


def test_the_request_is_the_earliest_that_carries_the_marker_else_the_earliest_without_a_parent() -> None:
    outer, early, late = (span(start)._replace(is_parentless=True) for start in (0, 1, 2))
    inner, marked = span(3, ask=1), span(4, ask=1)
    spans = [marked, late, inner, early, outer]
    assert [root_of(spans, marker) for marker in ("ask", "other", None)] == [inner, outer, outer]
    assert root_of([span(1)], None) is None
