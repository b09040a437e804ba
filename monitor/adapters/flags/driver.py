"""How every flag system behind an HTTP API is turned: read, plan, apply, and read again until the flag shows it.

A vendor's file says how a state is read, what is missing to the baseline (a pure plan of desired states), and how that
system says no. All else is here, once: deadlines, retries, conflicts, what was said, before and after.

The flag alone is believed. After a time-out, a 5xx or a conflict the state is read and planned anew, so a call that did
take effect is not made twice, and one of two that did not is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol
from weakref import WeakValueDictionary

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.flags.api import API_LIMITS, Api, Call, JsonObject, asked_wait_s, parsed
from monitor.adapters.http import Limits, Timing, WebhookFailed
from monitor.config.flag_systems import FLAG_SYSTEMS, scope_problem
from monitor.engine.errors import ActuatorFailed, ApprovalRequired
from monitor.engine.ports import Effect, RollbackOrder

_MAX_CONFLICTS = 5  # somebody else keeps editing: a person should know
_MAX_APPLIED = 4  # answered with success and not there: asking for ever is no remedy
_SETTLE_READS = 2  # a read right behind a write may come from a replica that does not have it yet


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


def listed(names: Sequence[object]) -> str:
    """Return names as a message lists them, at most 20."""
    shown = ", ".join(repr(name) for name in names[:20])
    return (f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown) or "none"


@dataclass(slots=True)
class _Course:
    """How far one order has come."""

    ends_s: float
    before: JsonObject | None = None
    applied: int = 0
    attempts: int = 0
    conflicts: int = 0
    settling: int = 0
    at_apply: JsonObject | None = None


class ApiActuator:
    """Turns the flags of one system behind an HTTP API; `monitor.engine.ports.Actuator`."""

    def __init__(
        self,
        system: FlagApi,
        api: Api,
        *,
        limits: Limits = API_LIMITS,
        timing: Timing | None = None,
        is_one_document: bool = False,
    ) -> None:
        """Take the parts.

        Args:
            is_one_document: All flags are written together: orders for different ones are in each other's way.
        """
        self._system, self._api, self._is_one_document = system, api, is_one_document
        self._limits, self._timing = limits, timing or Timing()
        self._locks: WeakValueDictionary[tuple[str, str | None], asyncio.Lock] = WeakValueDictionary()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def probe(self, order: RollbackOrder) -> None:
        """Read the flag, plan the order, and ask the system whether it would accept it where it can tell.

        Raises:
            ActuatorFailed: What would make the order fail. A token that may read and not write is found only where
                the system has a dry run.
        """
        check_order(self._system.name, order)
        try:
            calls, _ = await self._look(order)
            for call in self._system.trial(calls):
                await self._api.send(call)
        except WebhookUnusable as error:
            raise final(str(error)) from error
        except WebhookFailed as failed:
            self._give_up_if_final(failed, order)
            raise ActuatorFailed(self._said(failed), retryable=True) from failed

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Read the flag and tell whether nothing is missing to the baseline; one attempt.

        Raises:
            ActuatorFailed: It could not be read.
        """
        check_order(self._system.name, order)
        try:
            calls, _ = await self._look(order)
        except WebhookUnusable as error:
            raise final(str(error)) from error
        except WebhookFailed as failed:
            self._give_up_if_final(failed, order)
            raise ActuatorFailed(self._said(failed), retryable=True) from failed
        return not calls

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Make the flag serve the baseline, read it back, and return only when it does.

        Raises:
            ApprovalRequired: The system wants a person's approval first.
            ActuatorFailed: Anything else; repeating is safe.
        """
        check_order(self._system.name, order)
        # Two orders for one flag would read the same state and both call themselves the change.
        async with self._lock(order):
            course = _Course(ends_s=self._timing.monotonic() + self._limits.total_s)
            while True:
                effect = await self._round(course, order)
                if effect is not None:
                    return effect

    def _lock(self, order: RollbackOrder) -> asyncio.Lock:
        what = ("", None) if self._is_one_document else (order.flag_key, order.scope)
        return self._locks.setdefault(what, asyncio.Lock())

    async def _round(self, course: _Course, order: RollbackOrder) -> Effect | None:
        """Read and plan; return the effect where nothing is missing, else do what is, or wait."""
        course.attempts += 1
        try:
            calls, shown = await self._look(order)
            course.before = course.before if course.before is not None else shown
            if not calls:
                return Effect(changed=course.at_apply is not None, before=course.before, after=shown)
            if course.settling and shown == course.at_apply:
                course.settling -= 1
                await self._wait(course, None, self._unmoved(order))
                return None
            if course.applied >= _MAX_APPLIED:
                raise self._unmoved(order)
            course.at_apply = shown
            for call in calls:
                await self._api.send(call)
            course.applied, course.settling = course.applied + 1, _SETTLE_READS
        except WebhookUnusable as error:
            raise final(str(error)) from error
        except WebhookFailed as failed:
            await self._after(failed, course, order)
        return None

    async def _look(self, order: RollbackOrder) -> tuple[Sequence[Call], JsonObject]:
        """Return what is missing to the baseline, and the state as the record keeps it.

        A document that is not as its API says is a failure that says so, never a defect.
        """
        try:
            state = await self._system.read(self._api, order)
            return self._system.plan(state, order), self._system.shown(state, order)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}"
            message = f"{self._api.where}: flag {order.flag_key!r} is not as the API describes it ({what})"
            raise final(f"{message}; turn it by hand and report this") from error

    async def _after(self, failed: WebhookFailed, course: _Course, order: RollbackOrder) -> None:
        """Give up, or wait until it makes sense to look at the flag again."""
        course.settling = 0
        failure = ActuatorFailed(self._said(failed), retryable=True)
        if self._give_up_if_final(failed, order) is Refusal.CONFLICT:
            course.conflicts += 1
            if course.conflicts > _MAX_CONFLICTS:
                message = f"{failure}; somebody keeps changing flag {order.flag_key!r}: stop that"
                raise ActuatorFailed(message, retryable=True) from failed
        await self._wait(course, asked_wait_s(failed.headers, self._timing), failure)

    def _give_up_if_final(self, failed: WebhookFailed, order: RollbackOrder) -> Refusal | None:
        """Raise what asking again will not change; return what else the refusal means."""
        if failed.status is None:
            return None
        text = failed.body.decode(errors="replace")
        refusal = self._system.refusal(Refused(failed.status, parsed(failed.body), text))
        said = self._said(failed)
        if refusal is Refusal.APPROVAL:
            wants = f"{self._system.name} wants an approval"
            message = f"{said}: {wants}; approve the change there, or let this token bypass it"
            raise ApprovalRequired(message, retryable=False) from failed
        if refusal is Refusal.CONFLICT or failed.retryable:
            return refusal
        status = 404 if refusal is Refusal.MISSING else failed.status
        raise final(f"{said}; {self._remedy(status, order)}") from failed

    def _remedy(self, status: int, order: RollbackOrder) -> str:
        scope = f" in {order.scope!r}" if order.scope else ""
        setting = self._system.name.replace("-", "_")
        match status:
            case 401:
                return f"the token is not accepted: check the setting {setting}_token"
            case 403:
                return f"the token may not change flag {order.flag_key!r}{scope}: give it the right to"
            case 404:
                return f"no flag {order.flag_key!r}{scope}, or the token may not see it: check flag.key and flag.scope"
            case 405:
                return f"nothing can be changed at this address: check the setting {setting}_url"
        return "the request was refused as it stands: turn the flag by hand and report this"

    def _said(self, failed: WebhookFailed) -> str:
        words = self._api.words(failed)
        return f"{failed} ({words})" if words else str(failed)

    def _unmoved(self, order: RollbackOrder) -> ActuatorFailed:
        message = (
            f"{self._api.where}: flag {order.flag_key!r} was changed with success and still does not serve the "
            f"baseline ({order.rollback_by.value}); look at it there"
        )
        return ActuatorFailed(message, retryable=True)

    async def _wait(self, course: _Course, asked_s: float | None, failure: ActuatorFailed) -> None:
        """Wait before the next look, longer each time and at least as long as asked for; raise at the end of time."""
        limits = self._limits
        most = min(limits.max_wait_s, limits.first_wait_s * 2.0 ** min(course.attempts - 1, 16))
        own = most * (0.5 + 0.5 * self._timing.chance())
        wait_s = own if asked_s is None else max(asked_s, own)
        if self._timing.monotonic() + wait_s >= course.ends_s:
            raise failure
        await self._timing.sleep(wait_s)
