"""What a report says beside a verdict: an interval for the true delta, and the smallest delta it could decide.

Both invert the same evidence that decides, so a delta outside the interval is one the evidence rejects.
Deltas are in the limit's own unit, percent or points, signed as measured. They run only when something is
reported; every search has a fixed number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, inf, log
from typing import Final, NamedTuple

from monitor.core.budget import Unit
from monitor.core.sketch import RATIO, UNFINISHED_BIN
from monitor.core.stats.evidence import (
    Exceedances,
    Moments,
    evidence_for,
    mean_above,
    mean_below,
    points_above,
    points_below,
    quantile_above,
    quantile_below,
    rate_above,
    rate_below,
)
from monitor.core.stats.harm import mean_beyond, rate_beyond
from monitor.core.stats.limit import Limit

CONFIDENCE: Final = 0.95  # two-sided, the usual one
_STEPS: Final = 40  # bisections: 2**-40 of the span, far below what is shown
_LOG_SPAN: Final = log(1e6)  # a ratio beyond a million, or below a millionth, is no longer reported

Above = Callable[[float], float]
"""Evidence that the truth is above an argument; `_end` needs it to fall (or to rise, for below) with it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval for the true delta; an end that the data do not bound is None."""

    lower: float | None
    upper: float | None
    confidence: float


class RateCounts(NamedTuple):
    """Requests with the label true, and with the label at all, of both arms."""

    s_c: float
    n_c: float
    s_b: float
    n_b: float


def rate_interval(
    counts: RateCounts, unit: Unit, *, confidence: float = CONFIDENCE, phi: float = 1.0
) -> Interval:
    """Return the interval of a rate's delta, in percent of the baseline's rate or in points.

    Args:
        phi: Over-dispersion; evidence counts for 1/phi of itself.
    """
    needed = phi * evidence_for((1.0 - confidence) / 2)
    if unit is Unit.POINTS:
        low = _boundary(lambda d: points_above(*counts, d) >= needed, -1.0, 1.0)
        high = _boundary(lambda d: points_below(*counts, d) < needed, -1.0, 1.0)
        return Interval(
            None if low is None else 100.0 * low, None if high is None else 100.0 * high, confidence
        )
    return _ratio_interval(
        lambda r: rate_above(*counts, r), lambda r: rate_below(*counts, r), needed, confidence
    )


def mean_interval(
    candidate: Moments, baseline: Moments, *, confidence: float = CONFIDENCE, phi: float = 1.0
) -> Interval:
    """Return the interval of a capped mean's delta in percent; without ends while an arm is below the floor."""
    return _ratio_interval(
        lambda r: mean_above(candidate, baseline, r),
        lambda r: mean_below(candidate, baseline, r),
        phi * evidence_for((1.0 - confidence) / 2),
        confidence,
    )


def quantile_interval(
    above: Exceedances, quantile: float, *, confidence: float = CONFIDENCE, phi: float = 1.0
) -> Interval:
    """Return the interval of a quantile's delta in percent, widened by the one bin that is its resolution.

    Args:
        above: Exceedances of candidate (row 0) and baseline (row 1) over the same edges.
    """
    needed = phi * evidence_for((1.0 - confidence) / 2)
    tail = 1.0 - quantile
    low = _last(lambda k: quantile_above(above[0], above[1], tail, k) >= needed)
    high = _last(lambda k: quantile_below(above[0], above[1], tail, k) < needed)
    return Interval(
        None if low is None else _percent(low - 1),
        None if high is None else _percent(high + 2),
        confidence,
    )


def rate_mde(counts: RateCounts, limit: Limit, x_needed: float) -> float | None:
    """Return the smallest harmful delta of a rate that these sample sizes would have shown, in the limit's unit.

    The baseline's rate is taken as true. None: not even the worst possible rate would have shown.

    Args:
        x_needed: Evidence that decides (nats), already times the over-dispersion.
    """
    if not (counts.n_c and counts.n_b):
        return None
    test = rate_beyond(limit, limit.kappa)
    rate = counts.s_b / counts.n_b
    worst = 1.0 if limit.higher_is_worse else 0.0

    def shows(share: float) -> bool:
        s_c = counts.n_c * (rate + share * (worst - rate))
        return test(*counts._replace(s_c=s_c)) >= x_needed

    share = _boundary(lambda share: not shows(share), 0.0, 1.0)
    if share is None:
        return None
    delta = limit.delta(rate + share * (worst - rate), rate)
    return None if delta == inf else delta  # no percentage of a baseline of 0


def quantile_mde(above: Exceedances, limit: Limit, x_needed: float) -> float | None:
    """Return the smallest slowdown (percent) of all requests alike that these sample sizes would have shown."""
    n_c, n_b = float(above[0][0]), float(above[1][0])
    if not (n_c and n_b) or limit.quantile is None:
        return None
    tail, bound = 1.0 - limit.quantile, limit.bins_beyond(limit.kappa)
    alike = above[1] * (n_c / n_b)
    # A candidate moved up by k bins against a bound of b bins is one not moved against b - k.
    first = _first_bin(lambda k: quantile_above(alike, above[1], tail, bound - k) >= x_needed)
    return None if first is None else _percent(first)


def mean_mde(candidate: Moments, baseline: Moments, limit: Limit, x_needed: float) -> float | None:
    """Return the smallest growth (percent) of a capped mean that these sample sizes would have shown.

    The candidate's own variance and skewness stay as they are: what it costs to see less is not known.
    """
    test = mean_beyond(limit, limit.kappa)

    def shows(log_ratio: float) -> bool:
        ratio = exp(log_ratio) if limit.higher_is_worse else exp(-log_ratio)
        return test(candidate._replace(mean=ratio * baseline.mean), baseline) >= x_needed

    grown = _boundary(lambda g: not shows(g), 0.0, _LOG_SPAN)
    if grown is None:
        return None
    return 100.0 * ((exp(grown) if limit.higher_is_worse else exp(-grown)) - 1.0)


def _percent(bins: int) -> float:
    return 100.0 * (RATIO**bins - 1.0)


def _ratio_interval(above: Above, below: Above, needed: float, confidence: float) -> Interval:
    low = _boundary(lambda g: above(exp(g)) >= needed, -_LOG_SPAN, _LOG_SPAN)
    high = _boundary(lambda g: below(exp(g)) < needed, -_LOG_SPAN, _LOG_SPAN)
    return Interval(
        None if low is None else 100.0 * (exp(low) - 1.0),
        None if high is None else 100.0 * (exp(high) - 1.0),
        confidence,
    )


def _boundary(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """Return where a condition that holds below and not above turns; None if it does not turn inside."""
    if not holds(low) or holds(high):
        return None
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if holds(middle):
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _last(holds: Callable[[int], bool]) -> int | None:
    """Return the last number of bins for which a condition that turns false still holds."""
    low, high = -UNFINISHED_BIN, UNFINISHED_BIN
    if not holds(low) or holds(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _first_bin(holds: Callable[[int], bool]) -> int | None:
    """Return the fewest bins from 0 on for which a condition that turns true holds."""
    if holds(0):
        return 0
    last = _last(lambda k: not holds(k))
    return None if last is None else last + 1
