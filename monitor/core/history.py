"""The baseline's past: hours of it, and what they say about the same hours of another day.

One record per release, slice and whole closed hour; the slices are those that a budget names. From at most four
weeks of them a `Reference` is made when a budget is armed: slots, each an hour's counts scaled down to what they are
worth today (`stats.day_effect`). Slots are hours of the week or of the day, whichever the history carries better;
coarser ones where the finer would not fit on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from monitor.core.aggregate import Aggregate
from monitor.core.budget import BaselineMode, Budget, Objective
from monitor.core.cohort import OVERALL, CohortKey
from monitor.core.indicator import LABELS, IndicatorKind
from monitor.core.reference import DAY_H, WEEK_H, Layout, Reference
from monitor.core.sketch import RATIO, UNFINISHED_BIN, Sketch
from monitor.core.stats.day_effect import Hour, Level, day_variance, effective_size

HISTORY_MAX_H: Final = 4 * WEEK_H  # what is older says more about the past than about today
SAFETY_H: Final = WEEK_H  # contract: incidents of up to 7 days before
WEEKLY_DAYS: Final = 14  # of two weeks on each hour of the week has been seen twice
SLICES_MAX: Final = 8  # of a budget have a past: each is a record an hour, and a part of the ledger's entry
EFFECTIVE_MAX: Final = 60_000  # requests an hour: beyond it no verdict gets any surer
WEEKLY: Final = Layout(WEEK_H, 1)  # days of the week may differ
DAILY: Final = Layout(DAY_H, 1)  # more days behind each slot
COARSER: Final = (Layout(DAY_H, 4), Layout(DAY_H, DAY_H))  # where the finer do not fit on record
_CAP_QUANTILE: Final = 0.99  # means are judged on values up to the baseline's p99 (`stats.capped`)


@dataclass(frozen=True, slots=True)
class HistoryHour:
    """One release's requests of one whole closed hour.

    Attributes:
        hour: Hours since the epoch.
        minutes: How many of its minutes had requests.
        breached: Whether the release was in a breach as a candidate: then it is nobody's reference.
        cell: All its requests, or those of the slice, without exemplars.
        view: Which slice of them; everybody by default.
    """

    release: str
    hour: int
    minutes: int
    breached: bool
    cell: Aggregate
    view: CohortKey = OVERALL

    @property
    def weight(self) -> tuple[bool, int, int, int]:
        """Which of two records of one hour says more: a breach first, then the one that saw more."""
        kinds = len(self.cell.sketches) + len(self.cell.outcomes)
        return self.breached, self.minutes, self.cell.requests, kinds


class Measure(NamedTuple):
    """One quantity that a reference is asked for."""

    kind: IndicatorKind
    source: str
    quantile: float | None = None


def slices_of(objectives: Iterable[Objective]) -> tuple[CohortKey, ...]:
    """Return the slices whose past a budget's objectives may ask for, tier A's first.

    Those that they name: each `where` and each critical cohort; the first `SLICES_MAX` of them have a past. Cohorts
    that are discovered have none.
    """
    named = {
        view: None
        for one in sorted(objectives, key=lambda one: one.tier.value)
        if one.baseline_mode is not BaselineMode.CONCURRENT or not one.is_guarded
        for view in one.views()
        if view != OVERALL
    }
    return tuple(named)


def measures_of(budget: Budget, view: CohortKey = OVERALL) -> tuple[Measure, ...]:
    """Return what a budget's objectives may ask a frozen reference of a slice for; of everybody's by default."""
    asked = {
        Measure(one.indicator.kind, one.indicator.source, one.indicator.quantile)
        for one in budget.objectives
        if one.is_guarded and view in one.views() and one.baseline_mode is not BaselineMode.CONCURRENT
    }
    return tuple(sorted(asked, key=lambda one: (one.kind.value, one.source, one.quantile or 0.0)))


def usable(hours: Iterable[HistoryHour], before_hour: int) -> list[HistoryHour]:
    """Return the hours that may be a reference before an hour, in order: no breach, requests, and not too old."""
    kept = [
        one
        for one in hours
        if before_hour - HISTORY_MAX_H <= one.hour < before_hour and not one.breached and one.cell.requests
    ]
    return sorted(kept, key=lambda one: one.hour)


def days_of(hours: Sequence[HistoryHour]) -> int:
    """Return how many days of history there are: how often each hour of the day that has requests was seen."""
    return len(hours) // len({one.hour % DAY_H for one in hours}) if hours else 0


def references(
    hours: Sequence[HistoryHour], baseline: str, before_hour: int, measures: Sequence[Measure]
) -> Iterator[Reference]:
    """Yield the references that a history carries, the one that says most first; each next one is smaller.

    Hours of the week fit better and hours of the day were seen more often: the history itself says which counts.

    Args:
        hours: As `usable` returns them.
        measures: Without any, only the incidents are taken.
    """
    if not measures or not hours:
        yield _reference(hours, baseline, before_hour, (), DAILY)
        return
    daily = _reference(hours, baseline, before_hour, measures, DAILY)
    if daily.days >= WEEKLY_DAYS:
        weekly = _reference(hours, baseline, before_hour, measures, WEEKLY)
        if weekly.worth > daily.worth:
            yield weekly
    yield daily
    for layout in COARSER:
        yield _reference(hours, baseline, before_hour, measures, layout)


def _reference(
    hours: Sequence[HistoryHour],
    baseline: str,
    before_hour: int,
    measures: Sequence[Measure],
    layout: Layout,
) -> Reference:
    recent = [one for one in hours if one.hour >= before_hour - SAFETY_H]
    slots, worth = _slots(hours, measures, layout) if measures else ((), 0.0)
    return Reference(
        baseline=baseline,
        days=days_of(hours),
        layout=layout,
        slots=slots,
        worth=worth,
        incidents=sum(one.cell.incidents for one in recent),
        requests=sum(one.cell.requests for one in recent),
    )


def _slots(
    hours: Sequence[HistoryHour], measures: Sequence[Measure], layout: Layout
) -> tuple[tuple[Aggregate, ...], float]:
    """Return the slots, and what a request of an average hour counts for in the measure that it tells least of."""
    members: dict[int, list[HistoryHour]] = {slot: [] for slot in range(layout.slots)}
    for one in hours:
        members[layout.slot(one.hour)].append(one)
    known = {slot: ones for slot, ones in members.items() if ones}
    pooled = {slot: _pooled(ones) for slot, ones in known.items()}
    scales: dict[str, float] = {}
    for measure in measures:
        scale = _scale(measure, known, pooled, layout)
        scales[_kept_as(measure)] = min(scale, scales.get(_kept_as(measure), scale))
    made = {
        slot: _scaled(cell, {source: scale / len(known[slot]) for source, scale in scales.items()})
        for slot, cell in pooled.items()
    }
    slots = tuple(made.get(slot) or _same_hour(slot, made) for slot in range(layout.slots))
    return slots, min(scale for scale in scales.values())


def _same_hour(slot: int, made: Mapping[int, Aggregate]) -> Aggregate:
    """Return what the same hour of another day has, where an hour of the week was never seen; else nothing."""
    same = sorted(one for one in made if one % DAY_H == slot % DAY_H)
    return made[same[-1]] if same else Aggregate()


def _pooled(hours: Sequence[HistoryHour]) -> Aggregate:
    whole = Aggregate()
    for one in hours:
        whole.add_total(one.cell)
    return whole


def _kept_as(measure: Measure) -> str:
    """Errors and timeouts are counted of all requests, and so share one scale."""
    return "requests" if measure.source in ("error", "timeout") else measure.source


def _scale(
    measure: Measure,
    members: Mapping[int, Sequence[HistoryHour]],
    pooled: Mapping[int, Aggregate],
    layout: Layout,
) -> float:
    """Return what one request of an average hour counts for today, the same in every slot.

    One scale for all keeps the hours' shares of the traffic: pooled over a day both arms weigh its hours alike.
    It is the busiest slot's, which is the smallest, and never above 1: an hour counts for an hour at most.
    """
    levels: dict[int, Level] = {}
    points: dict[int, list[Hour]] = {}
    for slot, cell in pooled.items():
        reader = _reader(measure, cell)
        levels[slot] = reader.level
        points[slot] = [Hour(one.hour // DAY_H, slot, *reader.read(one.cell)) for one in members[slot]]
    told = {slot: ones for slot, ones in points.items() if any(one.n > 0 for one in ones)}
    if not told:
        return 0.0
    every = [one for ones in told.values() for one in ones]
    tau2 = day_variance(every, levels, fitted=layout.period_h // DAY_H)
    return min(1.0, *(_worth_of(ones, levels[slot].unit, tau2, layout) for slot, ones in told.items()))


def _worth_of(hours: Sequence[Hour], unit: float, tau2: float, layout: Layout) -> float:
    """Return what a request of a slot's average hour counts for."""
    n, days = sum(hour.n for hour in hours), max(1, len(hours) // layout.width_h)
    # Neighbours that share a slot share its hours: each of them has its part of what the slot knows.
    effective = effective_size(n / layout.width_h, unit, tau2, days)
    return min(effective, EFFECTIVE_MAX) * len(hours) / n


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a slot's hours are read for one measure: as a mean of single values, whatever the measure is.

    Attributes:
        edge: Of a quantile, the last bin that does not count; of a mean, the bin of the cap.
    """

    measure: Measure
    level: Level
    edge: int = 0

    def read(self, cell: Aggregate) -> tuple[float, float]:
        """Return how many values an hour has, and their mean."""
        if self.measure.kind is IndicatorKind.RATE:
            hits, n = cell.rate(self.measure.source)
            return float(n), hits / max(n, 1)
        sketch = cell.distribution(self.measure.source)
        if self.measure.kind is IndicatorKind.QUANTILE:
            n = sketch.count
            return float(n), _above(sketch, self.edge) / max(n, 1)
        count, mean, _ = _moments(sketch, self.edge)
        return count, mean


def _reader(measure: Measure, cell: Aggregate) -> _Reader:
    """Return how the hours of a slot are read, given all of them together."""
    if measure.kind is IndicatorKind.RATE:
        hits, n = cell.rate(measure.source)
        return _Reader(measure, _share(hits, n))
    sketch = cell.distribution(measure.source)
    if measure.kind is IndicatorKind.QUANTILE:
        assert measure.quantile is not None
        edge = _bin_at(sketch, measure.quantile)
        if not _above(sketch, edge):
            edge -= 1  # everything beyond lies in the quantile's own bin
        return _Reader(measure, _share(_above(sketch, edge), sketch.count), edge)
    finished = Sketch({index: n for index, n in sketch.bins.items() if index != UNFINISHED_BIN})
    edge = _bin_at(finished, _CAP_QUANTILE)
    _, mean, variance = _moments(sketch, edge)
    return _Reader(measure, Level(mean, variance), edge)


def _share(hits: int, n: int) -> Level:
    """Return a share's level; one that never varied is taken to vary by half a request."""
    likely = (hits + 0.5) / (n + 1)
    return Level(hits / max(n, 1), likely * (1.0 - likely))


def _bin_at(sketch: Sketch, quantile: float) -> int:
    wanted, seen = quantile * sketch.count, 0
    for index in sorted(sketch.bins):
        seen += sketch.bins[index]
        if seen >= wanted:
            return index
    return 0


def _above(sketch: Sketch, edge: int) -> int:
    return sum(count for index, count in sketch.bins.items() if index > edge)


def _moments(sketch: Sketch, cap: int) -> tuple[float, float, float]:
    """Return (values, mean, variance) of the finished requests, each counted up to the cap's bin."""
    n = first = second = 0.0
    for index, count in sketch.bins.items():
        if index != UNFINISHED_BIN:
            value = RATIO ** min(index, cap) * (0.5 + 0.5 / RATIO)
            n += count
            first += count * value
            second += count * value * value
    mean = first / max(n, 1.0)
    return n, mean, second / max(n, 1.0) - mean * mean


def _scaled(cell: Aggregate, scales: Mapping[str, float]) -> Aggregate:
    """Return an hour with as many requests as its slot is worth; what nobody asks for is left out."""
    made = Aggregate()
    for source, scale in scales.items():
        if source == "requests":
            made.errors = round(cell.errors * scale)
            made.timeouts = round(cell.timeouts * scale)
            made.requests = max(round(cell.requests * scale), made.errors + made.timeouts)
        elif source in LABELS:
            place = LABELS.index(source)
            made.known[place] = round(cell.known[place] * scale)
            made.hits[place] = round(cell.hits[place] * scale)
        elif source.startswith("outcome."):
            hits, known = cell.rate(source)
            made.outcomes[source.removeprefix("outcome.")] = [round(hits * scale), round(known * scale)]
        else:
            made.sketches[source] = _thinned(cell.distribution(source), scale)
    return made


def _thinned(sketch: Sketch, scale: float) -> Sketch:
    """Return a sketch with the same distribution and fewer requests: cumulative counts are rounded, not bins."""
    n = sketch.count
    bins: dict[int, int] = {}
    seen = kept = 0
    for index in sorted(sketch.bins):
        seen += sketch.bins[index]
        share = round(seen * scale) - kept
        if share:
            bins[index] = share
            kept += share
    finished = n - sketch.bins.get(UNFINISHED_BIN, 0)
    left = kept - bins.get(UNFINISHED_BIN, 0)
    return Sketch(bins, round(sketch.total * left / finished) if finished else 0)
