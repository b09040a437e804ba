"""`python -m tests.chaos.hooked FILE VERB`: a worker with two faults that nobody can do to it from outside.

A signal makes it look into the file: it blocks its event loop for so many seconds, or its wall clock is wrong by so
many from then on. Everything else is the product's own command line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.chaos.stays import Stays

LOOK = signal.SIGVTALRM  # nobody else's: the worker's host takes SIGUSR1 and SIGUSR2
MEASURE = "CHAOS_MEASURE_STAYS"
DEADLY = b'{"deadly": '  # what a record begins with that crashes the decoder
TRIAL = "try-records-apart"
_wall_ns = time.time_ns


class Hooks:
    """What the file says, when it was looked into last."""

    def __init__(self, path: Path) -> None:
        self._path, self._skew_ns, self._is_deadly = path, 0, False

    def look(self, *_: object) -> None:
        """Take over what the file says now; runs between two steps of whatever the loop is at."""
        said = json.loads(self._path.read_text())
        self._is_deadly = bool(said.get("deadly"))
        self._skew_ns = int(said.get("skew_s", 0) * 1e9)
        time.sleep(said.get("block_s", 0))

    def time_ns(self) -> int:
        """Return the wall clock, as wrong as it was told to be."""
        return _wall_ns() + self._skew_ns

    def decoding(self, decode: Callable[[bytes | None], Any]) -> Callable[[bytes | None], Any]:
        """Return a decoder whose native code crashes at some records, while the file says so."""

        def crashing(value: bytes | None) -> Any:
            if self._is_deadly and value is not None and value.startswith(DEADLY):
                os.kill(os.getpid(), signal.SIGSEGV)
            return decode(value)

        return crashing

    def time(self) -> float:
        """Return it in seconds."""
        return self.time_ns() / 1e9


def main() -> int:
    """Run the command line, or try records apart as a worker of this kind has to."""
    path = Path(sys.argv.pop(1))
    hooks = Hooks(path)
    if os.environ.get(MEASURE):
        Stays(path.with_suffix(".stays")).measure()
    hooks.look()
    signal.signal(LOOK, hooks.look)
    time.time_ns, time.time = hooks.time_ns, hooks.time  # before anything takes them over by name
    from monitor.adapters.kafka import decode, trial

    crashing = hooks.decoding(decode.decode)
    if sys.argv[1:] == [TRIAL]:
        return trial.main(crashing)
    setattr(decode, "decode", crashing)  # noqa: B010 - before anything takes it over by name
    trial.COMMAND = (sys.executable, "-m", __spec__.name, str(path), TRIAL)  # type: ignore[misc]  # final for the product
    from monitor.cli import main as product

    return product()


if __name__ == "__main__":
    sys.exit(main())
