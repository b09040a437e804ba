"""What the oracle reads from the broker's files is what was written, and what a consumer is given."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.chaos.segments import rows_of


def varint(number: int) -> bytes:
    unsigned, out = (number << 1) ^ (number >> 63), b""
    while unsigned > 0x7F:
        out, unsigned = out + bytes([unsigned & 0x7F | 0x80]), unsigned >> 7
    return out + bytes([unsigned])


def text(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def batch(base: int, records: list[tuple[bytes | None, bytes | None]], attributes: int = 0) -> bytes:
    """Write a batch by the protocol's words: ten milliseconds between two records, one header each."""
    body = b""
    for number, (key, value) in enumerate(records):
        one = b"\0" + varint(number * 10) + varint(number) + text(key) + text(value)
        one += varint(1) + text(b"name") + text(b"%d" % number)
        body += varint(len(one)) + one
    rest = struct.pack(
        ">ibIhiqqqhii", 0, 2, 0, attributes, len(records) - 1, 1_000, 9_000, 7, 0, 0, len(records)
    )
    return struct.pack(">qi", base, len(rest) + len(body)) + rest + body


@pytest.fixture
def topic(tmp_path: Path) -> Path:
    folder = tmp_path / "some-topic-1"
    folder.mkdir()
    (tmp_path / "some-topic-more-1").mkdir()  # another topic, whose name begins alike
    return folder


def test_every_record_is_read_with_its_place_and_time(tmp_path: Path, topic: Path) -> None:
    long = b"x" * 100_000
    first = batch(5, [(b"key", b"value"), (None, None), (None, long)])
    (topic / "00000000000000000005.log").write_bytes(first + batch(9, [(None, b"by the broker")], 0x08))
    (topic / "00000000000000000010.log").write_bytes(batch(10, [(None, b"later")]) + b"\0" * 200)
    rows = rows_of(tmp_path, "some-topic")[1]
    assert [row.offset for row in rows] == [5, 6, 7, 9, 10]
    assert [row.at_ms for row in rows] == [1_000, 1_010, 1_020, 9_000, 1_000]
    assert [row.value for row in rows] == [b"value", None, long, b"by the broker", b"later"]
    assert (rows[0].key, rows[1].key, rows[1].headers) == ("key", None, (("name", b"1"),))
    assert list(rows_of(tmp_path, "some-topic")) == [1]


def test_markers_are_no_records_and_half_a_batch_is_none_yet(tmp_path: Path, topic: Path) -> None:
    (topic / "0.log").write_bytes(batch(0, [(None, b"marker")], 0x20) + batch(1, [(None, b"half")])[:-3])
    assert rows_of(tmp_path, "some-topic") == {1: []}


def test_what_cannot_be_read_is_refused(tmp_path: Path, topic: Path) -> None:
    (topic / "0.log").write_bytes(batch(0, [(None, b"packed")], 0x01))
    with pytest.raises(ValueError, match="attributes 0x1"):
        rows_of(tmp_path, "some-topic")
