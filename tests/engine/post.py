"""One instance with its lookout over a plant: time passes on both clocks, and what it sees is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.decision import Decision, Type
from monitor.core.sight import Cause, Sight
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable
from monitor.engine.feed import Feed
from monitor.engine.halts import OUTAGES
from monitor.engine.lookout import Lookout, lookout_over
from monitor.engine.observer import Sighting
from monitor.engine.tenure import Tenure
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check
from tests.engine.plant import Plant, budget

BLIND, RECOVERED = Type.MONITOR_BLIND, Type.MONITOR_RECOVERED
SECOND_MS = 1_000


@dataclass
class Post:
    """One instance with its lookout, over a plant that may have others."""

    made: Plant
    name: str
    feed: Feed
    control: Control
    lookout: Lookout
    followed: int = 0

    def follow(self) -> None:
        """Read the ledger to its end."""
        entries = self.made.topics.entries
        for entry in entries[self.followed :]:
            self.control.note(entry)
        self.followed = len(entries)

    def sees(self) -> tuple[Sight, Cause | None]:
        assert self.sighting.overall is not None
        return self.sighting.overall.sight, self.sighting.overall.cause

    @property
    def sighting(self) -> Sighting:
        assert self.lookout.sighting is not None
        return self.lookout.sighting

    async def seconds(self, count: int, *, reads: bool = True, follows: bool = True) -> None:
        """Let time pass on both clocks: read, step and look once a second, as far as it can."""
        for _ in range(count):
            self.made.clock.ms += SECOND_MS
            self.made.log.now_ms += SECOND_MS
            if follows:
                self.follow()
            try:
                await self.feed.look_around()
                if reads:
                    await self.feed.step()
                await self.control.step()
            except OUTAGES:
                pass
            try:
                await self.lookout.look()
            except LogUnreachable:
                continue


def post(made: Plant, name: str = "w1") -> Post:
    feed, control = made.feed(made.source(), name), made.control(name)
    tenure = Tenure(made.lease, name, 10_000, made.clock.seconds)
    return Post(
        made, name, feed, control, lookout_over(control, feed, made.topics, made.topics, tenure, made.told)
    )


async def watching(*names: str) -> Sequence[Post]:
    """Return instances whose release is armed and has traffic, all of it read and judged."""
    made = Plant(budgets=(budget(),))
    posts = [post(made, name) for name in names or ("w1",)]
    await posts[0].seconds(2)
    made.traffic(0, 4)
    for one in posts:
        await one.seconds(3, reads=one is posts[0])
    return posts


def monitors_own(made: Plant) -> list[Decision]:
    """Return what was said about the monitor, each event once and in the contract's form."""
    found = {one.decision_id: one for one in made.topics.said if one.type in (BLIND, RECOVERED)}
    for one in found.values():
        check(of_decision(one))
    return list(found.values())
