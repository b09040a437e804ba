"""Trace events for the tests: every field at once, and hypothesis strategies for what may arrive instead."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

FULL: dict[str, Any] = {
    "event_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "at": "2026-11-22T10:00:00.123Z",
    "release": "model-v42",
    "kind": "request",
    "traffic": "live",
    "status": "ok",
    "request_id": "r-1",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "unit_id": "u-1",
    "cohort": {"tenant": "acme", "workflow": "triage"},
    "task_success": True,
    "parse_failure": False,
    "citation_valid": True,
    "refusal": False,
    "abstained": False,
    "human_handoff": True,
    "user_retry": False,
    "tool_success": True,
    "fallback_used": False,
    "outcomes": {"grounded": True},
    "incident_severity": "high",
    "failure_class": "wrong_refund",
    "latency_ms": 812.4,
    "stage_ms": {"model": 700, "retrieval": 12.5},
    "cost_usd": 0.0021,
    "tokens_in": 812,
    "tokens_out": 166,
}
MINIMAL: dict[str, Any] = {name: FULL[name] for name in ("event_id", "at", "release")}


def with_(**changes: object) -> bytes:
    """Return a minimal event with other or further fields, as bytes."""
    return json.dumps({**MINIMAL, **changes}).encode()


def with_raw(field: str, text: str) -> bytes:
    """Return a minimal event with a field whose value is this very text."""
    rest = {name: value for name, value in MINIMAL.items() if name != field}
    return (json.dumps(rest)[:-1] + f', "{field}": {text}}}').encode("utf-8", "surrogatepass")


_SMALL: tuple[object, ...] = (None, True, False, 0, 1, -1, -0.0, 0.5, 1.0, 1e3, 1e-320, {}, [], [[["x"]]])
_BOUNDS = (2**53, 2**53 + 1, -(2**53), 86_400_000, 86_400_000.0001, 86_400_001, 1_000_000, 1_000_001, 10**30)
_MOMENTS = (
    253_402_300_799_999,
    253_402_300_800_000,
    "2026-11-22T10:00:00Z",
    "2026-11-22 10:00:00Z",
    "2026-11-22",
)
_ODD_MOMENTS = ("2026-11-22T10:00:00", "2016-12-31T23:59:60Z", "2026-11-22t10:00:00.1239999999+05:30")
_TEXTS = ("", "1.0", "true", "ok", "outcome", "critical", "\0", "é" * 64, "😀" * 65)
_LENGTHS = ("x" * 64, "x" * 65, "x" * 128, "x" * 129)
_PAIRS: tuple[object, ...] = (
    {"a": "b"},
    {"a": None},
    {"a": 1},
    {"a": True},
    {"a": 1.5},
    {"a": -1},
    {"a": {"b": []}},
)
_LONG_PAIRS = ({"k" * 64: "v" * 64}, {"k" * 65: "v"}, {"k": "v" * 65})
_MANY = ({str(n): "v" for n in range(16)}, {str(n): True for n in range(17)}, {str(n): n for n in range(17)})
_VALUES = st.sampled_from(
    [*_SMALL, *_BOUNDS, *_MOMENTS, *_ODD_MOMENTS, *_TEXTS, *_LENGTHS, *_PAIRS, *_LONG_PAIRS, *_MANY]
)
# Texts that stand for a value in JSON, or only seem to.
_NUMBERS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "1e308",
    "9" * 400,
    "9" * 5000,
    "9" * 400 + ".0",
)
_BAD_NUMBERS = (
    "-0",
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "1E+2",
    "tru",
    "nul",
    "null",
    "'x'",
    "1 2",
    "/*x*/1",
    "\ufeff1",
)
_ESCAPES = ('"\\ud800"', '"\\ud83d\\ude00"', '"\\udc00x"', '"\\\\ud800"', '"\\x"', '"\\u12"', '{"\\ud800":1}')
_CONTROLS = ('"a\nb"', '"\x7f"', '"', "{", "[", "[1,]", '{"a":1,"a":2}', '"' + "[" * 40 + '"')
_DEPTHS = ("[" * 15 + "]" * 15, "[" * 16 + "]" * 16, "[" * 17 + "]" * 17)
_SNIPPETS = st.sampled_from([*_NUMBERS, *_BAD_NUMBERS, *_ESCAPES, *_CONTROLS, *_DEPTHS])
_NAMES = st.sampled_from([*FULL, *MINIMAL, "extra", "x", "", "at_ms", "Release", "release\0"])
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def changed_events(draw: st.DrawFn) -> bytes:
    """Return a valid event with some fields left out, replaced, written twice or in odd text, and stray bytes."""
    kept = draw(st.sets(st.sampled_from(sorted(FULL)), max_size=12)) | set(MINIMAL)
    pairs = [(name, json.dumps(value)) for name, value in FULL.items() if name in kept]
    for _ in range(draw(st.integers(0, 3))):
        name = draw(_NAMES)
        escaped = draw(st.booleans())
        text = (
            draw(_SNIPPETS)
            if draw(st.booleans())
            else json.dumps(draw(_VALUES | _JSON), ensure_ascii=escaped)
        )
        if draw(st.booleans()):  # replaces the field; else a duplicate, before or after it
            pairs = [pair for pair in pairs if pair[0] != name]
        pairs.insert(draw(st.integers(0, len(pairs))), (name, text))
    if draw(st.integers(0, 7)) == 0:
        pairs.pop(draw(st.integers(0, len(pairs) - 1)))
    body = ", ".join(f"{json.dumps(name)}: {text}" for name, text in pairs)
    whole = f"{{{body}}}".encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0:
        place = draw(st.integers(0, len(whole)))
        stray = draw(
            st.sampled_from(
                [b"\xff", b"\xed\xa0\x80", b"\x00", b",", b'"', b"\\", b"}", b" ", b"\xef\xbb\xbf"]
            )
        )
        whole = whole[:place] + stray + whole[place + draw(st.integers(0, 2)) :]
    return whole


@st.composite
def rfc3339_like(draw: st.DrawFn) -> str:
    """Return texts that are, or nearly are, RFC 3339 moments."""
    number = st.integers(0, 99).map(lambda value: f"{value:02d}")
    parts = [
        draw(
            st.sampled_from(
                ["2026-11-22", "2026-02-29", "2024-02-29", "1969-12-31", "0000-01-01", "2026-W01-1"]
            )
        ),
        draw(st.sampled_from(["T", "T", "T", "t", " ", "_"])),
        draw(st.sampled_from(["00", "10", "23", "24"]) | number),
        draw(st.sampled_from([":", ":", ":", ""])),
        draw(st.sampled_from(["00", "59", "60"]) | number),
        draw(st.sampled_from([":", ":", ":", ""])),
        draw(st.sampled_from(["00", "59", "60"]) | number),
        draw(
            st.sampled_from(
                ["", "", ".", ".1", ".12", ".123", ".123456", ".1234567", ".9999999999", ",5", ".x", ".1x"]
            )
        ),
        draw(
            st.sampled_from(
                [
                    "Z",
                    "Z",
                    "z",
                    "+00:00",
                    "-00:00",
                    "+05:30",
                    "-23:59",
                    "+24:00",
                    "+05:60",
                    "+0530",
                    "",
                    "+05",
                ]
            )
        ),
    ]
    return "".join(parts)
