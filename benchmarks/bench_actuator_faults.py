"""Every fault a thousand times: one state change each, none lost, read back.

The contract servers of the flag systems (`tests/adapters/flags/servers`), without a network between: each order meets
one fault at a call that is drawn, then three drawn ones in a row. What is counted: orders that ended with the baseline
served, with everything that had to change changed exactly once, and called a change.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence

from tests.adapters.flags.servers.base import Fault
from tests.adapters.flags.vendors import CASES, Case, in_process

RUNS = 1_000
SEED = 7
FAULTS = [fault for fault in Fault if fault not in (Fault.APPROVAL, Fault.FORBIDDEN)]


async def is_exact(case: Case, faults: Sequence[Fault | None]) -> bool:
    """Run one order into these faults, call by call (None: nothing goes wrong); at least the first must be met."""
    actuator, server, _ = in_process(case)
    server.faults = list(faults)
    effect = await actuator.serve_baseline(case.order())
    met = len(server.faults) < len(faults)  # of several, an early one may leave nothing to do
    once = Counter(server.changes) == Counter(case.changed)
    return met and effect.changed and once and server.served() == case.after


async def calls_of(case: Case) -> int:
    """Return how many changing calls an order makes where nothing goes wrong."""
    actuator, server, _ = in_process(case)
    await actuator.serve_baseline(case.order())
    return sum(server.is_change(asked) for asked in server.asked)


async def measure() -> int:
    """Print the table, exact orders of all by system; return 1 where anything was not exact."""
    draw, failed = random.Random(SEED), 0
    calls = [await calls_of(case) for case in CASES]
    systems = sorted({case.actuator for case in CASES})
    print(f"| fault | exact | {' | '.join(systems)} |")
    print(f"| --- {'| ---: ' * (len(systems) + 1)}|")
    for name, kinds in [*((fault.value, [fault]) for fault in FAULTS), ("three in a row", FAULTS)]:
        runs, exact = Counter[str](), Counter[str]()
        for number in range(RUNS):
            case, of = CASES[number % len(CASES)], calls[number % len(CASES)]
            first: list[Fault | None] = [None] * draw.randrange(of)
            length = 1 if len(kinds) == 1 else 3
            runs[case.actuator] += 1
            exact[case.actuator] += await is_exact(case, [*first, *draw.choices(kinds, k=length)])
        failed += RUNS - exact.total()
        shares = " | ".join(f"{exact[one]}/{runs[one]}" for one in systems)
        print(f"| {name} | {exact.total()}/{RUNS} | {shares} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(measure()))
