"""A defect of ours while one release is judged: it is halted and told, it obeys its commander, and the others go on."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.decision import Decision, Type
from monitor.core.sight import Cause, Sight
from monitor.engine.book import Command
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.seal import StateDamaged
from tests.engine.plant import Plant, budget
from tests.engine.post import BLIND, RECOVERED, Post, monitors_own, post, watching


async def halted() -> Post:
    """Return an instance with two releases, of which one breaks its evaluator."""
    other = budget(("release: v42", "release: v43"))
    made = Plant(budgets=(budget(), other))
    one = post(made)
    await one.seconds(2)
    made.traffic(0, 4)
    tick = Evaluator.tick

    def broken(self: Evaluator, *args: Any) -> list[Decision]:
        if self.budget.digest == budget().digest:
            raise ZeroDivisionError("a defect")
        return tick(self, *args)

    with pytest.MonkeyPatch.context() as defect:
        defect.setattr(Evaluator, "tick", broken)
        await one.seconds(3)
        assert one.sees() == (Sight.HALTED, Cause.DEFECT)
    return one


async def test_a_defect_halts_its_release_and_no_other() -> None:
    one = await halted()
    (blind,) = monitors_own(one.made)
    assert (blind.release, blind.data["release"], blind.data["cause"]) == ("v42", "v42", "defect")
    assert "ZeroDivisionError: a defect" in str(blind.data["summary"])
    assert one.made.told.defects == [("v42", "a defect")]
    ticks = {name: live.evaluator.progress.tick for name, live in one.control.live.items()}
    assert ticks["v43"]
    assert not ticks["v42"]
    assert one.sighting.releases == {"armed": 1, "blind": 1}


async def test_a_halted_release_still_obeys_its_commander() -> None:
    one = await halted()
    order = Command("decide", "c1", "v42", "ada", "turn it off", one.made.log.now_ms, "rollback")
    one.control.commands.note(order)
    await one.seconds(1)
    (request,) = one.made.topics.of(Type.ROLLBACK_REQUESTED)
    assert (request.release, request.data["reason"]) == ("v42", "commander")


async def test_a_defect_in_judging_an_incident_halts_its_release_too(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = await watching()

    def broken(*_: Any) -> list[Decision]:
        raise KeyError("a defect")

    monkeypatch.setattr(Evaluator, "incident", broken)
    at_ms = one.made.log.now_ms
    one.made.log.event(0, "incident", at_ms, "v42", incident_severity="high")
    feed = one.made.feed(one.made.source(), "w1", one.control.hearing)
    await one.made.settled(feed)
    await one.control.decide_now()
    assert one.made.told.defects == [("v42", "'a defect'")]
    await one.control.decide_now()
    assert len(one.made.told.defects) == 1


async def test_a_halted_release_that_is_given_up_is_no_longer_looked_at() -> None:
    one = await halted()
    one.control.commands.note(Command("disarm", "c1", "v42", "ada", "give it up", one.made.log.now_ms))
    await one.seconds(1)
    assert one.made.topics.entries[-1].decision.release == "v42"
    assert one.control.live["v42"].evaluator.progress.stage is Stage.ENDED
    one.control.budgets.remove("v42")
    await one.seconds(3)
    assert one.sees() == (Sight.LIVE, None)
    assert one.control.halts.all() == {}


async def test_that_a_halted_release_is_no_longer_watched_ends_its_page() -> None:
    """Where its budget is withdrawn there is nothing left to judge: nobody waits for a page that nobody resolves."""
    one = await halted()
    one.control.budgets.remove("v42")
    await one.seconds(3)
    blind, recovered = monitors_own(one.made)
    assert [one.type for one in (blind, recovered)] == [BLIND, RECOVERED]
    assert (recovered.release, recovered.data["page_id"]) == ("v42", blind.decision_id)
    assert "v42" not in one.control.live
    await one.seconds(3)
    assert len(monitors_own(one.made)) == 2
    assert "v42" not in one.control.halts.fine


async def test_another_budget_is_tried_and_the_release_is_seen_again() -> None:
    one = await halted()
    one.control.budgets.put(budget(("window: 24h", "window: 23h")))
    await one.seconds(3)
    assert one.sees() == (Sight.LIVE, None)
    assert [one.type for one in monitors_own(one.made)] == [BLIND, RECOVERED]
    assert one.control.live["v42"].evaluator.progress.stage is Stage.WATCHING


async def test_an_outage_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = await watching()

    async def damaged(*_: Any) -> Any:
        raise StateDamaged("a cell")

    with monkeypatch.context() as outage:
        outage.setattr(one.control.state, "cells", damaged)
        one.made.traffic(4, 2)
        await one.seconds(2)
    assert one.control.halts.all() == {}
    assert one.sees() == (Sight.LIVE, None)
