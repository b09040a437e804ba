"""From spans to facts: what an event alone says of a request, and which labels may come later."""

from __future__ import annotations

import pytest

from monitor.config.mapping_file import read_mapping
from monitor.core.event import MAX_AT_MS
from monitor.core.span import Event
from monitor.core.span_mapping import labels_of, request_named_by

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
