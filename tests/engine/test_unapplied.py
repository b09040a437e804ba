"""A rollback that is not applied: which are open, and that each can be acknowledged, whoever watches the release."""

from __future__ import annotations

import random

import pytest

from monitor.core.decision import Decision, Reason, Type
from monitor.engine.act_events import follow_up_id
from monitor.engine.answer import answer
from monitor.engine.book import Command, LedgerBook
from monitor.engine.ports import LedgerEntry
from monitor.engine.unapplied import unapplied
from monitor.engine.unwatched import GRACE_MS
from tests.engine.plant import Plant, budget
from tests.engine.worlds import CANDIDATE, Drive, command, handoff, held
from tests.engine.worlds import budget as drive_budget

REQUEST, FAILED = "ab" * 32, follow_up_id(Type.ROLLBACK_FAILED, "ab" * 32)
AGAIN = follow_up_id(Type.ROLLBACK_FAILED, "the page that it did not help")
BASE: dict[str, object] = {
    "release": CANDIDATE,
    "baseline": "model-v41",
    "budget": "chat",
    "budget_digest": "5e" * 32,
    "arming": 1,
    "objective": "quality.task_success_delta_pct",
    "metric": "task_success",
    "cohort": {"tenant": "acme"},
    "tier": "A",
}


def one(kind: Type, decision_id: str, at_ms: int, **more: object) -> Decision:
    return Decision(kind, decision_id, CANDIDATE, at_ms, {**BASE, **more})


ARMED = one(Type.ARMING_CREATED, "armed", 0)
REQUESTED = one(Type.ROLLBACK_REQUESTED, REQUEST, 1)
NOT_APPLIED = one(Type.ROLLBACK_FAILED, FAILED, 2, request_id=REQUEST, message="no token", reason="actuator")
APPLIED = one(Type.ROLLBACK_APPLIED, follow_up_id(Type.ROLLBACK_APPLIED, REQUEST), 3, request_id=REQUEST)
NOT_PROVEN = one(Type.ROLLBACK_FAILED, AGAIN, 9, request_id=REQUEST, reason="traffic_stays")
SEEN = one(
    Type.PAGE_ACKNOWLEDGED, follow_up_id(Type.PAGE_ACKNOWLEDGED, FAILED), 4, page_id=FAILED, author="ada"
)


def book(*decisions: Decision) -> LedgerBook:
    made = LedgerBook()
    for decision in decisions:
        made.note(LedgerEntry(decision, None, True))
    return made


@pytest.mark.parametrize(
    ("decisions", "pages", "authors"),
    [
        ([], [], []),
        ([REQUESTED], [], []),
        ([REQUESTED, NOT_APPLIED], [FAILED], [None]),
        ([REQUESTED, NOT_APPLIED, SEEN], [FAILED], ["ada"]),
        ([REQUESTED, NOT_APPLIED, SEEN, APPLIED], [], []),
        ([REQUESTED, APPLIED, NOT_PROVEN], [], []),  # that has a page of its own
        ([NOT_APPLIED], [], []),  # its request is of another arming
    ],
)
def test_a_rollback_is_not_applied_from_its_record_until_the_flag_has_turned(
    decisions: list[Decision], pages: list[str], authors: list[str | None]
) -> None:
    """In any order: a compacted topic keeps none."""
    for seed in range(5):
        found = unapplied(random.Random(seed).sample(decisions, len(decisions)))
        assert [page.page_id for page in found] == pages
        assert [page.seen and page.seen.data["author"] for page in found] == authors


@pytest.mark.parametrize(
    ("named", "is_meant"),
    [
        ({}, True),
        ({"page_id": FAILED}, True),
        ({"objective": BASE["objective"]}, True),
        ({"page_id": "e" * 64}, False),
        ({"objective": "latency.p95_delta_pct"}, False),
    ],
)
def test_it_is_acknowledged_by_its_page_its_objective_or_as_the_only_one(
    named: dict[str, str], is_meant: bool
) -> None:
    drive = Drive(drive_budget(handoff()))
    drive.run(1)
    given = command("acknowledge", drive.at_ms, **named)
    (said,) = answer(drive.evaluator, given, book(ARMED, REQUESTED, NOT_APPLIED))
    held(said)
    if not is_meant:
        assert (said.type, "no single open page" in str(said.data)) == (Type.COMMAND_REFUSED, True)
        return
    assert (said.type, said.data["page_id"]) == (Type.PAGE_ACKNOWLEDGED, FAILED)
    assert (said.data["author"], said.data["request_id"], said.data["deadline"]) == ("ada", REQUEST, None)
    assert said.data["ordered_by"] == {"command_id": "c-1", "author": "ada", "signed": None}


def test_beside_another_open_page_it_has_to_be_named() -> None:
    drive = Drive(drive_budget(handoff()))
    drive.run(1)
    drive.evaluator.commander.open_release_page(Reason.NO_DATA, drive.at_ms, "nothing comes")
    ledger = book(ARMED, REQUESTED, NOT_APPLIED)
    (refused,) = answer(drive.evaluator, command("acknowledge", drive.at_ms), ledger)
    (seen,) = answer(drive.evaluator, command("acknowledge", drive.at_ms, page_id=FAILED), ledger)
    assert (refused.type, seen.type) == (Type.COMMAND_REFUSED, Type.PAGE_ACKNOWLEDGED)


@pytest.mark.parametrize("fault", [None, ("unsigned", "it is not signed")])
async def test_it_is_acknowledged_also_once_its_budget_is_gone(fault: tuple[str, str] | None) -> None:
    made = Plant(budgets=(budget(),))
    control = made.control()
    for decision in (ARMED, REQUESTED, NOT_APPLIED):
        control.book.note(LedgerEntry(decision, None, True))
    given = Command("acknowledge", "c-1", CANDIDATE, "ada", "", made.log.now_ms, page_id=FAILED, fault=fault)
    control.commands.note(given)
    made.log.now_ms += GRACE_MS
    await control.step()
    (said,) = {entry.decision.type for entry in made.topics.entries if entry.command_id == "c-1"}
    assert said is (Type.PAGE_ACKNOWLEDGED if fault is None else Type.COMMAND_REFUSED)
    told = [row for row in made.topics.journal if "page.acknowledged" in row]
    steps = ["record", "publish", "record"] if fault is None else []
    assert told == [f"{step} page.acknowledged" for step in steps]
    assert control.commands.waiting(CANDIDATE, control.book) == []
