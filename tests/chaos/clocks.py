"""A server's wall clock set wrong while it runs, and right again: no rights are needed for it, but a C compiler."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

COMPILER: Final = "cc"
_SOURCE: Final = Path(__file__).with_name("shift_clock.c")
_BYTES: Final = 8


class ShiftedClock:
    """The wall clock of one process, which runs under `command`.

    Other libraries that shift clocks put locks around every look at it, and a broker looks often: it came to a stand.
    """

    def __init__(self, folder: Path) -> None:
        """Build what is loaded into the process.

        Args:
            folder: The process's own; what is written there stays.

        Raises:
            OSError: There is no compiler.
            subprocess.CalledProcessError: It refuses the source.
        """
        self._said, self._library = folder / "clock", folder / "shift_clock.so"
        if not self._library.exists():
            build = [COMPILER, "-O2", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE), "-ldl"]
            subprocess.run(build, check=True, capture_output=True, timeout=60)
        self._set(0)

    def command(self, command: list[str]) -> list[str]:
        """Return the command of a process whose clock this is."""
        return ["env", f"LD_PRELOAD={self._library}", f"SHIFT_CLOCK_FILE={self._said}", *command]

    @asynccontextmanager
    async def wrong_by(self, seconds: int) -> AsyncIterator[None]:
        """Set the clock ahead by so many seconds, or behind, for as long as this is entered."""
        self._set(seconds)
        try:
            yield
        finally:
            self._set(0)

    def _set(self, seconds: int) -> None:
        with self._said.open("r+b" if self._said.exists() else "wb") as file:
            file.write(seconds.to_bytes(_BYTES, "little", signed=True))
