"""Which ticks of many simulated releases cannot fire, whatever the rest of the sustained rule says.

Check (1) asks for a window of the grid that holds the evidence x*. Evidence is divided by phi, and phi is at
least 1: a tick at which no due window holds x* with phi = 1 cannot fire, and is not judged. Nor is one at which
none of the newest stretches that check (2) looks at is beyond the limit. This is a filter and decides nothing;
every tick that passes it is judged by the engine's own function. It follows formula (2) of the detection method,
for all releases at once, and is held to the engine's by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.operating_characteristics.stories import (
    Floats,
    LatencyReleases,
    RateReleases,
    Whole,
    bin_chances,
)
from monitor.core.stats.limit import Limit
from monitor.core.stats.rule import Rule

MARGIN: Final = 1e-4
"""Of x*: the two computations of one evidence differ by rounding only."""

_EDGES: Final = (
    -6,
    -3,
    -1,
    0,
    1,
    3,
    6,
)  # bins around the baseline's true quantile at which the bound is taken

Sums: TypeAlias = tuple[Floats, Floats, Floats, Floats]
"""Candidate hits and requests, baseline hits and requests, of windows; effective ones where there are strata."""


def rate_evidence(releases: RateReleases, limit: Limit, rule: Rule) -> Floats:
    """Return the largest evidence, phi = 1, of the windows due at each tick, shape (releases, minutes + 1).

    0 where none of the newest stretches is beyond the limit: such a tick cannot fire.
    """
    window = _window_sums(releases)
    strongest = np.zeros((len(releases.s_c), releases.minutes + 1))
    for length, ticks in _due(rule, releases.minutes):
        found = _beyond_evidence(window(length, ticks), limit)
        strongest[:, ticks] = np.maximum(strongest[:, ticks], found)
    still = np.zeros(strongest.shape, dtype=bool)
    for newest in {span.newest_min for span in rule.spans}:
        ticks = np.arange(newest, releases.minutes + 1)
        still[:, ticks] |= _is_beyond(window(newest, ticks), limit)
    strongest[~still] = 0.0
    return strongest


def latency_evidence(releases: LatencyReleases, limit: Limit, rule: Rule) -> Floats:
    """Return an upper bound of the same for a quantile.

    The engine's evidence is the least over all edges; at a few edges around the true quantile it is never less.
    """
    assert limit.quantile is not None
    tail = 1.0 - limit.quantile
    shift = limit.bins_beyond(limit.kappa)
    cumulative = bin_chances(1.0)[1].cumsum()
    middle = int(np.searchsorted(cumulative, limit.quantile))
    n_c, n_b = (part.sum(axis=2, keepdims=True) for part in (releases.candidate, releases.baseline))
    strongest = np.zeros((len(releases.candidate), releases.minutes + 1))
    edges = []
    for step in _EDGES:
        at = middle + step
        above_c = releases.candidate[:, :, at + shift + 1 :].sum(axis=2, keepdims=True)
        above_b = releases.baseline[:, :, at + 1 :].sum(axis=2, keepdims=True)
        edges.append(_window_sums(RateReleases(above_c, n_c, above_b, n_b)))
    for length, ticks in _due(rule, releases.minutes):
        bounds = [_quantile_terms(window(length, ticks), tail) for window in edges]
        strongest[:, ticks] = np.maximum(strongest[:, ticks], np.min(bounds, axis=0))
    return strongest


def rates_above(s_c: Floats, n_c: Floats, s_b: Floats, n_b: Floats, ratio: float) -> Floats:
    """Return formula (2) for many pairs of arms; 0 where there is no evidence."""
    x = np.zeros(np.shape(s_c))
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (s_c - 1) / n_c, np.minimum((s_b + 1) / n_b, 1.0)
        some = (n_c > 0) & (n_b > 0) & (a > 0) & (a > ratio * b)
    if not some.any():
        return x
    a, b, n_c, n_b = a[some], b[some], n_c[some], n_b[some]
    c = n_c * a + n_b * b
    half = n_c * (ratio + a) + n_b * (1.0 + ratio * b)
    root = np.sqrt(np.maximum(half * half - 4.0 * ratio * (n_c + n_b) * c, 0.0))
    q = np.minimum(2.0 * c / (half + root), 1.0)
    x[some] = n_c * _kl(a, np.minimum(ratio * q, 1.0)) + n_b * _kl(b, q)
    return x


def _kl(a: Floats, p: Floats) -> Floats:
    """Bernoulli divergence; infinite where `p` excludes `a`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = np.where(a > 0.0, a * np.log(a / p), 0.0)
        misses = np.where(a < 1.0, (1.0 - a) * np.log((1.0 - a) / (1.0 - p)), 0.0)
    found: Floats = hits + misses
    return found


def _is_beyond(sums: Sums, limit: Limit) -> NDArray[np.bool_]:
    """Whether point estimates are beyond the limit; equality, and with it no data at all, is left to the engine."""
    s_c, n_c, s_b, n_b = sums
    excess = s_c * n_b - limit.ratio(1.0) * s_b * n_c
    found: NDArray[np.bool_] = (excess if limit.higher_is_worse else -excess) > -1e-9 * n_c * n_b - 1e-9
    return found


def _beyond_evidence(sums: Sums, limit: Limit) -> Floats:
    """The evidence of windows whose point estimate is beyond the limit, else 0."""
    beyond = _is_beyond(sums, limit)
    arms = tuple(part[beyond] for part in sums)
    found = np.zeros(np.shape(beyond))
    ratio = limit.ratio(limit.kappa)
    if limit.higher_is_worse:
        found[beyond] = rates_above(arms[0], arms[1], arms[2], arms[3], ratio)
    else:
        found[beyond] = rates_above(arms[2], arms[3], arms[0], arms[1], 1.0 / ratio)
    return found


def _quantile_terms(sums: Sums, tail: float) -> Floats:
    """Formula (3) at one edge; the hits are the requests above it."""
    above_c, n_c, above_b, n_b = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        slow, fast = (above_c - 1) / n_c, (above_b + 1) / n_b
        at_c = n_c * _kl(np.maximum(slow, tail), np.full_like(slow, tail))
        at_b = n_b * _kl(np.minimum(fast, tail), np.full_like(fast, tail))
    found: Floats = np.where((n_c > 0) & (n_b > 0), at_c + at_b, 0.0)
    return found


def _due(rule: Rule, minutes: int) -> Iterator[tuple[int, Whole]]:
    """The window lengths, each with the ticks at which it is tested."""
    for window in rule.windows:
        first = ceil(window.length_min / window.step_min) * window.step_min
        ticks = np.arange(first, minutes + 1, window.step_min)
        if len(ticks):
            yield window.length_min, ticks


def _cumulated(values: Whole | Floats) -> Floats:
    """Sums before each minute, minutes along axis 1."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _difference(sums: Floats, length: int, ticks: Whole) -> Floats:
    found: Floats = sums[:, ticks] - sums[:, ticks - length]
    return found


def _window_sums(releases: RateReleases) -> Callable[[int, Whole], Sums]:
    """How the engine adds minutes up: weighted by minute and stratum, as finely as nine in ten have a partner."""
    whole = releases.pooled()
    plain = [_cumulated(part[:, :, 0]) for part in whole.parts()]
    strata = _weighted(releases)
    minutes = _weighted(whole) if releases.strata > 1 else strata

    def window(length: int, ticks: Whole) -> Sums:
        pooled = [_difference(part, length, ticks) for part in plain]
        found = _where(_partnered(strata, pooled[1], length, ticks), _sums(strata, length, ticks), pooled)
        if releases.strata > 1:
            by_minute = _where(
                _partnered(minutes, pooled[1], length, ticks), _sums(minutes, length, ticks), pooled
            )
            found = _where(_partnered(strata, pooled[1], length, ticks), found, by_minute)
        return found[0], found[1], found[2], found[3]

    return window


def _weighted(releases: RateReleases) -> list[Floats]:
    """Cumulative Mantel-Haenszel sums W, A, B, V_c, V_b, and the candidate's requests that have a partner."""
    s_c, n_c, s_b, n_b = (part.astype(np.float64) for part in releases.parts())
    both = (n_c > 0) & (n_b > 0)
    n = np.where(both, n_c + n_b, 1.0)
    terms = (
        n_c * n_b / n,
        s_c * n_b / n,
        s_b * n_c / n,
        n_c * n_b * n_b / (n * n),
        n_b * n_c * n_c / (n * n),
        n_c,
    )
    return [_cumulated(np.where(both, term, 0.0).sum(axis=2)) for term in terms]


def _partnered(weighted: list[Floats], n_c: Floats, length: int, ticks: Whole) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = 10.0 * _difference(weighted[5], length, ticks) >= 9.0 * n_c
    return found


def _sums(weighted: list[Floats], length: int, ticks: Whole) -> list[Floats]:
    """Rates A/W and B/W as hits of W**2/V requests."""
    w, a, b, v_c, v_b = (_difference(part, length, ticks) for part in weighted[:5])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [a * w / v_c, w * w / v_c, b * w / v_b, w * w / v_b]
    return [np.where(w > 0.0, part, 0.0) for part in found]


def _where(chosen: NDArray[np.bool_], some: list[Floats], other: list[Floats]) -> list[Floats]:
    return [np.where(chosen, one, two) for one, two in zip(some, other, strict=True)]
