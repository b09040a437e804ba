"""Bytes to one JSON object: the rules that hold wherever in a record they are broken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.wire.json_text import MAX_DEPTH, has_lone_surrogate, is_too_deep, load_object
from monitor.wire.rejection import Fault, Rejection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(one) for one in inner), default=0)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_is_read_back(
    value: dict[str, object], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    loaded = load_object(text.encode())
    assert loaded == (Rejection(Fault.TOO_DEEP) if depth(value) > MAX_DEPTH else value)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 24), st.text(max_size=10), st.booleans())
def test_depth_counts_levels_and_no_brackets_in_strings(levels: int, text: str, as_objects: bool) -> None:
    value: object = text + "[{" * 20
    for _ in range(levels):
        value = {text: value} if as_objects else [value]
    assert is_too_deep(json.dumps(value)) == (levels > MAX_DEPTH)


@settings(max_examples=250, deadline=None)
@given(st.text(st.characters(codec=None) | st.sampled_from("\ud800\udc00\udfff\\u"), max_size=8))
def test_a_lone_surrogate_is_what_utf8_cannot_say(text: str) -> None:
    written = json.dumps(text)
    try:
        json.loads(written).encode()
    except UnicodeEncodeError:
        assert has_lone_surrogate(written)
    else:
        assert not has_lone_surrogate(written)


@given(st.binary(max_size=40))
def test_any_bytes_get_an_answer(value: bytes) -> None:
    assert isinstance(load_object(value), dict | Rejection)


@pytest.mark.parametrize("fault", list(Fault))
def test_every_reason_is_a_word_to_count_by(fault: Fault) -> None:
    assert Rejection(fault).reason == fault.value
    assert Rejection(fault, "release").reason == f"{fault.value}:release"
    assert fault.value.replace("_", "").replace("8", "").isalpha()
