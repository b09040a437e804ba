"""The way from one worker to its state store: a door that can be slow, shut, deaf, cut, or lose an answer."""

from __future__ import annotations

import asyncio
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
                await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
                self._opened.discard(back)
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            self._tasks.discard(task)
            self._opened.discard(writer)
            writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if self.mode is Mode.DEAF:
                    continue
                await asyncio.sleep(self.slow_s)
                writer.write(data)
                await writer.drain()
        finally:
            with suppress(OSError, RuntimeError):
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if self.mode is Mode.LOSES_ANSWERS:
                    break  # done there, and nobody here ever hears of it
                if self.mode is Mode.CUTS_ANSWERS:
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    break
                await asyncio.sleep(self.slow_s)
                writer.write(data)
                await writer.drain()
        finally:
            with suppress(OSError, RuntimeError):
                writer.transport.abort()
