"""The frozen reference: what stands in for the baseline's traffic where there is none any more.

A reference is captured when a budget is armed and never changes: every worker, a restart and a replay judge by
the same one. It holds slots, each an hour's counts as far as they are worth anything today (`core.history`), and
deals a slot out to the minutes of its hour, so that a window of 20 minutes weighs a third of an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.core.aggregate import Aggregate
from monitor.core.budget import BaselineMode, Objective
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.record import Finding
from monitor.core.sketch import RATIO, UNFINISHED_BIN, Sketch
from monitor.core.wording import page_only_words

if TYPE_CHECKING:
    from monitor.core.watch import Watch

DAY_H: Final = 24  # traffic repeats with the day
WEEK_H: Final = 7 * DAY_H  # and with the week
MINUTES: Final = 60  # of an hour
ENOUGH_DAYS: Final = 3  # a reference of fewer may page only
AWAY_HOLDS: Final = 2  # a baseline without requests for so many durations is away,
AWAY_MIN: Final = 30  # and for no less than this: a quiet half hour is no end
_RANKS: Final = 1 << 16  # above `history.EFFECTIVE_MAX`: each request of an hour has a rank of its own
_KEPT: Final = 64  # minutes kept: those of the slices, and those that labels wait for, are other ones
_SERVED_MIN: Final = 2 * 24 * 60  # minutes of which it is known who served: labels wait for a day at most

Pair: TypeAlias = tuple[Aggregate, Aggregate]
"""The same minute and slice of the candidate and of the baseline."""


class Layout(NamedTuple):
    """How hours share slots: after `period_h` hours they repeat, and `width_h` neighbours share one."""

    period_h: int
    width_h: int

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return self.period_h // self.width_h

    def slot(self, hour: int) -> int:
        """Return the slot of an hour since the epoch."""
        return hour % self.period_h // self.width_h


@dataclass(frozen=True, slots=True)
class Reference:
    """What was known of a baseline when a budget was armed.

    Attributes:
        days: Days of history behind it.
        slots: Per slot of the layout one hour, scaled to what it is worth; none where nobody asked for it.
        worth: What a request of an average hour counts for (0 to 1), in the measure that the past tells least of.
        incidents, requests: High-severity incidents of the 7 days before, and their exposure.
        slices: The same of each slice that the budget names; None where slices had no past yet.
    """

    baseline: str
    days: int
    layout: Layout
    slots: tuple[Aggregate, ...]
    worth: float
    incidents: int
    requests: int
    slices: Mapping[CohortKey, Reference] | None = None

    def of(self, view: CohortKey) -> Reference | None:
        """Return what was known of a slice; None where nothing was captured of it."""
        return self if view == OVERALL else (self.slices or {}).get(view)

    def slot_of(self, minute: int) -> Aggregate:
        """Return the hour that a minute since the epoch is a sixtieth of."""
        return self.slots[self.layout.slot(minute // MINUTES)]


def minute_share(slot: Aggregate, at: int) -> Aggregate:
    """Return what a slot gives to minute `at` (0 to 59) of its hour; all sixty add up to it.

    Counts are dealt by cumulative rounding. A sketch deals as many requests to each minute, and which ones
    follows van der Corput's sequence over their ranks, so that any run of minutes has about the slot's shape.
    """
    made = Aggregate()
    made.errors, made.timeouts = _dealt(slot.errors, at), _dealt(slot.timeouts, at)
    made.requests = made.errors + made.timeouts + _dealt(slot.requests - slot.errors - slot.timeouts, at)
    slot.settle()
    for place, (known, hits) in enumerate(zip(slot.known, slot.hits, strict=True)):
        made.hits[place] = _dealt(hits, at)
        made.known[place] = made.hits[place] + _dealt(known - hits, at)
    for name, (hits, known) in slot.outcomes.items():
        some = _dealt(hits, at)
        made.outcomes[name] = [some, some + _dealt(known - hits, at)]
    for name, sketch in slot.sketches.items():
        made.sketches[name] = _dealt_sketch(sketch, at)
    return made


def _dealt(count: int, at: int) -> int:
    """Return the share of minute `at` in a count that all sixty add up to."""
    return _up_to(count, at + 1) - _up_to(count, at)


def _up_to(count: int, minutes: int) -> int:
    return (count * minutes + MINUTES // 2) // MINUTES


def _dealt_sketch(sketch: Sketch, at: int) -> Sketch:
    first, end = _up_to(sketch.count, at), _up_to(sketch.count, at + 1)
    if first == end:
        return Sketch()
    indices = sorted(sketch.bins)
    upper = np.cumsum([sketch.bins[index] for index in indices])
    ranks = _reversed_bits(np.arange(first, end)) * int(upper[-1]) // _RANKS
    places, counts = np.unique(np.searchsorted(upper, ranks, side="right"), return_counts=True)
    bins = {indices[place]: int(count) for place, count in zip(places.tolist(), counts.tolist(), strict=True)}
    whole = _middle_sum(sketch.bins)
    return Sketch(bins, round(sketch.total * _middle_sum(bins) / whole) if whole else 0)


def _middle_sum(bins: dict[int, int]) -> float:
    """Return what the finished requests add up to by the middles of their bins."""
    return sum(count * RATIO**index for index, count in bins.items() if index != UNFINISHED_BIN)


def _reversed_bits(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 16-bit numbers with their bits in reverse: van der Corput's sequence, times 65,536."""
    found = np.zeros_like(numbers)
    for bit in range(16):
        found |= ((numbers >> bit) & 1) << (15 - bit)
    return found


def away_after_min(objective: Objective) -> int:
    """Return after how many minutes without a request the baseline counts as away, for `baseline_mode: auto`."""
    return max(AWAY_HOLDS * objective.hold_min, AWAY_MIN)


@dataclass(slots=True)
class _Presence:
    """Whether a baseline is about, from its newest minutes: a bit each, 1 where it had requests.

    It is away when it had none for so long, and about again when half of as many minutes had: a stray request is
    no comeback, since each change of the reference begins the comparison anew.
    """

    length_min: int
    seen: int = 1  # as if it had been about just before: what is not known yet is no silence
    is_away: bool = False

    def note(self, has_requests: bool) -> bool:
        """Take in the next minute, and tell whether the baseline is away."""
        self.seen = (self.seen << 1 | has_requests) & ((1 << self.length_min) - 1)
        if self.is_away:
            self.is_away = 2 * self.seen.bit_count() < self.length_min
        else:
            self.is_away = not self.seen
        return self.is_away


@dataclass(slots=True)
class BaselineChoice:
    """Which baseline each watch is compared with, minute by minute: the concurrent one, or the frozen reference.

    Args:
        captured: The reference of this arming, if there is one.
    """

    captured: Reference | None = None
    _presence: dict[tuple[str, CohortKey], _Presence] = field(default_factory=dict)
    _minutes: dict[tuple[int, CohortKey], Aggregate] = field(default_factory=dict)
    _served: dict[int, bool] = field(default_factory=dict)

    def see(self, minute: int, everybody: Aggregate) -> None:
        """Take note of whether the baseline had any request in a minute: slices ask, some of them much later."""
        self._served[minute] = everybody.requests > 0
        self._served.pop(minute - _SERVED_MIN, None)

    def arms(
        self, watch: Watch, minute: int, pair: Pair, strata: tuple[Pair, ...]
    ) -> tuple[Pair, tuple[Pair, ...]]:
        """Return what a watch takes in for a minute, and its strata: those of the past are not known.

        Where the reference changes, the watch begins to compare anew: a window over both would take for harm
        what differs between its two parts.
        """
        pair, mode = self.pair(watch.objective, watch.view, minute, pair)
        is_frozen = mode is BaselineMode.FROZEN
        if is_frozen != (watch.frozen_minute == minute - 1) and minute > watch.first_minute:
            watch.compare_anew()
        if not is_frozen:
            return pair, strata
        watch.frozen_minute = minute
        return pair, ()

    def pair(
        self, objective: Objective, view: CohortKey, minute: int, pair: Pair
    ) -> tuple[Pair, BaselineMode]:
        """Return what a watch takes in for a minute, and which baseline that is; minutes come in order.

        A slice changes over when everybody does: while the baseline serves anybody, what hits both arms shows in
        it, and a slice of it that is quiet for half an hour is no end.
        """
        if objective.baseline_mode is BaselineMode.CONCURRENT:
            return pair, BaselineMode.CONCURRENT
        past = self._past(view)
        if objective.baseline_mode is BaselineMode.AUTO:
            presence = self._presence.setdefault(
                (objective.objective_id, view), _Presence(away_after_min(objective))
            )
            # A minute that nobody told of is taken for served: what is not known is no end either.
            is_served = pair[1].requests > 0 if view == OVERALL else self._served.get(minute, True)
            if not presence.note(is_served) or past is None or not past.slots:
                return pair, BaselineMode.CONCURRENT
        if view != OVERALL and self.captured is not None and self.captured.slices is None:
            return pair, BaselineMode.CONCURRENT  # armed before slices had a past: it goes on as it began
        return (pair[0], self._frozen(past, view, minute)), BaselineMode.FROZEN

    def _past(self, view: CohortKey) -> Reference | None:
        return None if self.captured is None else self.captured.of(view)

    def _frozen(self, past: Reference | None, view: CohortKey, minute: int) -> Aggregate:
        """Return a minute of a reference; nothing without one, and nothing can be judged then."""
        if past is None or not past.slots:
            return Aggregate()
        found = self._minutes.get((minute, view))
        if found is None:
            found = minute_share(past.slot_of(minute), minute % MINUTES)
            self._minutes[minute, view] = found
            while len(self._minutes) > _KEPT:
                del self._minutes[next(iter(self._minutes))]
        return found

    def past(self, view: CohortKey, minute: int) -> Aggregate:
        """Return the captured past of a slice for a minute, whoever is compared with it now; empty without one."""
        return self._frozen(self._past(view), view, minute)

    def is_away(self, objective: Objective) -> bool:
        """Tell whether an objective has gone over to the past, or would have if there were one."""
        presence = self._presence.get((objective.objective_id, objective.where))
        return presence is not None and presence.is_away

    def has_past(self, view: CohortKey) -> bool:
        """Tell whether anything is known of a slice's past."""
        past = self._past(view)
        return past is not None and bool(past.slots)

    def adopt(self, captured: Reference | None) -> None:
        """Take another reference from the next minute on."""
        self.captured = captured
        self._minutes.clear()

    def page_only(self, finding: Finding) -> str:
        """Return why a finding may not roll back, for people; nothing where it may: a short past may page only."""
        if finding.baseline_mode is not BaselineMode.FROZEN:
            return ""
        past = self._past(finding.view)
        days = 0 if past is None else past.days
        return page_only_words(days) if days < ENOUGH_DAYS else ""
