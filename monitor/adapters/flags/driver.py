"""How every flag system behind an HTTP API is turned: read, plan, apply, and read again until the flag shows it.

A vendor's file says how a state is read, what is missing to the baseline or back from it (pure plans of desired
states), and how that system says no (`vendor.py`). All else is here, once: deadlines, retries, conflicts, the record.

The flag alone is believed. After a time-out, a 5xx or a conflict the state is read and planned anew, so a call that did
take effect is not made twice, and one of two that did not is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.flags.api import API_LIMITS, Api, Call, JsonObject, asked_wait_s, parsed
from monitor.adapters.flags.vendor import (
    FlagApi,
    Refusal,
    Refused,
    changed_meanwhile,
    check_order,
    final,
    telling_how_it_was,
)
from monitor.adapters.http import Limits, Timing, WebhookFailed
from monitor.engine.errors import ActuatorFailed, ApprovalRequired
from monitor.engine.ports import Effect, RollbackOrder

_MAX_CONFLICTS = 5  # somebody else keeps editing: a person should know
_MAX_APPLIED = 4  # answered with success and not there: asking for ever is no remedy
_SETTLE_READS = 2  # a read right behind a write may come from a replica that does not have it yet


_Plan = Callable[[JsonObject], Sequence[Call]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A flag as it was read: what is missing to what is wanted, and the state, whole and as the record keeps it."""

    calls: Sequence[Call]
    state: JsonObject
    shown: JsonObject


@dataclass(slots=True)
class _Course:
    """How far one order has come.

    Attributes:
        plan: Returns the calls that a state is short of what is wanted.
        wanted: What that is, in words.
        is_ours: Something of what we asked for may have taken effect.
    """

    ends_s: float
    plan: _Plan
    wanted: str
    is_ours: bool = False
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
        await self._look_once(order, self._forth(order), is_tried=True)

    async def serves_baseline(self, order: RollbackOrder) -> bool:
        """Read the flag and tell whether nothing is missing to the baseline; one attempt.

        Raises:
            ActuatorFailed: It could not be read.
        """
        return not (await self._look_once(order, self._forth(order))).calls

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        """Make the flag serve the baseline, read it back, and return only when it does.

        Raises:
            ApprovalRequired: The system wants a person's approval first.
            ActuatorFailed: Anything else; repeating is safe.
        """
        check_order(self._system.name, order)
        # Two orders for one flag would read the same state and both call themselves the change.
        async with self._lock(order):
            course = self._course(self._forth(order), _baseline_of(order))
            return await self._run(course, order)

    async def keep(self, order: RollbackOrder) -> JsonObject:
        """Return the flag as it stands, for `put_back`.

        Raises:
            ActuatorFailed: It cannot be read, or could not be set back to this.
        """
        if order.cohort:
            raise final(f"{self._system.name}: a drill turns a flag for everybody; leave the cohort out")

        def both(state: JsonObject) -> Sequence[Call]:
            return [*self._system.plan(state, order), *self._system.back(state, order, state)]

        seen = await self._look_once(order, both)
        return {"state": seen.state, "shown": seen.shown}

    async def put_back(self, order: RollbackOrder, kept: JsonObject) -> None:
        """Set the flag back after a drill, and return only when it reads as before.

        Raises:
            ActuatorFailed: It was not as the drill had left it, so it was left alone; or it could not be set back. The
                message says how it was, for the person who sets it back.
        """
        course = self._course(
            lambda state: self._missing_back(course, state, order, kept["state"]), "was before"
        )
        with telling_how_it_was(kept["shown"]):
            async with self._lock(order):
                await self._run(course, order)

    def _missing_back(
        self, course: _Course, state: JsonObject, order: RollbackOrder, was: JsonObject
    ) -> Sequence[Call]:
        """Return what is missing to the flag as it was, and nothing over what somebody else has made of it."""
        calls = self._system.back(state, order, was)
        if calls and not course.is_ours and self._system.plan(state, order):
            raise changed_meanwhile(self._api.where, order)
        return calls

    def _forth(self, order: RollbackOrder) -> _Plan:
        return lambda state: self._system.plan(state, order)

    def _course(self, plan: _Plan, wanted: str) -> _Course:
        return _Course(ends_s=self._timing.monotonic() + self._limits.total_s, plan=plan, wanted=wanted)

    def _lock(self, order: RollbackOrder) -> asyncio.Lock:
        what = ("", None) if self._is_one_document else (order.flag_key, order.scope)
        return self._locks.setdefault(what, asyncio.Lock())

    async def _run(self, course: _Course, order: RollbackOrder) -> Effect:
        while True:
            effect = await self._round(course, order)
            if effect is not None:
                return effect

    async def _round(self, course: _Course, order: RollbackOrder) -> Effect | None:
        """Read and plan; return the effect where nothing is missing, else do what is, or wait."""
        course.attempts += 1
        try:
            seen = await self._look(order, course.plan)
            course.before = course.before if course.before is not None else seen.shown
            if not seen.calls:
                return Effect(changed=course.is_ours, before=course.before, after=seen.shown)
            if course.settling and seen.shown == course.at_apply:
                course.settling -= 1
                await self._wait(course, None, self._unmoved(course, order))
                return None
            if course.applied >= _MAX_APPLIED:
                raise self._unmoved(course, order)
            course.at_apply = seen.shown
            await self._apply(course, seen.calls)
            course.applied, course.settling = course.applied + 1, _SETTLE_READS
        except WebhookUnusable as error:
            raise final(str(error)) from error
        except WebhookFailed as failed:
            await self._after(failed, course, order)
        return None

    async def _apply(self, course: _Course, calls: Sequence[Call]) -> None:
        for call in calls:
            try:
                await self._api.send(call)
            except WebhookFailed as failed:
                # Only a conflict is known to have changed nothing.
                course.is_ours = course.is_ours or self._refusal(failed) is not Refusal.CONFLICT
                raise
            course.is_ours = True

    async def _look_once(self, order: RollbackOrder, plan: _Plan, *, is_tried: bool = False) -> _Seen:
        """Read the flag in one attempt.

        Args:
            is_tried: Ask the system too whether it would accept that, where it can tell.

        Raises:
            ActuatorFailed: It cannot be told.
        """
        check_order(self._system.name, order)
        try:
            seen = await self._look(order, plan)
            for call in self._system.trial(seen.calls) if is_tried else ():
                await self._api.send(call)
        except WebhookUnusable as error:
            raise final(str(error)) from error
        except WebhookFailed as failed:
            self._give_up_if_final(failed, order)
            raise ActuatorFailed(self._said(failed), retryable=True) from failed
        return seen

    async def _look(self, order: RollbackOrder, plan: _Plan) -> _Seen:
        """Read the flag.

        A document that is not as its API says is a failure that says so, never a defect.
        """
        try:
            state = await self._system.read(self._api, order)
            return _Seen(plan(state), state, self._system.shown(state, order))
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
        refusal = self._refusal(failed)
        said = self._said(failed)
        if refusal is Refusal.APPROVAL:
            wants = f"{self._system.name} wants an approval"
            message = f"{said}: {wants}; approve the change there, or let this token bypass it"
            raise ApprovalRequired(message, retryable=False) from failed
        if refusal is Refusal.CONFLICT or failed.retryable:
            return refusal
        status = 404 if refusal is Refusal.MISSING else failed.status
        raise final(f"{said}; {self._remedy(status, order)}") from failed

    def _refusal(self, failed: WebhookFailed) -> Refusal | None:
        if failed.status is None:
            return None
        text = failed.body.decode(errors="replace")
        return self._system.refusal(Refused(failed.status, parsed(failed.body), text))

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

    def _unmoved(self, course: _Course, order: RollbackOrder) -> ActuatorFailed:
        message = (
            f"{self._api.where}: flag {order.flag_key!r} was changed with success and still is not what it "
            f"{course.wanted}; look at it there"
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


def _baseline_of(order: RollbackOrder) -> str:
    return f"should be: it does not serve the baseline ({order.rollback_by.value})"
