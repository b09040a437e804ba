"""The longest that one callback kept an event loop, in its own processor time: no stop and no neighbour counts."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

WRITE_S = 2.0
BEGINNING_S = 5.0  # of its own processor time: a process imports, and reads everything for the first time
KEPT = 8  # of the longest
PEEK_S, LONG_S = 0.004, 0.02  # how often, and from when on, it is looked where a callback is
INNERMOST = 6  # frames of that


class Stays:
    """Looks at every callback, and keeps the longest in a file."""

    def __init__(self, path: Path) -> None:
        self._path, self._partial = path, path.with_suffix(".partial")
        self._worst: list[dict[str, Any]] = []
        self._least_s = LONG_S
        self._longest_collection_s = self._collected_s = self._began_s = 0.0
        self._callback_s = 0.0  # the processor time when what runs now began; 0 between two callbacks
        self._seen_at = ""

    def measure(self) -> None:
        """Look at every callback from now on."""
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            self._seen_at, self._collected_s = "", 0.0
            self._callback_s = began_s = time.thread_time()
            run(handle)
            took_s = time.thread_time() - began_s
            self._callback_s = 0.0
            if took_s > self._least_s and self._has_begun():
                self._keep(handle, took_s)

        gc.callbacks.append(self._on_collection)
        asyncio.Handle._run = measured  # type: ignore[method-assign, assignment]  # to be in every call
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._peek, args=[threading.get_ident()], daemon=True).start()

    def _has_begun(self) -> bool:
        return time.process_time() > BEGINNING_S

    def _keep(self, handle: asyncio.Handle, took_s: float) -> None:
        owner = getattr(handle._callback, "__self__", handle)  # type: ignore[attr-defined]  # the standard library's own
        coro: Any = owner.get_coro() if isinstance(owner, asyncio.Task) else None
        stay = {
            "ms": took_s * 1000,
            "what": getattr(coro, "__qualname__", type(owner).__name__),
            "collecting ms": self._collected_s * 1000,
            "seen at": self._seen_at,
            "ended at": _awaits(coro),
            "process s": time.process_time(),
        }
        self._worst = sorted([*self._worst, stay], key=lambda one: -one["ms"])[:KEPT]
        if len(self._worst) == KEPT:
            self._least_s = self._worst[-1]["ms"] / 1000

    def _peek(self, loops: int) -> None:
        """Look where the loop's thread is, whenever it has been at one callback for long."""
        clock = time.pthread_getcpuclockid(loops)
        while True:
            time.sleep(PEEK_S)
            began_s = self._callback_s
            if began_s and time.clock_gettime(clock) - began_s > LONG_S:
                frames = traceback.extract_stack(sys._current_frames()[loops])[-INNERMOST:]
                self._seen_at = " < ".join(
                    _place(one.filename, one.lineno, one.name) for one in reversed(frames)
                )

    def _on_collection(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began_s = time.thread_time()
            return
        took_s = time.thread_time() - self._began_s
        self._collected_s += took_s
        if self._has_begun():
            self._longest_collection_s = max(self._longest_collection_s, took_s)

    def _write(self) -> None:
        while True:
            said = {
                "gc_ms": self._longest_collection_s * 1000,
                "longest": self._worst,
                "watched_s": max(0.0, time.process_time() - BEGINNING_S),
            }
            self._partial.write_text(json.dumps(said))
            self._partial.replace(self._path)
            time.sleep(WRITE_S)


def _awaits(coro: Any) -> str:
    """Return where a coroutine waits now, from within outwards: there the callback ended."""
    places = []
    while coro is not None and getattr(coro, "cr_frame", None) is not None:
        places.append(_place(coro.cr_code.co_filename, coro.cr_frame.f_lineno, coro.cr_code.co_name))
        coro = coro.cr_await
    return " < ".join(reversed(places))


def _place(file: str, line: int | None, name: str) -> str:
    return f"{Path(file).name}:{line} {name}"
