"""The control plane of one instance: which releases it evaluates, at which tick, and what it puts on record.

One owner per release at a time, by a lease. What makes a double owner harmless is not the lease: every
decision goes into the ledger under an id that any owner would give it, before anything is published. Taking a
release over is running its evaluator again over the stored minutes, with the ledger's entries as input.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cell import CellKey
from monitor.core.decision import Decision, Reason, Type
from monitor.core.storm import StormLimit
from monitor.core.window import minute_of, tick_ms
from monitor.engine.answer import answer, ordered, refusal
from monitor.engine.arming import Arms, arming_of, budget_changed, saw_traffic, spec_of
from monitor.engine.book import BudgetBook, Command, CommandBook, LedgerBook, arming_number
from monitor.engine.breaker import NO_LIMIT, Admission, Breaker, RollbackRefused, nothing
from monitor.engine.breaker import obey as obey_breaker
from monitor.engine.debts import answer_beside_ticks
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.halts import Halts
from monitor.engine.hearing import Hearing
from monitor.engine.history import History, adopt, reference_of
from monitor.engine.live import Live, live_from
from monitor.engine.observer import Observer
from monitor.engine.outbox import Outbox
from monitor.engine.ports import Clock, Ledger, LedgerEntry, Outputs, Partition, StateStore
from monitor.engine.recall import recall
from monitor.engine.state_reader import StateReader
from monitor.engine.stay import in_lanes
from monitor.engine.tenure import Tenure
from monitor.engine.unwatched import GRACE_MS, NOT_WATCHED
from monitor.engine.view import View

_HEARD = frozenset({Type.PAGE_DELIVERED, Type.ROLLBACK_APPLIED})  # what effects write, beside the ticks
TICKS_PER_READ = 60  # minutes read from the store at once while catching up, at most
CELLS_PER_READ = 1_000  # at most, of each partition: asking for more at once keeps others waiting


class Control:
    """Evaluates the releases whose lease this instance holds.

    Args:
        encode_budget, decode_budget: A budget as the ledger keeps it, and back.
        history: What is known of the baselines' past; without one nothing is, and no hour is recorded.
        storm: How many automatic rollbacks are no storm; the same for every instance.
    """

    def __init__(
        self,
        *,
        store: StateStore,
        tenure: Tenure,
        ledger: Ledger,
        outputs: Outputs,
        clock: Clock,
        budgets: BudgetBook,
        encode_budget: Callable[[Budget], Mapping[str, object]],
        decode_budget: Callable[[Mapping[str, object]], Budget],
        partitions: Callable[[], Sequence[Partition]],
        observer: Observer,
        hearing: Hearing | None = None,
        history: History | None = None,
        storm: StormLimit = NO_LIMIT,
    ) -> None:
        self.state = StateReader(store, partitions, observer)
        self._tenure = tenure
        self._ledger = ledger
        self._outputs = outputs
        self._clock = clock
        self._encode_budget = encode_budget
        self._decode_budget = decode_budget
        self._observer = observer
        self.budgets = budgets
        self.book = LedgerBook()
        self.breaker = Breaker(storm, self.book.storm)
        self.admission = Admission(self.breaker, self.book, tenure)
        self.commands = CommandBook()
        self.live: dict[str, Live] = {}
        self.watermark: int | None = None
        self._obeyed_to: int | None = None  # ticks up to here have their commands read
        self._outbox = Outbox(
            ledger, outputs, self.book, self.admission, observer, lambda release: self.live.pop(release, None)
        )
        self.hearing = hearing or Hearing()
        self.history = history or History()
        self._arms = Arms(ledger, self.book, self.history, clock, encode_budget)
        self.halts = Halts(lambda: time.monotonic_ns() // 1_000_000, observer.halted)
        self.read_commands: Callable[[], Awaitable[None]] = nothing

    async def step(self) -> int:
        """Do what is due now: leases, arming, commands, ticks. Return how many ticks were evaluated."""
        view = await self.state.look()
        self.watermark = view.open_from
        await self._hear_orders(view.open_from)
        budgets = self.budgets.in_force
        releases = self._releases(budgets)
        ticks = await in_lanes(releases, lambda one: self._step_held(one, budgets.get(one), view))
        self.halts.keep(releases)
        args = (self.commands, self.book, self._ledger, self._tenure)
        await obey_breaker(self.breaker, *args)
        await answer_beside_ticks(releases, *args, self._outputs, now_ms=self._clock.now_ms())
        await self.history.flush()
        self._observer.breaker(self.breaker.standing(view.open_from))
        return ticks

    async def _step_held(self, release: str, budget: Budget | None, view: View) -> int:
        if await self._tenure.holds(release):
            await self._drop_outlived(release)
            return await self._guarded(release, budget, view)
        self.live.pop(release, None)
        self.halts.forget(release)
        return 0

    async def _drop_outlived(self, release: str) -> None:
        """Forget an evaluation that a lapse of the lease outlived: orders may have been answered elsewhere since."""
        live = self.live.get(release)
        if live is not None and live.term != self._tenure.term(release):
            async with live.lock:  # what it is judging goes on record first
                if self.live.get(release) is live:
                    del self.live[release]

    async def _hear_orders(self, open_from: int | None) -> None:
        """Before new ticks, read the commands to their end: what was ordered before a tick holds at it.

        Whoever follows the topic may be behind: after an outage a rollback would go out that was held back long ago.
        """
        if open_from is not None and (self._obeyed_to is None or open_from > self._obeyed_to):
            await self.read_commands()
            await self.admission.keep_up()
            self._obeyed_to = open_from

    def _releases(self, budgets: Iterable[str]) -> list[str]:
        removed = {release for release in self.budgets.removed() if self.book.is_armed(release)}
        return sorted({*budgets, *self.live, *removed})

    async def _guarded(self, release: str, budget: Budget | None, view: View) -> int:
        """Step one release; a defect of ours about it halts it, and then it only obeys."""
        digest = None if budget is None else budget.digest
        halt = self.halts.get(release)
        if halt is not None and halt.digest != digest:
            self.live.pop(release, None)  # what broke in the middle of a tick is recovered from the ledger
        live = self.live.get(release)

        async def obey() -> None:
            if live is not None:
                async with live.lock:
                    with suppress(RollbackRefused):  # nothing of it is sent then: a person's order is
                        await self._outbox.send(live)
                    await self._apply_commands(live)

        judge = partial(self._step_release, release, budget, view)
        return await self.halts.guarded(release, digest, self._stands_at_ms(live), judge, obey)

    def _stands_at_ms(self, live: Live | None) -> int:
        return self._clock.now_ms() if live is None or live.next_tick is None else tick_ms(live.next_tick)

    async def _step_release(self, release: str, budget: Budget | None, view: View) -> int:
        # Where the breaker refuses a rollback, the evaluation is run again and sees it open.
        for _ in range(2):
            live = self.live.get(release) or await self._take_over(release, budget, view)
            if live is None:
                return 0
            with suppress(RollbackRefused):
                async with live.lock:
                    await self._outbox.send(live)
                    ticks = await self._catch_up(live, view)
                    if self._is_caught_up(live, view):
                        await self._apply_budget(live, budget)
                        await self._apply_commands(live)
                    await self._apply_incidents(live)
                return ticks
        return 0

    async def _take_over(self, release: str, budget: Budget | None, view: View) -> Live | None:
        """Recover the release's evaluator from the ledger, or arm its budget for the first time."""
        for entry in self.book.unpublished(release):
            await self._outbox.publish(entry)
        last = self.book.arming(release)
        if last is not None and (budget is None or not self.book.is_over_for(last, budget.digest)):
            entry = last
        elif budget is not None:
            number = 0 if last is None else arming_number(last)
            was_watched = saw_traffic(self.book.of_arming(release, number))
            entry = await self._arms.arm(budget, view, number=number + 1, was_watched=was_watched)
        else:
            return None
        arming = arming_of(entry)
        evaluator = Evaluator(
            self._decode_budget(spec_of(entry)), arming, delivered_when_opened=False, breaker=self.breaker
        )
        adopt(evaluator, reference_of(entry.decision.data.get("reference")))
        self.history.forget(release)  # its hours are added up anew, from the arming on
        known = self.book.of_arming(release, arming.number)
        live = self.live[release] = live_from(entry, evaluator, known, self._tenure.term(release))
        return live

    def _is_caught_up(self, live: Live, view: View) -> bool:
        nothing_due = view.open_from is None or live.next_tick is None or live.next_tick > view.open_from
        return nothing_due and not live.recalled

    async def _catch_up(self, live: Live, view: View) -> int:
        open_from = view.open_from
        if live.next_tick is None:
            live.next_tick = view.first_tick
        if open_from is None or live.next_tick is None:
            # What happened between ticks is taken note of between them; a store that is rebuilt brings them back.
            if not any(entry.after_tick is not None for entry in live.recalled):
                self._recall(live, None)
            return 0
        ticks = 0
        while live.next_tick <= open_from:
            at_once = CELLS_PER_READ // max(1, len(live.evaluator.needed(live.next_tick)))
            until = min(open_from, live.next_tick + max(1, min(TICKS_PER_READ, at_once)) - 1)
            needed = (key for now in range(live.next_tick, until + 1) for key in live.evaluator.needed(now))
            cells = await self.state.cells(needed, until)
            budget = live.evaluator.budget
            while live.next_tick <= until and live.evaluator.budget is budget:
                self._recall(live, live.next_tick - 1)
                # A command counts at its record time: given before a deadline, it is heard before that tick.
                if live.evaluator.commander.is_due(tick_ms(live.next_tick)):
                    await self.read_commands()
                await self._apply_commands(live, up_to_ms=tick_ms(live.next_tick))
                if self.live.get(live.evaluator.budget.release) is not live:
                    return ticks
                await self._tick(live, cells, view)
                ticks += 1
                # A tick is a millisecond and more of work: others get their turn after each.
                await self.hearing.give_way(budget.release)
        self._recall(live, live.next_tick - 1)  # the entries of later ticks wait: a rebuild comes to them
        return ticks

    async def _tick(self, live: Live, cells: Mapping[CellKey, Aggregate], view: View) -> None:
        now = live.next_tick or 0
        evaluator = live.evaluator
        with self._observer.tick(evaluator.budget.release, tick_ms(now)):
            decisions = evaluator.tick(now, cells, view.late(evaluator.budget.release))
            self.history.take(evaluator, now, cells)
        for what in evaluator.cohorts.newly_capped():
            self._observer.capped(evaluator.budget.release, what)
        live.next_tick = now + 1
        await self._outbox.emit(live, decisions)

    def _recall(self, live: Live, up_to: int | None) -> None:
        """Let the evaluator take note of ledger entries; None: of all that are left."""
        while live.recalled and (up_to is None or (live.recalled[0].after_tick or 0) <= up_to):
            recall(live.evaluator, live.recalled.popleft(), self._decode_budget)

    async def _apply_budget(self, live: Live, budget: Budget | None) -> None:
        evaluator = live.evaluator
        release = evaluator.budget.release
        now_ms = self._clock.now_ms()
        if budget is None:
            await self._outbox.emit(
                live, evaluator.disarm(now_ms, "rollback.budgets.v1", "its budget was removed")
            )
            del self.live[release]
            return
        if evaluator.progress.stage in (Stage.LOCKED, Stage.ENDED):
            entry = self.book.arming(release)
            if entry is not None and self.book.is_over_for(entry, budget.digest):
                del self.live[release]
            return
        if budget.digest != evaluator.budget.digest:
            at_minute = evaluator.progress.tick or minute_of(now_ms)
            past = await self.history.captured(budget, at_minute)
            changed = budget_changed(budget, evaluator.arming, now_ms, self._encode_budget(budget), past)
            decisions = [changed, *evaluator.change_budget(budget, now_ms)]
            adopt(evaluator, reference_of(past))
            await self._outbox.emit(live, decisions)

    async def _apply_commands(self, live: Live, up_to_ms: int | None = None) -> None:
        for command in self.commands.waiting(live.evaluator.budget.release, self.book):
            if up_to_ms is not None and command.at_ms > up_to_ms:
                continue
            is_arming = command.kind == "arm" and command.fault is None
            if is_arming and live.evaluator.progress.stage in (Stage.LOCKED, Stage.ENDED):
                if (budget := self.budgets.in_force.get(command.release)) is not None:
                    await self._rearm(live, command, budget)
                    return
                if command.at_ms + GRACE_MS <= self._clock.now_ms():
                    refused = ordered(refusal(live.evaluator, command, NOT_WATCHED), command)
                    await self._outbox.emit(live, [refused], command.command_id)
                continue
            await self._outbox.emit(live, answer(live.evaluator, command, self.book), command.command_id)

    async def _rearm(self, live: Live, command: Command, budget: Budget) -> None:
        """Arm the release again at a person's word; the next step takes it over as new."""
        settled = live.evaluator.commander.close(command.at_ms, Reason.COMMANDER, "it is armed again")
        await self._outbox.emit(live, settled)
        number, is_known = live.evaluator.arming.number + 1, live.evaluator.progress.first_minute is not None
        entry = await self._arms.arm(budget, await self.state.look(), number=number, was_watched=is_known)
        answered = LedgerEntry(entry.decision, entry.after_tick, True, command.command_id)
        await self._ledger.append(answered)
        self.book.note(answered)
        self.live.pop(command.release, None)

    async def leave(self) -> None:
        """Give the leases back, so that somebody else goes on at once."""
        for release in list(self.live):
            self.live.pop(release, None)
            self.halts.forget(release)
            await self._tenure.give_back(release)

    async def decide_now(self) -> None:
        """Judge the incidents heard so far, without waiting for a tick."""
        with self.hearing.judging() as releases:
            for release in releases:
                live = self.live.get(release)
                if live is not None and self.halts.get(release) is None:
                    judge = partial(self._judge_incidents, live)
                    digest, at_ms = self.budgets.digest(release), self._stands_at_ms(live)
                    await self.halts.guarded(release, digest, at_ms, judge, nothing)

    async def _judge_incidents(self, live: Live) -> int:
        async with live.lock:
            try:
                # A rollback waits for its turn and the ledger's end, too: both are got beside the orders.
                heard_out, ready = await asyncio.gather(
                    self._heard_out(live), self.admission.get_ready(), return_exceptions=True
                )
                for end in (heard_out, ready):
                    if isinstance(end, BaseException):
                        raise end
                with suppress(RollbackRefused):
                    if heard_out:
                        await self._apply_incidents(live)
            finally:
                await self.admission.stand_back()
        return 0

    async def _heard_out(self, live: Live) -> bool:
        """Obey what was ordered before something is said between two ticks; tell whether the release is still ours.

        Who follows the commands may be behind: an incident must not roll back what a commander already holds back.
        """
        release = live.evaluator.budget.release
        if live.recalled or self.live.get(release) is not live:
            return False
        await self.read_commands()
        due, seen_to = live.next_tick, self.watermark
        is_behind = due is not None and seen_to is not None and due <= seen_to
        await self._apply_commands(live, tick_ms(due) if is_behind and due is not None else None)
        return self.live.get(release) is live

    async def between_ticks(self, release: str, say: Callable[[Evaluator], list[Decision]]) -> None:
        """Say something between two ticks, after all that was ordered before it is obeyed."""
        live = self.live.get(release)
        if live is not None:
            async with live.lock:
                with suppress(RollbackRefused):  # the next step evaluates it again, and this is said again
                    if await self._heard_out(live):
                        said = say(live.evaluator)
                        news = [one for one in said if not live.is_sending(one.decision_id)]
                        await self._outbox.emit(live, news)

    async def _apply_incidents(self, live: Live) -> None:
        if not live.recalled:
            for incident in self.hearing.due(live.evaluator.budget.release, live.next_tick):
                try:
                    await self._outbox.emit(live, live.evaluator.incident(incident))
                except RollbackRefused:
                    self.hearing.note(incident)  # the evaluation that comes next hears it too
                    raise

    def note(self, entry: LedgerEntry) -> None:
        """Take in anybody's ledger entry: a delivery starts the commander's clock, a turned flag its proof."""
        is_new = self.book.get(entry.decision.decision_id) is None
        self.book.note(entry)
        live = self.live.get(entry.decision.release)
        if not is_new or live is None:
            return
        if entry.decision.type in _HEARD:
            recall(live.evaluator, entry, self._decode_budget)
        elif entry.command_id is not None and not live.is_sending(entry.decision.decision_id):
            # Answered elsewhere: the next step begins again, with the answer.
            del self.live[entry.decision.release]
