"""A bound for what one batch of the log unpacks to: who may write to it must not be able to fill a worker's memory.

A broker bounds a batch as it is packed. A megabyte of gzip or zstd may be a gigabyte of zeros, one of lz4 a quarter of
that; the client library would unpack it whole, the worker would die of it, and so would whoever takes the partition
over. What unpacks to more is not unpacked: each of its records is passed on as one that is too large, becomes a dead
letter, and the partition goes on.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final, NamedTuple

import aiokafka.record.default_records as in_python
import cramjam
import numpy as np
import zstandard
from aiokafka.codec import snappy_decode
from aiokafka.errors import CorruptRecordException

from monitor.wire.json_text import MAX_RECORD_BYTES

BATCH_BYTES_MAX: Final = 64 << 20
"""Unpacked. Producers bound a batch to about a megabyte before they pack it."""
_TOO_LARGE: Final = bytes(MAX_RECORD_BYTES + 1)
_NO_ROOM: Final = "failed to write whole buffer"  # what cramjam says of a buffer that is too small
_XERIAL: Final = b"\x82SNAPPY\x00"  # how Java's snappy begins a stream of blocks
_XERIAL_HEAD: Final = 16  # that, and two versions
_LENGTH: Final = struct.Struct("!i")  # before each block


class BatchTooLarge(CorruptRecordException):  # type: ignore[misc]  # the library has no types
    """A batch unpacks to more than `BATCH_BYTES_MAX`."""


class Refused(NamedTuple):
    """Stands for a record of such a batch: it has the record's place, and a value that no decoder takes."""

    offset: int
    timestamp: int
    value: bytes = _TOO_LARGE
    key: bytes | None = None
    headers: tuple[()] = ()


def refused(batch: Any) -> Iterator[Refused]:
    """Yield what stands for the records of a batch that is not unpacked; its head says how many there are."""
    for offset in range(batch.base_offset, batch.next_offset):
        yield Refused(offset, batch.max_timestamp)


def gzip_bounded(payload: Any) -> bytes:
    """Unpack gzip; raises `BatchTooLarge`."""
    with gzip.GzipFile(fileobj=BytesIO(payload), mode="r") as packed:
        return _within(packed.read(BATCH_BYTES_MAX + 1))


def zstd_bounded(payload: Any) -> bytes:
    """Unpack zstd; raises `BatchTooLarge`."""
    reader = zstandard.ZstdDecompressor().stream_reader(payload, read_across_frames=True)
    return _within(reader.read(BATCH_BYTES_MAX + 1))


def lz4_bounded(payload: Any) -> bytes:
    """Unpack lz4; raises `BatchTooLarge`."""
    room = np.empty(
        BATCH_BYTES_MAX, np.uint8
    )  # the system gives pages as they are written to, and so no more
    try:
        size = cramjam.lz4.decompress_into(payload, room.data)
    except cramjam.DecompressionError as error:
        if _NO_ROOM in str(error):
            raise _too_large() from error
        raise
    return room[:size].tobytes()


def snappy_bounded(payload: Any) -> bytes:
    """Unpack snappy; raises `BatchTooLarge`. Each of its blocks says at its start what it unpacks to."""
    if sum(cramjam.snappy.decompress_raw_len(block) for block in _snappy_blocks(payload)) > BATCH_BYTES_MAX:
        raise _too_large()
    unpacked: bytes = snappy_decode(payload)
    return unpacked


def _snappy_blocks(payload: Any) -> Iterator[memoryview]:
    """Yield the blocks of a stream as Java's library writes it; anything else is one block."""
    view = memoryview(payload)
    if bytes(view[: len(_XERIAL)]) != _XERIAL:
        yield view
        return
    at = _XERIAL_HEAD
    while at < len(view):
        (size,) = _LENGTH.unpack_from(view, at)
        if size <= 0:  # the library would never come to its end
            raise CorruptRecordException(f"a block of a snappy batch says that it has {size} bytes")
        at += _LENGTH.size
        yield view[at : at + size]
        at += size


def bound_batches() -> None:
    """Let the library unpack by these, for the whole process; doing it twice changes nothing.

    Its parser calls its codecs by the names of its module, also where it is compiled.
    """
    for module in _parsers():
        for name, bounded in _BOUNDED.items():
            if hasattr(module, name):
                setattr(module, name, bounded)


_BOUNDED: Final[dict[str, Callable[[Any], bytes]]] = {
    "gzip_decode": gzip_bounded,
    "lz4_decode": lz4_bounded,
    "snappy_decode": snappy_bounded,
    "zstd_decode": zstd_bounded,
}


def _parsers() -> Iterator[Any]:
    yield in_python
    try:
        from aiokafka.record._crecords import default_records as compiled  # noqa: PLC0415 - not everywhere
    except ImportError:
        return
    yield compiled


def _within(unpacked: bytes) -> bytes:
    if len(unpacked) > BATCH_BYTES_MAX:
        raise _too_large()
    return unpacked


def _too_large() -> BatchTooLarge:
    return BatchTooLarge(f"a batch unpacks to more than {BATCH_BYTES_MAX:,} bytes")
