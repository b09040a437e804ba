"""The way from one worker to its state store: a door that can be slow, shut, deaf, cut, or lose an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum


class Mode(Enum):
    """What is wrong with the way."""

    OPEN = "open"
    SLOW = "slow"
    SHUT = "shut"
    DEAF = "deaf"
    LOSES_ANSWERS = "answers are lost"
    CUTS_ANSWERS = "answers are cut"


class Door:
    """A port on loopback that leads to a server's port.

    Attributes:
        slow_s: What each piece of data waits for while it is slow.
    """

    def __init__(self, to_port: int) -> None:
        self.mode, self.slow_s, self.port = Mode.OPEN, 0.0, 0
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._opened: set[asyncio.StreamWriter] = set()

    async def open(self) -> Door:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._both, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def set(self, mode: Mode, slow_s: float = 0.0) -> None:
        """Let something be wrong from now on; what is open is torn down by a door that shuts."""
        self.mode, self.slow_s = mode, slow_s
        if mode is Mode.SHUT:
            self.reset()

    def reset(self) -> None:
        """Tear down every connection, as a middlebox does."""
        for writer in self._opened:
            writer.transport.abort()

    async def close(self) -> None:
        """Stop listening, and end what runs."""
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._opened.add(writer)
        try:
            if self.mode is not Mode.SHUT:
                there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
                self._opened.add(back)
                await asyncio.gather(
                    self._carry(reader, back, self._asked), self._carry(there, writer, self._answered)
                )
                self._opened.discard(back)
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            self._tasks.discard(task)
            self._opened.discard(writer)
            writer.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        through: Callable[[bytes], tuple[bytes, bool]],
    ) -> None:
        """Carry data one way, as far as they come through, until one of the two sides is gone."""
        try:
            while data := await reader.read(1 << 16):
                data, goes_on = through(data)
                await asyncio.sleep(self.slow_s)
                writer.write(data)
                await writer.drain()
                if not goes_on:
                    break
        finally:
            with suppress(OSError, RuntimeError):
                writer.transport.abort()

    def _asked(self, data: bytes) -> tuple[bytes, bool]:
        return (b"" if self.mode is Mode.DEAF else data), True

    def _answered(self, data: bytes) -> tuple[bytes, bool]:
        """Return what comes back of an answer, and whether anything more does."""
        if self.mode is Mode.LOSES_ANSWERS:
            return b"", False  # done there, and nobody here ever hears of it
        if self.mode is Mode.CUTS_ANSWERS:
            return data[: len(data) // 2], False
        return data, True
