"""How many severe incidents chance explains, when the baseline has them too.

On the scale of expected incidents the k-th one arrives Gamma(k)-distributed, so one bound per k, with error
rates 6 / (pi**2 k**2) of the whole, holds for all times at once and needs no ticks.
"""

from __future__ import annotations

from math import exp, inf, lgamma, log, pi
from typing import Final

ALPHA_SAFETY: Final = 0.05  # a missed regression costs more than a needless rollback: its own, larger rate
_BISECTIONS: Final = 60  # beyond a double's 53 bits: the bound is as exact as one can be


def expected_incidents(
    candidate_requests: float,
    *,
    reference_incidents: int,
    reference_requests: float,
) -> float:
    """Return the incidents (mu) the reference's rate would have produced on the candidate's requests.

    Args:
        reference_incidents: Of the concurrent baseline and the days before together, as its requests are.
    A reference without an incident expects none, however short it is: that is the documents' literal rule.
    Incidents without any known exposure make every number of them expected: infinity.
    """
    if reference_incidents <= 0:
        return 0.0
    if reference_requests <= 0:
        return inf
    return candidate_requests * reference_incidents / reference_requests


def tolerated_expectation(k: int, alpha: float = ALPHA_SAFETY) -> float:
    """Return g_k: the largest expectation under which `k` incidents are more than chance.

    Solves P(Poisson(g) >= k) = alpha * 6 / (pi**2 k**2), so that all k together err with `alpha`.
    """
    if k < 1:
        return 0.0
    target = alpha * 6 / (pi * pi * k * k)
    low, high = 0.0, float(k)  # P(Poisson(k) >= k) is above 1/2
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if poisson_tail(k, middle) > target:
            high = middle
        else:
            low = middle
    return low


def poisson_tail(k: int, mu: float) -> float:
    """Return P(Poisson(mu) >= k), summed upwards from k so that small tails keep their digits; needs mu <= k."""
    if k <= 0:
        return 1.0
    if mu <= 0:
        return 0.0
    term = exp(k * log(mu) - mu - lgamma(k + 1))
    total, i = 0.0, k
    while term > total * 1e-17:
        total += term
        i += 1
        term *= mu / i
    return total
