"""What a flag system behind an HTTP API brings: how its flag is read, what is missing to a state, and how it says no.

Everything else is `driver.py`'s. The files beside this one are one vendor each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from monitor.adapters.flags.api import Api, Call, JsonObject
from monitor.config.flag_systems import FLAG_SYSTEMS, scope_problem
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import RollbackOrder

_SHOWN_CHARS = 1_000  # of what a person has to set back by hand; all of it is on record


class Refusal(Enum):
    """What a refusal means, where it is not simply final."""

    APPROVAL = "approval"  # a person must approve the change in that system
    CONFLICT = "conflict"  # the flag changed since it was read: read it again
    MISSING = "missing"  # no such flag, where the system says so with another status than 404


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer that is no success, as a vendor's file judges it.

    Attributes:
        status: The HTTP status.
        said: The body where it is JSON, else None.
        text: The body as text, for marks that have no field of their own.
    """

    status: int
    said: Any
    text: str


class FlagApi(Protocol):
    """What is different from vendor to vendor."""

    @property
    def name(self) -> str:
        """The actuator's name in budgets."""

    async def read(self, api: Api, order: RollbackOrder) -> JsonObject:
        """Return the flag's state as far as the order needs it."""

    def plan(self, state: JsonObject, order: RollbackOrder) -> Sequence[Call]:
        """Return the calls that are missing to the baseline, none where it is served.

        Raises:
            ActuatorFailed: The order cannot be carried out on this flag; final.
        """

    def shown(self, state: JsonObject, order: RollbackOrder) -> JsonObject:
        """Return the state as the audit keeps it: what serves whom, no secrets, small."""

    def back(self, state: JsonObject, order: RollbackOrder, was: JsonObject) -> Sequence[Call]:
        """Return the calls that are missing to what was read before a drill; none where the flag is so again.

        Only what the order may have changed is compared and set back; all else stays as it is now.

        Raises:
            ActuatorFailed: That could not be set back; final. Asked with `was` as the state, before anything is turned.
        """

    def trial(self, calls: Sequence[Call]) -> Sequence[Call]:
        """Return calls that ask the system whether it would accept the plan, and change nothing; often none."""

    def refusal(self, refused: Refused) -> Refusal | None:
        """Return what a refusal means, None where it is final."""


def check_order(name: str, order: RollbackOrder) -> None:
    """Refuse what a system cannot do: an order may be older than the check of its budget.

    Raises:
        ActuatorFailed: Not that way, not for one cohort, or not in that scope; final.
    """
    system = FLAG_SYSTEMS[name]
    if order.rollback_by not in system.ways:
        allowed = " or ".join(way.value for way in system.ways)
        raise final(f"{name}: cannot {order.rollback_by.value}; set flag.rollback_by to {allowed}")
    if order.cohort and order.rollback_by not in system.cohort_ways:
        raise final(f"{name}: cannot roll back one cohort by {order.rollback_by.value}; use scope: release")
    if problem := scope_problem(system, order.scope):
        raise final(f"{name}: flag.scope: {problem}")


def scope_of(order: RollbackOrder) -> list[str]:
    """Return the parts of the order's scope; how many there are was checked."""
    return (order.scope or "").split("/")


def final(message: str) -> ActuatorFailed:
    """Return a failure that asking again will not change."""
    return ActuatorFailed(message, retryable=False)


def gone(name: str, what: str, order: RollbackOrder) -> ActuatorFailed:
    """Return the failure that what a drill turned is no longer there to be set back."""
    return final(f"{name}: flag {order.flag_key!r}: {what} was removed during the drill")


def changed_meanwhile(where: str, order: RollbackOrder) -> ActuatorFailed:
    """Return the failure that a flag is not as a drill left it, so that nothing is set back."""
    return final(
        f"{where}: flag {order.flag_key!r} was changed by somebody else during the drill, so it is left as it is now"
    )


@contextmanager
def telling_how_it_was(was: JsonObject) -> Iterator[None]:
    """Around setting a flag back after a drill: where that fails, the message is for who does it by hand."""
    try:
        yield
    except ActuatorFailed as failure:
        raise ActuatorFailed(f"{failure}; {_by_hand(was)}", retryable=failure.retryable) from failure


def _by_hand(was: JsonObject) -> str:
    text = json.dumps(was, ensure_ascii=False, separators=(",", ":"), default=str)
    if len(text) > _SHOWN_CHARS:
        text = f"{text[:_SHOWN_CHARS]}… (whole in `before` of the drill's rollback.applied)"
    return f"set it back there by hand, before the drill it was {text}"


def listed(names: Sequence[object]) -> str:
    """Return names as a message lists them, at most 20."""
    shown = ", ".join(repr(name) for name in names[:20])
    return (f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown) or "none"
