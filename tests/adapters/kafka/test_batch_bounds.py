"""A batch that unpacks to more than a worker can hold is set aside record by record, and the partition goes on."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import cramjam
import pytest
import zstandard
from aiokafka.codec import lz4_encode, snappy_encode
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from monitor.adapters.kafka import drain
from monitor.adapters.kafka.batch_bounds import (
    BATCH_BYTES_MAX,
    BatchTooLarge,
    bound_batches,
    gzip_bounded,
    lz4_bounded,
    snappy_bounded,
    zstd_bounded,
)
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.drain import BareRecords

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
Unpack = Callable[[Any], bytes]
PACKED: dict[str, tuple[Unpack, Unpack]] = {
    "gzip": (gzip.compress, gzip_bounded),
    "lz4": (lz4_encode, lz4_bounded),
    "snappy of Java": (snappy_encode, snappy_bounded),
    "snappy": (lambda plain: bytes(cramjam.snappy.compress_raw(plain)), snappy_bounded),
    "zstd": (zstandard.compress, zstd_bounded),
}


@pytest.fixture(autouse=True)
def bounds() -> None:
    """Bound the library, as a consumer that drains does."""
    bound_batches()


def batch(values: list[bytes], first: int, codec: int = GZIP) -> bytes:
    """Return a packed batch of the log."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 30)
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


@pytest.mark.parametrize(
    ("codec", "most_packed"), [(GZIP, 200_000), (LZ4, 400_000), (SNAPPY, 4_000_000), (ZSTD, 20_000)]
)
def test_a_bomb_is_refused_by_its_places_and_what_follows_is_read(codec: int, most_packed: int) -> None:
    zeros = bytes(BATCH_BYTES_MAX // 2)
    bomb = batch([zeros, b"small", zeros], 2, codec)
    assert len(bomb) < most_packed
    fetched = records_of(batch([b"a", b"b"], 0, codec), bomb, batch([b"c"], 5, codec))
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


@pytest.mark.parametrize("name", PACKED)
def test_what_producers_send_is_unpacked_as_ever(name: str) -> None:
    pack, unpack = PACKED[name]
    for plain in (b"x", b"x" * (BATCH_BYTES_MAX // 8), bytes(range(256)) * 400):
        assert unpack(memoryview(pack(plain))) == plain


def test_what_was_packed_in_pieces_is_one() -> None:
    assert gzip_bounded(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    assert lz4_bounded(lz4_encode(b"a") + lz4_encode(b"b")) == b"ab"
    assert zstd_bounded(zstandard.compress(b"a") + zstandard.compress(b"b")) == b"ab"
    assert snappy_bounded(snappy_encode(b"ab" * 100, xerial_blocksize=3)) == b"ab" * 100


@pytest.mark.parametrize("name", PACKED)
def test_the_bound_is_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.adapters.kafka.batch_bounds.BATCH_BYTES_MAX", 100_000)
    pack, unpack = PACKED[name]
    assert unpack(pack(bytes(100_000))) == bytes(100_000)
    with pytest.raises(BatchTooLarge, match=r"more than 100,000 bytes"):
        unpack(pack(bytes(100_001)))


def test_what_is_damaged_is_not_called_too_large() -> None:
    with pytest.raises(cramjam.DecompressionError):
        lz4_bounded(lz4_encode(b"a" * 1_000)[:-8])
    with pytest.raises(cramjam.DecompressionError):
        snappy_bounded(b"\xff" * 20)


@pytest.mark.parametrize("size", [0, -4])
def test_a_block_of_snappy_that_leads_nowhere_ends_the_reading(size: int) -> None:
    damaged = snappy_encode(b"a" * 1_000)[:16] + struct.pack("!i", size) + bytes(20)
    with pytest.raises(CorruptRecordException, match=f"{size} bytes"):
        snappy_bounded(damaged)


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
