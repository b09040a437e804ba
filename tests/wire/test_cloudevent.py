"""CloudEvents 1.0: binary mode and structured mode carry the same event, and nothing that is not finite."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.wire.cloudevent import (
    CloudEvent,
    NotACloudEvent,
    finite_only,
    from_binary,
    from_structured,
    of_decision,
    to_binary,
    to_decision,
    to_line,
    to_structured,
)

EVENT = CloudEvent(
    id=decision_id("page.opened", "modèle-v42", 1),
    type="dev.rollbackbudget.page.opened.v1",
    subject="modèle-v42",
    time_ms=1_795_341_600_123,
    data={"release": "modèle-v42", "delta": -5.5},
)
TEXTS = st.text(min_size=1, max_size=8)
DATA = st.dictionaries(
    TEXTS,
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    max_size=4,
)
EVENTS = st.builds(
    CloudEvent,
    id=TEXTS,
    type=TEXTS.map(lambda text: f"dev.rollbackbudget.{text}.v1"),
    subject=TEXTS,
    time_ms=st.integers(0, 253_402_300_799_999),
    data=DATA,
    source=TEXTS,
    dataschema=st.none() | TEXTS,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_both_modes_bring_the_event_back(event: CloudEvent) -> None:
    message = to_binary(event)
    assert from_binary(message.value, message.headers) == event
    assert from_structured(to_line(event)) == event
    assert from_structured(to_structured(event)) == event


def test_binary_mode_is_the_kafka_binding() -> None:
    key, value, headers = to_binary(EVENT)
    assert key == "modèle-v42".encode()
    assert value == '{"delta":-5.5,"release":"modèle-v42"}'.encode()
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": EVENT.id.encode(),
        "ce_source": b"/rollback-budget-monitor",
        "ce_type": b"dev.rollbackbudget.page.opened.v1",
        "ce_subject": "modèle-v42".encode(),
        "ce_time": b"2026-11-22T10:00:00.123Z",
        "content-type": b"application/json",
    }


def test_a_line_is_canonical_and_one_line() -> None:
    line = to_line(EVENT)
    assert b"\n" not in line
    assert list(json.loads(line)) == sorted(json.loads(line))
    shuffled = {
        **to_structured(EVENT),
        "data": {name: EVENT.data[name] for name in reversed(list(EVENT.data))},
    }
    assert to_line(from_structured(shuffled)) == line


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_never_leaves(value: float) -> None:
    data = {"observed": {"delta": value, "list": [1.5, value, (value,)]}}
    event = CloudEvent(**{**_fields(EVENT), "data": data})
    expected = {"observed": {"delta": None, "list": [1.5, None, [None]]}}
    assert json.loads(to_binary(event).value) == expected
    assert json.loads(to_line(event))["data"] == expected
    assert finite_only(data) == expected


def test_a_decision_goes_out_and_comes_back() -> None:
    decision = Decision(Type.PAGE_OPENED, EVENT.id, "model-v42", 60_000, {"release": "model-v42"})
    event = of_decision(decision)
    assert (event.name, event.subject, event.dataschema) == (
        "page.opened",
        "model-v42",
        "urn:rollback-budget:schema:page.opened:v1",
    )
    assert to_decision(from_structured(to_line(event))) == decision
    assert of_decision(Decision(Type.ARMING_CREATED, "x", "r", 0, {})).dataschema is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"specversion": "0.3"}, "specversion: '0.3' is not allowed; it is 1.0"),
        ({"id": ""}, "id: '' is not allowed; it is a string that is not empty"),
        ({"source": None}, "source: None is not allowed"),
        ({"type": 5}, "type: 5 is not allowed"),
        ({"time": "2026-11-22 10:00"}, "time: '2026-11-22 10:00' is not allowed; it is an RFC 3339"),
        ({"data": []}, "data: .* is not allowed; it is a JSON object"),
    ],
)
def test_what_is_no_event_says_where(change: dict[str, Any], text: str) -> None:
    with pytest.raises(NotACloudEvent, match=text):
        from_structured({**to_structured(EVENT), **change})


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b"\xff", b"[" * 60_000, b'{"a":1}'])
def test_no_bytes_break_the_reader(line: bytes) -> None:
    with pytest.raises(NotACloudEvent):
        from_structured(line)


def test_binary_mode_refuses_what_it_cannot_read() -> None:
    message = to_binary(EVENT)
    with pytest.raises(NotACloudEvent, match="content-type"):
        from_binary(message.value, [*message.headers[:-1], ("content-type", b"text/plain")])
    with pytest.raises(NotACloudEvent, match="ce_id"):
        from_binary(message.value, [*message.headers, ("ce_id", b"\xff")])
    with pytest.raises(NotACloudEvent, match="value"):
        from_binary(None, message.headers)
    with pytest.raises(NotACloudEvent, match="specversion"):
        from_binary(message.value, [])


def test_a_type_of_another_version_is_no_decision() -> None:
    event = CloudEvent(**{**_fields(EVENT), "type": "dev.rollbackbudget.page.opened.v2"})
    with pytest.raises(NotACloudEvent, match=r"page\.opened\.v2"):
        to_decision(event)


def _fields(event: CloudEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__slots__}
