"""Orders that close an eval debt: once, by anybody, whether the release is still watched or not."""

from __future__ import annotations

import pytest

from monitor.core.decision import Decision, Type
from monitor.core.eval_debt import closing, closing_id
from monitor.engine.book import CLOSE_DEBT, Command
from monitor.engine.control import Control
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import LedgerEntry
from monitor.engine.unwatched import GRACE_MS
from tests.core.test_eval_debt import opened
from tests.engine.plant import Plant, budget
from tests.engine.worlds import CANDIDATE, held


def order(owed: str, given_ms: int, *, by: str = "ada", release: str = CANDIDATE) -> Command:
    return Command(
        CLOSE_DEBT, f"c-{by}", release, by, "labelled", given_ms, debt_id=owed, evaluation="evals/a.yaml"
    )


def owing(made: Plant, name: str = "one") -> tuple[Control, Decision]:
    """Return a worker that watches another release, and knows of a debt of one that nobody watches any more."""
    control, owed = made.control(name), opened()
    control.book.note(LedgerEntry(owed, None, True))
    return control, owed


def closings(made: Plant) -> list[Decision]:
    for decision in (found := made.topics.of(Type.DEBT_CLOSED)):
        held(decision)
    return found


async def test_a_debt_is_closed_on_record_first_and_then_out() -> None:
    made = Plant(budgets=(budget(),))
    control, owed = owing(made)
    control.commands.note(order(owed.decision_id, made.log.now_ms))
    await control.step()
    (closed,) = closings(made)
    assert closed.decision_id == closing_id(owed.data)
    assert (closed.data["author"], closed.data["note"]) == ("ada", "labelled")
    assert closed.data["evaluation"] == "evals/a.yaml"
    assert [one for one in made.topics.journal if "evaldebt" in one] == [
        "record evaldebt.closed",
        "publish evaldebt.closed",
        "record evaldebt.closed",
    ]
    assert control.book.is_answered("c-ada")
    await control.step()
    assert len(closings(made)) == 1


async def test_of_two_orders_the_first_closes_it_and_the_other_is_told_who_did() -> None:
    made = Plant(budgets=(budget(),))
    control, owed = owing(made)
    for by in ("ada", "bob"):
        control.commands.note(order(owed.decision_id, made.log.now_ms, by=by))
    await control.step()
    (closed,) = closings(made)
    assert closed.data["author"] == "ada"
    (refused,) = [one.decision for one in made.topics.entries if one.command_id == "c-bob"]
    assert refused.type is Type.COMMAND_REFUSED
    assert "it is closed already, by ada at " in str(refused.data["summary"])


@pytest.mark.parametrize("release", ["v42", "nobody"])
async def test_an_order_about_no_debt_of_its_release_is_refused(release: str) -> None:
    made = Plant(budgets=(budget(),))
    control, owed = owing(made)
    control.commands.note(order(owed.decision_id, made.log.now_ms, release=release))
    await control.step()
    assert closings(made) == []
    (refused,) = [one.decision for one in made.topics.entries if one.command_id == "c-ada"]
    assert f"is no eval debt of {release}" in str(refused.data["summary"])


async def test_a_debt_that_is_not_read_yet_is_waited_for() -> None:
    made = Plant(budgets=(budget(),))
    control, given_ms = made.control("one"), made.log.now_ms
    owed = opened()
    control.commands.note(order(owed.decision_id, given_ms))
    await control.step()
    assert not control.book.is_answered("c-ada")
    control.book.note(LedgerEntry(owed, None, True))
    await control.step()
    assert len(closings(made)) == 1
    control.commands.note(order("f" * 64, given_ms, by="bob"))
    made.log.now_ms += GRACE_MS
    await control.step()
    (refused,) = [one.decision for one in made.topics.entries if one.command_id == "c-bob"]
    assert "is no eval debt" in str(refused.data["summary"])


async def test_what_a_worker_put_on_record_and_did_not_publish_is_published_by_the_next() -> None:
    made = Plant(budgets=(budget(),))
    control, owed = owing(made)
    control.commands.note(order(owed.decision_id, made.log.now_ms))
    made.topics.outputs_away = 1
    with pytest.raises(LogUnreachable):
        await control.step()
    await control.leave()
    assert closings(made) == []
    other, _ = owing(made, "other")
    for entry in made.topics.entries:
        other.book.note(entry)
    other.commands.note(order(owed.decision_id, made.log.now_ms))
    await control._tenure.give_back(CANDIDATE)  # its lease runs out with it
    await other.step()
    assert len(closings(made)) == 1
    assert other.book.is_answered("c-ada")


async def test_who_closed_it_is_told_so_also_when_another_worker_had_to_publish_it() -> None:
    """A worker that takes the release over publishes what is on record, before anybody looks at the order again."""
    made = Plant(budgets=(budget(),))
    control, owed = owing(made)
    given = order(owed.decision_id, made.log.now_ms)
    closed = closing(owed.data, given.at_ms, author="ada", note="labelled", evaluation=None)
    control.book.note(LedgerEntry(closed, None, True))
    control.commands.note(given)
    await control.step()
    (answered,) = [one for one in made.topics.entries if one.command_id == "c-ada"]
    assert answered.decision == closed


async def test_only_the_holder_of_the_lease_answers() -> None:
    made = Plant(budgets=(budget(),))
    holder, owed = owing(made)
    other, _ = owing(made, "other")
    assert await holder._tenure.holds(CANDIDATE)
    for control in (other, holder):
        control.commands.note(order(owed.decision_id, made.log.now_ms))
    await other.step()
    assert closings(made) == []
    await holder.step()
    assert len(closings(made)) == 1
