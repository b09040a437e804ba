"""How far the arms' difference moved from one stretch of minutes to another, and how far chance moves it.

Differences of shares and of means, not ratios of them: their variance is known without bias at every count,
none and all included, while a ratio to a baseline of 0 has none. What is wanted is the quotient of the two
answers, and to first order a change of scale changes both alike.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from monitor.core.stats.evidence import Moments
from monitor.core.stats.intervals import RateCounts

BLOCK_MIN = 5
"""Minutes of the block that `Noise.block` and tau**2 speak about."""

Stretch: TypeAlias = tuple[int, int]
"""Minutes [start, end)."""


class Contrast(NamedTuple):
    """The squared change of (candidate minus baseline) between two stretches, and what independence expects."""

    square: float
    variance: float


class Noise(NamedTuple):
    """Variance of one request's outcome, and of the arms' difference over a block of 5 minutes of such requests."""

    request: float
    block: float


def rate_contrast(before: RateCounts, after: RateCounts) -> Contrast | None:
    """Return the contrast of two stretches' rates; None where an arm is empty or all outcomes are equal.

    The variance is that of the hypergeometric law (both stretches' hits drawn from one pot per arm), which is
    free of bias at every count.
    """
    if not (before.n_c and before.n_b and after.n_c and after.n_b):
        return None
    variance = pot_variance(before.s_c + after.s_c, before.n_c, after.n_c)
    variance += pot_variance(before.s_b + after.s_b, before.n_b, after.n_b)
    if variance <= 0.0:
        return None
    change = after.s_c / after.n_c - before.s_c / before.n_c - after.s_b / after.n_b + before.s_b / before.n_b
    return Contrast(change * change, variance)


def mean_contrast(before: tuple[Moments, Moments], after: tuple[Moments, Moments]) -> Contrast | None:
    """Return the contrast of two stretches' means, candidate first; None where an arm is empty or nothing varies."""
    if not all(moments.n > 0 for moments in (*before, *after)):
        return None
    variance = sum(
        _pooled(one, two) * (1 / one.n + 1 / two.n) for one, two in zip(before, after, strict=True)
    )
    if variance <= 0.0:
        return None
    change = (after[0].mean - before[0].mean) - (after[1].mean - before[1].mean)
    return Contrast(change * change, variance)


def rate_noise(counts: RateCounts, minutes: int) -> Noise | None:
    """Return the noise of a rate at a window's traffic; None without data, or where all outcomes are equal."""
    requests = counts.n_c + counts.n_b
    if not requests:
        return None
    return share_noise((counts.s_c + counts.s_b) / requests, counts.n_c, counts.n_b, minutes)


def share_noise(share: float, n_c: float, n_b: float, minutes: int) -> Noise | None:
    """Return the noise of requests that are hits with chance `share`, `n_c` and `n_b` of them in `minutes`."""
    request = share * (1.0 - share)
    if request <= 0.0 or not (n_c and n_b):
        return None
    return Noise(request, request * (1 / n_c + 1 / n_b) * minutes / BLOCK_MIN)


def mean_noise(candidate: Moments, baseline: Moments, minutes: int) -> Noise | None:
    """Return the noise of a capped mean at a window's traffic; None without data, or where nothing varies."""
    if candidate.n <= 0 or baseline.n <= 0:
        return None
    block = (candidate.variance / candidate.n + baseline.variance / baseline.n) * minutes / BLOCK_MIN
    if block <= 0.0:
        return None
    return Noise((candidate.variance + baseline.variance) / 2, block)


def pot_variance(hits: float, n_1: float, n_2: float) -> float:
    """Return the variance of the difference of two shares, when `hits` fall on n_1 + n_2 requests by chance."""
    n = n_1 + n_2
    share = hits / n
    return share * (1.0 - share) * n / (n - 1) * (1 / n_1 + 1 / n_2)


def _pooled(one: Moments, two: Moments) -> float:
    """The variance of both stretches' values taken as one sample: a change of the mean is part of it."""
    n = one.n + two.n
    between = one.n * two.n * (one.mean - two.mean) ** 2 / n
    return (one.n * one.variance + two.n * two.variance + between) / (n - 1)
