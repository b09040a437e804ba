"""One order after another into a flag system that fails: through `Act`, as a worker carries them out.

The contract servers are those of the tests, without a network between and with time that passes at once: an answer
that never comes takes its 5 s, one that is 30 s late is applied then, and what is not done by its deadline is tried
again half a minute later, as the host does. What is counted: orders that ended with the baseline served, with all that
had to change changed exactly once, and with one `rollback.applied` on record.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from monitor.adapters.faust_app.host import RETRY_S
from monitor.adapters.flags.api import API_LIMITS
from monitor.adapters.flags.webhook import WebhookActuator
from monitor.adapters.http import Limits, SignedWebhook
from monitor.core.budget import RollbackBy
from monitor.core.decision import Type
from monitor.engine.act import Act, Outcome
from monitor.engine.ports import About, Actuator, PageNotice
from tests.adapters.flags.servers.base import Fault, FlagServer, without_network
from tests.adapters.flags.servers.webhook import WebhookServer
from tests.adapters.flags.vendors import CASES, Case, in_process
from tests.adapters.receiver import SECRET, FakeTime
from tests.engine.acting import FakeLedger, request

Rig = tuple[Actuator, FlagServer, FakeTime]
MOST_CALLS: Final = 40  # of the same order, half a minute apart
_URL: Final = "http://127.0.0.1:1/flag"
_WEBHOOK: Final = Case(
    "webhook", RollbackBy.SERVE_VARIATION, WebhookServer, None, frozenset({"v41"}), frozenset({"flag"})
)
CASES_OF: Final[Mapping[str, Sequence[Case]]] = {
    **{
        name: [one for one in CASES if one.actuator == name]
        for name in sorted({one.actuator for one in CASES})
    },
    "webhook": [_WEBHOOK],
}
SINGLE: Final = [one for one in Fault if one not in (Fault.APPROVAL, Fault.FORBIDDEN)]
IN_A_ROW: Final = "three of them in a row"
DEAD: Final = "no answer to 5 to 40 calls in a row"
FAULTS: Final = (*(one.value for one in SINGLE), IN_A_ROW, DEAD)


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one order; `paged_s` is when people were told that it is not applied, from the order on."""

    exact: bool
    paged_s: float | None


@dataclass
class _People:
    """Who is told; keeps when the first heard that a flag is not turned."""

    time: FakeTime
    paged_s: float | None = None

    async def notify(self, notice: PageNotice) -> None:
        if notice.about is About.NOT_APPLIED and notice.state == "opened" and self.paged_s is None:
            self.paged_s = self.time.seconds


@dataclass
class _Clock:
    time: FakeTime
    began_ms: int = field(default=1_795_000_000_000)

    def now_ms(self) -> int:
        return self.began_ms + round(self.time.seconds * 1000)


def rig(case: Case) -> Rig:
    """Return the actuator of a case over its server."""
    if case is not _WEBHOOK:
        return in_process(case)
    time, server = FakeTime(), case.server()
    limits = Limits(total_s=API_LIMITS.total_s, attempt_s=60.0, allow_private=True)
    way = without_network(server, time, API_LIMITS.attempt_s)
    hook = SignedWebhook(_URL, SECRET, limits=limits, timing=time.timing(), transport=way)
    return WebhookActuator(hook, verify_url=_URL), server, time


def can_meet(case: Case, fault: Fault) -> bool:
    """Tell whether a system knows this fault: nobody else saves behind a webhook, as far as we are told."""
    return not (case is _WEBHOOK and fault is Fault.CONFLICT)


async def carry_out(case: Case, faults: Sequence[Fault | None]) -> Ran:
    """Carry one order out into these faults, changing call by changing call (None: nothing goes wrong)."""
    actuator, server, time = rig(case)
    server.faults = list(faults)
    people, ledger = _People(time), FakeLedger()
    act = Act(
        {case.actuator: actuator}, people, ledger,
        clock=_Clock(time), steady=lambda: time.seconds, sleep=time.sleep,
    )  # fmt: skip
    event = request(flag=_flag(case))
    outcome = Outcome.TRY_LATER
    for _ in range(MOST_CALLS):
        outcome = await act.on_request(event)
        if outcome is not Outcome.TRY_LATER:
            break
        time.seconds += RETRY_S
    server.catch_up(inf)
    once = Counter(server.changes) == Counter(case.changed)
    recorded = len(ledger.of(Type.ROLLBACK_APPLIED)) == 1
    met = len(server.faults) < len(faults)
    exact = outcome is Outcome.DONE and once and recorded and met and server.served() == case.after
    return Ran(exact, people.paged_s)


def _flag(case: Case) -> dict[str, Any]:
    order = case.order()
    return {
        "actuator": case.actuator,
        "key": order.flag_key,
        "scope": order.scope,
        "rollback_by": order.rollback_by.value,
    }


async def calls_of(case: Case) -> int:
    """Return how many changing calls an order makes where nothing goes wrong."""
    actuator, server, _ = rig(case)
    await actuator.serve_baseline(case.order())
    return sum(server.is_change(asked) for asked in server.asked)


async def measure(name: str, fault: str, runs: int, seed: int) -> dict[str, object] | None:
    """Run one fault so often against one system; None where it has no such fault.

    Returns:
        `runs`, `exact`, how many were `paged` about, and the latest such page (`latest_page_s`), modelled seconds.
    """
    cases, draw = CASES_OF[name], random.Random(f"{seed}/{name}/{fault}")
    known = [one for one in SINGLE if all(can_meet(case, one) for case in cases)]
    if fault in {one.value for one in SINGLE} - {one.value for one in known}:
        return None
    calls = [await calls_of(case) for case in cases]
    faults = _drawing(fault, known, draw)
    ran = []
    for number in range(runs):
        first: list[Fault | None] = [None] * draw.randrange(calls[number % len(cases)])
        ran.append(await carry_out(cases[number % len(cases)], [*first, *faults()]))
    paged = [one.paged_s for one in ran if one.paged_s is not None]
    return {
        "runs": runs,
        "exact": sum(one.exact for one in ran),
        "paged": len(paged),
        "latest_page_s": round(max(paged), 1) if paged else None,
    }


def _drawing(fault: str, known: Sequence[Fault], draw: random.Random) -> Callable[[], list[Fault]]:
    if fault == IN_A_ROW:
        return lambda: draw.choices(known, k=3)
    if fault == DEAD:
        return lambda: [Fault.LOST_BEFORE] * draw.randint(5, 40)
    return lambda: [Fault(fault)]
