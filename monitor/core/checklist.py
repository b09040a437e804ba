"""The checklist before a release: what has to be there for a stop-loss to work, each item answered by what was seen.

"Yes" is always the good answer. What could not be seen is `unknown`, and never counts as ready. Nothing is measured
or judged anew here: an item goes by what `validate`, `plan`, `doctor`, `gate`, `status` and the ledger say of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from monitor.core.checklist_budget import OF_BUDGET
from monitor.core.checklist_facts import Facts, Unseen
from monitor.core.checklist_running import OF_INSTALLATION
from monitor.core.checklist_seen import ItemId, Seen, State


class Group(StrEnum):
    """What an item is about; the value is its heading."""

    BUDGET = "The budget"
    DECIDE = "Can it decide"
    WAY_BACK = "The way back"
    PEOPLE = "The people"
    PAST = "The past"
    MONITOR = "The monitor"


class Role(StrEnum):
    """Who sees to an item."""

    OWNER = "owner"
    ON_CALL = "on_call"
    OPERATORS = "operators"


class Asked(NamedTuple):
    """One item as it is asked; a release is ready without those that are only recommended."""

    group: Group
    role: Role
    is_required: bool
    question: str


ASKED: Final[Mapping[ItemId, Asked]] = {
    ItemId.LOADS: Asked(Group.BUDGET, Role.OWNER, True, "Does the budget load without errors?"),
    ItemId.OWNER: Asked(Group.BUDGET, Role.OWNER, True, "Is it said who answers for the budget?"),
    ItemId.ON_CALL: Asked(Group.BUDGET, Role.OWNER, True, "Is it said whom a page reaches?"),
    ItemId.ACTS: Asked(Group.BUDGET, Role.OWNER, True, "Does it act by itself, or is it meant not to?"),
    ItemId.SAFETY: Asked(
        Group.BUDGET, Role.OWNER, True, "Are high-severity incidents limited, for everybody?"
    ),
    ItemId.TIER_A: Asked(Group.BUDGET, Role.OWNER, True, "Is there a limit of tier A?"),
    ItemId.COHORTS: Asked(Group.BUDGET, Role.OWNER, False, "Are cohorts judged besides everybody?"),
    ItemId.HOLD_BACK: Asked(
        Group.BUDGET, Role.OWNER, True, "Will there be a baseline to compare with, live or frozen?"
    ),
    ItemId.DECIDABLE: Asked(
        Group.DECIDE, Role.OWNER, True, "Can each objective show twice its limit within the window?"
    ),
    ItemId.FLAG_SET: Asked(Group.WAY_BACK, Role.OWNER, True, "Does the budget name the flag that is turned?"),
    ItemId.FLAG_ANSWERS: Asked(
        Group.WAY_BACK, Role.OPERATORS, True, "Is the flag system set up, and does the flag answer?"
    ),
    ItemId.REHEARSED: Asked(
        Group.WAY_BACK, Role.ON_CALL, True, "Was the way back rehearsed recently, with success?"
    ),
    ItemId.LAST_ROLLBACK: Asked(
        Group.WAY_BACK, Role.ON_CALL, True, "Was the last rollback of this flag, if any, verified?"
    ),
    ItemId.PAGER: Asked(Group.PEOPLE, Role.OPERATORS, True, "Does a pager that wakes somebody answer?"),
    ItemId.ESCALATION: Asked(
        Group.PEOPLE, Role.ON_CALL, False, "Is somebody else told when nobody acknowledges a page?"
    ),
    ItemId.SILENCE: Asked(
        Group.PEOPLE, Role.OWNER, True, "Has a page of tier B a deadline that counts, and a rule for silence?"
    ),
    ItemId.EVAL_DEBT: Asked(
        Group.PAST, Role.OWNER, True, "Is every evaluation case from before this release paid?"
    ),
    ItemId.LIVE: Asked(Group.MONITOR, Role.OPERATORS, True, "Does the monitor see the traffic now (LIVE)?"),
    ItemId.WATCHER: Asked(
        Group.MONITOR, Role.OPERATORS, False, "Is a dead-man's switch told while the monitor is well?"
    ),
    ItemId.BREAKER: Asked(
        Group.MONITOR, Role.OPERATORS, True, "May it roll back by itself (no rollback storm)?"
    ),
}
"""Every item, in the order of the page."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the page.

    Attributes:
        seen: What was seen, or why nothing could be, in one sentence.
        name: Who the budget says it is; None where it names nobody, and for the operators.
        mend: The command or key that mends it; empty where it is ready.
    """

    item_id: ItemId
    state: State
    seen: str
    name: str | None
    mend: str

    @property
    def asked(self) -> Asked:
        """How it is asked."""
        return ASKED[self.item_id]

    @property
    def who(self) -> str:
        """Who sees to it, in words."""
        role = self.asked.role
        if role is Role.OPERATORS:
            return "the installation's operators"
        what = "the budget's owner" if role is Role.OWNER else "the budget's on_call"
        return f"{self.name} ({role.value})" if self.name else f"{what} (nobody is named)"


@dataclass(frozen=True, slots=True)
class Checklist:
    """The whole page."""

    items: tuple[Item, ...]

    @property
    def is_ready(self) -> bool:
        """Tell whether all that is required is ready; what is unknown is not."""
        return not self.missing

    @property
    def missing(self) -> tuple[Item, ...]:
        """The required items that are gaps or unknown."""
        return tuple(one for one in self.items if one.asked.is_required and one.state is not State.READY)


def checklist(facts: Facts) -> Checklist:
    """Return every item, answered. A budget with errors leaves unknown what would go by it."""
    return Checklist(tuple(_item(item_id, facts) for item_id in ASKED))


def _item(item_id: ItemId, facts: Facts) -> Item:
    state, words, mend = _seen(item_id, facts)
    names: dict[Role, str | None] = {Role.OPERATORS: None, Role.OWNER: None, Role.ON_CALL: None}
    if facts.budget is not None:
        names |= {Role.OWNER: facts.budget.owner, Role.ON_CALL: facts.budget.on_call}
    return Item(item_id, state, words, names[ASKED[item_id].role], "" if state is State.READY else mend)


def _seen(item_id: ItemId, facts: Facts) -> Seen:
    if (running := OF_INSTALLATION.get(item_id)) is not None:
        return running(facts)
    if facts.budget is None:
        return Seen.unseen(Unseen("the budget has errors", facts.validate_command))
    return OF_BUDGET[item_id](facts, facts.budget)
