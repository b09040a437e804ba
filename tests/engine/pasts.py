"""Pasts for the plant: hours of a release's history, and a topic that keeps them in a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.core.aggregate import Aggregate
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.history import HistoryHour
from monitor.core.sketch import Sketch, bin_of
from monitor.engine.errors import LogUnreachable
from monitor.engine.history import History, HistoryBook
from tests.engine.logs import START_MIN
from tests.engine.plant import Plant
from tests.engine.worlds import cell

START_H = START_MIN // 60


@dataclass
class Hours:
    """`HistoryLog` in a list; away for so many calls."""

    written: list[HistoryHour] = field(default_factory=list)
    away: int = 0

    async def append(self, hour: HistoryHour) -> None:
        if self.away:
            self.away -= 1
            raise LogUnreachable("the history is away")
        self.written.append(hour)

    def history(self) -> History:
        """Return what an instance knows that starts now."""
        made = History(self)
        for hour in self.written:
            made.book.note(hour)
        return made


def usual_hour(hour: int) -> Aggregate:
    """An hour as the plant's baseline has them: 2,400 requests, 95 % successes, 800 to 860 ms."""
    made = cell(2_400, task_success=2_280 - hour % 3)
    latency = made.sketches["latency"] = Sketch()
    for at in range(60):
        index = bin_of((800 + at) * 1_000)
        latency.bins[index] = latency.bins.get(index, 0) + 40
    return made


def past(
    release: str = "v41",
    *,
    days: int = 7,
    make: Callable[[int], Aggregate] = usual_hour,
    before: int = START_H,
    view: CohortKey = OVERALL,
) -> list[HistoryHour]:
    """Return whole days of a release's past, or of a slice's."""
    return [
        HistoryHour(release, hour, 60, False, make(hour), view) for hour in range(before - 24 * days, before)
    ]


def book_of(hours: list[HistoryHour]) -> HistoryBook:
    """Return a book of these hours."""
    book = HistoryBook()
    for hour in hours:
        book.note(hour)
    return book


def candidate_alone(
    made: Plant, first: int, minutes: int, *, success: int = 57, latency_ms: int = 800
) -> None:
    """Write minutes in which the candidate serves all 60 requests, and let time pass."""
    for minute in range(first, first + minutes):
        for number in range(60):
            made.log.event(
                number % made.log.partitions,
                f"a{minute}-{number}",
                START_MIN * 60_000 + minute * 60_000 + number * 1_000,
                "v42",
                task_success=number < success,
                latency_ms=latency_ms + number,
            )
    made.log.now_ms = max(made.log.now_ms, START_MIN * 60_000 + (first + minutes) * 60_000)
