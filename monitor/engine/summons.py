"""Calling people again: a reminder at half time, the budget's escalation path, and a deadline that waits.

Machine time schedules it and not the ticks: while the monitor is blind there are none, and just then an open page
must not be forgotten. Nothing is decided here, and a replay calls nobody. Every call has the id that any worker would
give it, so whoever takes the release over finds in the ledger what was said already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from monitor.core.budget import EscalationStep
from monitor.core.decision import Decision, Reason, Type
from monitor.core.moment import rfc3339
from monitor.core.page import Page
from monitor.core.window import tick_ms
from monitor.engine.control import Control
from monitor.engine.escalation import due_ms, goes_to, step_data
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.halts import OUTAGES
from monitor.engine.observer import Observer
from monitor.engine.ports import Clock
from monitor.engine.unapplied import escalated, unapplied_now

SEEN_MAX: Final = 10_000  # undelivered pages of which it is remembered since when they are known here


class Summons:
    """Makes the calls that are due; it remembers nothing that decides, and starts anew with the instance.

    Args:
        clock: Event time by the machine's clock.
    """

    def __init__(self, control: Control, clock: Clock, observer: Observer) -> None:
        self._control, self._clock, self._observer = control, clock, observer
        self._known_ms: dict[str, int] = {}

    async def step(self) -> None:
        """Call people again about pages that nobody has seen to; also while there are no ticks, or one is halted.

        Raises:
            LogUnreachable: Nothing is lost: the calls are still due at the next step.
        """
        for release, live in list(self._control.live.items()):
            if not self.due(live.evaluator):
                continue
            try:
                await self._control.between_ticks(release, self.due)
            except OUTAGES:
                raise
            except Exception as defect:  # noqa: BLE001 - of ours: one release must not keep another from being heard
                self._observer.halted(release, defect)

    def due(self, evaluator: Evaluator) -> list[Decision]:
        """Return the calls that are due and were not made yet.

        A page that somebody has acknowledged calls nobody, and one that is not on record yet cannot be meant.
        """
        now_ms = self._clock.now_ms()
        calls = [
            call
            for page in evaluator.commander.pages.values()
            if page.is_open and page.acknowledged_ms is None and self._is_on_record(page.event_id)
            for call in self._calls(evaluator, page, now_ms)
        ]
        if evaluator.progress.stage is Stage.LOCKED and evaluator.budget.escalation:
            calls += self._calls_unapplied(evaluator, now_ms)
        return [call for call in calls if not self._is_on_record(call.decision_id)]

    def _is_on_record(self, decision_id: str) -> bool:
        known = self._control.book.get(decision_id)
        return known is not None and known.is_published

    def _calls(self, evaluator: Evaluator, page: Page, now_ms: int) -> Iterator[Decision]:
        if _is_at_half_time(page, now_ms):
            yield _reminder(evaluator, page)
        is_told = page.delivered_ms is not None
        begins_ms = page.begins_ms if is_told else self._known_since_ms(page.event_id, page.opened_ms, now_ms)
        for number, step, at_ms in _steps_due(evaluator, begins_ms, now_ms):
            yield _escalation(evaluator, page, number, step, at_ms)
        deadline_ms, tick = page.deadline_ms, evaluator.progress.tick
        is_waiting = deadline_ms is not None and page.delivered_ms is not None and page.expired_ms is None
        if is_waiting and deadline_ms is not None and tick is not None and tick_ms(tick) > deadline_ms:
            yield _overdue(evaluator, page, tick_ms(tick))

    def _calls_unapplied(self, evaluator: Evaluator, now_ms: int) -> Iterator[Decision]:
        """Yield the steps that are due about a rollback that is not applied and that nobody has seen."""
        book, release = self._control.book, evaluator.budget.release
        waiting = [one for one in unapplied_now(book, release) if one.seen is None]
        if not waiting:
            return
        decisions = [entry.decision for entry in book.of(release)]
        told_ms = {
            one.data.get("event_id"): one.at_ms for one in decisions if one.type is Type.PAGE_DELIVERED
        }
        for one in waiting:
            begins_ms = told_ms.get(one.page_id) or self._known_since_ms(
                one.page_id, one.failed.at_ms, now_ms
            )
            for number, step, at_ms in _steps_due(evaluator, begins_ms, now_ms):
                text = _goes_to("nobody has seen that the rollback is NOT APPLIED", evaluator, number, step)
                yield escalated(one, number, step, at_ms, text)

    def _known_since_ms(self, page_id: str, opened_ms: int, now_ms: int) -> int:
        """Return since when a page that reached nobody is known here, and not since it was opened.

        So catching up after an outage does not escalate at once what is about to be told.
        """
        while len(self._known_ms) >= SEEN_MAX:
            del self._known_ms[next(iter(self._known_ms))]
        return max(opened_ms, self._known_ms.setdefault(page_id, now_ms))


def _steps_due(
    evaluator: Evaluator, begins_ms: int, now_ms: int
) -> Sequence[tuple[int, EscalationStep, int]]:
    """Return the budget's steps whose time is over, each with its number and when that was."""
    steps = enumerate(evaluator.budget.escalation, 1)
    dated = [(number, step, due_ms(step, begins_ms)) for number, step in steps]
    return [one for one in dated if one[2] <= now_ms]


def _is_at_half_time(page: Page, now_ms: int) -> bool:
    half_ms = page.half_time_ms
    return (
        half_ms is not None
        and page.delivered_ms is not None
        and page.expired_ms is None
        and half_ms <= now_ms
    )


def _reminder(evaluator: Evaluator, page: Page) -> Decision:
    by = "" if page.deadline_ms is None else f": decide by {rfc3339(page.deadline_ms)}"
    return evaluator.commander.page_event(
        Type.PAGE_REMINDED,
        page,
        page.half_time_ms or page.begins_ms,
        Reason.HALF_TIME,
        f"nobody has seen to this page, and half of the time is over{by}",
        of="half-time",
    )


def _escalation(evaluator: Evaluator, page: Page, number: int, step: EscalationStep, at_ms: int) -> Decision:
    text = _goes_to("nobody has seen to this page", evaluator, number, step)
    return evaluator.commander.page_event(
        Type.PAGE_ESCALATED,
        page,
        at_ms,
        Reason.NOT_ACKNOWLEDGED,
        text,
        of=f"step-{number}",
        **step_data(step, number),
    )


def _goes_to(what: str, evaluator: Evaluator, number: int, step: EscalationStep) -> str:
    return f"{what} for {step.after_min} min: {goes_to(step, number, len(evaluator.budget.escalation))}"


def _overdue(evaluator: Evaluator, page: Page, at_ms: int) -> Decision:
    text = (
        "the deadline has passed and waits: what this page is about is unknown now, so its silence rule does not act; "
        "decide yourself"
    )
    return evaluator.commander.page_event(
        Type.PAGE_ESCALATED,
        page,
        at_ms,
        Reason.OVERDUE,
        text,
        of="overdue",
        step=None,
        pagers=[],
        on_call=evaluator.budget.on_call,
    )
