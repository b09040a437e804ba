"""Recorded events: every line once, whatever its end, its packing or its length, and never a quiet half of a file."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.kafka.decode import decode
from monitor.adapters.recordings import (
    MAX_LINE_BYTES,
    FileRecordings,
    RecordingBroken,
    RecordingUnreadable,
    ZstdReader,
    lines_of,
)
from monitor.wire.json_text import MAX_RECORD_BYTES

LINES = [json.dumps({"event_id": f"e{n}", "at": n, "release": "r"}).encode() for n in range(3_000)]
TEXT = b"\n".join(LINES) + b"\n"


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def skippable(data: bytes) -> bytes:
    return b"\x5a\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def in_pieces(data: bytes, sizes: Iterable[int]) -> Callable[[int], bytes]:
    """A stream that hands data out in pieces of these sizes, then of one byte, as pipes and sockets do."""
    stream, left = io.BytesIO(data), iter(sizes)
    return lambda size: stream.read(min(size, next(left, 1)))


def read(*names: Path | str, stdin: bytes | None = None) -> list[bytes]:
    source = None if stdin is None else io.BufferedReader(io.BytesIO(stdin))
    return [
        line for batch in FileRecordings([str(name) for name in names], source).batches() for line in batch
    ]


PACKED = {
    "plain.jsonl": TEXT,
    "one.jsonl.gz": gzip.compress(TEXT),
    "members.jsonl.gz": gzip.compress(TEXT[:777]) + gzip.compress(TEXT[777:]),
    "one.jsonl.zst": zstd(TEXT),
    "frames.jsonl.zst": zstd(TEXT[:777]) + skippable(b"index") + zstd(TEXT[777:]),
    "skippable_first.jsonl.zst": skippable(b"head") + zstd(TEXT),
    "gzip_by_content_alone": gzip.compress(TEXT),
    "zstd_by_content_alone": zstd(TEXT),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_file_gives_its_lines_however_it_is_packed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[name])
    assert read(tmp_path / name) == LINES


@pytest.mark.parametrize("name", PACKED)
def test_standard_input_may_be_packed_too(name: str) -> None:
    assert read("-", stdin=PACKED[name]) == LINES


def test_several_files_come_one_after_the_other_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(
        b"\n".join(LINES[:5])
    )  # its last line has no end, and is one all the same
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(LINES[5:9]) + b"\n"))
    assert read(tmp_path / "b.jsonl", "-", tmp_path / "a.jsonl.gz", stdin=LINES[9]) == [
        *LINES[:5],
        LINES[9],
        *LINES[5:9],
    ]


ENDS = [
    (b"", []),
    (b"a", [b"a"]),
    (b"a\n", [b"a"]),
    (b"a\r\nb\r\n", [b"a", b"b"]),
    (b"a\r\nb\r", [b"a", b"b"]),
    (b"a\n\n", [b"a", b""]),
    (b"\n\na", [b"", b"", b"a"]),
    (b"\r\n\r\n", [b"", b""]),
    (b"a\rb\n", [b"a\rb"]),
    (b"a\r\r\n", [b"a\r"]),
]


@pytest.mark.parametrize(("data", "expected"), ENDS)
def test_line_ends_of_every_system_are_understood_and_blank_lines_are_lines(
    data: bytes, expected: list[bytes]
) -> None:
    assert [line for batch in lines_of(io.BytesIO(data).read) for line in batch] == expected


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r")), max_size=30),
    st.lists(st.integers(1, 9), max_size=60),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_where_a_stream_is_cut_into_pieces_changes_nothing(
    lines: list[bytes], sizes: list[int], end: bytes
) -> None:
    data = b"".join(line + end for line in lines)
    assert [line for batch in lines_of(in_pieces(data, sizes)) for line in batch] == lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("extra", [0, 1, 2, 3, 100_000, 1_000_000])
def test_a_line_is_too_large_from_the_bound_on_and_not_before(extra: int, end: bytes) -> None:
    event = {"event_id": "x", "at": 1, "release": "r", "note": ""}
    event["note"] = "n" * (MAX_RECORD_BYTES + extra - len(json.dumps(event)))
    data = b"\n".join([LINES[0], json.dumps(event).encode()]) + end + (LINES[1] if end else b"")
    first, long, *rest = [line for batch in lines_of(io.BytesIO(data).read1) for line in batch]
    assert (first, rest) == (LINES[0], [LINES[1]] if end else [])
    found = decode(long)
    assert found == "too_large" if extra else not isinstance(found, str)


def test_a_line_without_an_end_is_never_held(tmp_path: Path) -> None:
    """64 MiB without a line end, packed: memory stays at a few chunks."""
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"x" * (64 << 20) + b"\n" + LINES[0]))
    recording = FileRecordings([str(tmp_path / "bomb.gz")], None)
    tracemalloc.start()
    lines = [line for batch in recording.batches() for line in batch]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(lines[0]) >= MAX_LINE_BYTES - 2, lines[1]] == [True, LINES[0]]
    assert peak < 8 << 20


def test_a_zstd_bomb_is_unpacked_step_by_step() -> None:
    packed = zstd(bytes(256 << 20))
    reader, largest = ZstdReader(io.BytesIO(packed)), 0
    while piece := reader.read(1):
        largest = max(largest, len(piece))
    assert largest <= 32 << 20


def test_how_far_reading_has_come_is_told_in_bytes_on_disk(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"]
    paths[0].write_bytes(TEXT)
    paths[1].write_bytes(gzip.compress(TEXT))
    recording = FileRecordings([str(path) for path in paths], None)
    assert recording.total_bytes == sum(path.stat().st_size for path in paths)
    for _ in recording.batches():
        assert 0 < recording.done_bytes <= recording.total_bytes
    assert (recording.done_bytes, recording.lines) == (recording.total_bytes, 2 * len(LINES))
    assert FileRecordings(["-"], io.BufferedReader(io.BytesIO(b""))).total_bytes is None


UNUSABLE = [
    ("text.jsonl.gz", TEXT, "is not gzip: it begins with 7b 22 65 76; compress it with gzip, or drop .gz"),
    ("text.jsonl.zst", TEXT, "is not zstd: it begins with 7b 22 65 76; compress it with zstd, or drop .zst"),
    ("nothing.jsonl.gz", b"", "is empty; compress it with gzip"),
    ("zstd_called.gz", zstd(TEXT), "is not gzip: it begins with 28 b5 2f fd"),
]


@pytest.mark.parametrize(("name", "content", "expected"), UNUSABLE)
def test_a_name_that_promises_another_packing_is_found_out_before_anything_is_read(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / "good.jsonl").write_bytes(TEXT)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingUnreadable) as refused:
        FileRecordings([str(tmp_path / "good.jsonl"), str(tmp_path / name)], None)
    assert str(refused.value).startswith(f"{tmp_path / name}: {expected}")
    assert refused.value.exit_code == 2


def test_what_is_no_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for names, expected in [
        ([str(tmp_path / "absent.jsonl")], "absent.jsonl: cannot be read: No such file or directory"),
        ([str(tmp_path)], f"{tmp_path}: is a directory; name the files in it, such as {tmp_path}/*.jsonl"),
        (["-"], "-: standard input is closed; name a file"),
        ([""], "is a variable not set? Name a file, or - for standard input"),
    ]:
        with pytest.raises(RecordingUnreadable, match=r".") as refused:
            FileRecordings(names, None)
        assert str(refused.value).endswith(expected)
    with pytest.raises(RecordingUnreadable, match="once"):
        FileRecordings(["-", "-"], io.BufferedReader(io.BytesIO(b"")))


BIG = b"".join(b"%064d\n" % (n * 7919 % 104_729) for n in range(40_000))
PACKED_BIG = gzip.compress(BIG)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("cut.gz", PACKED_BIG[:-2_000], "Compressed file ended before the end-of-stream marker"),
        ("cut.zst", zstd(BIG)[:-2_000], "the compressed file ends in the middle"),
        ("garbage_after.gz", PACKED_BIG + b"garbage", "Not a gzipped file"),
        (
            "damaged.gz",
            PACKED_BIG[:40_000] + b"\xff" * 4_000 + PACKED_BIG[44_000:],
            "invalid|CRC check failed",
        ),
        ("garbage_after.zst", zstd(BIG) + b"garbage", "zstd decompressor error"),
    ],
)
def test_a_file_that_breaks_off_is_an_error_and_never_an_end(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    recording = FileRecordings([str(tmp_path / name)], None)
    seen: list[bytes] = []
    with pytest.raises(RecordingBroken, match=why) as broken:
        seen.extend(line for batch in recording.batches() for line in batch)
    assert seen
    if "damaged" not in name:  # what is damaged is found out when its check sum comes
        assert seen == BIG.splitlines()[: len(seen)]  # no half of a line is taken for a line
    assert f"{len(seen)} lines were read before" in str(broken.value)
    assert broken.value.exit_code == 1


@pytest.mark.parametrize(("name", "pack"), [("cut.gz", gzip.compress), ("cut.zst", zstd)])
def test_a_file_that_breaks_off_before_its_first_line_is_unusable(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(TEXT)[:20])
    with pytest.raises(RecordingUnreadable, match=r"cut\.(gz|zst): cannot be read: "):
        list(FileRecordings([str(tmp_path / name)], None).batches())
