"""From a recorded decision to its effect: the flag turned, the person told, and both written down.

Record, then act: what arrives here is in the ledger already. Every effect is a desired state with the decision's id,
so repeating it after a crash, a rebalance or a timeout is harmless, and calling `Act` again is how a failed rollback
is tried again. Where the traffic shows that a turned flag did not help, the page that says so turns it once more.
Order of steps: turn the flag, record it, tell people; a broken pager never delays a rollback.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from enum import Enum
from typing import Any

from monitor.core.decision import EVERY_RELEASE, Reason, Type
from monitor.engine.act_events import (
    applied_after_all,
    applied_data,
    data_of,
    follow_up_id,
    identity,
    informed,
    kind_of,
    not_applied,
    notice_of,
    order_of,
)
from monitor.engine.errors import ActuatorFailed, ApprovalRequired
from monitor.engine.patience import FLAG_PATIENCE, Patience, Trying
from monitor.engine.ports import Actuator, Clock, PageNotice, Pager, RollbackOrder
from monitor.engine.tell import Ledger, Teller

_STATES = {  # page events and what they are for the paging system
    "page.opened": "opened",
    "page.acknowledged": "acknowledged",
    "page.extended": "extended",
    "page.reminded": "reminded",
    "page.escalated": "escalated",
    "page.expired": "expired",
    "page.resolved": "resolved",
    "monitor.blind": "opened",
    "monitor.recovered": "resolved",
}
_CALLS = frozenset({"reminded", "escalated"})  # said once: a pager may know no way to drop a repeat


class Outcome(Enum):
    """What became of a request or a page."""

    DONE = "done"
    ALREADY_DONE = "already_done"
    NO_FLAG = "no_flag"  # the request event alone is the effect: somebody downstream carries it out
    TRY_LATER = "try_later"  # recorded as failed and paged; the same call again tries again
    REFUSED = "refused"  # as TRY_LATER, but only a person can change the answer
    IGNORED = "ignored"  # not a type this module acts on


class Act:
    """Carries out rollback requests and delivers pages, through ports only.

    Args:
        clock: Event time, which may run faster than real time; what is recorded is in it.
        steady: Seconds of a clock that never jumps: patience with a flag system is real time.
    """

    def __init__(
        self,
        actuators: Mapping[str, Actuator],
        pagers: Pager | Mapping[str, Pager],
        ledger: Ledger,
        *,
        clock: Clock,
        patience: Patience | None = None,
        quiet: Collection[str] = (),
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the parts.

        Args:
            pagers: Each is told of everything; by name, which deliveries are recorded under, or a single one.
            quiet: The names of those that hear of a page only once it is escalated to them.
        """
        self._actuators, self._ledger, self._clock = dict(actuators), ledger, clock
        self._turning = Trying(patience or FLAG_PATIENCE, steady, sleep)
        named = pagers if isinstance(pagers, Mapping) else {"pager": pagers}
        self._teller = Teller(named, ledger, clock, Trying(patience or Patience(), steady, sleep), quiet)

    async def on_request(self, event: Mapping[str, Any]) -> Outcome:
        """Carry out one `rollback.requested`, record how it went, and tell people.

        Args:
            event: A CloudEvent as a dict: `type`, `id`, `data`; the flag is `data["flag"]`, absent where there is none.

        Raises:
            PagerFailed: The effect is done and recorded, but nobody could be told; calling again only tells.
        """
        if kind_of(event) != Type.ROLLBACK_REQUESTED:
            return Outcome.IGNORED
        request_id, data = str(event["id"]), data_of(event)
        if not data.get("flag"):
            await self._tell(
                informed(event, "no flag is set in the budget: consumers of the request carry it out")
            )
            return Outcome.NO_FLAG
        applied_id = follow_up_id(Type.ROLLBACK_APPLIED, request_id)
        if await self._ledger.known(applied_id):
            await self._tell_applied(event)
            return Outcome.ALREADY_DONE
        try:
            await self._turn(event, applied_id)
        except ActuatorFailed as failure:
            return await self._failed(event, failure)
        await self._tell_applied(event)
        return Outcome.DONE

    async def on_page(self, event: Mapping[str, Any]) -> Outcome:
        """Deliver one event of the pages topic; record the delivery of an opened page, which starts its clock.

        Raises:
            PagerFailed: Nobody could be told in time; calling again tries again.
        """
        state = _STATES.get(kind_of(event))
        if state is None:
            return Outcome.IGNORED
        if state == "opened":
            await self._turn_again(event)
            return await self._tell(notice_of(event, state))
        data = data_of(event)
        past = await self._ledger.page(str(data.get("release") or EVERY_RELEASE), str(data.get("page_id")))
        opening = past.opening or await self._unapplied(data)
        # Mostly no record: the engine counts deliveries of a page, and the pager drops repeats by the event's id.
        return await self._tell(notice_of(event, state, opening), on_record=state in _CALLS)

    async def _unapplied(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the request that a page about a rollback not applied is about: the page was opened with its data."""
        request = await self._ledger.event(str(data["request_id"])) if data.get("request_id") else None
        return None if request is None else data_of(request)

    async def _turn(self, request: Mapping[str, Any], applied_id: str) -> None:
        """Turn the flag as a request asks for it, and record that.

        Raises:
            ActuatorFailed: It could not be turned, or not be read back.
        """
        started_ms = self._clock.now_ms()
        order = order_of(request)
        effect = await self._turning.until_done(
            order.decision_id, lambda: self._actuator(order).serve_baseline(order), ActuatorFailed
        )
        seconds = max(0, self._clock.now_ms() - started_ms) / 1000
        data = applied_data(request, order, effect, seconds)
        await self._ledger.record(Type.ROLLBACK_APPLIED, applied_id, order.release, data)

    async def _turn_again(self, page: Mapping[str, Any]) -> None:
        """Turn the flag once more where the page says that the turned flag did not help; a failure is recorded.

        A page that is told again, after a crash or to another pager, turns nothing: the second time is on record.
        """
        data, cause_id = data_of(page), str(page["id"])
        if data.get("reason") != Reason.ROLLBACK_FAILED:
            return
        again_id = follow_up_id(Type.ROLLBACK_APPLIED, cause_id)
        request = await self._ledger.event(str(data.get("request_id")))
        if request is None or not data_of(request).get("flag") or await self._ledger.known(again_id):
            return
        try:
            await self._turn(request, again_id)
        except ActuatorFailed as failure:
            await self._note_failed(request, failure, follow_up_id(Type.ROLLBACK_FAILED, cause_id))

    def _actuator(self, order: RollbackOrder) -> Actuator:
        try:
            return self._actuators[order.actuator]
        except KeyError:
            known = ", ".join(sorted(self._actuators)) or "none"
            message = f"budget flag: actuator {order.actuator!r} is not set up here; there are {known}"
            raise ActuatorFailed(message, retryable=False) from None

    async def _failed(self, event: Mapping[str, Any], failure: ActuatorFailed) -> Outcome:
        """Record that the rollback is not applied, once, and page about it; later calls only try again."""
        failed_id = follow_up_id(Type.ROLLBACK_FAILED, str(event["id"]))
        await self._note_failed(event, failure, failed_id)
        await self._tell(not_applied(event, failed_id, str(failure)))
        return Outcome.TRY_LATER if failure.retryable else Outcome.REFUSED

    async def _note_failed(self, request: Mapping[str, Any], failure: ActuatorFailed, failed_id: str) -> None:
        if await self._ledger.known(failed_id):
            return
        data = data_of(request)
        await self._ledger.record(
            Type.ROLLBACK_FAILED,
            failed_id,
            str(data.get("release", "")),
            {
                **identity(data),
                "request_id": str(request["id"]),
                "retryable": failure.retryable,
                "message": str(failure),
                "reason": "approval_required" if isinstance(failure, ApprovalRequired) else "actuator",
            },
        )

    async def _tell_applied(self, event: Mapping[str, Any]) -> None:
        """Tell that the flag serves the baseline; close the page that said it does not, where there was one."""
        await self._tell(informed(event, "the flag was read back as serving the baseline"))
        failed_id = follow_up_id(Type.ROLLBACK_FAILED, str(event["id"]))
        if await self._ledger.known(failed_id):
            await self._tell(applied_after_all(event, failed_id))

    async def _tell(self, notice: PageNotice, *, on_record: bool = True) -> Outcome:
        """Deliver a notice and record its delivery, unless that is recorded already."""
        told = await self._teller.tell(notice, on_record=on_record)
        return Outcome.DONE if told else Outcome.ALREADY_DONE
