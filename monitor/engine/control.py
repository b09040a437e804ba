"""The control plane of one instance: which releases it evaluates, at which tick, and what it puts on record.

One owner per release at a time, by a lease. What makes a double owner harmless is not the lease: every
decision goes into the ledger under an id that any owner would give it, before anything is published. Taking a
release over is running its evaluator again over the stored minutes, with the ledger's entries as input.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.partition import CellKey, Incident
from monitor.core.record import Arming, release_data
from monitor.core.window import tick_ms, watermark_minute
from monitor.engine.answer import answer
from monitor.engine.book import BudgetBook, Command, CommandBook, LedgerBook
from monitor.engine.codec import META_FIELD, OFFSET_FIELD, Meta, cell_field, decode_cell, decode_meta
from monitor.engine.evaluate import Evaluator, Stage
from monitor.engine.observer import Observer
from monitor.engine.ports import Clock, Lease, Ledger, LedgerEntry, Outputs, Partition, StateStore
from monitor.engine.recall import recall

TICKS_PER_READ = 60  # minutes read from the store at once while catching up


@dataclass(slots=True)
class View:
    """What the store says about all partitions, at one moment."""

    metas: Sequence[Meta | None]
    offsets: Mapping[str, int]

    @property
    def open_from(self) -> int | None:
        """The first minute that is still open; None while a partition was never read."""
        return watermark_minute(None if meta is None else meta.horizon_ms for meta in self.metas)

    @property
    def first_minute(self) -> int | None:
        """The first minute that any partition knows of."""
        firsts = [meta.first_minute for meta in self.metas if meta and meta.first_minute is not None]
        return min(firsts, default=None)

    def late(self, release: str) -> int:
        """Late events of a release."""
        return sum(meta.late_by_release.get(release, 0) for meta in self.metas if meta)

    def has_seen(self, release: str) -> bool:
        """Tell whether a release had traffic before it had a budget."""
        return any(release in meta.others for meta in self.metas if meta)


@dataclass(slots=True)
class Live:
    """A release this instance evaluates now."""

    evaluator: Evaluator
    recalled: deque[LedgerEntry]
    next_tick: int | None = None
    unsent: deque[LedgerEntry] = field(default_factory=deque)


class Control:
    """Evaluates the releases whose lease this instance holds.

    Args:
        encode_budget, decode_budget: A budget as the ledger keeps it, and back.
    """

    def __init__(
        self,
        *,
        owner: str,
        store: StateStore,
        lease: Lease,
        ledger: Ledger,
        outputs: Outputs,
        clock: Clock,
        budgets: BudgetBook,
        encode_budget: Callable[[Budget], Mapping[str, object]],
        decode_budget: Callable[[Mapping[str, object]], Budget],
        partitions: Callable[[], Sequence[Partition]],
        observer: Observer,
        lease_ttl_ms: int,
    ) -> None:
        self._owner = owner
        self._store = store
        self._lease = lease
        self._ledger = ledger
        self._outputs = outputs
        self._clock = clock
        self._encode_budget = encode_budget
        self._decode_budget = decode_budget
        self._partitions = partitions
        self._lease_ttl_ms = lease_ttl_ms
        self._observer = observer
        self.budgets = budgets
        self.book = LedgerBook()
        self.commands = CommandBook()
        self.live: dict[str, Live] = {}
        self.watermark: int | None = None
        self._incidents: dict[str, deque[Incident]] = {}
        self._lock = asyncio.Lock()

    async def step(self) -> int:
        """Do what is due now: leases, arming, commands, ticks. Return how many ticks were evaluated."""
        async with self._lock:
            return await self._step()

    async def _step(self) -> int:
        view = await self._look()
        self.watermark = view.open_from
        ticks = 0
        for release in self._releases():
            if not await self._lease.acquire(f"release:{release}", self._owner, self._lease_ttl_ms):
                self.live.pop(release, None)
                continue
            ticks += await self._step_release(release, view)
        return ticks

    def _releases(self) -> list[str]:
        return sorted({budget.release for budget in self.budgets.active()} | set(self.live))

    async def _look(self) -> View:
        partitions = self._partitions()
        rows = await self._store.read(partitions, [META_FIELD, OFFSET_FIELD])
        metas = [None if row[0] is None else decode_meta(row[0]) for row in rows]
        offsets = {
            f"{partition.topic}-{partition.number}": int(row[1])
            for partition, row in zip(partitions, rows, strict=True)
            if row[1] is not None
        }
        return View(metas, offsets)

    async def _step_release(self, release: str, view: View) -> int:
        budget = next((one for one in self.budgets.active() if one.release == release), None)
        live = self.live.get(release)
        if live is None:
            live = await self._take_over(release, budget, view)
            if live is None:
                return 0
        await self._send(live)
        ticks = await self._catch_up(live, view)
        if self._is_caught_up(live, view):
            await self._apply_budget(live, budget)
            await self._apply_commands(live)
            await self._apply_incidents(live)
        return ticks

    async def _take_over(self, release: str, budget: Budget | None, view: View) -> Live | None:
        """Recover the release's evaluator from the ledger, or arm its budget for the first time."""
        for entry in self.book.unpublished(release):
            await self._publish(entry)
        last = self.book.arming(release)
        if last is not None and (budget is None or not self._is_over_for(last, budget)):
            entry = last
        elif budget is not None:
            entry = await self._arm(budget, view, number=1 if last is None else _number(last) + 1)
        else:
            return None
        arming = _arming(entry)
        armed = self._decode_budget(_mapping(entry.decision.data["spec"]))
        evaluator = Evaluator(armed, arming, delivered_when_opened=False)
        inputs = sorted(
            (one for one in self.book.of_arming(release, arming.number)),
            key=lambda one: (one.after_tick or 0, one.decision.at_ms),
        )
        first = entry.decision.data.get("from_minute")
        live = Live(evaluator, deque(inputs), next_tick=first if isinstance(first, int) else None)
        self.live[release] = live
        return live

    def _is_over_for(self, entry: LedgerEntry, budget: Budget) -> bool:
        """Tell whether the last arming is over and this budget was never loaded: then it arms anew."""
        release, number = entry.decision.release, _number(entry)
        digests, over = set(), False
        for one in self.book.of(release):
            if one.decision.type in (Type.ARMING_CREATED, Type.BUDGET_CHANGED):
                digests.add(one.decision.data["budget_digest"])
            if _number(one) == number:
                if one.decision.type is Type.ROLLBACK_REQUESTED:
                    return False
                complete = one.decision.data.get("complete") is True
                over |= one.decision.type is Type.ARMING_ENDED
                over |= one.decision.type is Type.RELEASE_ASSESSED and complete
        return over and budget.digest not in digests

    async def _arm(self, budget: Budget, view: View, *, number: int) -> LedgerEntry:
        open_from = view.open_from
        now_ms = self._clock.now_ms()
        data = {
            **release_data(budget, Arming(budget.release, number, budget.digest, now_ms)),
            "armed_late": view.has_seen(budget.release),
            "armed_from_ms": 0 if open_from is None else tick_ms(open_from),
            "from_minute": open_from,
            "offsets": dict(view.offsets),
            "spec": self._encode_budget(budget),
            "decided_at": rfc3339(now_ms),
            "summary": f"{budget.release} is armed against {budget.baseline}",
        }
        event_id = decision_id(Type.ARMING_CREATED.value, budget.release, number)
        entry = LedgerEntry(Decision(Type.ARMING_CREATED, event_id, budget.release, now_ms, data), None, True)
        known = self.book.get(event_id)
        if known is not None:
            return known
        await self._ledger.append(entry)
        self.book.note(entry)
        return entry

    def _is_caught_up(self, live: Live, view: View) -> bool:
        return not live.recalled and (view.open_from is None or (live.next_tick or 0) > view.open_from)

    async def _catch_up(self, live: Live, view: View) -> int:
        open_from = view.open_from
        if open_from is None or view.first_minute is None:
            self._recall(live, None)
            return 0
        if live.next_tick is None:
            live.next_tick = view.first_minute + 1
        ticks = 0
        while live.next_tick <= open_from:
            until = min(open_from, live.next_tick + TICKS_PER_READ - 1)
            cells = await self._cells(live.evaluator, range(live.next_tick, until + 1))
            budget = live.evaluator.budget
            while live.next_tick <= until and live.evaluator.budget is budget:
                await self._tick(live, cells, view)
                ticks += 1
        self._recall(live, None)
        return ticks

    async def _tick(self, live: Live, cells: Mapping[CellKey, Aggregate], view: View) -> None:
        now = live.next_tick or 0
        self._recall(live, now - 1)
        evaluator = live.evaluator
        with self._observer.tick(evaluator.budget.release, tick_ms(now)):
            decisions = evaluator.tick(now, cells, view.late(evaluator.budget.release))
        live.next_tick = now + 1
        await self._emit(live, decisions)

    def _recall(self, live: Live, up_to: int | None) -> None:
        """Let the evaluator take note of ledger entries; None: of all that are left."""
        while live.recalled and (up_to is None or (live.recalled[0].after_tick or 0) <= up_to):
            recall(live.evaluator, live.recalled.popleft(), self._decode_budget)

    async def _cells(self, evaluator: Evaluator, ticks: range) -> dict[CellKey, Aggregate]:
        keys = list(dict.fromkeys(key for now in ticks for key in evaluator.needed(now)))
        rows = await self._store.read(self._partitions(), [cell_field(key) for key in keys])
        cells: dict[CellKey, Aggregate] = {}
        for row in rows:
            for key, packed in zip(keys, row, strict=True):
                if packed is not None:
                    cells.setdefault(key, Aggregate()).merge(decode_cell(packed))
        return cells

    async def _emit(self, live: Live, decisions: list[Decision], command_id: str | None = None) -> None:
        after = live.evaluator.progress.tick
        for decision in decisions:
            if self.book.get(decision.decision_id) is None:
                live.unsent.append(LedgerEntry(decision, after, command_id=command_id))
            elif command_id is not None:
                live.unsent.append(LedgerEntry(decision, after, command_id=command_id))
        await self._send(live)

    async def _send(self, live: Live) -> None:
        """Put decisions on record, then publish them; what fails is tried again before the next tick."""
        while live.unsent:
            entry = live.unsent[0]
            with self._observer.deciding(entry.decision):
                await self._ledger.append(entry)
                self.book.note(entry)
                await self._publish(entry)
            live.unsent.popleft()

    async def _publish(self, entry: LedgerEntry) -> None:
        await self._outputs.publish(entry.decision)
        done = LedgerEntry(entry.decision, entry.after_tick, True, entry.command_id)
        await self._ledger.append(done)
        self.book.note(done)
        self._observer.decided(entry.decision)

    async def _apply_budget(self, live: Live, budget: Budget | None) -> None:
        evaluator = live.evaluator
        release = evaluator.budget.release
        now_ms = self._clock.now_ms()
        if budget is None:
            await self._emit(live, evaluator.disarm(now_ms, "rollback.budgets.v1", "its budget was removed"))
            del self.live[release]
            return
        if evaluator.progress.stage in (Stage.LOCKED, Stage.ENDED):
            entry = self.book.arming(release)
            if entry is not None and self._is_over_for(entry, budget):
                del self.live[release]
            return
        if budget.digest != evaluator.budget.digest:
            data = {
                **release_data(budget, evaluator.arming),
                "reason": Reason.BUDGET_CHANGED.value,
                "spec": self._encode_budget(budget),
                "decided_at": rfc3339(now_ms),
                "summary": f"the budget of {release} changed; it applies from the next tick",
            }
            event_id = decision_id(
                Type.BUDGET_CHANGED.value, release, evaluator.arming.number, budget.digest, {}, now_ms
            )
            changed = Decision(Type.BUDGET_CHANGED, event_id, release, now_ms, data)
            await self._emit(live, [changed, *evaluator.change_budget(budget, now_ms)])

    async def _apply_commands(self, live: Live) -> None:
        for command in self.commands.waiting(live.evaluator.budget.release, self.book):
            if command.kind == "arm" and live.evaluator.progress.stage in (Stage.LOCKED, Stage.ENDED):
                await self._rearm(live, command)
                return
            await self._emit(live, answer(live.evaluator, command), command.command_id)

    async def _rearm(self, live: Live, command: Command) -> None:
        """Arm the release again at a person's word; the next step takes it over as new."""
        release = command.release
        budget = next((one for one in self.budgets.active() if one.release == release), None)
        view = await self._look()
        if budget is not None:
            entry = await self._arm(budget, view, number=live.evaluator.arming.number + 1)
            self.book.note(LedgerEntry(entry.decision, entry.after_tick, True, command.command_id))
            await self._ledger.append(LedgerEntry(entry.decision, entry.after_tick, True, command.command_id))
        self.live.pop(release, None)

    def hear(self, incident: Incident) -> None:
        """Take an incident from the internal topic; `decide_now` judges it."""
        self._incidents.setdefault(incident.release, deque(maxlen=1_000)).append(incident)

    async def decide_now(self) -> None:
        """Judge the incidents heard so far, without waiting for a tick."""
        async with self._lock:
            for release in list(self._incidents):
                live = self.live.get(release)
                if live is not None:
                    await self._apply_incidents(live)

    async def _apply_incidents(self, live: Live) -> None:
        heard = self._incidents.pop(live.evaluator.budget.release, None)
        for incident in heard or ():
            await self._emit(live, live.evaluator.incident(incident))

    def note(self, entry: LedgerEntry) -> None:
        """Take in a ledger entry, whoever wrote it; a delivery starts the commander's clock."""
        is_new = self.book.get(entry.decision.decision_id) is None
        self.book.note(entry)
        live = self.live.get(entry.decision.release)
        if is_new and live is not None and entry.decision.type is Type.PAGE_DELIVERED:
            recall(live.evaluator, entry, self._decode_budget)


def _number(entry: LedgerEntry) -> int:
    number = entry.decision.data["arming"]
    assert isinstance(number, int), "an arming without its number is our own mistake"
    return number


def _arming(entry: LedgerEntry) -> Arming:
    data = entry.decision.data
    from_ms = data.get("armed_from_ms", 0)
    return Arming(
        release=entry.decision.release,
        number=_number(entry),
        budget_digest=str(data["budget_digest"]),
        at_ms=from_ms if isinstance(from_ms, int) else 0,
        armed_late=data.get("armed_late") is True,
    )


def _mapping(value: object) -> Mapping[str, object]:
    assert isinstance(value, Mapping), "a ledger entry without its budget is our own mistake"
    return value
