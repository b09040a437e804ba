"""How long does taking a large partition over keep everybody else from the event loop?

A partition's state of `CELLS` cells (100,000), as a day with many cohorts leaves it, is checked and its open minutes
are put back: once in one go, as if nobody else were there, and once with the turns that the data plane gives. The
longest stay is between two of them. `python -m benchmarks take_over`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from itertools import pairwise

from benchmarks.bench_ingest import plan
from monitor.adapters.kafka.decode import decode
from monitor.adapters.redis.store import _fields
from monitor.core.aggregate import Aggregate
from monitor.core.cell import CellKey
from monitor.core.cohort import cohort_key
from monitor.core.window import BUCKET_MS
from monitor.engine.codec import META_FIELD, OFFSET_FIELD, Meta, cell_field, encode_cell, encode_meta
from monitor.engine.ingest import PartitionIngest
from monitor.engine.inventory import Inventory
from monitor.engine.ports import Claim, Partition

CELLS = int(os.environ.get("CELLS", "100000"))
RUNS = int(os.environ.get("RUNS", "5"))
TENANTS = 100
FIRST_MIN = 29_000_000
STEPS = ("names", "check, and the open minutes")


def state() -> dict[str, bytes]:
    """Return the state: every tenant in every minute, one candidate."""
    kept, cell, fields = Inventory(), Aggregate(), dict[str, bytes]()
    cell.requests = 20
    packed, minutes = encode_cell(cell), CELLS // TENANTS
    for minute in range(FIRST_MIN, FIRST_MIN + minutes):
        keys = [
            CellKey(minute, "model-v42", cohort_key({"tenant": f"t{one}"}), False, 0)
            for one in range(TENANTS)
        ]
        fields |= kept.sealed({minute: {cell_field(key): packed for key in keys}})
    end_ms, tally, nothing = (FIRST_MIN + minutes) * BUCKET_MS, kept.tally, (0,) * 6
    meta = Meta(
        1, 0, end_ms, end_ms, FIRST_MIN, 0, end_ms, *nothing, {}, {}, fields=tally.fields, seals=tally.seals
    )
    return {**fields, META_FIELD: encode_meta(meta), OFFSET_FIELD: b"0"}


async def names_ms(flat: list[bytes]) -> tuple[float, float]:
    """Return the whole and the longest stay while the store's answer becomes fields by name."""
    stays, last_s = [0.0], time.perf_counter()

    async def others() -> None:
        nonlocal last_s
        while True:
            last_s = time.perf_counter()
            await asyncio.sleep(0)
            stays.append(time.perf_counter() - last_s)

    beside = asyncio.create_task(others())
    began_s = time.perf_counter()
    await _fields(flat)
    whole_s = time.perf_counter() - began_s
    beside.cancel()
    return whole_s * 1000, max(stays) * 1000


def check_ms(claim: Claim) -> tuple[float, float]:
    """Return the whole and the longest stay of the check and of putting the open minutes back."""
    ingest = PartitionIngest(
        claim, plan(watched=True), decode, start_offset=0, max_ids=1_000_000, event_time=lambda at_ms: at_ms
    )
    moments = [time.perf_counter(), *(time.perf_counter() for _ in ingest.restoring()), time.perf_counter()]
    stays = [after - before for before, after in pairwise(moments)]
    return (moments[-1] - moments[0]) * 1000, max(stays) * 1000


def main() -> None:
    fields = state()
    flat = [part for name, value in fields.items() for part in (name.encode(), value)]
    claim = Claim(Partition("traces", 0), "bench", fields)
    runs = [(asyncio.run(names_ms(flat)), check_ms(claim)) for _ in range(RUNS)]
    print(
        f"{CELLS:,} cells in {len(fields):,} fields, best of {RUNS}; milliseconds without a turn for others"
    )
    print(f"{'':<32}{'in one go':>12}{'longest stay':>16}")
    found = {}
    for number, step in enumerate(STEPS):
        whole, longest = (min(run[number][part] for run in runs) for part in (0, 1))
        print(f"{step:<32}{whole:>12.0f}{longest:>16.1f}")
        found[step] = {"in one go": round(whole), "longest stay": round(longest, 1)}
    print(json.dumps({"benchmark": "take_over", "cells": CELLS, "unit": "ms", "stays": found}))


if __name__ == "__main__":
    main()
