"""From a recorded decision to its effect: the flag turned, the person told, and both written down.

Record, then act: what arrives here is in the ledger already. Every effect is a desired state with the decision's id,
so repeating it after a crash, a rebalance or a timeout is harmless, and calling `Act` again is how a failed rollback
is tried again. Order of steps: turn the flag, record it, tell people; a broken pager never delays a rollback.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from monitor.core.decision import Type
from monitor.core.moment import rfc3339
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
from monitor.engine.errors import ActuatorFailed, ApprovalRequired, PagerFailed
from monitor.engine.ports import Actuator, Clock, PageNotice, Pager, RollbackOrder

T = TypeVar("T")

_STATES = {  # page events and what they are for the paging system
    "page.opened": "opened",
    "page.acknowledged": "acknowledged",
    "page.expired": "expired",
    "page.resolved": "resolved",
    "monitor.blind": "opened",
    "monitor.recovered": "resolved",
}


class Ledger(Protocol):
    """The ledger as far as effects need it; ids make repeats harmless."""

    async def known(self, decision_id: str) -> bool:
        """Tell whether a decision of this id is recorded."""

    async def record(self, kind: Type, decision_id: str, release: str, data: Mapping[str, object]) -> None:
        """Append the decision to the ledger and publish it; return when it is acknowledged."""


class Outcome(Enum):
    """What became of a request or a page."""

    DONE = "done"
    ALREADY_DONE = "already_done"
    NO_FLAG = "no_flag"  # the request event alone is the effect: somebody downstream carries it out
    TRY_LATER = "try_later"  # recorded as failed and paged; the same call again tries again
    REFUSED = "refused"  # as TRY_LATER, but only a person can change the answer
    IGNORED = "ignored"  # not a type this module acts on


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one call keeps trying.

    Attributes:
        total_s: For all attempts and waits of one effect.
        attempt_s: Seconds for one attempt; longer than the adapters' own deadlines, which know better what failed.
        max_attempts: Bounds the tries even where no time passes.
    """

    total_s: float = 60.0
    attempt_s: float = 130.0
    first_wait_s: float = 0.5
    max_wait_s: float = 10.0
    max_attempts: int = 20


class Act:
    """Carries out rollback requests and delivers pages, through ports only.

    Args:
        clock: Event time, which may run faster than real time; what is recorded is in it.
        steady: Seconds of a clock that never jumps: patience with a flag system is real time.
    """

    def __init__(
        self,
        actuators: Mapping[str, Actuator],
        pager: Pager,
        ledger: Ledger,
        *,
        clock: Clock,
        patience: Patience | None = None,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._actuators, self._pager, self._ledger = dict(actuators), pager, ledger
        self._clock, self._steady, self._sleep = clock, steady, sleep
        self._patience = patience or Patience()

    async def on_request(self, event: Mapping[str, Any], *, again: bool = False) -> Outcome:
        """Carry out one `rollback.requested`, record how it went, and tell people.

        Args:
            event: A CloudEvent as a dict: `type`, `id`, `data`; the flag is `data["flag"]`, absent where there is none.
            again: Turn the flag even if it is recorded as turned: the traffic shows that it did not help.

        Raises:
            PagerFailed: The effect is done and recorded, but nobody could be told; calling again only tells.
        """
        if kind_of(event) != Type.ROLLBACK_REQUESTED:
            return Outcome.IGNORED
        request_id, data = str(event["id"]), data_of(event)
        if not data.get("flag"):
            await self._tell_once(
                informed(event, "no flag is set in the budget: consumers of the request carry it out")
            )
            return Outcome.NO_FLAG
        applied_id = follow_up_id(Type.ROLLBACK_APPLIED, request_id)
        if not again and await self._ledger.known(applied_id):
            await self._tell_applied(event)
            return Outcome.ALREADY_DONE
        started_ms = self._clock.now_ms()
        try:
            order = order_of(event)
            effect = await self._until_done(
                order.decision_id, lambda: self._actuator(order).serve_baseline(order), ActuatorFailed
            )
        except ActuatorFailed as failure:
            return await self._failed(event, failure)
        seconds = max(0, self._clock.now_ms() - started_ms) / 1000
        await self._ledger.record(
            Type.ROLLBACK_APPLIED, applied_id, order.release, applied_data(event, order, effect, seconds)
        )
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
        notice = notice_of(event, state)
        if state == "opened":
            return await self._tell_once(notice)
        # No record: the engine counts deliveries of a page, and the pager drops repeats by the event's id.
        await self._until_done(notice.event_id, lambda: self._pager.notify(notice), PagerFailed)
        return Outcome.DONE

    def _actuator(self, order: RollbackOrder) -> Actuator:
        try:
            return self._actuators[order.actuator]
        except KeyError:
            known = ", ".join(sorted(self._actuators)) or "none"
            message = f"budget flag: actuator {order.actuator!r} is not set up here; there are {known}"
            raise ActuatorFailed(message, retryable=False) from None

    async def _failed(self, event: Mapping[str, Any], failure: ActuatorFailed) -> Outcome:
        """Record that the rollback is not applied, once, and page about it; later calls only try again."""
        data, request_id = data_of(event), str(event["id"])
        failed_id = follow_up_id(Type.ROLLBACK_FAILED, request_id)
        if not await self._ledger.known(failed_id):
            await self._ledger.record(
                Type.ROLLBACK_FAILED,
                failed_id,
                str(data.get("release", "")),
                {
                    **identity(data),
                    "request_id": request_id,
                    "retryable": failure.retryable,
                    "message": str(failure),
                    "reason": "approval_required" if isinstance(failure, ApprovalRequired) else "actuator",
                },
            )
        await self._tell_once(not_applied(event, failed_id, str(failure)))
        return Outcome.TRY_LATER if failure.retryable else Outcome.REFUSED

    async def _tell_applied(self, event: Mapping[str, Any]) -> None:
        """Tell that the flag serves the baseline; close the page that said it does not, where there was one."""
        await self._tell_once(informed(event, "the flag was read back as serving the baseline"))
        failed_id = follow_up_id(Type.ROLLBACK_FAILED, str(event["id"]))
        if await self._ledger.known(failed_id):
            await self._tell_once(applied_after_all(event, failed_id))

    async def _tell_once(self, notice: PageNotice) -> Outcome:
        """Deliver a notice and record its delivery, unless it is recorded already."""
        delivered_id = follow_up_id(Type.PAGE_DELIVERED, notice.event_id)
        if await self._ledger.known(delivered_id):
            return Outcome.ALREADY_DONE
        await self._until_done(notice.event_id, lambda: self._pager.notify(notice), PagerFailed)
        await self._ledger.record(
            Type.PAGE_DELIVERED,
            delivered_id,
            notice.release,
            {
                "page_id": notice.page_id,
                "event_id": notice.event_id,
                "state": notice.state,
                "release": notice.release,
                "delivered_at": rfc3339(self._clock.now_ms()),
            },
        )
        return Outcome.DONE

    async def _until_done(
        self, key: str, effect: Callable[[], Awaitable[T]], failed: type[ActuatorFailed] | type[PagerFailed]
    ) -> T:
        """Repeat an effect with growing, jittered waits until it is done, refused, or the patience is over.

        Raises:
            ActuatorFailed, PagerFailed: The last failure; what an adapter did not name is raised as `failed`.
        """
        patience, ends_s = self._patience, self._steady() + self._patience.total_s
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(patience.attempt_s):
                    return await effect()
            except (ActuatorFailed, PagerFailed) as error:
                failure: ActuatorFailed | PagerFailed = error
            except TimeoutError:
                failure = failed(f"no answer within {patience.attempt_s:g} s", retryable=True)
            # A vendor adapter's own defect must end in a page, not in a dead worker.
            except Exception as error:  # noqa: BLE001
                failure = failed(f"{type(error).__name__}: {error}; please report it", retryable=False)
            wait_s = min(patience.max_wait_s, patience.first_wait_s * 2.0 ** (attempt - 1))
            wait_s *= _spread(key, attempt)
            over = self._steady() + wait_s >= ends_s or attempt >= patience.max_attempts
            if over or not failure.retryable:
                raise failure
            await self._sleep(wait_s)


def _spread(key: str, attempt: int) -> float:
    """Return 0.5 to 1, different for each decision: effects that failed together do not come back together."""
    return 0.5 + 0.5 * sha256(f"{key}/{attempt}".encode()).digest()[0] / 255
