"""One page after another to a paging system that fails: through `Act`, as a worker delivers them.

The contract servers are those of the tests, without a network between and with modelled time, as in `flags`. What is
counted: pages that are open at the other end, told to people once, with one delivery on record. Apprise brings its own
HTTP client and is left to the tests, which run it over a real connection.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from monitor.adapters.faust_app.host import RETRY_S
from monitor.core.decision import Type
from monitor.engine.act import Act, Outcome
from monitor.engine.errors import PagerFailed
from monitor.engine.tell import PagePast
from tests.adapters.pagers.rigs import RIGS
from tests.adapters.pagers.systems import FAULTS as SINGLE
from tests.adapters.pagers.systems import SLOW
from tests.engine.acting import FakeLedger, page

SYSTEMS: Final = tuple(sorted(RIGS.keys() - {"apprise"}))
IN_A_ROW: Final = "three of them in a row"
FAULTS: Final = (*SINGLE, SLOW, IN_A_ROW)
PAGE: Final = "b2220e2d6b46f229d7b314c80fe4a2368e5d0737ccc668ea168151f0792c80d0"
MOST_CALLS: Final = 40
_WRONG: Final = "wrong answer"
# A message that appears half a minute after nobody could find it, and was sent again: nothing there drops a repeat.
TWICE: Final = frozenset({("slack", SLOW)})
_DATA: Final[dict[str, Any]] = {
    "page_id": PAGE,
    "baseline": "model-v41",
    "budget": "chat",
    "objective": "latency.p95_delta_pct",
    "metric": "p95",
    "cohort": {},
    "tier": "B",
    "reason": "breach",
    "decided_at": "2026-11-18T11:06:40.000Z",
    "deadline": "2026-11-18T11:21:40.000Z",
    "on_silence": "rollback",
}


@dataclass
class _Clock:
    at_ms: int = 1_795_000_000_000

    def now_ms(self) -> int:
        return self.at_ms


async def told(name: str, faults: list[str]) -> int:
    """Deliver one page into these faults; return how often it is told, 0 where it is not open or not on record once."""
    rig = RIGS[name]()
    rig.front.faults = list(faults)
    time, opened = rig.time, page(**_DATA)
    ledger = FakeLedger(pages={PAGE: PagePast(opened["data"], 1_795_000_000_000, None)})
    pager = rig.pager_in_process()
    act = Act({}, {name: pager}, ledger, clock=_Clock(), steady=lambda: time.seconds, sleep=time.sleep)
    outcome = None
    for _ in range(MOST_CALLS):
        try:
            outcome = await act.on_page(opened)
            break
        except PagerFailed:
            time.seconds += RETRY_S
    await rig.front.catch_up(inf)
    await pager.close()
    recorded = len(ledger.of(Type.PAGE_DELIVERED)) == 1
    is_open = outcome is Outcome.DONE and recorded and rig.pages() == {PAGE: "open"}
    return rig.messages() if is_open else 0


async def measure(name: str, fault: str, runs: int, seed: int) -> dict[str, object] | None:
    """Run one fault so often against one system; None where any 2xx is a receipt there (docs/pagers.md)."""
    draw, believes = random.Random(f"{seed}/{name}/{fault}"), not RIGS[name]().knows_receipts
    if fault == _WRONG and believes:
        return None
    known = [one for one in (*SINGLE, SLOW) if not (one == _WRONG and believes) and (name, one) not in TWICE]
    times = [
        await told(name, draw.choices(known, k=3) if fault == IN_A_ROW else [fault]) for _ in range(runs)
    ]
    twice = {"twice": times.count(2)} if (name, fault) in TWICE else {}
    return {"runs": runs, "exact": times.count(1), **twice}
