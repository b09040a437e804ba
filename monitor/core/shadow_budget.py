"""A budget's limits held against pairs of shadow and live answers: within, beyond, or inconclusive.

A limit that its interval holds is inconclusive, and so is what nobody measured: neither is good news. These are
verdicts about answers that nobody was given; nothing acts on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, inf
from typing import Final

from monitor.core.budget import Budget, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.indicator import IndicatorKind
from monitor.core.shadow_tally import Slices, Tally
from monitor.core.stats.intervals import CONFIDENCE, Interval
from monitor.core.stats.limit import Limit, limit_of
from monitor.core.stats.paired import PairCounts, mean_pairs_interval, rate_pairs_interval

_MOST_MORE: Final = 1_000.0  # times the pairs at hand: further nobody plans
_HALVINGS: Final = 20  # to a hundred-thousandth of the pairs asked for

_UNKNOWN: Final = Interval(None, None, CONFIDENCE)  # what nobody has measured has no bounds


class Verdict(StrEnum):
    """Where the interval lies; equality is within, as in every budget."""

    WITHIN = "within"
    BEYOND = "beyond"
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARED = "not_compared"


@dataclass(frozen=True, slots=True)
class Held:
    """One limit held against the pairs of one slice.

    Attributes:
        pairs: Those that the limit's indicator is known of, in both arms.
        candidate, baseline: The indicator's values: a share (0 to 1) for rates, else the sketch's unit.
        delta: In the limit's unit; infinite against a baseline of 0, None where it is not known.
        more_pairs: How many more pairs like these would decide; None where that is not known, or none would.
        why: What stands against a verdict, in words; empty where nothing does.
    """

    objective: Objective
    view: CohortKey
    verdict: Verdict
    pairs: int
    candidate: float | None = None
    baseline: float | None = None
    delta: float | None = None
    interval: Interval = _UNKNOWN
    more_pairs: int | None = None
    why: str = ""


_Evidence = Callable[[float], Interval]
"""The interval if every pair had come so many times: what more pairs like these would show."""


def hold(budget: Budget, slices: Slices) -> Iterator[Held]:
    """Yield every limit of a budget in each slice that it judges; slices must have been added up for them."""
    for objective in budget.objectives:
        for view in objective.views():
            yield _held(objective, view, slices.views[view])


def _held(objective: Objective, view: CohortKey, tally: Tally) -> Held:
    kind = objective.indicator.kind
    if kind is IndicatorKind.INCIDENTS:
        why = "incidents are counted, not compared in pairs: see their numbers"
        return Held(objective, view, Verdict.NOT_COMPARED, tally.pairs, why=why)
    if kind is IndicatorKind.RATE:
        found, evidence = _rate(objective, view, tally)
    elif kind is IndicatorKind.QUANTILE:
        found, evidence = _quantile(objective, view, tally)
    else:
        found, evidence = _mean(objective, view, tally)
    if not found.pairs:
        return replace(found, why="no pair knows it in both arms")
    if objective.unit is Unit.PERCENT and not found.baseline:
        return replace(found, why="the baseline has none of it: there is nothing to be in percent of")
    limit = limit_of(objective)
    interval = evidence(1.0)
    verdict = judge(limit, interval)
    few = objective.min_samples - found.pairs
    if few > 0:
        why = f"the budget asks for {objective.min_samples:,} samples"
        return replace(found, interval=interval, more_pairs=few, why=why)
    more = None if verdict is not Verdict.INCONCLUSIVE else _more(limit, evidence, found.pairs)
    return replace(found, interval=interval, verdict=verdict, more_pairs=more)


def judge(limit: Limit, interval: Interval) -> Verdict:
    """Return where an interval lies; an end that the data do not bound is infinitely far away."""
    low = -inf if interval.lower is None else interval.lower
    high = inf if interval.upper is None else interval.upper
    if not limit.higher_is_worse:
        low, high = -high, -low
    size = limit.size if limit.higher_is_worse else -limit.size
    if high <= size:
        return Verdict.WITHIN
    return Verdict.BEYOND if low > size else Verdict.INCONCLUSIVE


def _rate(objective: Objective, view: CohortKey, tally: Tally) -> tuple[Held, _Evidence]:
    counts = tally.counts(objective.indicator.source)
    n = counts.n

    def evidence(scale: float) -> Interval:
        scaled = PairCounts(*(scale * one for one in counts))
        return rate_pairs_interval(scaled, objective.unit)

    c, b = (counts.candidate / n, counts.baseline / n) if n else (None, None)
    return _found(objective, view, int(n), c, b), evidence


def _quantile(objective: Objective, view: CohortKey, tally: Tally) -> tuple[Held, _Evidence]:
    """Hold a quantile against its limit by the evidence that judges live traffic.

    It takes the arms for independent. Where the same requests are slow in both, as they are, its interval is wider than
    it need be: it errs towards inconclusive.
    """
    sizes = tally.sizes.get(objective.indicator.source)
    if sizes is None:
        return _found(objective, view, 0, None, None), lambda _scale: _UNKNOWN
    stretch = sizes.stretch(limit_of(objective))
    seen = stretch.observed()

    def evidence(scale: float) -> Interval:
        return replace(stretch, above=scale * stretch.above).interval()

    return _found(objective, view, sizes.candidate.count, seen.candidate, seen.baseline), evidence


def _mean(objective: Objective, view: CohortKey, tally: Tally) -> tuple[Held, _Evidence]:
    sizes = tally.sizes.get(objective.indicator.source)
    if sizes is None or sizes.sums.means is None:
        return _found(objective, view, 0, None, None), lambda _scale: _UNKNOWN
    sums = sizes.sums
    return (
        _found(objective, view, sums.n, *sizes.sums.means),
        lambda scale: mean_pairs_interval(sums, scale=scale),
    )


def _found(
    objective: Objective, view: CohortKey, pairs: int, candidate: float | None, baseline: float | None
) -> Held:
    delta = None
    if candidate is not None and baseline is not None:
        delta = limit_of(objective).delta(candidate, baseline)
    return Held(objective, view, Verdict.INCONCLUSIVE, pairs, candidate, baseline, delta)


def _more(limit: Limit, evidence: _Evidence, pairs: int) -> int | None:
    """Return how many more pairs like these would decide; None: not a thousand times as many would."""

    def decides(scale: float) -> bool:
        return judge(limit, evidence(scale)) is not Verdict.INCONCLUSIVE

    if not decides(_MOST_MORE):
        return None
    low, high = 1.0, _MOST_MORE
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if decides(middle) else (middle, high)
    return ceil(pairs * high) - pairs
