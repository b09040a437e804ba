"""The baseline's past in the engine: hours as they are closed, the topic's hours in memory, and what arming captures.

Whoever holds a release's lease records each whole hour of both its arms, once it is closed, under the key of release
and hour: writing it again is harmless. Evaluation never reads the topic: what it needs is captured when the budget is
armed, in the ledger's own entry, so that a restart, another worker and a replay judge by the same reference.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cohort import OVERALL
from monitor.core.history import HISTORY_MAX_H, HistoryHour, measures_of, references, usable
from monitor.core.ids import canonical_json
from monitor.core.partition import CellKey
from monitor.core.reference import MINUTES, Layout, Reference
from monitor.core.trigger import Phase
from monitor.engine.codec import decode_cell, encode_cell
from monitor.engine.reading import Reading

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator
    from monitor.engine.ports import HistoryLog

RELEASES_MAX: Final = 64
"""Releases whose past is kept in memory: any of them may be the next budget's baseline."""
REFERENCE_MAX: Final = 128 * 1024
"""Characters of a captured reference: it is part of a ledger record, which stays below 512 KiB."""


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
        dropped: Hours that were forgotten because there were too many releases.
    """

    def __init__(self) -> None:
        self._hours: dict[str, dict[int, _Kept]] = {}
        self.dropped = 0

    def note(self, one: HistoryHour) -> None:
        """Take an hour in; of two records of one hour the one that says more stays."""
        hours = self._hours.setdefault(one.release, {})
        if not self.needs(one):
            return
        hours[one.hour] = _Kept(one.minutes, one.breached, one.weight, encode_cell(one.cell))
        if len(hours) > HISTORY_MAX_H:
            del hours[min(hours)]
        if len(self._hours) > RELEASES_MAX:
            oldest = min(self._hours, key=lambda release: max(self._hours[release]))
            self.dropped += len(self._hours.pop(oldest))

    def needs(self, one: HistoryHour) -> bool:
        """Tell whether an hour says more than what is known of it."""
        kept = self._hours.get(one.release, {}).get(one.hour)
        return kept is None or one.weight > kept.weight

    def only(self, release: str) -> HistoryBook:
        """Return a copy with what is known of one release, for a thread that nobody writes to."""
        copy = HistoryBook()
        copy._hours[release] = dict(self._hours.get(release, {}))
        return copy

    def of(self, release: str) -> list[HistoryHour]:
        """Return what is known of a release, in order."""
        return [
            HistoryHour(release, hour, kept.minutes, kept.breached, decode_cell(kept.packed))
            for hour, kept in sorted(self._hours.get(release, {}).items())
        ]


def captured(book: HistoryBook, budget: Budget, at_minute: int) -> dict[str, Any]:
    """Return what a budget needs of its baseline's past, as the ledger keeps it: JSON-ready and bounded.

    Args:
        at_minute: When the budget is armed, minutes since the epoch: hours that ended by then count.
    """
    before_hour = at_minute // MINUTES
    hours = usable(book.of(budget.baseline), before_hour)
    data: dict[str, Any] = {}
    for reference in references(hours, budget.baseline, before_hour, measures_of(budget)):
        data = _as_json(reference)
        if sum(map(len, data["slots"])) <= REFERENCE_MAX:
            break
    else:  # a single slot is too large: then nothing is frozen, and incidents still have their past
        data["slots"] = []
    return {**data, "digest": sha256(canonical_json(data).encode()).hexdigest()}


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
    known = (0, 0) if reference is None else (reference.incidents, reference.requests)
    for safety in evaluator.safety:
        if safety.view == OVERALL:  # of slices there is no past
            safety.before = known


@dataclass(slots=True)
class _Open:
    """The hour of a release that is under way, of both its arms."""

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
        self._open: dict[tuple[str, int], _Open] = {}
        self._due: deque[HistoryHour] = deque()

    def take(self, evaluator: Evaluator, now: int, cells: Mapping[CellKey, Aggregate]) -> None:
        """Take in the minute that a tick closed, with the labels that came later; an hour that is over is due."""
        if self._log is None:
            return
        budget = evaluator.budget
        delay_min = label_delay_of(budget)
        minute = now - 1 - delay_min
        key = (budget.release, evaluator.arming.number)
        known = self._open.get(key)
        if known is None or known.hour != minute // MINUTES:
            if known is not None:
                self._close(budget, known)
            known = self._open[key] = _Open(minute // MINUTES)
        pair = Reading(budget, cells).overall(minute, OVERALL, with_labels=delay_min > 0)
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
            hour = HistoryHour(release, done.hour, minutes, breached, cell)
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
