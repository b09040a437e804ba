"""Reads a topic from the broker's own files: the oracle's way to the log, without any Kafka client.

Standard library only. The layout is that of record batches, version 2 (Kafka's protocol documentation, "Record
Batch"): what the product says it read is held against bytes that no code of the product, nor a library of it, touched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct(">qiibI hiqqqhii")  # base offset … number of records: 61 bytes
_LENGTH_AT = 12  # a batch's length counts what follows it
_COMPRESSED, _BY_BROKER, _CONTROL = 0x07, 0x08, 0x20
_VERSION = 2


class Row(NamedTuple):
    """One record: its place, its own time in epoch milliseconds, and what it holds."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: str | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def timestamp(self) -> int:
        """The record's own time, by the name that the simulated log has for it."""
        return self.at_ms


def rows_of(data_dir: Path, topic: str) -> dict[int, list[Row]]:
    """Return every record of a topic by partition, in the order of offsets.

    Args:
        data_dir: The broker's `log.dirs`. It may run: what it has acknowledged is in the file.

    Raises:
        ValueError: A batch is compressed, or not of the layout's version.
    """
    found: dict[int, list[Row]] = {}
    for folder in data_dir.glob(f"{topic}-*"):
        name, _, number = folder.name.rpartition("-")
        if name == topic and number.isdigit():
            found[int(number)] = list(each_row(data_dir, topic, int(number)))
    return dict(sorted(found.items()))


def each_row(data_dir: Path, topic: str, partition: int) -> Iterator[Row]:
    """Yield the records of one partition in the order of offsets, as `rows_of` does, and keep none of them."""
    for file in sorted((data_dir / f"{topic}-{partition}").glob("*.log")):
        yield from _rows(file, topic, partition)


def _rows(file: Path, topic: str, partition: int) -> Iterator[Row]:
    data, at = file.read_bytes(), 0
    while at + _HEAD.size <= len(data):
        head = _HEAD.unpack_from(data, at)
        base, length, version, attributes = head[0], head[1], head[3], head[5]
        first_ms, max_ms, count = head[7], head[8], head[12]
        end = at + _LENGTH_AT + length
        if not length or end > len(data):
            break  # preallocated, or being written at this moment
        if version != _VERSION or attributes & _COMPRESSED:
            raise ValueError(f"{file}: a batch of version {version}, attributes {attributes:#x} at byte {at}")
        if not attributes & _CONTROL:
            body = _Body(data, at + _HEAD.size)
            for _ in range(count):
                offset, passed_ms, key, value, headers = body.record()
                at_ms = max_ms if attributes & _BY_BROKER else first_ms + passed_ms
                text = None if key is None else key.decode()
                yield Row(topic, partition, base + offset, at_ms, text, value, headers)
        at = end


class _Body:
    """The records of one batch, read one after another."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def record(self) -> tuple[int, int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
        self._varint()  # its length
        self._at += 1  # attributes: none are defined
        passed_ms, offset = self._varint(), self._varint()
        key, value = self._bytes(), self._bytes()
        headers = tuple(
            ((self._bytes() or b"").decode(), self._bytes() or b"") for _ in range(self._varint())
        )
        return offset, passed_ms, key, value, headers

    def _bytes(self) -> bytes | None:
        length = self._varint()
        if length < 0:
            return None
        self._at += length
        return self._data[self._at - length : self._at]

    def _varint(self) -> int:
        shift = unsigned = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            unsigned |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (unsigned >> 1) ^ -(unsigned & 1)
            shift += 7
