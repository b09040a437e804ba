"""The hot path agrees with the pydantic model on every input: accept or reject, the reason, and every fact."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.wire.rejection import Rejection
from monitor.wire.trace_event import TraceEvent, read_trace_event
from tests.wire.trace_inputs import FULL, MINIMAL, changed_events, rfc3339_like, with_

_SCHEMA = Path(__file__).parents[3] / "schemas" / "trace-event.v1.json"
_VALIDATOR = Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))


def facts(event: TraceRecord | TraceEvent) -> dict[str, object]:
    """Every field with its type: 1 is not True, and 1 is not 1.0."""
    moment = event.at_ms if isinstance(event, TraceRecord) else event.at
    found = {name: getattr(event, name) for name in TraceEvent.model_fields if name != "at"}
    return {name: (type(value), value) for name, value in {**found, "at": moment}.items()}


def agree(value: bytes) -> None:
    fast, slow = decode(value), read_trace_event(value)
    if isinstance(slow, Rejection):
        assert fast == slow.reason
    else:
        assert isinstance(fast, TraceRecord), fast
        assert facts(fast) == facts(slow)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changed_events())
def test_on_changed_events(value: bytes) -> None:
    agree(value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@example(b"{}")
def test_on_raw_bytes(value: bytes) -> None:
    agree(value)


@settings(max_examples=250, deadline=None)
@given(rfc3339_like())
def test_on_moments(at: str) -> None:
    agree(with_(at=at))


@settings(max_examples=150, deadline=None)
@given(
    st.floats(0, 1e6, allow_subnormal=True),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**54), 2**54),
)
def test_on_numbers(cost: float, latency: float, tokens: int) -> None:
    agree(with_(cost_usd=cost))
    agree(with_(cost_usd=cost, latency_ms=latency, tokens_in=tokens, at=tokens))


def test_on_every_single_byte_change_of_a_small_event() -> None:
    """Exhaustive where random search is thin: each byte replaced by each byte that means something in JSON."""
    event = json.dumps({**MINIMAL, "tokens_in": 1, "refusal": True, "x": [1.5e2, "\\u00e9"]}).encode()
    for place in range(len(event)):
        for byte in b'{}[],:"\\eE+-.0u9tn \x00\x1f\x80\xff':
            agree(event[:place] + bytes([byte]) + event[place + 1 :])


def test_on_every_truncation() -> None:
    event = json.dumps(FULL).encode()
    for length in range(len(event) + 1):
        agree(event[:length])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changed_events())
def test_what_is_accepted_fits_the_published_schema(value: bytes) -> None:
    if isinstance(read_trace_event(value), TraceEvent):
        loaded = json.loads(value, parse_int=lambda text: int(text[:40]))
        assert not list(_VALIDATOR.iter_errors(loaded))
