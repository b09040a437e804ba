"""What lies between a process and a server: delays, cut lines, lost answers, and marked points where faults strike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.simulation.loop import Process, SimulatedLoop, State

DEADLINE_S = 2.0  # after so long without an answer a client gives up


class Cut(Exception):
    """The call did not come through, or its answer did not come back."""


@dataclass
class Link:
    """The state of one server as its clients see it.

    Attributes:
        away: Nobody reaches it.
        cut_off: Names of processes that do not reach it.
        lost_answers: Share of calls that are carried out and not answered.
        slow_s: Added to every delay.
    """

    away: bool = False
    cut_off: set[str] = field(default_factory=set)
    lost_answers: float = 0.0
    slow_s: float = 0.0

    def heal(self) -> None:
        self.away, self.lost_answers, self.slow_s = False, 0.0, 0.0
        self.cut_off.clear()


class Network:
    """Carries calls between processes and servers on one loop.

    Attributes:
        traps: Faults that wait for a marked point: a name, and what to do when somebody comes by.
        passed: How often each marked point was passed.
        cut_next: Names of processes whose next call does not come through.
    """

    def __init__(self, loop: SimulatedLoop, rng: Random) -> None:
        self.loop, self.rng = loop, rng
        self.traps: dict[str, Callable[[Process], None]] = {}
        self.passed: dict[str, int] = {}
        self.cut_next: set[str] = set()

    async def point(self, name: str) -> None:
        """Come by a marked point; whoever is killed there never gets further."""
        self.passed[name] = self.passed.get(name, 0) + 1
        if not self.traps:
            return
        trap = self.traps.pop(name, None)
        if trap is not None:
            process = self.loop.current()
            trap(process)
            if process.state is State.DEAD:
                await asyncio.Future()
            await asyncio.sleep(0)  # a stopped process goes on from here once it is continued

    async def there(self, link: Link, what: str) -> None:
        """Carry a request to its server.

        Raises:
            Cut: It does not arrive.
        """
        await asyncio.sleep(link.slow_s + self.rng.random() * 0.004)
        name = self.loop.current().name
        is_cut = name in self.cut_next
        self.cut_next.discard(name)
        if is_cut or link.away or name in link.cut_off:
            await asyncio.sleep(DEADLINE_S * self.rng.random())
            raise Cut(f"{what}: no answer")

    async def back(self, link: Link, what: str) -> None:
        """Carry an answer to whoever asked.

        Raises:
            Cut: It does not arrive, though what was asked is done.
        """
        if link.lost_answers and self.rng.random() < link.lost_answers:
            await asyncio.sleep(DEADLINE_S * self.rng.random())
            raise Cut(f"{what}: the answer was lost")
        await asyncio.sleep(link.slow_s + self.rng.random() * 0.004)
