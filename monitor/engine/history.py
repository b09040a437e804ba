"""The baseline's past in the engine: hours as they are closed, the topic's hours in memory, and what arming captures.

Whoever holds a release's lease records each whole hour of both its arms, everybody's and those of the slices that its
budget names, once it is closed, under the key of release, hour and slice: writing it again is harmless. Evaluation
never reads the topic: what it needs is captured when the budget is armed, in the ledger's own entry, so that a
restart, another worker and a replay judge by the same reference.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cell import CellKey
from monitor.core.cohort import OVERALL, CohortKey, cohort_key
from monitor.core.history import (
    HISTORY_MAX_H,
    SLICES_MAX,
    HistoryHour,
    Measure,
    measures_of,
    references,
    slices_of,
    usable,
)
from monitor.core.ids import canonical_json
from monitor.core.reference import MINUTES, Layout, Pair, Reference
from monitor.core.rehearsal import is_rehearsal
from monitor.core.trigger import Phase
from monitor.engine.codec import decode_cell, encode_cell
from monitor.engine.reading import Reading, slice_delay_of

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator
    from monitor.engine.ports import HistoryLog

RELEASES_MAX: Final = 64
"""Releases whose past is kept in memory: any of them may be the next budget's baseline."""
SLICES_KEPT: Final = 32
"""Slices of a release whose past is kept in memory: those of several budgets that name it, seen last."""
REFERENCE_MAX: Final = 128 * 1024
"""Characters of a captured reference: it is part of a ledger record, which stays below 512 KiB. As many again are
for the references of all slices together."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An hour as it is kept: packed, because thousands of them are, and few are ever looked at."""

    minutes: int
    breached: bool
    weight: tuple[bool, int, int, int]
    packed: bytes


class HistoryBook:
    """The newest four weeks of the releases that were seen last.

    Attributes:
        dropped: Hours that were forgotten because there were too many releases, or slices of one.
    """

    def __init__(self) -> None:
        self._hours: dict[str, dict[CohortKey, dict[int, _Kept]]] = {}
        self.dropped = 0

    def note(self, one: HistoryHour) -> None:
        """Take an hour in; of two records of one hour the one that says more stays."""
        if not self.needs(one):
            return
        views = self._hours.setdefault(one.release, {})
        hours = views.setdefault(one.view, {})
        hours[one.hour] = _Kept(one.minutes, one.breached, one.weight, encode_cell(one.cell))
        if len(hours) > HISTORY_MAX_H:
            del hours[min(hours)]
        slices = [view for view in views if view != OVERALL]
        if len(slices) > SLICES_KEPT:
            self.dropped += len(views.pop(min(slices, key=lambda view: max(views[view]))))
        if len(self._hours) > RELEASES_MAX:
            oldest = min(self._hours, key=lambda release: max(map(max, self._hours[release].values())))
            self.dropped += sum(map(len, self._hours.pop(oldest).values()))

    def needs(self, one: HistoryHour) -> bool:
        """Tell whether an hour says more than what is known of it."""
        kept = self._hours.get(one.release, {}).get(one.view, {}).get(one.hour)
        return kept is None or one.weight > kept.weight

    def only(self, release: str) -> HistoryBook:
        """Return a copy with what is known of one release, for a thread that nobody writes to."""
        copy = HistoryBook()
        copy._hours[release] = {view: dict(hours) for view, hours in self._hours.get(release, {}).items()}
        return copy

    def of(self, release: str, view: CohortKey = OVERALL) -> list[HistoryHour]:
        """Return what is known of a release, or of a slice of it, in order.

        An hour with a breach has one in each of its slices: whoever marked it may not have looked at this one.
        """
        views = self._hours.get(release, {})
        breached = {hour for hours in views.values() for hour, kept in hours.items() if kept.breached}
        return [
            HistoryHour(release, hour, kept.minutes, hour in breached, decode_cell(kept.packed), view)
            for hour, kept in sorted(views.get(view, {}).items())
        ]


def captured(book: HistoryBook, budget: Budget, at_minute: int) -> dict[str, Any]:
    """Return what a budget needs of its baseline's past, as the ledger keeps it: JSON-ready and bounded.

    Args:
        at_minute: When the budget is armed, minutes since the epoch: hours that ended by then count.
    """
    before_hour = at_minute // MINUTES
    hours = usable(book.of(budget.baseline), before_hour)
    named = slices_of(budget.objectives)
    data = {
        **_fitting(hours, budget.baseline, before_hour, measures_of(budget), REFERENCE_MAX),
        "slices": list(_slices(book, budget, before_hour, named[:SLICES_MAX])),
        "slices_beyond": len(named[SLICES_MAX:]),
    }
    return {**data, "digest": sha256(canonical_json(data).encode()).hexdigest()}


def _slices(
    book: HistoryBook, budget: Budget, before_hour: int, views: Sequence[CohortKey]
) -> Iterator[dict[str, Any]]:
    """Yield each slice's reference; what one does not need of its share of the room is left to the next ones."""
    left = REFERENCE_MAX
    for at, view in enumerate(views):
        hours = usable(book.of(budget.baseline, view), before_hour)
        room = left // (len(views) - at)
        made = _fitting(hours, budget.baseline, before_hour, measures_of(budget, view), room)
        left -= sum(map(len, made["slots"]))
        yield {"cohort": dict(view), **made}


def _fitting(
    hours: Sequence[HistoryHour], baseline: str, before_hour: int, measures: Sequence[Measure], room: int
) -> dict[str, Any]:
    """Return the reference that says most in so many characters."""
    data: dict[str, Any] = {}
    for reference in references(hours, baseline, before_hour, measures):
        data = _as_json(reference)
        if sum(map(len, data["slots"])) <= room:
            break
    else:  # a single slot is too large: then nothing is frozen, and incidents still have their past
        data["slots"] = []
    return data


def _as_json(reference: Reference) -> dict[str, Any]:
    return {
        "baseline": reference.baseline,
        "days": reference.days,
        "period_h": reference.layout.period_h,
        "width_h": reference.layout.width_h,
        "slots": [b64encode(encode_cell(slot)).decode() for slot in reference.slots],
        "worth": reference.worth,
        "incidents": reference.incidents,
        "requests": reference.requests,
    }


def reference_of(data: object) -> Reference | None:
    """Return the reference that a ledger entry holds; None for one of before there were any.

    Raises:
        StateDamaged: Its slots are none of ours.
    """
    if not isinstance(data, Mapping):
        return None
    slices = data.get("slices")
    of_slices = None if slices is None else {cohort_key(one["cohort"]): _reference(one) for one in slices}
    return replace(_reference(data), slices=of_slices)


def _reference(data: Mapping[str, Any]) -> Reference:
    return Reference(
        baseline=str(data["baseline"]),
        days=int(data["days"]),
        layout=Layout(int(data["period_h"]), int(data["width_h"])),
        slots=tuple(decode_cell(b64decode(slot)) for slot in data["slots"]),
        worth=float(data["worth"]),
        incidents=int(data["incidents"]),
        requests=int(data["requests"]),
    )


def adopt(evaluator: Evaluator, reference: Reference | None) -> None:
    """Let an evaluator judge by a reference from its next tick on; one of another baseline is none."""
    if reference is not None and reference.baseline != evaluator.budget.baseline:
        reference = None
    evaluator.reference.adopt(reference)
    for safety in evaluator.safety:
        known = None if reference is None else reference.of(safety.view)
        safety.before = (0, 0) if known is None else (known.incidents, known.requests)


@dataclass(slots=True)
class _Open:
    """The hour of a slice that is under way, of both arms."""

    view: CohortKey
    hour: int
    cells: tuple[Aggregate, Aggregate] = field(default_factory=lambda: (Aggregate(), Aggregate()))
    minutes: list[int] = field(default_factory=lambda: [0, 0])
    breached: bool = False


class History:
    """What an instance knows of the past, and what it adds to it.

    Args:
        log: Where closed hours go; None where nobody keeps them.
    """

    def __init__(self, log: HistoryLog | None = None) -> None:
        self.book = HistoryBook()
        self._log = log
        self._open: dict[tuple[str, int, CohortKey], _Open] = {}
        self._due: deque[HistoryHour] = deque()

    def take(self, evaluator: Evaluator, now: int, cells: Mapping[CellKey, Aggregate]) -> None:
        """Take in the minute that a tick closed, with the labels that came later; an hour that is over is due."""
        if self._log is None or is_rehearsal(evaluator.budget.release):  # nobody's baseline
            return
        budget, reading = evaluator.budget, Reading(evaluator.budget, cells)
        delay_min = label_delay_of(budget)
        minute = now - 1 - delay_min
        pair = reading.overall(minute, OVERALL, with_labels=delay_min > 0)
        self._add(evaluator, OVERALL, minute, pair)
        for view in slices_of(budget.objectives)[:SLICES_MAX]:
            delay_min = slice_delay_of(budget, view)
            minute = now - 1 - delay_min
            pair = reading.slice(minute, view, with_labels=delay_min > 0)
            self._add(evaluator, view, minute, pair)

    def _add(self, evaluator: Evaluator, view: CohortKey, minute: int, pair: Pair) -> None:
        """Add a slice's minute to its hour, and close an hour that is over."""
        budget = evaluator.budget
        key = (budget.release, evaluator.arming.number, view)
        known = self._open.get(key)
        if known is None or known.hour != minute // MINUTES:
            if known is not None:
                self._close(budget, known)
            known = self._open[key] = _Open(view, minute // MINUTES)
        for at, cell in enumerate(pair):
            known.cells[at].add_total(cell)
            known.minutes[at] += cell.requests > 0
        known.breached |= is_breached(evaluator)
        if minute % MINUTES == MINUTES - 1:
            self._close(budget, known)
            del self._open[key]

    def _close(self, budget: Budget, done: _Open) -> None:
        arms = ((budget.release, done.breached), (budget.baseline, False))
        for (release, breached), cell, minutes in zip(arms, done.cells, done.minutes, strict=True):
            cell.exemplars.clear()  # the past is counts: no trace of a request is kept for weeks
            hour = HistoryHour(release, done.hour, minutes, breached, cell, done.view)
            if minutes and self.book.needs(hour):
                self._due.append(hour)

    async def captured(self, budget: Budget, at_minute: int) -> dict[str, Any]:
        """Return what `captured` does, in a thread of its own: four weeks of wide distributions take seconds."""
        return await asyncio.to_thread(captured, self.book.only(budget.baseline), budget, at_minute)

    async def flush(self) -> None:
        """Put the hours that are due on record; raises `LogUnreachable`, and tries again the next time."""
        while self._due and self._log is not None:
            if self.book.needs(self._due[0]):
                await self._log.append(self._due[0])
                self.book.note(self._due[0])
            self._due.popleft()

    def forget(self, release: str) -> None:
        """Drop the hour under way of a release that is no longer ours: whoever has it begins it anew."""
        for key in [key for key in self._open if key[0] == release]:
            del self._open[key]


def label_delay_of(budget: Budget) -> int:
    """Return how many minutes later everybody's labels are all there."""
    delays = (one.label_delay_min for one in budget.objectives if one.is_guarded and one.where == OVERALL)
    return max(delays, default=0)


def is_breached(evaluator: Evaluator) -> bool:
    """Tell whether the candidate is in a breach that asks for an act: then this hour is nobody's reference."""
    return (
        bool(evaluator.progress.requested)
        or any(one.trigger.phase is Phase.FIRING for one in evaluator.watches.values())
        or any(one.acted for one in evaluator.safety)
    )
