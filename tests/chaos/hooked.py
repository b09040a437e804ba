"""`python -m tests.chaos.hooked FILE VERB`: a worker with two faults that nobody can do to it from outside.

A signal makes it look into the file: it blocks its event loop for so many seconds, or its wall clock is wrong by so
many from then on. Everything else is the product's own command line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

LOOK = signal.SIGVTALRM  # nobody else's: the worker's host takes SIGUSR1 and SIGUSR2
MEASURE = "CHAOS_MEASURE_STAYS"
WRITE_S = 2.0
BEGINNING_S = 20.0  # of a process: it imports, and reads everything for the first time
_wall_ns = time.time_ns


class Hooks:
    """What the file says, when it was looked into last."""

    def __init__(self, path: Path) -> None:
        self._path, self._skew_ns = path, 0

    def look(self, *_: object) -> None:
        """Take over what the file says now; runs between two steps of whatever the loop is at."""
        said = json.loads(self._path.read_text())
        self._skew_ns = int(said.get("skew_s", 0) * 1e9)
        time.sleep(said.get("block_s", 0))

    def time_ns(self) -> int:
        """Return the wall clock, as wrong as it was told to be."""
        return _wall_ns() + self._skew_ns

    def time(self) -> float:
        """Return it in seconds."""
        return self.time_ns() / 1e9


class Stays:
    """The longest that one callback kept the event loop, in its own processor time: no stop and no neighbour counts."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_suffix(".partial")
        self._worst_s, self._what = 0.0, ""
        self._from_s = time.monotonic() + BEGINNING_S
        self._collecting_s = self._began_s = 0.0

    def measure(self) -> None:
        """Look at every callback from now on, and keep the file up to date."""
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            began_s = time.thread_time()
            run(handle)
            took_s = time.thread_time() - began_s
            if took_s > self._worst_s and time.monotonic() > self._from_s:
                owner = getattr(handle._callback, "__self__", handle)  # type: ignore[attr-defined]  # the standard library's own
                coro = owner.get_coro() if isinstance(owner, asyncio.Task) else None
                self._worst_s, self._what = took_s, getattr(coro, "__qualname__", type(owner).__name__)

        gc.callbacks.append(self._collected)
        asyncio.Handle._run = measured  # type: ignore[method-assign, assignment]  # to be in every call
        threading.Thread(target=self._write, daemon=True).start()

    def _collected(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began_s = time.thread_time()
        elif time.monotonic() > self._from_s:
            self._collecting_s = max(self._collecting_s, time.thread_time() - self._began_s)

    def _write(self) -> None:
        while True:
            said = {"ms": self._worst_s * 1000, "what": self._what, "gc_ms": self._collecting_s * 1000}
            self._partial.write_text(json.dumps(said))
            self._partial.replace(self._path)
            time.sleep(WRITE_S)


def main() -> int:
    """Run the command line."""
    path = Path(sys.argv.pop(1))
    hooks = Hooks(path)
    if os.environ.get(MEASURE):
        Stays(path.with_suffix(".stays")).measure()
    hooks.look()
    signal.signal(LOOK, hooks.look)
    time.time_ns, time.time = hooks.time_ns, hooks.time  # before anything takes them over by name
    from monitor.cli import main as product

    return product()


if __name__ == "__main__":
    sys.exit(main())
