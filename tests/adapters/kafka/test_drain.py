"""Records drained bare are the ones `getmany` gives: same offsets, times and values, same positions, same errors."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka.codec import has_lz4, has_snappy, has_zstd
from aiokafka.consumer.fetcher import (
    READ_COMMITTED,
    READ_UNCOMMITTED,
    FetchError,
    FetchResult,
    PartitionRecords,
)
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.kafka.drain import BareRecords, drain_bare
from tests.engine.worlds import LAWS

PLACE = TopicPartition("traces", 0)
ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"
CRC_AT, ATTRIBUTES_AT = 17, 21
CONTROL = 0x20
# What a codec needs is the user's to install; gzip and none are always there.
CODECS = [0, 0, 1] + [code for code, is_there in ((2, has_snappy), (3, has_lz4), (4, has_zstd)) if is_there()]

BATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "values": st.lists(st.none() | st.binary(max_size=40), min_size=1, max_size=6),
            "gap": st.integers(0, 3),  # offsets that hold nothing, after compaction
            "codec": st.sampled_from(CODECS),
            "producer": st.sampled_from([-1, 7, 8]),
            "is_transactional": st.booleans(),
            "marker": st.sampled_from([None, None, None, ABORT, COMMIT]),
            "is_broken": st.sampled_from([False] * 9 + [True]),
        }
    ),
    max_size=8,
)


def packed(batches: Sequence[dict[str, Any]]) -> bytes:
    """Return the bytes of a fetch."""
    data, offset = bytearray(), 0
    for batch in batches:
        offset += batch["gap"]
        is_control = batch["marker"] is not None
        builder = DefaultRecordBatchBuilder(
            2,
            0 if is_control else batch["codec"],
            int(batch["is_transactional"]),
            batch["producer"],
            0,
            0,
            1 << 20,
        )
        values = [b""] if is_control else batch["values"]
        for index, value in enumerate(values):
            builder.append(index, 1_000 + offset + index, batch["marker"], value, [("h", b"x")])
        raw = bytearray(builder.build())
        raw[0:8] = offset.to_bytes(8, "big")
        if is_control:
            raw[ATTRIBUTES_AT + 1] |= CONTROL
            raw[CRC_AT : CRC_AT + 4] = calc_crc32c(bytes(raw[ATTRIBUTES_AT:])).to_bytes(4, "big")
        if batch["is_broken"]:
            raw[-1] ^= 0xFF
        data += raw
        offset += len(values)
    return bytes(data)


class Position:
    """What the library keeps of a partition that is assigned."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _place: TopicPartition) -> Position:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def read(kind: type[PartitionRecords], fetch: dict[str, Any], most: int | None) -> list[object]:
    """Return all that is got from a fetch, and where that leaves the reader, call by call."""
    records = PartitionRecords(
        PLACE,
        MemoryRecords(fetch["data"]),
        fetch["aborted"],
        fetch["start"],
        None,
        None,
        True,
        fetch["isolation"],
    )
    position, found = Position(fetch["start"]), list[object]()
    held = BareRecords.of(records) if kind is BareRecords else records
    result = FetchResult(PLACE, assignment=position, partition_records=held, backoff=0)
    while result.has_more():
        try:
            got = result.getall(most)
        except KafkaError as error:
            found.append(type(error))
            continue
        found.append([(one.offset, one.timestamp, one.value, one.key) for one in got])
        found.append(position.position)
    return found


@LAWS
@given(
    batches=BATCHES,
    start=st.integers(0, 12),
    most=st.none() | st.integers(1, 5),
    isolation=st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]),
    aborted=st.lists(st.tuples(st.sampled_from([7, 8]), st.integers(0, 12)), max_size=3),
)
def test_bare_records_are_the_records(
    batches: list[dict[str, Any]],
    start: int,
    most: int | None,
    isolation: int,
    aborted: list[tuple[int, int]],
) -> None:
    data = packed(batches)
    fetch = {"data": data, "start": start, "isolation": isolation, "aborted": aborted}
    assert read(BareRecords, fetch, most) == read(PartitionRecords, fetch, most)


def test_the_cases_are_there() -> None:
    """The law is not about nothing: a broken batch raises, an aborted one is left out, a marker is no record."""
    plain = {
        "values": [b"a", b"b"], "gap": 0, "codec": 1, "producer": 7, "is_transactional": True, "marker": None,
        "is_broken": False,
    }  # fmt: skip
    data = packed([plain, {**plain, "marker": ABORT}, plain])
    fetch = {"data": data, "start": 0, "isolation": READ_COMMITTED, "aborted": [(7, 0)]}
    ((first, _),) = [read(BareRecords, fetch, None)]
    assert [offset for offset, *_ in first] == [3, 4]  # type: ignore[attr-defined]  # a list, since nothing broke
    broken = packed([{**plain, "is_broken": True}])
    found = read(BareRecords, {**fetch, "data": broken}, None)
    assert isinstance(found[0], type)
    assert issubclass(found[0], KafkaError)


def consumer(fetched: object) -> Any:
    return SimpleNamespace(
        _fetcher=SimpleNamespace(_records=fetched, _key_deserializer=None, _value_deserializer=None)
    )


def test_a_fetch_that_was_read_is_freed_without_the_cyclic_collector() -> None:
    batch = {
        "gap": 0,
        "codec": 0,
        "producer": -1,
        "is_transactional": False,
        "marker": None,
        "is_broken": False,
    }
    data = packed([{**batch, "values": [b"1", b"2"]}, {**batch, "values": [b"3"]}])
    gc.disable()
    try:
        fetched = PartitionRecords(PLACE, MemoryRecords(data), [], 0, None, None, True, READ_COMMITTED)
        bare, theirs = BareRecords.of(fetched), weakref.ref(fetched)
        del fetched
        assert theirs() is None
        assert len(list(bare)) == 3
        ours = weakref.ref(bare)
        del bare
        assert ours() is None
    finally:
        gc.enable()


def test_what_is_fetched_from_then_on_is_bare() -> None:
    one = consumer(OrderedDict())
    assert drain_bare(one)
    records = PartitionRecords(PLACE, MemoryRecords(b""), [], 0, None, None, True, READ_UNCOMMITTED)
    one._fetcher._records[PLACE] = FetchResult(
        PLACE, assignment=Position(0), partition_records=records, backoff=0
    )
    assert type(one._fetcher._records[PLACE]._partition_records) is BareRecords
    one._fetcher._records[PLACE] = error = FetchError(error=KafkaError(), backoff=0)
    assert one._fetcher._records[PLACE] is error


@pytest.mark.parametrize("version, fetched", [("0.15.0", OrderedDict()), ("0.14.1", {})])
def test_another_library_is_left_as_it_is(
    version: str, fetched: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aiokafka, "__version__", version)
    one = consumer(fetched)
    assert not drain_bare(one)
    assert one._fetcher._records is fetched
    assert version in caplog.text


def test_the_installed_library_is_a_known_one() -> None:
    assert drain_bare(consumer(OrderedDict()))
