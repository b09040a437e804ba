"""Evidence of a quantile by other bounds than the engine's: nearer to the exact tails, and one that holds at a gap.

Both arms' tails at the quantile's own edge are independent, and each, as a deviate z of the normal law, is too large
no more often than a normal one. What is stated for both together is the chance of a region of the plane of both
deviates, and the edge is not known: the pairs at all edges have to lie in the region.

- The engine's region lies outside a circle around the origin, both deviates at least 0: its chance is
  Q(d) + exp(-d**2 / 2) / 4, the proven bound. Q(d) is stated; a gap, where all other edges are far, passes it.
- `valid_nats` is outside two tangents of that circle and the arc between them. Edges move a pair along a line, as
  steep as the arms' sizes differ under the null, steeper with harm: only that much of the arc is needed, and the
  chance is Q(d) + (angle of the arc / 2 pi) exp(-d**2 / 2). One arm alone may suffice as well, at a small share of it.
- `uncorrected_nats` is the same of deviates that are normal ones on average, a bound by enumeration only.
- `union_nats`: the sum of both tails' chances, as two one-sample bounds have it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import atan, cos, erfc, exp, log, pi, sin, sqrt
from typing import Final, TypeAlias
from unittest.mock import patch

import numpy as np

from benchmarks.operating_characteristics.objectives import LATENCY
from benchmarks.operating_characteristics.stories import Floats, bin_chances
from monitor.core.stats import evidence as formulas
from monitor.core.stats.evidence import Exceedances, evidence_for, p_value, quantile_above
from monitor.core.stats.exceedance import quantile_column
from monitor.core.stats.limit import limit_of

Bound: TypeAlias = Callable[[Exceedances, Exceedances, float, int], float]

_ARC: Final = (1.0, 2.0)  # tangents of the arc's ends, in units of sqrt(n_c / n_b)
_NEAR: Final = 20  # edges on each side of the baseline's quantile that are looked at first
_ALONE: Final = 0.03  # share of the error rate that each arm alone may spend


def tail_nats(hits: Floats, n: Floats | float, share: float) -> Floats:
    """Return the nats of so many hits or more among n requests, where up to `share` of them are expected to be.

    Never less than Zubkov and Serov's bound, which takes one hit off. From it on: the tail is at most its first term
    times a geometric series (Feller 1968), the term at most Stirling's, a normal tail at least Birnbaum's (1942).
    """
    less = np.maximum(hits - 1.0, share * n)
    found = divergence(less, n, share)
    some = (hits - 1.0 > share * n) & (hits <= n - 1.0)
    k = np.where(some, hits, 0.5 * n * (1.0 + share))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (k + 1.0) * (1.0 - share) / (k + 1.0 - (n + 1.0) * share)
        nats = divergence(k, n, share) + 0.5 * np.log(k * (n - k) / n) - np.log(ratio)
        nats -= np.arcsinh(np.sqrt(0.5 * np.maximum(nats, 0.0)))
    return np.where(some, np.fmax(found, nats), found)


def divergence(hits: Floats, n: Floats | float, share: float) -> Floats:
    """The divergence of so many hits from `share` of n requests, in nats: n kl(hits / n, share)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = hits * np.log(hits / (share * n)) + (n - hits) * np.log(
            (n - hits) / ((1.0 - share) * n)
        )
    return found


def deviate(hits: Floats, n: float, share: float) -> Floats:
    """Return a deviate that is at least z no more often than a normal one, for any `share` or a lower one."""
    fewer = np.clip(hits - 1.0, 0.0, share * n)
    below = np.where(fewer > 0.0, divergence(fewer, n, share), -n * log(1.0 - share))
    nats = np.where(hits - 1.0 > share * n, tail_nats(hits, n, share), below)
    z = np.copysign(np.sqrt(2.0 * np.maximum(nats, 0.0)), hits - 1.0 - share * n)
    return np.where(hits >= 1.0, z, -np.inf)  # no hit or more is certain


def root(hits: Floats, n: float, share: float) -> Floats:
    """Return the signed root of the same without any correction: a deviate that is a normal one on average."""
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = np.where((hits > 0.0) & (hits < n), divergence(hits, n, share), -n * log(share))
    z = np.copysign(np.sqrt(2.0 * np.maximum(nats, 0.0)), hits - share * n)
    return np.where(hits > 0.0, z, -np.inf)


def valid_nats(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """`evidence.quantile_above`, of which `p_value` is a bound at every distribution, a gap included."""
    return _least(above_c, above_b, tail, shift, deviate)


def uncorrected_nats(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """The same by signed roots as they are: a bound by enumeration where the baseline has ten times the requests.

    Its steps are then small beside the candidate's, and even them out.
    """
    return _least(above_c, above_b, tail, shift, root)


def _least(
    above_c: Exceedances,
    above_b: Exceedances,
    tail: float,
    shift: int,
    of_arm: Callable[[Floats, float, float], Floats],
) -> float:
    n_c, n_b, size = float(above_c[0]), float(above_b[0]), len(above_c)
    if n_c <= 0.0 or n_b <= 0.0:
        return 0.0
    ratio = sqrt(n_c / n_b)
    ends = -abs(shift) - 1, size + abs(shift) + 1
    middle = quantile_column(above_b, 1.0 - tail)
    low, high = max(ends[0], middle - _NEAR), min(ends[1], middle + _NEAR)
    while True:
        slow_c, fast_b = _slow_and_fast(above_c, above_b, shift, range(low, high))
        z_c, z_b = of_arm(slow_c, n_c, tail), of_arm(fast_b, n_b, 1.0 - tail)
        least = float(pair_nats(z_c, z_b, ratio).min())
        # Below these edges the candidate alone says ever more, above them the baseline.
        is_all_c, is_all_b = low == ends[0], high == ends[1]
        if (is_all_c or _of_one(z_c[:1])[0] >= least) and (is_all_b or _of_one(z_b[-1:])[0] >= least):
            return max(0.0, least)
        low, high = ends


def pair_nats(z_c: Floats, z_b: Floats, ratio: float) -> Floats:
    """Return the nats of both arms' deviates at one edge: `p_value` is their chance, or more, at the true edge.

    Args:
        ratio: sqrt(n_c / n_b).
    """
    alone = np.maximum(_of_one(z_c), _of_one(z_b))
    found: Floats = np.maximum(_of_both(z_c, z_b, atan(_ARC[0] * ratio), atan(_ARC[1] * ratio)), alone)
    return found


def union_nats(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """The same by two one-sample bounds: the chances of both tails added up, at the edge that is best for them."""
    if not above_c[0] or not above_b[0]:
        return 0.0
    edges = range(-abs(shift) - 1, len(above_c) + abs(shift) + 1)
    slow_c, fast_b = _slow_and_fast(above_c, above_b, shift, edges)
    arms = deviate(slow_c, float(above_c[0]), tail), deviate(fast_b, float(above_b[0]), 1.0 - tail)
    chances = [np.array([0.5 * erfc(z / sqrt(2.0)) for z in one.tolist()]) for one in arms]
    return evidence_for(float((chances[0] + chances[1]).min()))


def proven_nats(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """The engine's evidence, said by the proven bound."""
    x = quantile_above(above_c, above_b, tail, shift)
    return evidence_for(exp(-x) / 4.0 + p_value(x)) if x > 0.0 else 0.0


def closer_nats(above_c: Exceedances, above_b: Exceedances, tail: float, shift: int) -> float:
    """The engine's evidence with nearly exact tails."""
    with patch.object(formulas, "_quantile_terms", least_terms):
        return quantile_above(above_c, above_b, tail, shift)


def least_terms(above_c: Exceedances, n_c: float, above_b: Exceedances, n_b: float, tail: float) -> float:
    """`evidence._quantile_terms` with nearly exact tails."""
    return float((tail_nats(above_c, n_c, tail) + tail_nats(n_b - above_b, n_b, 1.0 - tail)).min())


def _slow_and_fast(
    above_c: Exceedances, above_b: Exceedances, shift: int, edges: range
) -> tuple[Floats, Floats]:
    """The candidate's requests above edges `shift` bins up, and the baseline's below them; beyond the columns, too."""
    at, last = np.arange(edges.start, edges.stop), len(above_c) - 1
    slow_c = above_c[np.clip(at + shift, 0, last)].astype(np.float64)
    return slow_c, float(above_b[0]) - above_b[np.clip(at, 0, last)].astype(np.float64)


def _of_both(z_c: Floats, z_b: Floats, least: float, most: float) -> Floats:
    """Nats of a pair's distance from the origin, across the nearest of both tangents and the arc between them."""
    with np.errstate(invalid="ignore"):
        ends = [np.nan_to_num(z_c * cos(one) + z_b * sin(one), nan=-np.inf) for one in (least, most)]
        is_between = (z_b * cos(least) >= z_c * sin(least)) & (z_b * cos(most) <= z_c * sin(most))
    h = np.maximum(np.where(is_between & (z_c > 0.0), np.hypot(z_c, z_b), np.maximum(*ends)), 0.0)
    # exp(-h**2 / 2) over Q(h) is at most this: Birnbaum 1942.
    arc = (most - least) / (2.0 * pi) * sqrt(2.0 * pi) * 0.5 * (np.sqrt(4.0 + h * h) + h)
    return _less(h, np.log((1.0 + arc) / (1.0 - 2.0 * _ALONE)))


def _of_one(z: Floats) -> Floats:
    """Nats of one arm alone."""
    return _less(np.maximum(z, 0.0), np.full_like(z, -log(_ALONE)))


def _less(h: Floats, by: Floats) -> Floats:
    """Nats of a deviate whose error rate is exp(by) times as high, by a bound of Mills' ratio (Sampford 1953)."""
    taken: Floats = 0.5 * h * h - by * h * 4.0 / (3.0 * h + np.sqrt(h * h + 8.0))
    return taken


_BOUNDS: Final[dict[str, Bound]] = {
    "engine: stated": quantile_above,
    "engine: proven": proven_nats,
    "closer": closer_nats,
    "valid": valid_nats,
    "uncorrected": uncorrected_nats,
    "union": union_nats,
}
_WINDOWS: Final = ((250, 21_200, 5.0), (96, 8_200, 5.0), (300, 2_700, 5.0), (9_000, 9_000, 1.5))
"""Candidate and baseline requests (as many as weighted minutes know as much as), and the harm."""


def main() -> None:
    """Print what each bound says about the same simulated windows of harm, in the median."""
    limit = limit_of(LATENCY.objective)
    shift = limit.bins_beyond(limit.kappa)
    print(f"| window | {' | '.join(_BOUNDS)} |\n| --- |{' --- |' * len(_BOUNDS)}")
    for n_c, n_b, times in _WINDOWS:
        rng = np.random.default_rng([n_c, n_b])
        slow = bin_chances(1.0 + LATENCY.limit * times)[1]
        drawn = (
            rng.multinomial(n, shares, size=500) for n, shares in ((n_c, slow), (n_b, bin_chances(1.0)[1]))
        )
        arms = [one[:, ::-1].cumsum(axis=1)[:, ::-1] for one in drawn]
        found = [
            np.median([bound(c, b, 0.05, shift) for c, b in zip(*arms, strict=True)])
            for bound in _BOUNDS.values()
        ]
        shown = " | ".join(f"{one:.1f}" for one in found)
        print(f"| {n_c:,} against {n_b:,}, {times:g}x | {shown} |", flush=True)


if __name__ == "__main__":
    main()
