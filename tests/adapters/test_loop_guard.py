"""A worker whose event loop hangs ends and says where; one that is only busy, or was stopped, does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

from monitor.adapters.loop_guard import HUNG, guarded_loop

HANGS = """
import asyncio, time
from monitor.adapters.loop_guard import guarded_loop

def in_a_library_call():
    time.sleep(120)

async def work():
    async with guarded_loop(limit_s=0.6):
        await asyncio.sleep(0.1)
        in_a_library_call()

asyncio.run(work())
"""


def test_a_loop_that_hangs_ends_the_process_and_names_the_place() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], check=False, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == HUNG
    assert "in_a_library_call" in ended.stderr


async def test_a_loop_that_is_only_busy_is_let_alone() -> None:
    hung: list[str] = []
    async with guarded_loop(limit_s=3.0, end=lambda: hung.append("hung")):
        for _ in range(8):
            time.sleep(0.1)  # noqa: ASYNC251 - a callback that takes long
            await asyncio.sleep(0.06)
    assert hung == []


async def test_nothing_is_watched_any_more_when_it_was_left() -> None:
    hung: list[str] = []
    async with guarded_loop(limit_s=0.3, end=lambda: hung.append("hung")):
        await asyncio.sleep(0)
    time.sleep(1)  # noqa: ASYNC251 - a loop that hangs after the worker's end is nobody's business
    assert hung == []
