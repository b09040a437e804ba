"""Every fault a thousand times for every flag system and every pager: one effect each, none lost.

`python -m benchmarks.bench_actuator_faults [NAME…]` measures some systems only (`flags/unleash`); each is on file,
and in docs/actuators.md, as soon as it is measured. Chance is drawn from the seed, the system and the fault alone.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from benchmarks.effects import flags, pagers, results

RUNS = 1_000
SEED = 7
FEWER = {flags.DEAD: 100}  # ten times the work of any other
COMMAND = "make bench ARGS=actuator_faults"


async def measure(names: list[str]) -> int:
    """Measure and keep; return 1 where anything was not exact, 2 for a name that is not known."""
    parts = {
        "flags": (flags.measure, [f"flags/{name}" for name in flags.CASES_OF], flags.FAULTS),
        "pagers": (pagers.measure, [f"pagers/{name}" for name in pagers.SYSTEMS], pagers.FAULTS),
    }
    known = [name for _, systems, _ in parts.values() for name in systems]
    if unknown := set(names) - set(known):
        print(f"no system {', '.join(sorted(unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = False
    for part, (run, systems, faults) in parts.items():
        for place in systems:
            if names and place not in names:
                continue
            name = place.partition("/")[2]
            rows: dict[str, Any] = {}
            for fault in faults:
                rows[fault] = await run(name, fault, FEWER.get(fault, RUNS), SEED)
                print(f"{name}: {fault}: {rows[fault]}", flush=True)
            kept = {"order": list(faults), "faults": rows}
            results.save(part, name, kept, seed=SEED, command=COMMAND)
            wrong = [
                fault
                for fault, row in rows.items()
                if row is not None and row["exact"] + row.get("twice", 0) != row["runs"]
            ]
            print(f"{part}/{name}: {'exact' if not wrong else 'NOT EXACT: ' + ', '.join(wrong)}", flush=True)
            failed |= bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(measure(sys.argv[1:])))
