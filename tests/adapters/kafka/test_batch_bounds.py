"""A batch that unpacks to more than a worker can hold is set aside record by record, and the partition goes on."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
import zstandard
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from monitor.adapters.kafka import drain
from monitor.adapters.kafka.batch_bounds import (
    BATCH_BYTES_MAX,
    BatchTooLarge,
    bound_batches,
    gzip_bounded,
    zstd_bounded,
)
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.drain import BareRecords

GZIP = 1


@pytest.fixture(autouse=True)
def bounds() -> None:
    """Bound the library, as a consumer that drains does."""
    bound_batches()


def batch(values: list[bytes], first: int) -> bytes:
    """Return a packed batch of the log."""
    builder = DefaultRecordBatchBuilder(2, GZIP, 0, -1, -1, 0, 1 << 30)
    for index, value in enumerate(values):
        builder.append(index, 1_000 + index, None, value, [])
    raw = bytearray(builder.build())
    raw[0:8] = first.to_bytes(8, "big")
    return bytes(raw)


def records_of(*batches: bytes) -> BareRecords:
    fetched = PartitionRecords(
        TopicPartition("t", 0), MemoryRecords(b"".join(batches)), [], 0, None, None, True, READ_UNCOMMITTED
    )
    return BareRecords.of(fetched)


def test_a_bomb_is_refused_by_its_places_and_what_follows_is_read() -> None:
    zeros = bytes(BATCH_BYTES_MAX // 2)
    bomb = batch([zeros, b"small", zeros], 2)
    assert len(bomb) < 200_000
    fetched = records_of(batch([b"a", b"b"], 0), bomb, batch([b"c"], 5))
    tracemalloc.start()
    try:
        found = list(fetched)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [record.offset for record in found] == [0, 1, 2, 3, 4, 5]
    assert [record.value for record in (found[0], found[1], found[5])] == [b"a", b"b", b"c"]
    for record in found[2:5]:
        assert decode(record.value) == "too_large"
        assert record.timestamp == 1_002
    assert fetched.next_fetch_offset == 6
    assert most < 4 * BATCH_BYTES_MAX


def test_what_producers_send_is_unpacked_as_ever() -> None:
    plain = b"x" * (BATCH_BYTES_MAX // 8)
    assert gzip_bounded(memoryview(gzip.compress(plain))) == plain
    assert gzip_bounded(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    assert zstd_bounded(memoryview(zstandard.compress(plain))) == plain


@pytest.mark.parametrize("pack, unpack", [(gzip.compress, gzip_bounded), (zstandard.compress, zstd_bounded)])
def test_the_bound_is_exact(pack: object, unpack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.adapters.kafka.batch_bounds.BATCH_BYTES_MAX", 1_000)
    assert unpack(pack(bytes(1_000))) == bytes(1_000)  # type: ignore[operator]  # the library has no types
    with pytest.raises(BatchTooLarge, match=r"more than 1,000 bytes"):
        unpack(pack(bytes(1_001)))  # type: ignore[operator]  # the library has no types


@pytest.mark.parametrize("start", [0, 3, 7])
def test_a_batch_of_many_records_is_taken_apart_in_pieces(
    start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "RECORDS_AT_ONCE", 4)
    fetched = records_of(batch([b"%d" % one for one in range(10)], 0), batch([b"last"], 10))
    fetched._start = start
    offsets = []
    for record in fetched:
        offsets.append(record.offset)
        assert fetched.next_fetch_offset == record.offset + 1
    assert offsets == list(range(start, 11))
    assert fetched.next_fetch_offset == 11
