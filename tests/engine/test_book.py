"""What every instance knows of the control topics: nothing is forgotten that somebody still waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from monitor.core.budget import Budget
from monitor.core.decision import Decision, Type
from monitor.engine import book
from monitor.engine.book import BudgetBook, CommandBook, LedgerBook, arming_number
from monitor.engine.ports import LedgerEntry
from tests.engine.worlds import CANDIDATE, budget, command


def _entry(name: str, *, number: Any = 1, release: str = CANDIDATE, **more: Any) -> LedgerEntry:
    type_ = more.pop("type_", Type.BREACH_STARTED)
    return LedgerEntry(Decision(type_, name, release, 0, {"arming": number}), None, **more)


def _budget(release: str, **more: Any) -> Budget:
    return replace(budget(), release=release, **more)


# The ledger ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(False, True), (True, False), (True, True), (False, False)])
def test_what_was_published_stays_published(order: tuple[bool, bool]) -> None:
    ledger = LedgerBook()
    for published in order:
        ledger.note(_entry("a", is_published=published))
    found = ledger.get("a")
    assert found is not None
    assert found.is_published is any(order)
    assert [one.decision.decision_id for one in ledger.unpublished(CANDIDATE)] == (
        [] if any(order) else ["a"]
    )


@pytest.mark.parametrize("published", [False, True])
def test_a_command_is_answered_by_any_entry_that_names_it(published: bool) -> None:
    """Even where the decision it led to was known, and published, before."""
    ledger = LedgerBook()
    ledger.note(_entry("a", is_published=True))
    ledger.note(_entry("a", is_published=published, command_id="c-1"))
    assert ledger.is_answered("c-1")
    assert not ledger.is_answered("c-2")


@pytest.mark.parametrize(
    ("type_", "more", "is_armed"),
    [
        (Type.BREACH_STARTED, {}, True),
        (Type.ARMING_ENDED, {}, False),
        (Type.ROLLBACK_REQUESTED, {"scope": "release"}, False),
        (Type.ROLLBACK_REQUESTED, {"scope": "cohort"}, True),
        (Type.RELEASE_ASSESSED, {"complete": False}, True),
        (Type.RELEASE_ASSESSED, {"complete": True}, False),
    ],
)
def test_armed_is_what_nothing_has_ended_nor_rolled_back(
    type_: Type, more: dict[str, object], is_armed: bool
) -> None:
    """Of a cohort's rollback the rest of the release stays watched."""
    ledger = LedgerBook()
    ledger.note(_entry("a", type_=Type.ARMING_CREATED))
    ledger.note(LedgerEntry(Decision(type_, "b", CANDIDATE, 0, {"arming": 1, **more}), None))
    assert ledger.armed() == ([CANDIDATE] if is_armed else [])


def test_entries_are_kept_by_release_and_arming_in_their_order() -> None:
    ledger = LedgerBook()
    for name, number, release in [
        ("a", 1, CANDIDATE),
        ("b", 2, CANDIDATE),
        ("c", 1, "other"),
        ("d", 1, CANDIDATE),
    ]:
        ledger.note(_entry(name, number=number, release=release))
    assert [one.decision.decision_id for one in ledger.of(CANDIDATE)] == ["a", "b", "d"]
    assert [one.decision.decision_id for one in ledger.of_arming(CANDIDATE, 1)] == ["a", "d"]
    assert list(ledger.of("nobody")) == []
    assert ledger.get("nothing") is None


def test_the_newest_arming_is_the_one_with_the_highest_number() -> None:
    ledger = LedgerBook()
    assert ledger.arming(CANDIDATE) is None
    for number in (1, 3, 2):
        ledger.note(_entry(f"arming-{number}", number=number, type_=Type.ARMING_CREATED))
    ledger.note(_entry("breach", number=9))
    newest = ledger.arming(CANDIDATE)
    assert newest is not None
    assert arming_number(newest) == 3


@pytest.mark.parametrize("number, read", [(4, 4), ("4", 0), (None, 0)])
def test_an_entry_without_a_number_belongs_to_no_arming(number: Any, read: int) -> None:
    assert arming_number(_entry("a", number=number)) == read


# Budgets ---------------------------------------------------------------------------------------------------------


def _names(budgets: BudgetBook) -> list[str]:
    return [f"{one.release}/{one.title}" for one in budgets.in_force.values()]


def test_the_topic_wins_over_a_file_and_says_so() -> None:
    budgets = BudgetBook([_budget("a", name="file"), _budget("b", name="file")])
    assert budgets.put(_budget("a", name="topic"))
    assert not budgets.put(_budget("c", name="topic"))
    assert _names(budgets) == ["a/topic", "b/file", "c/topic"]


def test_a_tombstone_disarms_whoever_wrote_the_budget() -> None:
    budgets = BudgetBook([_budget("a", name="file")])
    budgets.put(_budget("b", name="topic"))
    for release in ("a", "b", "nobody"):
        budgets.remove(release)
    assert _names(budgets) == []
    assert budgets.removed() == {"a", "b", "nobody"}
    budgets.put(_budget("a", name="topic"))
    assert _names(budgets) == ["a/topic"]
    assert "a" not in budgets.removed()


# Commands --------------------------------------------------------------------------------------------------------


def test_commands_wait_in_their_order_until_they_are_answered() -> None:
    commands, ledger = CommandBook(), LedgerBook()
    for name in ("c-2", "c-1", "c-2", "c-3"):
        commands.note(command("arm", 0, command_id=name))
    assert [one.command_id for one in commands.waiting(CANDIDATE, ledger)] == ["c-2", "c-1", "c-3"]
    ledger.note(_entry("a", command_id="c-1"))
    assert [one.command_id for one in commands.waiting(CANDIDATE, ledger)] == ["c-2", "c-3"]
    assert commands.waiting("other", ledger) == []


def test_an_answered_command_that_is_read_again_stays_answered() -> None:
    commands, ledger = CommandBook(), LedgerBook()
    ledger.note(_entry("a", command_id="c-1"))
    for _ in range(2):
        commands.note(command("arm", 0))
        assert commands.waiting(CANDIDATE, ledger) == []


def test_the_memory_for_commands_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "COMMANDS_MAX", 3)
    commands = CommandBook()
    for number in range(5):
        commands.note(command("arm", 0, command_id=f"c-{number}"))
    assert commands.dropped == 2
    assert [one.command_id for one in commands.waiting(CANDIDATE, LedgerBook())] == ["c-2", "c-3", "c-4"]
