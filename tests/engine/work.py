"""How much work the data plane does for an event, counted and not timed: the same on any machine, however busy.

Counted is what happens in the product's own code between taking records from the client and having them stored, in
steady state: bytecodes executed, calls of Python functions, calls of C functions. What a C function does inside is not
seen: `make bench` is for that.

`python -m tests.engine.work` prints the counts; `--write` records them as what they may be.
"""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.performance.traffic import Traffic, budget
from monitor.config.budget_file import load_budget
from monitor.engine.feed import Feed
from tests.engine.logs import START_MS, Log
from tests.engine.plant import Plant

RECORDED = Path(__file__).with_name("work.json")
CASES = {"five objectives": (), "four dimensions watched": ("tenant", "workflow", "intent", "language")}
PYTHON = ".".join(platform.python_version_tuple()[:2])
_OURS = str(Path(__file__).parent.parent.parent / "monitor")
EVENTS = 250


def counted(run: Callable[[], Coroutine[Any, Any, None]]) -> Counter[str]:
    """Await what is given and return the work that the product's own code did meanwhile."""
    counts: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if event == "call":
            if not frame.f_code.co_filename.startswith(_OURS):
                return None
            counts["calls"] += 1
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            counts["bytecodes"] += 1
        return trace

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "c_call" and frame.f_code.co_filename.startswith(_OURS):
            counts["c_calls"] += 1

    before = sys.gettrace(), sys.getprofile()
    task = run()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        _to_its_end(task)
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return counts


def _to_its_end(task: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that only ever yields to others, of whom there are none."""
    while True:
        try:
            task.send(None)
        except StopIteration:
            return


def work(cohorts: tuple[str, ...], spoil: Callable[[Feed], None] = lambda _feed: None) -> dict[str, float]:
    """Return the work to fold one event of ordinary traffic, and to write once what `EVENTS` of them changed.

    Args:
        spoil: Makes the feed do more; the tests' way to see that it is counted.
    """
    traffic = Traffic(events=2 * EVENTS, partitions=1, span_min=1)
    plant = Plant((load_budget(budget(cohorts=cohorts), "budget.yaml"),), log=Log(partitions=1))
    end_ms = START_MS + 60_000
    lines = list(traffic.lines(end_ms))
    feed = plant.feed(plant.source())
    spoil(feed)

    async def fold() -> None:
        assert await feed.step() == EVENTS

    for line in lines[:EVENTS]:
        plant.log.write(0, line, end_ms)
    asyncio.run(fold())  # what is made once is there from here on
    for line in lines[EVENTS:]:
        plant.log.write(0, line, end_ms)
    plant.clock.ms -= 1  # so that it is not yet time to write
    folding, writing = counted(fold), counted(feed.flush_all)
    per_event = {f"fold {name}": round(count / EVENTS, 2) for name, count in sorted(folding.items())}
    return per_event | {f"write {name}": count for name, count in sorted(writing.items())}


def measured() -> dict[str, dict[str, float]]:
    """Return the work of every case."""
    return {name: work(cohorts) for name, cohorts in CASES.items()}


def main() -> None:
    """Print the counts, and record them where that is asked for."""
    found = measured()
    sys.stdout.write(json.dumps({PYTHON: found}, indent=1) + "\n")
    if "--write" in sys.argv:
        known = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
        RECORDED.write_text(json.dumps({**known, PYTHON: found}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
