"""Armings on record: one that came after the candidate's traffic says so."""

from __future__ import annotations

from monitor.core.decision import Type
from monitor.engine.book import Command
from monitor.engine.control import Control
from tests.engine.plant import Plant, budget


async def watched(*changes: tuple[str, str], success: int = 19) -> tuple[Plant, Control]:
    """Return a release that was armed first and then served for a quarter of an hour."""
    made = Plant(budgets=(budget(*changes),))
    control = made.control()
    await control.step()
    made.traffic(0, 4)
    made.traffic(4, 11, success=success)
    await made.settled(made.feed(made.source()))
    await steps(control)
    return made, control


async def steps(control: Control) -> None:
    for _ in range(3):
        await control.step()


def armings(made: Plant) -> dict[object, object]:
    """Return of each arming on record whether it came late."""
    return {
        one.decision.data["arming"]: one.decision.data["armed_late"]
        for one in made.topics.entries
        if one.decision.type is Type.ARMING_CREATED
    }


async def test_an_arming_again_after_a_rollback_is_late_the_first_one_was_not() -> None:
    made, control = await watched(success=8)
    assert made.topics.of(Type.ROLLBACK_REQUESTED)
    control.commands.note(Command("arm", "c-1", "v42", "ada", "fixed", made.log.now_ms))
    await steps(control)
    assert armings(made) == {1: False, 2: True}
    assert control.live["v42"].evaluator.arming.armed_late


async def test_an_arming_again_before_the_first_request_is_not_late() -> None:
    made = Plant(budgets=(budget(),))
    control = made.control()
    await control.step()
    for kind in ("disarm", "arm"):
        control.commands.note(Command(kind, f"c-{kind}", "v42", "ada", "a try", made.log.now_ms))
        await steps(control)
    assert armings(made) == {1: False, 2: False}


async def test_another_budget_after_a_window_that_saw_traffic_is_late() -> None:
    made, control = await watched(("24h", "10m"))
    assert made.topics.of(Type.RELEASE_ASSESSED)
    control.budgets.put(budget(("24h", "12m")))
    await steps(control)
    assert armings(made) == {1: False, 2: True}
