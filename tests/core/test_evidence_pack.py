"""An evidence pack: whatever is altered, removed, added or moved in it is seen, and said first where it is."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.evidence_pack import (
    BEFORE_FIRST,
    DECISIONS,
    MANIFEST,
    PREVIOUS,
    chained,
    digest_of,
    first_difference,
    manifest_of,
)

EVENTS = [{"id": f"{place}", "data": {"minute": place}} for place in range(5)]


def pack_of(events: list[dict[str, Any]]) -> dict[str, bytes]:
    chain = chained(events)
    files = {
        "scorecard.md": b"# told\n",
        "empty": b"",
        DECISIONS: b"".join(line + b"\n" for line in chain.lines),
    }
    return {**files, MANIFEST: manifest_of(files, chain, {"release": "model-v42"})}


def test_each_line_names_the_one_before_it() -> None:
    """By the definition, with a library of its own: SHA-256 of the line's bytes without its end."""
    chain = chained(EVENTS)
    named = [json.loads(line)[PREVIOUS] for line in chain.lines]
    hashes = [sha256(line).hexdigest() for line in chain.lines]
    assert named == ["0" * 64, *hashes[:-1]]
    assert chain.end == hashes[-1]
    assert [
        {name: one for name, one in json.loads(line).items() if name != PREVIOUS} for line in chain.lines
    ] == EVENTS
    assert chained([]).end == BEFORE_FIRST


@given(st.integers(min_value=0, max_value=6))
def test_a_pack_as_it_was_made_holds(size: int) -> None:
    files = pack_of(EVENTS[:size])
    assert first_difference(files) is None
    assert first_difference(files, digest_of(files[MANIFEST]).upper()) is None
    assert first_difference(files, "0" * 64) is not None


@given(st.data())
def test_a_changed_byte_is_seen_wherever_it_is(data: st.DataObject) -> None:
    files = pack_of(EVENTS)
    name = data.draw(st.sampled_from([one for one in files if files[one] and one != MANIFEST]))
    place = data.draw(st.integers(0, len(files[name]) - 1))
    changed = bytearray(files[name])
    changed[place] ^= data.draw(st.integers(1, 255))
    said = first_difference({**files, name: bytes(changed)})
    assert said is not None
    assert said.startswith(f"{name}: ")


@given(st.permutations(range(5)), st.integers(0, 5))
def test_lines_that_are_moved_or_removed_are_seen(order: list[int], kept: int) -> None:
    files = pack_of(EVENTS)
    lines = files[DECISIONS].splitlines(keepends=True)
    moved = b"".join(lines[place] for place in order[:kept])
    said = first_difference({**files, DECISIONS: moved})
    assert (said is None) == (moved == files[DECISIONS])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([0, 2, 3, 4], "line 2 names "),
        ([0, 1, 1, 2, 3, 4], "line 3 names "),
        ([1, 0, 2, 3, 4], "line 1 names "),
        ([0, 1, 2, 3], "has 4 lines, and the manifest says 5"),
    ],
)
def test_the_first_wrong_line_is_named(lines: list[int], said: str) -> None:
    files = pack_of(EVENTS)
    every = files[DECISIONS].splitlines(keepends=True)
    found = first_difference({**files, DECISIONS: b"".join(every[place] for place in lines)})
    assert found is not None
    assert found.startswith(f"{DECISIONS}: {said}")


def test_an_altered_last_line_is_seen_by_the_chain_s_end() -> None:
    files = pack_of(EVENTS)
    found = first_difference({**files, DECISIONS: files[DECISIONS].replace(b'"minute":4', b'"minute":9')})
    assert found is not None
    assert found.startswith(f"{DECISIONS}: its last line has the SHA-256 ")


def test_a_file_that_is_missing_or_beside_is_named() -> None:
    files = pack_of(EVENTS)
    for name in files:
        said = first_difference({one: content for one, content in files.items() if one != name})
        assert said is not None
        assert said.startswith(f"{name}: is missing")
    assert first_difference({**files, "more.txt": b""}) == "more.txt: is in the pack and not in the manifest"


def test_who_writes_all_of_it_anew_is_seen_by_the_digest_that_was_kept_alone() -> None:
    files, forged = pack_of(EVENTS), pack_of(EVENTS[:-1])
    assert first_difference(forged) is None
    said = first_difference(forged, digest_of(files[MANIFEST]))
    assert said is not None
    assert said.endswith(f"and {digest_of(files[MANIFEST])} was kept")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.one_of(
        st.binary(max_size=20),
        JSON.map(lambda one: json.dumps(one).encode()),
        st.fixed_dictionaries({"version": JSON | st.just(1), "chain": JSON, "files": JSON}).map(
            lambda one: json.dumps(one).encode()
        ),
        st.fixed_dictionaries(
            {
                "version": st.just(1),
                "chain": st.fixed_dictionaries({"lines": JSON, "end": JSON}),
                "files": st.lists(
                    st.fixed_dictionaries({"name": JSON, "size": JSON, "sha256": JSON}), max_size=2
                ),
            }
        ).map(lambda one: json.dumps(one).encode()),
    )
)
def test_a_manifest_of_rubbish_is_said(rubbish: bytes) -> None:
    said = first_difference({**pack_of(EVENTS), MANIFEST: rubbish})
    assert said is not None
    assert said.startswith(f"{MANIFEST}: ")
