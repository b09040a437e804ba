"""Recorded events: the lines of files (plain, gzip, zstd) and of standard input, in bounded memory.

Several files are one partition, one after the other. Lines come in batches, without their ends, whatever the
ends are; a line longer than any record may be is cut to just above that bound, so that the decoder names it
and nobody has to hold it. Where a compressed stream is cut off or damaged, that is an error and never an end.
"""

from __future__ import annotations

import gzip
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

import zstandard

from monitor.core.errors import MonitorError
from monitor.wire.json_text import MAX_RECORD_BYTES

STDIN: Final = "-"
MAX_LINE_BYTES: Final = (
    MAX_RECORD_BYTES + 2
)  # with a carriage return, and one more byte that shows it is too long
_CHUNK_BYTES: Final = 1 << 18
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))
# A block of 128 KiB may be packed into four bytes: this much input never unpacks to more than 16 MiB.
_ZSTD_STEP_BYTES: Final = 512
_ZSTD_WINDOW_BYTES: Final = 1 << 27  # the zstd program's own limit
_DAMAGED: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)

Read = Callable[[int], bytes]
"""Returns some bytes, at most about as many as asked for; none at the end."""


class RecordingUnreadable(MonitorError):
    """A recording that cannot be used at all; the message says which and what to do."""

    exit_code: ClassVar[int] = 2


class RecordingBroken(MonitorError):
    """A recording that ended before its end, after some of it was read."""

    exit_code: ClassVar[int] = 1


class FileRecordings:
    """Files of events, one JSON object a line, read one after the other.

    Attributes:
        total_bytes: Of all files, as they lie on disk; None where that is not known (a pipe).
        lines: How many were handed out so far.
    """

    def __init__(
        self,
        names: Sequence[str],
        stdin: BufferedReader[Any] | None,
        *,
        line_bytes_max: int = MAX_LINE_BYTES,
    ) -> None:
        """Check every name, before anything is read.

        Args:
            names: Paths; `-` is standard input.
            stdin: What `-` means; None where it is closed.
            line_bytes_max: A longer line is cut there.
        Raises:
            RecordingUnreadable: For the first name that cannot be used.
        """
        self._names = tuple(names)
        self._stdin = stdin
        self._line_bytes_max = line_bytes_max
        sizes = [self._checked_size(name) for name in self._names]
        if self._names.count(STDIN) > 1:
            raise RecordingUnreadable("-: standard input can be read once only; name it once")
        self.total_bytes = None if None in sizes else sum(size or 0 for size in sizes)
        self.lines = 0
        self._done_bytes = 0
        self._file: BufferedReader[Any] | None = None

    @property
    def done_bytes(self) -> int:
        """How far reading has come, in bytes on disk; pipes do not count."""
        return self._done_bytes + _position(self._file)

    def batches(self) -> Iterator[list[bytes]]:
        """Yield the lines in batches, without their ends.

        Raises:
            RecordingUnreadable: A file cannot be read, before any line was handed out.
            RecordingBroken: Reading failed, or a compressed file is cut off, after some were.
        """
        for name in self._names:
            try:
                with self._opened(name) as file:
                    self._file = file
                    for batch in lines_of(_reader(name, file), self._line_bytes_max):
                        self.lines += len(batch)
                        yield batch
                    self._done_bytes += _position(file)
                    self._file = None
            except _DAMAGED as error:
                raise self._damaged(name, error) from error

    def _opened(self, name: str) -> AbstractContextManager[BufferedReader[Any]]:
        if name != STDIN:
            return Path(name).open("rb")
        assert self._stdin is not None, "checked at the start"
        return nullcontext(self._stdin)

    def _checked_size(self, name: str) -> int | None:
        if name == STDIN:
            if self._stdin is None:
                raise RecordingUnreadable("-: standard input is closed; name a file")
            return None
        if not name:
            raise RecordingUnreadable(
                "an empty name: is a variable not set? Name a file, or - for standard input"
            )
        try:
            found = Path(name).stat()
            if stat.S_ISDIR(found.st_mode):
                raise RecordingUnreadable(
                    f"{name}: is a directory; name the files in it, such as {name}/*.jsonl"
                )
            if not stat.S_ISREG(found.st_mode):
                return None  # a pipe: opening it twice would lose what is in it
            with Path(name).open("rb") as file:
                _check_kind(name, file.peek(4))
        except OSError as error:
            raise RecordingUnreadable(f"{name}: cannot be read: {_why(error)}") from error
        return found.st_size

    def _damaged(self, name: str, error: Exception) -> MonitorError:
        if not self.lines:
            return RecordingUnreadable(f"{name}: cannot be read: {_why(error)}")
        return RecordingBroken(
            f"{name}: broke off: {_why(error)}; {self.lines} lines were read before. What was written by then "
            "stands, nothing was concluded from half a file: give a whole copy of it"
        )


def lines_of(read: Read, line_bytes_max: int = MAX_LINE_BYTES) -> Iterator[list[bytes]]:
    """Yield the lines of a stream in batches, without their ends (with or without a carriage return).

    A line beyond `line_bytes_max` is cut there. What follows the last line end is a line unless it is empty.
    """
    tail = b""
    is_cut = False
    while chunk := read(_CHUNK_BYTES):
        has_returns = b"\r" in chunk or tail.endswith(b"\r")
        if is_cut:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk = chunk[end:]
            is_cut = False
        lines = (tail + chunk).split(b"\n")
        tail = lines.pop()
        if len(tail) > line_bytes_max:
            tail, is_cut = tail[:line_bytes_max], True
        if has_returns:
            lines = [line.removesuffix(b"\r") for line in lines]
        if lines:
            yield lines
    if tail:
        yield [tail.removesuffix(b"\r")]


class ZstdReader:
    """Unpacks zstd frame by frame.

    The library's own stream reader takes a frame that is cut off for its end, and unpacks without a bound.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._library = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""

    def read(self, _size: int) -> bytes:
        """Return what the next bytes of the file unpack to; none at the end.

        Raises:
            EOFError: The file ends within a frame.
            zstandard.ZstdError: It is not zstd, or damaged.
        """
        while True:
            self._packed = self._packed or self._file.read(_ZSTD_STEP_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("the compressed file ends in the middle")
                return b""
            if self._frame is None:
                self._frame = self._library.decompressobj()
            unpacked = self._frame.decompress(self._packed)
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
            if unpacked:
                return unpacked


def _reader(name: str, file: BufferedReader[Any]) -> Read:
    head = file.peek(4)
    _check_kind(name, head)
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file, mode="rb").read1
    if head.startswith((_ZSTD, *_ZSTD_SKIPPABLE)):
        return ZstdReader(file).read
    return file.read1


def _check_kind(name: str, head: bytes) -> None:
    """Hold a name that promises a compressed file against its first bytes; else these alone decide."""
    for suffix, program, marks in ((".gz", "gzip", (_GZIP,)), (".zst", "zstd", (_ZSTD, *_ZSTD_SKIPPABLE))):
        if name.endswith(suffix) and not head.startswith(marks):
            got = "empty" if not head else f"not {program}: it begins with {head[:4].hex(' ')}"
            raise RecordingUnreadable(
                f"{name}: is {got}; compress it with {program}, or drop {suffix} from its name"
            )


def _position(file: BufferedReader[Any] | None) -> int:
    return file.tell() if file is not None and file.seekable() else 0


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
