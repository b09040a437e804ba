"""A bound for what one batch of the log unpacks to: who may write to it must not be able to fill a worker's memory.

A broker bounds a batch as it is packed. A megabyte of gzip may be a gigabyte of zeros; the client library would unpack
it whole, the worker would die of it, and so would whoever takes the partition over. What unpacks to more is not
unpacked: each of its records is passed on as one that is too large, becomes a dead letter, and the partition goes on.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final, NamedTuple

import aiokafka.record.default_records as in_python
import zstandard
from aiokafka.errors import CorruptRecordException

from monitor.wire.json_text import MAX_RECORD_BYTES

BATCH_BYTES_MAX: Final = 64 << 20
"""Unpacked. Producers bound a batch to about a megabyte before they pack it."""
_TOO_LARGE: Final = bytes(MAX_RECORD_BYTES + 1)


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


def bound_batches() -> None:
    """Let the library unpack by these, for the whole process; doing it twice changes nothing.

    Its parser calls its codecs by the names of its module, also where it is compiled. The two others unpack to at most
    some 255 (lz4) and 21 (snappy) times what is fetched.
    """
    for module in _parsers():
        for name, bounded in _BOUNDED.items():
            if hasattr(module, name):
                setattr(module, name, bounded)


_BOUNDED: Final[dict[str, Callable[[Any], bytes]]] = {
    "gzip_decode": gzip_bounded,
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
        raise BatchTooLarge(f"a batch unpacks to more than {BATCH_BYTES_MAX:,} bytes")
    return unpacked
