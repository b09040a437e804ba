"""The rules that people write by hand, for comparison: point estimates and a count of bad measurements.

Each returns the first tick at which it would have rolled back, per release; -1 for never. Measurements without
data in either arm count as good. All releases are judged at once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.operating_characteristics.objectives import OBJECTIVES, Guarded
from benchmarks.operating_characteristics.stories import Floats, RateReleases, Whole
from monitor.core.stats.thresholds import ALPHA_ROLLBACK, OVERALL_SHARE

Bad = NDArray[np.bool_]

_ROLLING_MIN: Final = 10
_MEASURED_MIN: Final = 5
_NORMAL: Final = 100  # requests of an arm
_FAILURES: Final = 3  # that Argo's `failureLimit` lets pass


def point1(guarded: Guarded, releases: RateReleases) -> Whole:
    """One-minute point estimate beyond X, Y minutes in a row."""
    return _first(_run_lengths(_bad(guarded, releases, 1)) >= guarded.objective.hold_min)


def cum(guarded: Guarded, releases: RateReleases) -> Whole:
    """Y minutes beyond X, in all."""
    return _first(_bad(guarded, releases, 1).cumsum(axis=1) >= guarded.objective.hold_min)


def roll10(guarded: Guarded, releases: RateReleases) -> Whole:
    """Rolling estimate of ten minutes beyond X for Y minutes."""
    return _first(_run_lengths(_bad(guarded, releases, _ROLLING_MIN)) >= guarded.objective.hold_min)


def argo_tot(guarded: Guarded, releases: RateReleases) -> Whole:
    """More than three failed measurements of five minutes."""
    measured = _measured(_bad(guarded, releases, _MEASURED_MIN))
    return _first(measured.cumsum(axis=1) > _FAILURES, _MEASURED_MIN)


def argo_row(guarded: Guarded, releases: RateReleases) -> Whole:
    """Failed measurements of five minutes in a row, as many as Y holds."""
    measured = _measured(_bad(guarded, releases, _MEASURED_MIN))
    return _first(_run_lengths(measured) >= guarded.objective.hold_min // _MEASURED_MIN, _MEASURED_MIN)


def cs_start(guarded: Guarded, releases: RateReleases) -> Whole:
    """Normal-mixture confidence sequence of the excess over X since the start, with the same share of the error.

    From 100 requests an arm on: below, the normal law does not hold.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, one-sided; tightest at a quarter of the release.
    """
    alpha = ALPHA_ROLLBACK * OVERALL_SHARE / OBJECTIVES
    s_c, n_c, s_b, n_b = (part.sum(axis=2).cumsum(axis=1).astype(np.float64) for part in releases.parts())
    ratio = 1.0 + guarded.limit
    with np.errstate(divide="ignore", invalid="ignore"):
        p_c, p_b = s_c / n_c, s_b / n_b
        excess = (p_c - ratio * p_b) * (1.0 if guarded.limit > 0 else -1.0)
        spread = p_c * (1 - p_c) / n_c + ratio * ratio * p_b * (1 - p_b) / n_b
        tightest_at = np.maximum(n_c[:, n_c.shape[1] // 4, None], 1.0)
        radius = np.sqrt(spread) * mixture_radius(n_c, tightest_at, 2 * alpha)
        return _first((n_c >= _NORMAL) & (n_b >= _NORMAL) & (excess > radius))


def mixture_radius(n: Floats, tightest_at: Floats, alpha: float) -> Floats:
    """Return the two-sided normal-mixture radius after `n` requests, in standard errors of the mean of so many."""
    rho2 = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tightest_at
    scaled = n * rho2
    found: Floats = np.sqrt(2 * (scaled + 1) / scaled * np.log(np.sqrt(scaled + 1) / alpha))
    return found


RULES: Final[dict[str, Callable[[Guarded, RateReleases], Whole]]] = {
    "point1": point1,
    "cum": cum,
    "roll10": roll10,
    "argo_tot": argo_tot,
    "argo_row": argo_row,
    "cs_start": cs_start,
}


def _bad(guarded: Guarded, releases: RateReleases, length: int) -> Bad:
    """Per release and tick 1, 2 ...: is the estimate over the newest `length` minutes beyond X?"""
    s_c, n_c, s_b, n_b = (_rolling(part.sum(axis=2), length) for part in releases.parts())
    excess = s_c * n_b - (1.0 + guarded.limit) * s_b * n_c
    found: Bad = (n_c > 0) & (n_b > 0) & ((excess if guarded.limit > 0 else -excess) > 0)
    return found


def _rolling(values: Whole, length: int) -> Floats:
    """Sums over the newest `length` minutes; 0, so without data, before there are as many."""
    sums = np.cumsum(values, axis=1, dtype=np.float64)
    found = sums.copy()
    found[:, length:] -= sums[:, :-length]
    found[:, : length - 1] = 0.0
    return found


def _measured(bad: Bad) -> Bad:
    return bad[:, _MEASURED_MIN - 1 :: _MEASURED_MIN]


def _run_lengths(bad: Bad) -> Whole:
    """How many measurements in a row are bad, up to and with each."""
    at = np.broadcast_to(np.arange(bad.shape[1]), bad.shape)
    last_good: Whole = np.maximum.accumulate(np.where(bad, -1, at), axis=1)
    found: Whole = at - last_good
    return found


def _first(fires: Bad, step_min: int = 1) -> Whole:
    """The first tick at which a rule fires."""
    return np.where(fires.any(axis=1), (fires.argmax(axis=1) + 1) * step_min, -1)
