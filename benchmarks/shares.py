"""What so many hits of so many tries say about a share, exactly (Clopper and Pearson 1934)."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

_NOTHING = 1e-18


def upper_bound(hits: int, tries: int, error: float = 0.05) -> float:
    """Return the largest share that so many hits leave possible, at a confidence of 1 - error."""
    if hits >= tries:
        return 1.0
    low, high = hits / tries, 1.0
    for _ in range(50):
        share = 0.5 * (low + high)
        low, high = (share, high) if binomial_below(hits, tries, share) > error else (low, share)
    return high


def interval(hits: int, tries: int, error: float = 0.05) -> tuple[float, float]:
    """Return the two-sided interval of a share at a confidence of 1 - error; all of it where nothing was tried."""
    if not tries:
        return 0.0, 1.0
    return 1.0 - upper_bound(tries - hits, tries, error / 2), upper_bound(hits, tries, error / 2)


def binomial_below(hits: int, tries: int, share: float) -> float:
    """Return the chance of at most so many hits, summed on the side that has the smaller chance."""
    if hits >= tries or share <= 0.0:
        return 1.0
    if share >= 1.0:
        return 0.0
    if hits >= share * tries:
        return 1.0 - binomial_below(tries - hits - 1, tries, 1.0 - share)
    whole = lgamma(tries + 1) - lgamma(hits + 1) - lgamma(tries - hits + 1)
    term = exp(whole + hits * log(share) + (tries - hits) * log1p(-share))
    total = term
    for k in range(hits, 0, -1):
        term *= k / (tries - k + 1) * (1.0 - share) / share
        total += term
        if term < _NOTHING * total:
            break
    return total
