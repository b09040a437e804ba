"""What is stored comes back as it was, and what is not ours is refused by name."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, by_every, cohort_key
from monitor.core.exemplar import EXEMPLARS_PER_PART, Exemplar
from monitor.core.indicator import LABELS
from monitor.core.plan import SHARDS
from monitor.core.sketch import UNFINISHED_BIN, Sketch
from monitor.engine.codec import (
    CELL_VERSION,
    META_FIELD,
    OFFSET_FIELD,
    Meta,
    cell_field,
    cell_key,
    decode_cell,
    decode_meta,
    encode_cell,
    encode_meta,
)
from monitor.engine.ports import MAX_FLUSH_BYTES
from monitor.engine.seal import StateDamaged
from tests.engine.worlds import ACME, LAWS, START_MS, T0

TENANTS = by_every(OVERALL, ("tenant",))

# What a name may hold: anything that is no lone surrogate, and often what the field itself is made of.
TEXT = st.text(
    st.one_of(st.sampled_from('|[]",\\c'), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=12
)
KEYS = st.builds(
    CellKey,
    minute=st.integers(0, 1 << 33),
    release=TEXT,
    view=st.dictionaries(TEXT, TEXT, max_size=3).map(cohort_key),
    later=st.booleans(),
    shard=st.integers(0, SHARDS - 1),
)
COUNTS = st.integers(0, (1 << 40))
SKETCHES = st.builds(
    Sketch,
    bins=st.dictionaries(
        st.one_of(st.integers(0, 60), st.just(UNFINISHED_BIN)),
        st.one_of(st.integers(1, 300), st.integers(1, 1 << 34)),
        max_size=6,
    ),
    total=st.integers(0, (1 << 62)),
)
EXEMPLARS = st.lists(st.builds(Exemplar, st.integers(-(1 << 40), 1 << 40), TEXT, TEXT), max_size=5)


@st.composite
def unbroken_cells(draw: st.DrawFn) -> Aggregate:
    cell = Aggregate()
    for name in ("requests", "errors", "timeouts", "incidents", "first_at_ms"):
        setattr(cell, name, draw(COUNTS))
    cell.known = draw(st.lists(COUNTS, min_size=len(LABELS), max_size=len(LABELS)))
    cell.hits = draw(st.lists(COUNTS, min_size=len(LABELS), max_size=len(LABELS)))
    pairs = st.lists(COUNTS, min_size=2, max_size=2)
    cell.outcomes = draw(st.dictionaries(TEXT, pairs, max_size=3))
    cell.sketches = draw(st.dictionaries(TEXT, SKETCHES, max_size=2))
    cell.exemplars = draw(st.dictionaries(TEXT, EXEMPLARS, max_size=2))
    return cell


@st.composite
def cells(draw: st.DrawFn) -> Aggregate:
    cell = draw(unbroken_cells())
    cell.parts = draw(st.dictionaries(st.just("") | TEXT, unbroken_cells(), max_size=2))
    return cell


@settings(LAWS, max_examples=60)
@given(cells())
def test_a_cell_comes_back_as_it_was(cell: Aggregate) -> None:
    packed = encode_cell(cell)
    again = decode_cell(packed)
    assert again == cell
    assert encode_cell(again) == packed  # writing it twice is writing it once


def test_an_empty_cell_comes_back_empty() -> None:
    assert decode_cell(encode_cell(Aggregate())) == Aggregate()


@LAWS
@given(KEYS)
def test_a_cell_s_field_names_it_whatever_is_in_its_names(key: CellKey) -> None:
    assert cell_key(cell_field(key)) == key


@LAWS
@given(KEYS, KEYS)
def test_two_cells_never_share_a_field(one: CellKey, other: CellKey) -> None:
    assert (cell_field(one) == cell_field(other)) is (one == other)


@pytest.mark.parametrize(
    "key, field",
    [
        (CellKey(T0, "model-v42", OVERALL), f"c|{T0}|model-v42|[]"),
        (CellKey(T0, "model-v42", ACME, later=True), f'l|{T0}|model-v42|[["tenant","acme"]]'),
        (CellKey(T0, "model-v42", TENANTS, shard=7), f'c7|{T0}|model-v42|[["tenant","*"]]'),
        (CellKey(1, "a", TENANTS, later=True, shard=15), 'l15|1|a|[["tenant","*"]]'),
        (CellKey(1, "a|[]", OVERALL), "c|1|a|[]|[]"),
        (CellKey(1, 'x|[["a","b"]]', ACME), 'c|1|x|[["a","b"]]|[["tenant","acme"]]'),
        (CellKey(1, "größe", cohort_key({"sprache": "de|[]"})), 'c|1|größe|[["sprache","de|[]"]]'),
    ],
)
def test_fields_as_they_are_stored(key: CellKey, field: str) -> None:
    assert cell_field(key) == field
    assert cell_key(field) == key


@pytest.mark.parametrize(
    "field", [META_FIELD, OFFSET_FIELD, "token", "x|1|a|[]", "c16|1|a|[]", "c0|1|a|[]", "cx|1|a|[]"]
)
def test_other_fields_name_no_cell(field: str) -> None:
    assert cell_key(field) is None


@pytest.mark.parametrize(
    "field", ["c|1", "c|x|a|[]", "c|1|a", "c|1|a|[", "c|1|a|[1]", 'c|1|a|["x"]', "l||a|[]"]
)
def test_a_field_that_only_looks_like_a_cell_s_is_damage(field: str) -> None:
    with pytest.raises(StateDamaged):
        cell_key(field)


def test_cells_of_the_layout_before_breakdowns_are_still_read() -> None:
    found = decode_cell(msgspec.msgpack.encode([1, *_WHOLE[1:-1]]))
    assert (found.requests, found.parts) == (1, {})


def test_the_parts_of_two_hundred_tenants_fit_into_a_write() -> None:
    """A shard carries a sixteenth of the parts; each is a minute of a busy tenant with two distributions."""
    shard, draw = Aggregate(), Random(1)
    for number in range(-(-200 // SHARDS)):
        part = shard.parts[f"tenant-{number:032d}"] = Aggregate()
        part.requests = 2_000
        for name in ("latency", "cost"):
            part.sketches[name] = Sketch()
            for _ in range(2_000):
                part.sketches[name].add(round(800_000 * draw.lognormvariate(0, 1)))
        for name in ("task_success", "human_handoff", "p95", "cost_per_request", "error"):
            part.exemplars[name] = [
                Exemplar(n, "f" * 32, "timeout in a tool") for n in range(EXEMPLARS_PER_PART)
            ]
    assert len(encode_cell(shard)) < MAX_FLUSH_BYTES / 8


def test_a_quiet_part_takes_little_room() -> None:
    part = Aggregate()
    part.requests = 3
    part.sketches["latency"] = Sketch({300: 1, 410: 1, 690: 1}, 5_000_000)
    whole = Aggregate()
    whole.parts["acme"] = part
    assert len(encode_cell(whole)) - len(encode_cell(Aggregate())) < 100
    assert decode_cell(encode_cell(whole)) == whole


_WHOLE: list[Any] = [CELL_VERSION, 1, 0, 0, 0, START_MS, [0] * 9, [0] * 9, {}, {}, {}, {}]


@LAWS
@given(st.binary(max_size=60))
def test_any_bytes_are_a_cell_or_damage(packed: bytes) -> None:
    try:
        decode_cell(packed)
    except StateDamaged:
        return


JUNK = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@LAWS
@given(st.integers(1, 11), JUNK)
def test_a_cell_with_a_wrong_part_is_a_cell_or_damage(at: int, junk: Any) -> None:
    parts = [*_WHOLE[:at], junk, *_WHOLE[at + 1 :]]
    try:
        decode_cell(msgspec.msgpack.encode(parts))
    except StateDamaged:
        return


@pytest.mark.parametrize(
    "parts",
    [[], [CELL_VERSION], [99, *_WHOLE[1:]], _WHOLE[:-1], [1, *_WHOLE[1:]], [*_WHOLE, 1], 7, "cell", None],
)
def test_another_layout_is_damage(parts: Any) -> None:
    decode_cell(msgspec.msgpack.encode(_WHOLE))
    with pytest.raises(StateDamaged):
        decode_cell(msgspec.msgpack.encode(parts))


def _meta(**more: Any) -> Meta:
    fields: dict[str, Any] = {
        "version": 1, "base": 7, "clock_ms": START_MS, "complete_ms": None, "first_minute": T0,
        "warm_offset": 9, "warm_clock_ms": None, "accepted": 5, "late": 4, "duplicates": 3, "rejected": 2,
        "gaps": 1, "other_releases": 1, "late_by_release": {"model|v42": 4}, "others": {"ü": 3},
    }  # fmt: skip
    return Meta(**(fields | more))


def test_meta_data_comes_back_as_it_was() -> None:
    assert decode_meta(encode_meta(_meta())) == _meta()
    assert _meta().totals.records == 14


@pytest.mark.parametrize(
    "clock_ms, complete_ms, horizon_ms",
    [(None, None, None), (5, None, 5), (None, 6, 6), (5, 6, 6), (6, 5, 6)],
)
def test_how_far_a_partition_is_read(
    clock_ms: int | None, complete_ms: int | None, horizon_ms: int | None
) -> None:
    assert _meta(clock_ms=clock_ms, complete_ms=complete_ms).horizon_ms == horizon_ms


@LAWS
@given(st.binary(max_size=40))
def test_any_bytes_are_meta_data_or_damage(packed: bytes) -> None:
    try:
        decode_meta(packed)
    except StateDamaged:
        return
