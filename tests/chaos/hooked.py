"""`python -m tests.chaos.hooked FILE VERB`: a worker with two faults that nobody can do to it from outside.

A signal makes it look into the file: it blocks its event loop for so many seconds, or its wall clock is wrong by so
many from then on. Everything else is the product's own command line.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

LOOK = signal.SIGVTALRM  # nobody else's: the worker's host takes SIGUSR1 and SIGUSR2
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


def main() -> int:
    """Run the command line."""
    hooks = Hooks(Path(sys.argv.pop(1)))
    hooks.look()
    signal.signal(LOOK, hooks.look)
    time.time_ns, time.time = hooks.time_ns, hooks.time  # before anything takes them over by name
    from monitor.cli import main as product

    return product()


if __name__ == "__main__":
    sys.exit(main())
