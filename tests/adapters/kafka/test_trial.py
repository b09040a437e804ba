"""Records are tried by a child process: it dies of what kills a decoder, and who asks lives and knows of which."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from monitor.adapters.kafka import trial
from monitor.adapters.kafka.trial import ChildTrial

SEGFAULT, HANG, GOOD = b"segfault", b"hang", b'{"event_id": "e", "at": 1, "release": "v"}'
LIMIT_S = 600.0
CHILD = (sys.executable, "-m", __name__)


def crashing(value: bytes | None) -> object:
    """Decode as native code with defects does: it ends the process, or never comes back."""
    if value == SEGFAULT:
        os.kill(os.getpid(), signal.SIGSEGV)
    while value == HANG:
        pass
    return value


@pytest.mark.parametrize(
    ("values", "deadly"),
    [
        ([], set()),
        ([GOOD, None, b""], set()),
        ([SEGFAULT], {0}),
        ([GOOD, SEGFAULT, None, SEGFAULT, SEGFAULT, GOOD], {1, 3, 4}),
        ([GOOD, HANG, GOOD], {1}),
    ],
)
async def test_what_kills_its_decoder_or_keeps_it_for_ever_is_found(
    values: list[bytes | None], deadly: set[int]
) -> None:
    assert await ChildTrial(CHILD, LIMIT_S).deadly(values) == deadly


async def test_what_is_more_than_one_child_reads_is_tried_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SLICE_BYTES", 2 * len(GOOD))
    values = [GOOD, GOOD, GOOD, SEGFAULT, GOOD, GOOD, GOOD, SEGFAULT]
    assert await ChildTrial(CHILD, LIMIT_S).deadly(values) == {3, 7}


async def test_the_products_own_decoder_dies_of_nothing_that_is_known() -> None:
    values = [GOOD, None, b"", b"\xff", b"[" * 60_000, b"x" * 70_000, b'{"at": 1e999}', SEGFAULT]
    assert await ChildTrial(limit_s=LIMIT_S).deadly(values) == frozenset()


@pytest.mark.parametrize(
    ("command", "limit_s"),
    [
        (("/nowhere/python",), LIMIT_S),
        ((sys.executable, "-c", "import sys; sys.stdin.buffer.read(); sys.exit(3)"), LIMIT_S),
        ((sys.executable, "-c", "import time; time.sleep(600)"), 0.1),
    ],
)
async def test_where_nothing_can_be_tried_nothing_is_set_aside_and_it_is_said(
    command: tuple[str, ...], limit_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert await ChildTrial(command, limit_s).deadly([GOOD, SEGFAULT]) == frozenset()
    assert "tried apart" in caplog.text


if __name__ == "__main__":
    trial.HANGS_S = 0.2  # type: ignore[misc]  # of processor time: a test need not wait for as long as a worker
    sys.exit(trial.main(crashing))
