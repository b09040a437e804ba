"""Run one server for as long as the parent lives. Started as a script of its own, standard library only.

Usage: python guard.py PID_FILE GRACE_SECONDS COMMAND...

Standard input is the lifeline: nothing is ever written to it, and its end means that the parent wants the
server gone or is dead, even by SIGKILL. A pipe is used and not PR_SET_PDEATHSIG in the parent, because that
signal comes when the *thread* that started the child ends, and because it does not exist on macOS.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with_guard() -> None:
    """Linux only: the server goes when the guard itself is killed hard. Runs in the child before exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Start the server, write its process id, and end it when the lifeline ends."""
    pid_file, grace_s, command = Path(arguments[0]), float(arguments[1]), arguments[2:]
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_guard,  # noqa: PLW1509 - this process has one thread when it forks
    )

    def end(_signal: int = 0, _frame: FrameType | None = None) -> None:
        server.terminate()
        threading.Timer(grace_s, server.kill).start()

    def watch_lifeline() -> None:
        while os.read(0, 1):
            pass
        end()

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=watch_lifeline, daemon=True).start()
    # Last: whoever reads the id may end us the moment after, and the server has to end with us politely.
    partial = pid_file.with_suffix(".partial")
    partial.write_text(f"{server.pid}\n")
    partial.replace(pid_file)
    code = server.wait()
    pid_file.unlink(missing_ok=True)
    sys.stdout.flush()
    # A Timer that still waits, or a blocked read, must not keep the guard alive.
    os._exit(code if 0 <= code <= 255 else 128)


if __name__ == "__main__":
    main(sys.argv[1:])
