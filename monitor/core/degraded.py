"""Both arms degraded: the candidate and the baseline are worse than the baseline was before, at the same time.

A provider's outage, a bad index, a full disk: what hits both arms is seldom the candidate's doing, and a
comparison of two broken arms says little. The newest 20 minutes R of both arms are held against the baseline's
own past of this arming (all minutes before the newest max(Y, 20), at least 60), and all of these must hold for
both arms:

1. R, and each quarter of it, is beyond twice the limit by its point estimate: it lasts, and is more than a drift;
2. so it is against the newest hour of the past alone: a daily curve moves by a fraction of its height in an hour,
   an outage comes at once;
3. R shows, with as much evidence as a rollback needs (strict, over the dispersion of the baseline's own level),
   that it is beyond the limit.

It is over when the newer half of R is no longer beyond the limit, in either arm, against the past as it was found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import Final, TypeAlias

import numpy as np

from monitor.core.series import AnySeries, MeanSeries, QuantileSeries, RateSeries
from monitor.core.stats.contrast import BLOCK_MIN
from monitor.core.stats.exceedance import quantile_column
from monitor.core.stats.harm import mean_beyond, rate_beyond
from monitor.core.stats.limit import Limit
from monitor.core.stats.quantile_stretch import QuantileStretch

PAST_MIN: Final = 60  # minutes of past that are needed, and the newest of it that alone must show the fall
RECENT_MIN: Final = 20  # R: four blocks, and each must show it
FAR: Final = 2.0  # times the limit: more than a drift
_LEAST: Final = 5  # changes between blocks, below which no dispersion is known

Span: TypeAlias = tuple[int, int]
"""Minutes [start, end)."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """Both arms against the baseline's past, in the series' own unit.

    Attributes:
        before: What the baseline showed in its past; it stays the reference until it is over.
    """

    recent: Span
    before: float
    candidate: float
    baseline: float


def find_degraded(series: AnySeries, now: int, hold_min: int, needed: float) -> Degraded | None:
    """Return how both arms are degraded at a tick; None where they are not, or where it is not evident.

    Args:
        now: The minute after the newest one to be judged.
        needed: Evidence (nats, over phi) that each arm must show.
    """
    recent = now - RECENT_MIN, now
    past = max(series.first_minute, series.kept_minute), now - max(hold_min, RECENT_MIN)
    if past[1] - past[0] < PAST_MIN:
        return None
    found = _found(series, recent, past)
    if found is None or not _is_far(series.limit, found, FAR):
        return None
    for start in range(*recent, RECENT_MIN // 4):
        part = _found(series, (start, start + RECENT_MIN // 4), past)
        if part is None or not _is_far(series.limit, part, FAR):
            return None
    lately = _found(series, recent, (past[1] - PAST_MIN, past[1]))
    if lately is None or not _is_far(series.limit, lately, FAR):
        return None
    return found if level_evidence(series, recent, past) / level_phi(series, past) >= needed else None


def is_over(series: AnySeries, now: int, since: Degraded) -> bool:
    """Tell whether an arm is back within the limit of what the baseline was before; no data is no recovery."""
    newer = now - RECENT_MIN // 2, now
    seen = series.observed(*newer)
    if seen.candidate is None or seen.baseline is None:
        return False
    lately = Degraded(newer, since.before, seen.candidate, seen.baseline)
    return not _is_far(series.limit, lately, 1.0)


def is_mostly_shared(limit: Limit, candidate: float | None, baseline: float | None, before: float) -> bool:
    """Tell whether what the baseline lost against its past is at least what the candidate lost beyond that."""
    if candidate is None or baseline is None:
        return True
    extra, shared = limit.delta(candidate, baseline), limit.delta(baseline, before)
    if extra is None or shared is None:
        return True
    return extra <= shared if limit.higher_is_worse else extra >= shared


def level_phi(series: AnySeries, past: Span) -> float:
    """Return how much more the baseline's level moves between 5-minute blocks than independent requests would.

    At least 1. The dispersion of the arms' difference is another one: what both arms share cancels there.
    """
    levels = _levels(series, past)
    changes = [
        (after[0] - before[0]) ** 2 / (after[1] + before[1])
        for before, after in pairwise(levels)
        if after[1] + before[1] > 0.0
    ]
    return max(1.0, sum(changes) / len(changes)) if len(changes) >= _LEAST else 1.0


def _found(series: AnySeries, recent: Span, past: Span) -> Degraded | None:
    seen, before = series.observed(*recent), series.observed(*past).baseline
    if seen.candidate is None or seen.baseline is None or before is None or not isfinite(before):
        return None
    return Degraded(recent, before, seen.candidate, seen.baseline)


def _is_far(limit: Limit, found: Degraded, scale: float) -> bool:
    """Tell whether both arms are beyond `scale` times the limit of what the baseline was before."""
    deltas = [limit.delta(value, found.before) for value in (found.candidate, found.baseline)]
    if limit.higher_is_worse:
        return all(delta is not None and delta > scale * limit.size for delta in deltas)
    return all(delta is not None and delta < scale * limit.size for delta in deltas)


def level_evidence(series: AnySeries, recent: Span, past: Span) -> float:
    """Return the evidence (nats) of the weaker arm that it is beyond the limit of what the baseline was before.

    Not yet over the dispersion of the level (`level_phi`).
    """
    strict = replace(series.limit, kappa=1.0)
    if isinstance(series, RateSeries):
        test, now, before = rate_beyond(strict, 1.0), series.sums(*recent), series.sums(*past)
        return min(
            test(now.s_c, now.n_c, before.s_b, before.n_b), test(now.s_b, now.n_b, before.s_b, before.n_b)
        )
    if isinstance(series, QuantileSeries):
        newest, first = series.stretch(*recent), series.stretch(*past).above[1]
        return min(
            QuantileStretch(strict, np.stack((arm, first)), newest.lowest).evidence_in()
            for arm in newest.above
        )
    compare, reference = mean_beyond(strict, 1.0), series.moments(*past)[1]
    return min(compare(arm, reference) for arm in series.moments(*recent))


def _levels(series: AnySeries, past: Span) -> list[tuple[float, float]]:
    """Return the baseline's level in each 5-minute block with data, and its variance under independence.

    A quantile's level is the share of requests above its value in the whole past.
    """
    blocks = [(at, at + BLOCK_MIN) for at in range(past[0], past[1] - BLOCK_MIN + 1, BLOCK_MIN)]
    if isinstance(series, MeanSeries):
        moments = [series.moments(*block)[1] for block in blocks]
        spread = series.moments(*past)[1].variance
        return [(one.mean, spread / one.n) for one in moments if one.n]
    if isinstance(series, RateSeries):
        sums = [series.sums(*block) for block in blocks]
        counts = [(one.s_b, one.n_b) for one in sums]
    else:
        assert series.limit.quantile is not None
        whole = series.stretch(*past).above[1]
        if not whole.size:
            return []
        column = min(quantile_column(whole, series.limit.quantile), len(whole) - 1)
        arms = [series.stretch(*block).above[1] for block in blocks]
        counts = [(float(arm[column]), float(arm[0])) for arm in arms]
    requests = sum(n for _, n in counts)
    if not requests:
        return []
    share = sum(hits for hits, _ in counts) / requests
    return [(hits / n, share * (1.0 - share) / n) for hits, n in counts if n]
