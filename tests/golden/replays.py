"""Replays of the golden cases on this machine.

Numbers of other machines are equal to nine digits only (README.md beside this): a test that compares bytes compares
them with these.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

from monitor.cli import main
from tests.golden.cases import Case


def replayed(case: Case, events: Path | None = None, fail_on: str | None = None) -> tuple[int, bytes]:
    """Return the exit code of a replay in this process, and its decisions."""
    said = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(said, write_through=True)):
        code = main([*case.arguments(events), *(["--fail-on", fail_on] if fail_on else [])])
        return code, said.getvalue()


@cache
def recorded(case: Case, fail_on: str | None = None) -> tuple[int, bytes]:
    """A replay of the recording as it is, made once."""
    return replayed(case, fail_on=fail_on)
