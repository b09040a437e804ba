"""The modelled flag system and paging system: they count what was done to them, and answer badly on demand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from monitor.engine.errors import ActuatorFailed, PagerFailed
from monitor.engine.ports import Effect, PageNotice, RollbackOrder
from tests.simulation.network import Network

BAD_ANSWERS = ("refused", "time-out after applying", "slow", "wrong answer", "too many requests")


@dataclass
class Flags:
    """The flag system: which variation each key serves, and every change of it.

    Attributes:
        changes: Key, variation before, variation after, decision.
        bad: Share of calls that are answered badly.
    """

    network: Network
    serving: dict[str, str] = field(default_factory=dict)
    changes: list[tuple[str, str, str, str]] = field(default_factory=list)
    calls: int = 0
    bad: float = 0.0

    def serve(self, key: str, variation: str, decision_id: str) -> tuple[str, str]:
        before = self.serving.get(key, "")
        if before != variation:
            self.serving[key] = variation
            self.changes.append((key, before, variation, decision_id))
        return before, self.serving[key]

    def answer(self) -> str:
        """Draw how the next call is answered; well, where nothing is wrong."""
        self.calls += 1
        rng = self.network.rng
        return rng.choice(BAD_ANSWERS) if rng.random() < self.bad else "well"


class ActuatorClient:
    """`Actuator` for one process."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags

    async def probe(self, order: RollbackOrder) -> None:
        """It can always be turned."""

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        flags, network = self.flags, self.flags.network
        await network.point("before actuator")
        await asyncio.sleep(network.rng.random() * 0.02)
        answer = flags.answer()
        if answer in ("refused", "too many requests"):
            raise ActuatorFailed(f"the flag system: {answer}", retryable=True)
        if answer == "slow":
            await asyncio.sleep(30 * network.rng.random())
        before, after = self.turn(order)
        await network.point("after actuator")
        if answer in ("time-out after applying", "wrong answer"):
            raise ActuatorFailed(f"the flag system: {answer}", retryable=True)
        await asyncio.sleep(network.rng.random() * 0.02)
        return Effect(changed=before != after, before={"serving": before}, after={"serving": after})

    def turn(self, order: RollbackOrder) -> tuple[str, str]:
        """Make the flag serve the baseline."""
        return self.flags.serve(order.flag_key, order.baseline_variation, order.decision_id)


@dataclass
class People:
    """The paging system: drops repeats by the event's id, as real ones do by theirs."""

    network: Network
    told: dict[str, PageNotice] = field(default_factory=dict)
    calls: int = 0
    bad: float = 0.0


class PagerClient:
    """`Pager` for one process."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def notify(self, notice: PageNotice) -> None:
        people, rng = self._people, self._people.network.rng
        await people.network.point("before pager")
        await asyncio.sleep(rng.random() * 0.02)
        people.calls += 1
        is_bad = rng.random() < people.bad
        if is_bad and rng.random() < 0.5:
            raise PagerFailed("the paging system: refused", retryable=True)
        people.told.setdefault(notice.event_id, notice)
        await people.network.point("after pager")
        if is_bad:
            raise PagerFailed("the paging system: the answer was lost", retryable=True)
