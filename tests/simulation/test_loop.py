"""The simulated loop keeps what a real loop promises, and leaves everything else to its seed."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from tests.simulation.loop import Process, new_loop


def ran(seed: int, processes: int = 3, each: int = 5) -> list[tuple[str, int]]:
    """Let processes count side by side; return who counted when."""
    loop = new_loop(Random(seed))
    out: list[tuple[str, int]] = []

    async def count(name: str) -> None:
        for number in range(each):
            out.append((name, number))
            await asyncio.sleep(0)

    tasks = [loop.spawn(Process(f"p{number}"), count(f"p{number}")) for number in range(processes)]
    loop.run_until(lambda: all(task.done() for task in tasks))
    return out


def test_the_seed_decides_who_runs_next_and_nobody_else() -> None:
    assert ran(1) == ran(1)
    assert len({tuple(ran(seed)) for seed in range(10)}) > 5


def test_within_a_process_callbacks_run_in_the_order_they_became_ready() -> None:
    loop = new_loop(Random(1))
    out: list[Any] = []
    for number in range(10):
        loop.call_soon(out.append, number)
    loop.run_until(lambda: False)
    assert out == list(range(10))


def test_time_passes_only_by_being_waited_for() -> None:
    loop = new_loop(Random(1))
    out: list[Any] = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        out.append(loop.time())

    tasks = [loop.spawn(loop.world, wait(seconds)) for seconds in (3_600.0, 1.0)]
    loop.run_until(lambda: all(task.done() for task in tasks))
    assert out == [1.0, 3_600.0]


def test_nothing_of_a_killed_process_runs_and_its_tasks_are_ended_at_last() -> None:
    loop, process = new_loop(Random(1)), Process("p")
    out: list[Any] = []

    async def live() -> None:
        try:
            await asyncio.sleep(1.0)
            out.append("went on")
        finally:
            out.append("ended")

    task = loop.spawn(process, live())
    loop.call_later(0.5, loop.kill, process)
    loop.call_later(5.0, out.append, "later")
    loop.run_until(lambda: bool(out))
    assert (out, task.done()) == (["later"], False)
    loop.close_down()
    assert task.done()


def test_a_stopped_process_does_later_what_it_had_to_do_and_knows_of_nothing() -> None:
    loop, process = new_loop(Random(1)), Process("p")
    out: list[Any] = []

    async def live() -> None:
        out.append(loop.time())
        await asyncio.sleep(1.0)
        out.append(loop.time())

    loop.spawn(process, live())
    loop.call_later(0.5, loop.stop_process, process)
    loop.call_later(9.0, loop.go_on, process)
    loop.run_until(lambda: len(out) == 2)
    assert out == [0.0, 9.0]
