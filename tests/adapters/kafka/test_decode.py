"""The hot path's decoder: what it turns an event into, and which hostile input gets which reason."""

from __future__ import annotations

import json

import pytest

from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.core.event import UNFINISHED_US, Observation
from monitor.core.indicator import LABELS
from monitor.wire.trace_event import read_trace_event
from tests.wire.trace_inputs import FULL, MINIMAL, with_, with_raw

AT_MS = 1_795_341_600_123


def record(value: bytes) -> TraceRecord:
    decoded = decode(value)
    assert isinstance(decoded, TraceRecord), decoded
    return decoded


def test_a_record_is_an_observation_with_every_fact_of_the_event() -> None:
    event: Observation = record(json.dumps(FULL).encode())
    assert event.event_id == FULL["event_id"]
    assert event.at_ms == AT_MS
    assert (event.release, event.traffic, event.status) == ("model-v42", "live", "ok")
    assert (event.request_id, event.trace_id, event.unit_id) == ("r-1", FULL["trace_id"], "u-1")
    assert event.cohort == FULL["cohort"]
    assert event.outcomes == {"grounded": True}
    assert event.is_high_severity
    assert event.failure_class == "wrong_refund"
    assert event.latency_us == 812_400
    assert (event.stage_us("model"), event.stage_us("retrieval"), event.stage_us("tool")) == (
        700_000,
        12_500,
        None,
    )
    assert event.cost_microusd == 2_100
    assert (event.tokens_in, event.tokens_out, event.tokens) == (812, 166, 978)
    assert not event.is_outcome


def test_labels_come_in_the_order_aggregates_keep_them() -> None:
    for index, label in enumerate(LABELS):
        labels = record(with_(**{label: True})).labels()
        assert labels == (*[None] * index, True, *[None] * (len(LABELS) - index - 1))


def test_what_is_absent_has_its_default_and_is_not_measured() -> None:
    event = record(json.dumps(MINIMAL).encode())
    assert (event.kind, event.traffic, event.status, event.is_outcome) == ("request", "live", "ok", False)
    assert set(event.labels()) == {None}
    assert (event.cohort, event.outcomes, event.latency_us, event.cost_microusd, event.tokens) == (None,) * 5
    assert event.stage_us("model") is None
    assert not event.is_high_severity


@pytest.mark.parametrize("field", [name for name in FULL if name not in MINIMAL])
def test_null_is_absent(field: str) -> None:
    assert as_facts(record(with_(**{field: None}))) == as_facts(record(with_()))


@pytest.mark.parametrize(
    ("latency_ms", "latency_us"),
    [
        (0, 0),
        (-0.0, 0),
        (0.0004, 0),
        (0.0006, 1),
        (812.4, 812_400),
        (1e-300, 0),
        (86_400_000, 86_400_000_000),
    ],
)
def test_latency_becomes_whole_microseconds(latency_ms: float, latency_us: int) -> None:
    assert record(with_(latency_ms=latency_ms)).latency_us == latency_us


def test_cost_becomes_whole_millionths_of_a_dollar() -> None:
    assert record(with_(cost_usd=0.1)).cost_microusd == 100_000
    assert record(with_(cost_usd=1_000_000)).cost_microusd == 1_000_000_000_000


@pytest.mark.parametrize("half", [{"tokens_in": 5}, {"tokens_out": 5}])
def test_half_the_tokens_are_no_sum(half: dict[str, int]) -> None:
    assert record(with_(**half)).tokens is None


@pytest.mark.parametrize(
    ("fields", "source", "value"),
    [
        ({"task_success": False}, "task_success", False),
        ({}, "task_success", None),
        ({"fallback_used": True}, "fallback_used", True),
        ({"outcomes": {"grounded": False}}, "outcome.grounded", False),
        ({"outcomes": {"grounded": False}}, "outcome.other", None),
        ({}, "outcome.grounded", None),
        ({"status": "error"}, "error", True),
        ({"status": "timeout"}, "error", False),
        ({"status": "timeout"}, "timeout", True),
        ({"kind": "outcome"}, "error", None),
    ],
)
def test_rate_value(fields: dict[str, object], source: str, value: bool | None) -> None:
    assert record(with_(**fields)).rate_value(source) is value


@pytest.mark.parametrize(
    ("fields", "source", "size"),
    [
        ({"latency_ms": 2}, "latency", 2_000),
        ({"latency_ms": 2, "status": "error"}, "latency", None),
        ({"latency_ms": 2, "status": "timeout"}, "latency", UNFINISHED_US),
        ({"stage_ms": {"tool": 3}}, "stage.tool", 3_000),
        ({"stage_ms": {"tool": 3}, "status": "error"}, "stage.tool", None),
        ({"cost_usd": 0.5, "status": "error"}, "cost", 500_000),
        ({"tokens_in": 1, "tokens_out": 2}, "tokens", 3),
        ({}, "tokens", None),
    ],
)
def test_size_of(fields: dict[str, object], source: str, size: int | None) -> None:
    assert record(with_(**fields)).size_of(source) == size


@pytest.mark.parametrize(
    ("at", "at_ms"),
    [
        (AT_MS, AT_MS),
        (0, 0),
        (253_402_300_799_999, 253_402_300_799_999),
        ("2026-11-22T10:00:00.123Z", AT_MS),
        ("2026-11-22T10:00:00.123456789Z", AT_MS),
        ("2026-11-22T10:00:00.1239999+00:00", AT_MS),  # cut, not rounded
        ("2026-11-22T15:30:00.123+05:30", AT_MS),
        ("2026-11-22T10:00:00Z", AT_MS - 123),
        ("2026-11-22t10:00:00.1z", AT_MS - 23),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),  # a leap second counts as the second after it
        ("2017-01-01T00:59:60.5+01:00", 1_483_228_800_500),
    ],
)
def test_event_time(at: object, at_ms: int) -> None:
    assert record(with_(at=at)).at_ms == at_ms


# Every input here is hostile or odd; the second column is the reason, or None where the contract accepts it.
HOSTILE = [
    pytest.param(None, "empty", id="tombstone"),
    pytest.param(b"", "empty", id="no bytes"),
    pytest.param(b"  \n", "not_json", id="only space"),
    pytest.param(b"[]", "not_an_object", id="an array"),
    pytest.param(b"null", "not_an_object", id="null"),
    pytest.param(b'"x"', "not_an_object", id="a string"),
    pytest.param(b"{}", "missing_field:event_id", id="nothing in it"),
    pytest.param(with_() + b" x", "not_json", id="trailing garbage"),
    pytest.param(with_() + with_(), "not_json", id="two events in one record"),
    pytest.param(with_() + b"\n", None, id="trailing newline"),
    pytest.param(b"\xef\xbb\xbf" + with_(), "not_json", id="byte order mark"),
    pytest.param(b"\xff" + with_(), "not_utf8", id="bad UTF-8 before"),
    pytest.param(with_().replace(b"model", b"mod\xffl"), "not_utf8", id="bad UTF-8 in a known field"),
    pytest.param(
        with_(extra="abc").replace(b"abc", b"a\xffc"), "not_utf8", id="bad UTF-8 in an unknown field"
    ),
    pytest.param(with_(abc=1).replace(b"abc", b"a\xffc"), "not_utf8", id="bad UTF-8 in an unknown name"),
    pytest.param(with_(extra="abc").replace(b"abc", b"\xed\xa0\x80"), "not_utf8", id="surrogate as UTF-8"),
    pytest.param(with_(extra="abc").replace(b"abc", b"\xc0\xaf"), "not_utf8", id="overlong UTF-8"),
    pytest.param(with_().decode().encode("utf-16"), "not_utf8", id="UTF-16"),
    pytest.param(with_raw("latency_ms", "NaN"), "nan", id="NaN in a known field"),
    pytest.param(with_raw("extra", "NaN"), "nan", id="NaN in an unknown field"),
    pytest.param(with_raw("extra", '{"a": [-Infinity]}'), "nan", id="an infinity deep in an unknown field"),
    pytest.param(with_raw("cost_usd", "1e999"), "nan", id="overflow in a known field"),
    pytest.param(with_raw("extra", "1e999"), "nan", id="overflow in an unknown field"),
    pytest.param(with_raw("extra", "9" * 400 + ".0"), "nan", id="overflow without an exponent"),
    pytest.param(with_raw("extra", '1e999, "extra": 1'), "nan", id="overflow in a dropped duplicate"),
    pytest.param(with_(extra="NaN Infinity 1e999"), None, id="NaN inside a string"),
    pytest.param(with_raw("cost_usd", "9" * 400), "out_of_range:cost_usd", id="400 digits as cost"),
    pytest.param(with_raw("tokens_in", "9" * 400), "out_of_range:tokens_in", id="400 digits as tokens"),
    pytest.param(
        with_raw("tokens_in", "-" + "9" * 5000), "out_of_range:tokens_in", id="5,000 digits, negative"
    ),
    pytest.param(with_raw("at", "9" * 400), "out_of_range:at", id="400 digits as time"),
    pytest.param(with_raw("extra", "9" * 400), None, id="400 digits in an unknown field"),
    pytest.param(with_raw("extra", "9" * 5000), None, id="5,000 digits in an unknown field"),
    pytest.param(b"[" * 100_000, "too_large", id="depth bomb, too large"),
    pytest.param(b"[" * 60_000, "too_deep", id="depth bomb of arrays"),
    pytest.param(b'{"a":' * 12_000, "too_deep", id="depth bomb of objects"),
    pytest.param(with_raw("extra", "[" * 15 + "]" * 15), None, id="16 deep"),
    pytest.param(with_raw("extra", "[" * 16 + "]" * 16), "too_deep", id="17 deep"),
    pytest.param(with_raw("cohort", "[" * 900 + "]" * 900), "too_deep", id="900 deep in a known field"),
    pytest.param(
        with_raw("extra", "[" * 16 + "]" * 16 + ', "extra": 1'), "too_deep", id="17 deep, then dropped"
    ),
    pytest.param(with_(extra="[" * 40 + '"' + "{" * 40), None, id="brackets inside a string"),
    pytest.param(with_(extra=[[], {}] * 20), None, id="many brackets, not deep"),
    pytest.param(
        with_raw("extra", '"' + "[" * 20 + '\\"' * 30_000), "not_json", id="an endless string of escapes"
    ),
    pytest.param(with_(extra="x" * 70_000), "too_large", id="70 KB"),
    pytest.param(with_() + b" " * (65_536 - len(with_())), None, id="65,536 bytes"),
    pytest.param(with_() + b" " * (65_537 - len(with_())), "too_large", id="65,537 bytes"),
    pytest.param(with_raw("failure_class", '"\\ud800"'), "lone_surrogate", id="lone surrogate"),
    pytest.param(with_raw("extra", '"\\udc00"'), "lone_surrogate", id="lone surrogate in an unknown field"),
    pytest.param(
        with_raw("extra", '{"\\ud800": 1}'), "lone_surrogate", id="lone surrogate in an unknown name"
    ),
    pytest.param(with_raw("extra", '"\\uD800\\u0041"'), "lone_surrogate", id="half a pair"),
    pytest.param(
        with_raw("extra", '"\\ud800", "extra": 1'), "lone_surrogate", id="lone surrogate, then dropped"
    ),
    pytest.param(with_raw("failure_class", '"\\ud83d\\ude00"'), None, id="a whole pair"),
    pytest.param(with_raw("extra", '"\\\\ud800"'), None, id="an escaped backslash before ud800"),
    pytest.param(with_raw("failure_class", '"a\\u0000b"'), None, id="NUL in a string"),
    pytest.param(with_raw("failure_class", '"a\nb"'), "not_json", id="bare newline in a string"),
    pytest.param(with_raw("extra", '"a\x00b"'), "not_json", id="bare NUL in a string"),
    pytest.param(with_raw("extra", "[1,]"), "not_json", id="trailing comma"),
    pytest.param(with_raw("extra", "01"), "not_json", id="leading zero"),
    pytest.param(with_raw("release", '"a", "release": "b"'), None, id="duplicate key"),
    pytest.param(with_raw("release", '7, "release": "b"'), None, id="duplicate key, the first one wrong"),
    pytest.param(
        with_raw("release", '"b", "release": 7'), "wrong_type:release", id="duplicate key, the last wrong"
    ),
    pytest.param(with_raw("cohort", '{"a": 1, "a": "x"}'), None, id="duplicate key in the cohort"),
    pytest.param(with_raw("tokens_in", "true"), "wrong_type:tokens_in", id="true as an integer"),
    pytest.param(with_raw("tokens_in", "1.0"), "wrong_type:tokens_in", id="1.0 as an integer"),
    pytest.param(with_raw("tokens_in", "1e3"), "wrong_type:tokens_in", id="1e3 as an integer"),
    pytest.param(with_(latency_ms="1.0"), "wrong_type:latency_ms", id="a string as a number"),
    pytest.param(with_(latency_ms=True), "wrong_type:latency_ms", id="true as a number"),
    pytest.param(with_(task_success=1), "wrong_type:task_success", id="1 as true"),
    pytest.param(with_(task_success="true"), "wrong_type:task_success", id="a string as true"),
    pytest.param(with_(at=True), "wrong_type:at", id="true as time"),
    pytest.param(with_(at=1.5e12), "wrong_type:at", id="a float as time"),
    pytest.param(with_(at=-1), "out_of_range:at", id="before 1970"),
    pytest.param(with_(at="1969-12-31T23:59:59Z"), "out_of_range:at", id="before 1970, as a string"),
    pytest.param(with_(at="9999-12-31T23:59:59-01:00"), "out_of_range:at", id="after 9999"),
    pytest.param(with_(at="9999-12-31T23:59:60Z"), "not_a_time:at", id="a leap second after 9999"),
    pytest.param(with_(at="2026-11-22T10:00:00"), "not_a_time:at", id="no offset"),
    pytest.param(with_(at="2026-11-22 10:00:00Z"), "not_a_time:at", id="a space for the T"),
    pytest.param(with_(at="2026-11-22T10:00:00+0530"), "not_a_time:at", id="an offset without colon"),
    pytest.param(with_(at="2026-11-22T10:00:60Z"), "not_a_time:at", id="a leap second within a minute"),
    pytest.param(with_(at="2026-02-29T10:00:00Z"), "not_a_time:at", id="a day that is not"),
    pytest.param(
        with_(at="2026-11-22T10:00:00.1234567xZ"), "not_a_time:at", id="a letter late in the fraction"
    ),
    pytest.param(with_(event_id=None), "missing_field:event_id", id="a required null"),
    pytest.param(with_(event_id=""), "too_short:event_id", id="an empty id"),
    pytest.param(with_(event_id="x" * 65), "too_long:event_id", id="a long id"),
    pytest.param(with_(release="x" * 129), "too_long:release", id="a long release"),
    pytest.param(with_(release="é" * 128), None, id="128 characters are not 128 bytes"),
    pytest.param(with_(release=7), "wrong_type:release", id="a number as release"),
    pytest.param(with_(trace_id="x" * 129), "too_long:trace_id", id="a long trace id"),
    pytest.param(with_(failure_class="x" * 65), "too_long:failure_class", id="a long class"),
    pytest.param(with_(kind="click"), "unknown_value:kind", id="an unknown kind"),
    pytest.param(with_(status=5), "wrong_type:status", id="a number as status"),
    pytest.param(
        with_(incident_severity="HIGH"), "unknown_value:incident_severity", id="a severity in capitals"
    ),
    pytest.param(with_(cohort=[]), "wrong_type:cohort", id="an array as cohort"),
    pytest.param(with_(cohort={"tenant": 5}), "wrong_type:cohort", id="a number in the cohort"),
    pytest.param(with_(cohort={"tenant": None}), "wrong_type:cohort", id="null in the cohort"),
    pytest.param(with_(cohort={"tenant": "x" * 65}), "too_long:cohort", id="a long tenant"),
    pytest.param(with_(cohort={str(n): "v" for n in range(16)}), None, id="16 dimensions"),
    pytest.param(with_(cohort={str(n): "v" for n in range(17)}), "too_many_keys:cohort", id="17 dimensions"),
    pytest.param(
        with_(outcomes={str(n): True for n in range(17)}), "too_many_keys:outcomes", id="17 outcomes"
    ),
    pytest.param(with_(outcomes={"grounded": 1}), "wrong_type:outcomes", id="1 as an outcome"),
    pytest.param(with_(stage_ms={"model": -1}), "out_of_range:stage_ms", id="a negative stage"),
    pytest.param(with_(latency_ms=-0.001), "out_of_range:latency_ms", id="a negative latency"),
    pytest.param(with_(latency_ms=86_400_000.1), "out_of_range:latency_ms", id="more than a day"),
    pytest.param(with_(cost_usd=1_000_000.01), "out_of_range:cost_usd", id="more than a million dollars"),
    pytest.param(with_(tokens_in=2**53), None, id="2^53"),
    pytest.param(with_(tokens_in=2**53 + 1), "out_of_range:tokens_in", id="2^53 + 1"),
    pytest.param(with_(extra={"prompt": "ignored"}, at_ms=5), None, id="unknown fields"),
    pytest.param(with_().replace(b"event_id", b"event\\u005fid"), None, id="an escaped name"),
]


@pytest.mark.parametrize(("value", "reason"), HOSTILE)
def test_hostile_input(value: bytes | None, reason: str | None) -> None:
    decoded = decode(value)
    assert (decoded if isinstance(decoded, str) else None) == reason


@pytest.mark.parametrize(("value", "reason"), HOSTILE)
def test_the_model_says_the_same(value: bytes | None, reason: str | None) -> None:
    assert getattr(read_trace_event(value), "reason", None) == reason


def test_nulls_for_defaults_beside_unknown_fields() -> None:
    event = record(with_(kind=None, traffic=None, status=None, extra=1))
    assert (event.kind, event.traffic, event.status) == ("request", "live", "ok")


def as_facts(event: TraceRecord) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
