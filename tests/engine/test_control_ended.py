"""Orders about a release whose window is over: each one is answered, with its budget in force and without."""

from __future__ import annotations

from monitor.core.decision import Type
from monitor.engine.book import Command
from monitor.engine.evaluate import Stage
from monitor.engine.unwatched import GRACE_MS
from tests.engine.plant import Plant, budget


async def test_arming_what_no_budget_names_any_more_is_refused_and_keeps_no_other_order_waiting() -> None:
    made = Plant(budgets=(budget(("window: 24h", "window: 20m")),))
    control = made.control()
    await control.step()
    made.traffic(0, 26)
    await made.settled(made.feed(made.source()))
    for _ in range(2):
        await control.step()
    assert control.live["v42"].evaluator.progress.stage is Stage.ENDED
    control.budgets.remove("v42")
    given_ms = made.log.now_ms
    for kind in ("arm", "disarm"):
        control.commands.note(Command(kind, f"c-{kind}", "v42", "ada", "again", given_ms))
    await control.step()
    assert control.book.is_answered("c-disarm")
    assert not control.book.is_answered("c-arm")  # its budget may have been published a moment ago
    made.log.now_ms += GRACE_MS
    for _ in range(3):
        await control.step()
    (refused,) = [one for one in made.topics.entries if one.command_id == "c-arm" and one.is_published]
    assert refused.decision.type is Type.COMMAND_REFUSED
    assert "no budget in force names this release" in str(refused.decision.data["summary"])
