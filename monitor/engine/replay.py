"""Replay: the live fold and the live evaluator over recorded events, in constant memory.

A file is one partition without record times; a Kafka range is several partitions with theirs. Decisions come
out in time order: an immediate safety decision carries its incident's time, which lies ahead of the ticks, so
decisions wait until the tick has reached them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cell import CellKey, Incident
from monitor.core.decision import Decision
from monitor.core.event import HIGH_SEVERITIES, MAX_AT_MS, Observation
from monitor.core.partition import Fate, PartitionFold
from monitor.core.plan import plan_for
from monitor.core.record import Arming
from monitor.core.seen import SEEN_IDS_MAX, SeenIds
from monitor.core.shape import Ints
from monitor.core.storm import BreakerStanding, StormLimit
from monitor.core.window import BUCKET_MS, LATENESS_MS, minute_of, tick_ms, watermark_minute
from monitor.engine.book import Command
from monitor.engine.breaker import NO_LIMIT, Breaker
from monitor.engine.evaluate import Evaluator
from monitor.engine.history import HistoryBook, adopt, captured, reference_of
from monitor.engine.replay_orders import Orders

Decode = Callable[[bytes | None], Observation | str]
"""Turns a record's value into an observation, or into the named reason why it is a dead letter."""

AfterTick = Callable[[Evaluator, int], None]
"""Told of every evaluator after each of its ticks, before the tick's decisions come out."""


@dataclass(slots=True)
class ReplayCounts:
    """What became of the input.

    Attributes:
        breaker: How the rollback-storm breaker stands at the newest tick.
        orders: How many orders were `obeyed`, `refused`, or are still `waiting`; None where none were given.
    """

    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    other_releases: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    breaker: BreakerStanding | None = None
    orders: Mapping[str, int] | None = None


class Replay:
    """Drives evaluators over recorded records.

    Args:
        decode: The hot path's own decoder.
        partitions: How many partitions the input has; a file has one.
        after_tick: Who looks at the evaluators while they work; it changes nothing.
        history: The baselines' past; what ended before the first minute counts, as it does when a budget is armed.
        storm: How many automatic rollbacks of all budgets' releases are no storm; beyond it a page comes instead.
        commands: What people ordered meanwhile, each at its record time.
    """

    def __init__(
        self,
        budgets: Sequence[Budget],
        decode: Decode,
        *,
        partitions: int = 1,
        after_tick: AfterTick | None = None,
        history: HistoryBook | None = None,
        storm: StormLimit = NO_LIMIT,
        commands: Iterable[Command] = (),
    ) -> None:
        self._decode = decode
        self._after_tick = after_tick
        self._history = history
        plan = plan_for(budgets)
        seen = SEEN_IDS_MAX // partitions
        self._folds = [PartitionFold(plan, SeenIds(seen)) for _ in range(partitions)]
        self.breaker = Breaker(storm)
        self.orders = Orders(commands)
        self.evaluators = [
            Evaluator(
                budget,
                Arming(budget.release, 1, budget.digest, at_ms=0),
                delivered_when_opened=True,
                breaker=self.breaker,
            )
            for budget in budgets
        ]
        self._delay_min = max((ms // BUCKET_MS for ms in plan.label_delay_ms.values()), default=0)
        self._next: int | None = None
        self._close_at_ms: int | None = None
        self._held: list[tuple[int, int, Decision]] = []
        self._emitted = 0
        self.rejected: Counter[str] = Counter()
        self.decisions: Counter[str] = Counter()

    def feed(
        self, value: bytes | None, *, partition: int = 0, record_ms: int | None = None
    ) -> list[Decision]:
        """Fold one record and return the decisions that are due, in time order."""
        fold = self._folds[partition]
        event = self._decode(value)
        if isinstance(event, str):
            fold.reject()
            self.rejected[event] += 1
            return []
        if fold.fold(event, record_ms) is Fate.FUTURE:
            self.rejected["future"] += 1
            return []
        due: list[Decision] = []
        if self._close_at_ms is None or (fold.clock_ms or 0) >= self._close_at_ms:
            due = self._advance(watermark_minute(one.horizon_ms for one in self._folds))
        if fold.incidents:
            # After the ticks: what is normal is known from the minutes that are closed by then.
            heard_ms = record_ms or fold.clock_ms or event.at_ms
            for incident in fold.take_incidents():
                self._hear(incident, heard_ms)
        return due

    def feed_many(self, values: Sequence[bytes | None]) -> list[Decision]:
        """Fold records of a file, many at a time, and return the decisions that are due: as `feed`, one by one."""
        fold, due = self._folds[0], list[Decision]()
        events: list[Observation] = []
        for event in map(self._decode, values):
            if isinstance(event, str):
                fold.reject()
                self.rejected[event] += 1
            else:
                events.append(event)
        told, start = fold.told(events), 0
        heard = [index for index, event in enumerate(events) if event.incident_severity in HIGH_SEVERITIES]
        while start < len(events):
            end = self._run_end(told.ats, heard, start)
            fold.fold_told(told.between(start, end))
            if self._close_at_ms is None or (fold.clock_ms or 0) >= self._close_at_ms:
                due += self._advance(watermark_minute(one.horizon_ms for one in self._folds))
            for incident in fold.take_incidents():
                self._hear(incident, fold.clock_ms or incident.at_ms)
            start = end
        return due

    def _run_end(self, ats: Ints, heard: Sequence[int], start: int) -> int:
        """Return where a run of records ends that can be folded at once: at one that closes a minute, or is heard."""
        rest = ats[start:]
        if self._close_at_ms is None:
            # Before the first tick: nothing closes before the earliest minute, of what was read and is to be, does.
            firsts = np.minimum.accumulate(rest)
            if (first := self._folds[0].first_minute) is not None:
                firsts = np.minimum(firsts, tick_ms(first))
            closes = rest >= (firsts // BUCKET_MS + 1) * BUCKET_MS + LATENESS_MS
        else:
            closes = rest >= self._close_at_ms
        end = start + int(closes.argmax()) + 1 if closes.any() else len(ats)
        at = bisect_left(heard, start)
        return min(end, heard[at] + 1) if at < len(heard) else end

    def _hear(self, incident: Incident, heard_ms: int) -> None:
        for evaluator in self.evaluators:
            if evaluator.budget.release == incident.release:
                self._hold(self.orders.obey(evaluator, heard_ms))
            self._hold(evaluator.incident(incident))

    def _hold(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            self.breaker.record.note(decision)
            self.orders.note(decision)
            heappush(self._held, (decision.at_ms, self._emitted, decision))
            self._emitted += 1

    def _advance(self, open_from: int | None) -> list[Decision]:
        if open_from is None:
            return []
        if self._next is None:
            firsts = [one.first_minute for one in self._folds if one.first_minute is not None]
            # While the first minute is open, an event that comes out of order may still be of an earlier one.
            if not firsts or min(firsts) >= open_from:
                return []
            self._next = min(firsts) + 1
            self._adopt(min(firsts))
        while self._next <= open_from:
            self._next = self._skip(self._next, open_from)
            self._tick(self._next)
            self._next += 1
        if len(self._folds) == 1:
            self._close_at_ms = tick_ms(self._next) + LATENESS_MS
        return list(self._due(tick_ms(self._next - 1)))

    def _adopt(self, first_minute: int) -> None:
        if self._history is not None:
            for evaluator in self.evaluators:
                adopt(evaluator, reference_of(captured(self._history, evaluator.budget, first_minute)))

    def _skip(self, now: int, open_from: int) -> int:
        """Return the next tick that can matter: a gap of years in a file must not be ticked through.

        While nothing is watched, minutes without any cell change nothing.
        """
        if not all(one.is_idle for one in self.evaluators):
            return now
        oldest = min((key.minute for fold in self._folds for key in fold.cells), default=open_from)
        return max(now, min(oldest + 1, open_from))

    def _tick(self, now: int) -> None:
        self.orders.obey_breaker(self.breaker, tick_ms(now))
        for evaluator in self.evaluators:
            self._hold(self.orders.obey(evaluator, tick_ms(now)))
            cells = {key: cell for key in evaluator.needed(now) if (cell := self._cell(key)) is not None}
            late = sum(one.late_by_release.get(evaluator.budget.release, 0) for one in self._folds)
            self._hold(evaluator.tick(now, cells, late))
            if self._after_tick is not None:
                self._after_tick(evaluator, now)
        for fold in self._folds:
            fold.forget_before(now - self._delay_min)

    def _cell(self, key: CellKey) -> Aggregate | None:
        parts = [cell for fold in self._folds if (cell := fold.cell(key)) is not None]
        if len(parts) <= 1:
            return parts[0] if parts else None
        whole = Aggregate()
        for part in parts:
            whole.merge(part)
        return whole

    def _due(self, up_to_ms: int) -> Iterator[Decision]:
        while self._held and self._held[0][0] <= up_to_ms:
            decision = heappop(self._held)[2]
            self.decisions[decision.type.value] += 1
            yield decision

    def end(self, partition: int) -> list[Decision]:
        """Note that a partition has no more records: it holds the watermark back no longer."""
        self._folds[partition].complete_ms = MAX_AT_MS
        if all(fold.complete_ms is not None for fold in self._folds):
            return []  # `finish` closes what is left
        return self._advance(watermark_minute(one.horizon_ms for one in self._folds))

    def finish(self) -> list[Decision]:
        """Close the last minutes, assess every release, and return what was still held back."""
        minutes = [key.minute for fold in self._folds for key in fold.cells]
        if not minutes and self._next is None:  # nothing but other releases: even that is assessed
            minutes = [minute_of(fold.clock_ms) for fold in self._folds if fold.clock_ms is not None]
        due = self._advance(max(minutes) + 1) if minutes else []
        if self._next is not None:
            for evaluator in self.evaluators:
                late = sum(one.late_by_release.get(evaluator.budget.release, 0) for one in self._folds)
                self._hold(evaluator.finish(self._next - 1, late, complete=False))
        return [*due, *self._due(1 << 62)]

    def counts(self) -> ReplayCounts:
        """Return what became of the input so far."""
        totals = [fold.totals for fold in self._folds]
        return ReplayCounts(
            accepted=sum(one.accepted for one in totals),
            late=sum(one.late for one in totals),
            duplicates=sum(one.duplicates for one in totals),
            other_releases=sum(one.other_releases for one in totals),
            rejected=Counter(self.rejected),
            decisions=Counter(self.decisions),
            breaker=self.breaker.standing(self._next),
            orders=self.orders.counts(),
        )
