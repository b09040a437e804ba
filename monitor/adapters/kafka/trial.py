"""A child process that decodes records before the worker does, so that a record that kills does not kill the worker.

Run as `python -m monitor.adapters.kafka.trial`: it reads records from its standard input, each behind its length, lets
forks of itself decode them, and writes which of them a fork died of: among others, and twice again alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

_log = logging.getLogger(__name__)

COMMAND: Final[tuple[str, ...]] = (sys.executable, "-m", "monitor.adapters.kafka.trial")
# For the whole of a slice, on a machine that has much else to do; usually it is a second.
LIMIT_S: Final = 60.0
HANGS_S: Final = 3.0  # of processor time for one record: that is no decoding, and keeps its worker for ever
AGAIN: Final = 2
SLICE_BYTES: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct(">i")
_NO_VALUE: Final = -1  # a tombstone's length
_END: Final = b"end"


class ChildTrial:
    """`Trial` by a child process, one for each slice of records."""

    def __init__(self, command: Sequence[str] | None = None, limit_s: float = LIMIT_S) -> None:
        self._command, self._limit_s = tuple(COMMAND if command is None else command), limit_s

    async def deadly(self, values: Sequence[bytes | None]) -> frozenset[int]:
        """Return which values kill their decoder, or keep it for ever; none of a slice that could not be tried."""
        found: set[int] = set()
        for start, end in _slices(values):
            found.update(start + index for index in await self._tried(values[start:end]))
        return frozenset(found)

    async def _tried(self, values: Sequence[bytes | None]) -> list[int]:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            _log.error("records cannot be tried apart: %s", error)
            return []
        said = b""
        try:
            async with asyncio.timeout(self._limit_s):
                said, _ = await child.communicate(b"".join(map(_packed, values)))
        except TimeoutError:
            _log.error("records cannot be tried apart: no end within %g s", self._limit_s)
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        *found, end = said.split() or [b""]
        if end != _END:
            _log.error("records were not all tried apart: the child ended with %s", child.returncode)
        return [int(word) for word in (*found, end) if word.isdigit()]


def _slices(values: Sequence[bytes | None]) -> Iterator[tuple[int, int]]:
    start = weight = 0
    for index, value in enumerate(values):
        weight += len(value or b"")
        if weight > SLICE_BYTES:
            yield start, index + 1
            start, weight = index + 1, 0
    if start < len(values):
        yield start, len(values)


def _packed(value: bytes | None) -> bytes:
    return _LENGTH.pack(_NO_VALUE) if value is None else _LENGTH.pack(len(value)) + value


def _unpacked(data: bytes) -> Iterator[bytes | None]:
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        yield None if length == _NO_VALUE else data[at : at + length]
        at += max(0, length)


def main(decode: Callable[[bytes | None], object]) -> int:
    """Let forks decode what comes in, and write the index of each record that kills them."""
    values = list(_unpacked(sys.stdin.buffer.read()))
    at = 0
    while at < len(values):
        died_at = _died_at(decode, values[at:])
        if died_at is None:
            break
        at += died_at
        if all(_died_at(decode, values[at : at + 1]) == 0 for _ in range(AGAIN)):
            os.write(sys.stdout.fileno(), b"%d\n" % at)
        at += 1
    os.write(sys.stdout.fileno(), _END)
    return 0


def _died_at(decode: Callable[[bytes | None], object], values: Sequence[bytes | None]) -> int | None:
    """Return the index of the record that a fork died of; None where it came to the end."""
    begun, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(begun)
        _decode_all(decode, values, write)
    os.close(write)
    count = 0
    with open(begun, "rb") as pipe:
        while chunk := pipe.read(1 << 16):
            count += len(chunk)
    _, status = os.waitpid(pid, 0)
    return count - 1 if os.WIFSIGNALED(status) and count else None


def _decode_all(decode: Callable[[bytes | None], object], values: Sequence[bytes | None], write: int) -> None:
    """Decode in a fork, which ends here, whatever happens; a record that hangs ends it by a signal."""
    try:
        for value in values:
            os.write(write, b".")
            signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_S)
            decode(value)
    finally:
        os._exit(0)  # an exception is no death: the worker meets it too, and says so


if __name__ == "__main__":
    from monitor.adapters.kafka.decode import decode as _decode

    sys.exit(main(_decode))
