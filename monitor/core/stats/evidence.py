"""Evidence that a candidate is beyond a bound, in nats: one formula each for rates, quantiles and means.

Every `*_above` answers "how strongly do the counts speak against: candidate <= bound of baseline?"; 0 is no
evidence. `*_below` is the same question with the arms' parts swapped, so there is one copy of each formula.
`p_value` turns evidence into an error rate; over-dispersion divides the evidence before that (callers do it).
Assumption left: independent requests. Requests with different success probabilities are covered (Hoeffding 1956).
"""

from __future__ import annotations

from functools import lru_cache
from math import erfc, inf, log, sqrt
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Exceedances: TypeAlias = NDArray[Any]
"""Counts of requests above each bin edge, edges rising, so the counts never rise."""

_BISECTIONS: Final = 40  # error 2**-40 of the start interval, far below one count's worth
_POINT_BISECTIONS: Final = 28  # the minimum's error is the square of the argument's: 2**-56
_MEAN_FLOOR: Final = 100  # the smallest arm at which the capped mean's error rate was measured
_SKEW_FACTOR: Final = 355  # Kohavi, Deng, Longbotham, Xu, KDD 2014: n >= 355 * skewness**2


class Moments(NamedTuple):
    """One arm's capped values: how many, their mean and variance, and their (unitless) skewness."""

    n: float
    mean: float
    variance: float
    skew: float


def kl(a: float, p: float) -> float:
    """Return the divergence of Bernoulli(a) from Bernoulli(p), in nats per request; infinite if p excludes a."""
    if a <= 0.0:
        return -log(1.0 - p) if p < 1.0 else inf
    if a >= 1.0:
        return -log(p) if p > 0.0 else inf
    if p <= 0.0 or p >= 1.0:
        return inf
    return max(0.0, a * log(a / p) + (1.0 - a) * log((1.0 - a) / (1.0 - p)))


def p_value(x: float) -> float:
    """Return the error rate that evidence of `x` nats stands for: Q(sqrt(2x)), at most 1/2.

    Source: Zubkov and Serov 2013 per arm. As a two-arm bound it is a numerical result (enumerated designs
    stay at or below 0.885 of it); the proven one adds exp(-x)/4. A quantile at a gap of both distributions passes
    it: up to 1.9 times in enumerated designs, where the baseline has far more requests.
    """
    return 0.5 * erfc(sqrt(max(0.0, x)))


@lru_cache(maxsize=4096)  # a budget asks for a handful of rates, again and again
def evidence_for(p: float) -> float:
    """Return the nats that error rate `p` asks for: the inverse of `p_value`; 0 from 1/2 on, infinite at 0."""
    if p <= 0.0:
        return inf
    low, high = 0.0, max(0.0, -log(2.0 * p))  # Q(z) <= exp(-z*z/2)/2
    for _ in range(_BISECTIONS + 13):  # to the last bit
        middle = 0.5 * (low + high)
        if p_value(middle) > p:
            low = middle
        else:
            high = middle
    return high


def rate_above(s_c: float, n_c: float, s_b: float, n_b: float, ratio: float) -> float:
    """Return the evidence (nats) that the candidate's rate is above `ratio` times the baseline's.

    Args:
        s_c: Candidate requests with the label true, of `n_c`; `s_b` of `n_b` for the baseline.
        ratio: At least 0.
    Source: restricted maximum likelihood of Miettinen and Nurminen 1985, one count of continuity correction
    in each arm towards the null, which makes it hold at every size (Zubkov and Serov 2013).
    """
    if n_c <= 0 or n_b <= 0:
        return 0.0
    a = (s_c - 1) / n_c
    b = (s_b + 1) / n_b
    if b > 1.0:
        b = 1.0
    if a <= ratio * b:
        return 0.0
    if ratio <= 0.0:
        return inf  # the null says "never", and it happened
    c = n_c * a + n_b * b
    half = n_c * (ratio + a) + n_b * (1.0 + ratio * b)
    root = half * half - 4.0 * ratio * (n_c + n_b) * c
    q = 2.0 * c / (half + (sqrt(root) if root > 0.0 else 0.0))  # the smaller root, without cancellation
    p = ratio * q
    if p >= 1.0 or q >= 1.0 > b:
        return 0.0  # rounding: both rates are 1 but for a few requests of billions
    x = n_c * (a * log(a / p) + (1.0 - a) * log((1.0 - a) / (1.0 - p)))
    x += n_b * (b * log(b / q) + (1.0 - b) * log((1.0 - b) / (1.0 - q)) if b < 1.0 else kl(b, min(q, 1.0)))
    return max(0.0, x)


def rate_below(s_c: float, n_c: float, s_b: float, n_b: float, ratio: float) -> float:
    """Return the evidence (nats) that the candidate's rate is below `ratio` times the baseline's."""
    return rate_above(s_b, n_b, s_c, n_c, 1.0 / ratio) if ratio > 0.0 else 0.0


def points_above(s_c: float, n_c: float, s_b: float, n_b: float, shift: float) -> float:
    """Return the evidence (nats) that the candidate's rate is above the baseline's plus `shift` (-1 to 1).

    The null's nearest pair of rates has no closed form worth its length; the derivative rises, so bisect it.
    Below a baseline of many hits (shift < 0) a candidate without any adds nothing itself: all the evidence
    is then the baseline's, and Zubkov and Serov's bound for one arm. Two arms without hits are evidently close.
    """
    if n_c <= 0 or n_b <= 0:
        return 0.0
    a = max((s_c - 1) / n_c, 0.0)
    b = min((s_b + 1) / n_b, 1.0)
    if a <= b + shift:
        return 0.0
    low, high = max(b, -shift), min(a - shift, 1.0)
    for _ in range(_POINT_BISECTIONS):
        q = 0.5 * (low + high)
        p = q + shift
        if n_c * (p - a) * q * (1.0 - q) + n_b * (q - b) * p * (1.0 - p) < 0.0:
            low = q
        else:
            high = q
    q = 0.5 * (low + high)
    return n_c * kl(a, q + shift) + n_b * kl(b, q)


def points_below(s_c: float, n_c: float, s_b: float, n_b: float, shift: float) -> float:
    """Return the evidence (nats) that the candidate's rate is below the baseline's plus `shift` (-1 to 1)."""
    return points_above(s_b, n_b, s_c, n_c, -shift)


def quantile_above(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """Return the evidence (nats) that the candidate's quantile is more than `shift` bins above the baseline's.

    Args:
        above_c: Exceedances of the candidate; the first entry counts all its requests, the last only those
            slower than every edge (unfinished). `above_b` likewise, over the same edges.
        tail: Share of requests above the quantile: 0.05 for a p95.
    Resolution: one bin. Bins that hold a large part of the requests are resolved to their edges only.
    Source: the binomial test of F(v) of Howard and Ramdas 2022 in both arms, minimised over the unknown v.
    """
    n_c, n_b, size = float(above_c[0]), float(above_b[0]), len(above_c)
    if n_c <= 0 or n_b <= 0:
        return 0.0
    # The candidate's term falls to zero from column `calm_c` on, the baseline's is zero before `calm_b`.
    calm_c = int(np.count_nonzero(above_c > tail * n_c + 1))
    calm_b = int(np.count_nonzero(above_b >= tail * n_b - 1))
    first, last = calm_b - 1, min(calm_c, size - 1) - shift
    if last <= first or calm_b == size:
        least = (float(above_c[-1]) - 1) / n_c
        return n_c * kl(max(least, tail), tail)
    # Edges beyond either end of the columns are dominated by the two that touch the end.
    start, end = max(first, -shift), min(last, size - 1)
    x = inf
    if start <= end:
        touching = above_c[start + shift : end + shift + 1]
        x = _quantile_terms(touching, n_c, above_b[start : end + 1], n_b, tail)
    if start > first:
        x = min(x, n_c * kl(max((n_c - 1) / n_c, tail), tail))
    if end < last:
        calm = above_c[last + shift : last + shift + 1]
        x = min(x, _quantile_terms(calm, n_c, above_b[-1:], n_b, tail))
    return max(0.0, x)


def _quantile_terms(above_c: Exceedances, n_c: float, above_b: Exceedances, n_b: float, tail: float) -> float:
    """The least sum of both arms' terms over paired columns."""
    hits = np.empty((2, len(above_c)))
    np.maximum(above_c - 1.0, tail * n_c, out=hits[0])  # a term counts on its own side of the tail only
    np.minimum(above_b + 1.0, tail * n_b, out=hits[1])
    n = np.array(((n_c,), (n_b,)))
    misses = n - hits
    terms = hits * np.log(hits / (tail * n)) + misses * np.log(misses / ((1.0 - tail) * n))
    return float(terms.sum(axis=0).min())


def quantile_below(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """Return the evidence (nats) that the candidate's quantile is less than `shift` bins above the baseline's."""
    return quantile_above(above_b, above_c, tail, -shift)


def mean_above(c: Moments, b: Moments, ratio: float) -> float:
    """Return the evidence (nats) that the candidate's capped mean is above `ratio` times the baseline's.

    0 while an arm has fewer than 100 values or fewer than 355 * skewness**2: below that the normal law of
    the mean does not hold far enough out, and nothing may be claimed.
    Source: Kohavi et al., KDD 2014, for the floor.
    """
    if not _carries_a_mean(c) or not _carries_a_mean(b) or ratio <= 0.0:
        return 0.0
    spread = sqrt(c.variance / c.n + ratio * ratio * b.variance / b.n)
    excess = c.mean - ratio * b.mean
    if excess <= 0.0:
        return 0.0
    return 0.5 * (excess / spread) ** 2 if spread > 0.0 else inf


def mean_below(c: Moments, b: Moments, ratio: float) -> float:
    """Return the evidence (nats) that the candidate's capped mean is below `ratio` times the baseline's."""
    return mean_above(b, c, 1.0 / ratio) if ratio > 0.0 else 0.0


def _carries_a_mean(arm: Moments) -> bool:
    return arm.n >= max(_MEAN_FLOOR, _SKEW_FACTOR * arm.skew * arm.skew)
