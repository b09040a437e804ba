"""What `stretch` tries as evidence of a quantile: nearly exact tails, and a bound that holds at a gap."""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, exp, log, sqrt
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.operating_characteristics.objectives import LATENCY
from benchmarks.operating_characteristics.quantiles import (
    deviate,
    pair_nats,
    root,
    tail_nats,
    uncorrected_nats,
    union_nats,
    valid_nats,
)
from monitor.core.stats.evidence import kl, p_value, quantile_above
from monitor.core.stats.limit import limit_of
from monitor.core.stats.quantile_stretch import QuantileStretch

Arm: TypeAlias = Callable[[int, float], NDArray[np.float64]]


def _binomial(n: int, share: float) -> NDArray[np.float64]:
    """Chances of 0 to n hits."""
    ratios = np.log((n - np.arange(n)) / np.arange(1, n + 1) * share / (1.0 - share))
    chances: NDArray[np.float64] = np.exp(n * np.log1p(-share) + np.concatenate([[0.0], np.cumsum(ratios)]))
    return chances


def _plain(n: int, share: float) -> NDArray[np.float64]:
    """One count of correction, as the engine's evidence has it, at 0 to n hits."""
    return np.array([n * kl(max((k - 1) / n, share), share) for k in range(n + 1)])


def _nearly_exact(n: int, share: float) -> NDArray[np.float64]:
    return tail_nats(np.arange(n + 1.0), float(n), share)


@pytest.mark.parametrize(
    "n, share", [(12, 0.05), (50, 0.05), (240, 0.05), (30, 0.5), (300, 0.9), (240, 0.95)]
)
def test_a_tail_is_never_less_likely_than_its_nats_say(n: int, share: float) -> None:
    tails = np.cumsum(_binomial(n, share)[::-1])[::-1]
    nats, plain = _nearly_exact(n, share), _plain(n, share)
    for k in range(n + 1):
        assert nats[k] >= plain[k] - 1e-9
        if nats[k] > 1e-9 and tails[k] > 1e-200:
            assert tails[k] <= p_value(float(nats[k])) * (1 + 1e-9)
            assert nats[k] < 4 or k == n or tails[k] >= 0.8 * p_value(float(nats[k]))


@pytest.mark.parametrize("n_c, n_b", [(180, 17_820), (240, 2_400), (240, 240)])
@pytest.mark.parametrize("nats", [2.0, 4.0, 8.0, 11.35, 14.86])
def test_at_a_gap_both_pass_the_stated_rate_and_neither_the_proven_one(
    n_c: int, n_b: int, nats: float
) -> None:
    """Both quantiles at one edge with nothing near it: docs/operating-characteristics.md says how far it goes."""
    chances = np.outer(_binomial(n_c, 0.05), _binomial(n_b, 0.95))
    stated, proven = p_value(nats), p_value(nats) + exp(-nats) / 4

    def error(arm: Arm) -> float:
        shown = arm(n_c, 0.05)[:, None] + arm(n_b, 0.95)[None, :]
        return float(chances[shown >= nats].sum())

    assert error(_plain) <= min(1.95 * stated, proven)
    assert error(_nearly_exact) <= min(2.75 * stated, proven)


@pytest.mark.parametrize("n, share", [(12, 0.05), (180, 0.05), (240, 0.95), (2_400, 0.95)])
def test_a_deviate_is_never_larger_more_often_than_a_normal_one(n: int, share: float) -> None:
    """Above the expected count and below it: what two arms add up to rests on both."""
    tails = np.minimum(np.cumsum(_binomial(n, share)[::-1])[::-1], 1.0)
    z = deviate(np.arange(n + 1.0), float(n), share)
    assert (np.diff(z[1:]) > 0).all()
    for one, tail in zip(z[tails > 1e-200].tolist(), tails[tails > 1e-200].tolist(), strict=True):
        normal = p_value(0.5 * one * one) if one > 0 else 1.0 - p_value(0.5 * one * one)
        assert tail <= normal * (1 + 1e-9)


def _error(of_arm: Callable[..., NDArray[np.float64]], n_c: int, n_b: int, tail: float, nats: float) -> float:
    """How often a pair at the true edge says so much, over what is stated: the least of all edges never says more."""
    z_c = of_arm(np.arange(n_c + 1.0), float(n_c), tail)[:, None]
    z_b = of_arm(np.arange(n_b + 1.0), float(n_b), 1.0 - tail)[None, :]
    chances = np.outer(_binomial(n_c, tail), _binomial(n_b, 1.0 - tail))
    return float(chances[pair_nats(z_c, z_b, sqrt(n_c / n_b)) >= nats].sum()) / p_value(nats)


_LEVELS = [1.0, 2.0, 4.0, 8.0, 11.35, 14.86]


@pytest.mark.parametrize("n_c, n_b", [(180, 17_820), (240, 2_400), (240, 240), (2_400, 240)])
@pytest.mark.parametrize("nats", _LEVELS)
def test_the_valid_bound_keeps_its_stated_rate_at_a_gap(n_c: int, n_b: int, nats: float) -> None:
    assert 0.01 < _error(deviate, n_c, n_b, 0.05, nats) <= 1.0


@pytest.mark.parametrize("n_c, n_b", [(60, 600), (96, 8_200), (250, 21_200), (240, 2_400)])
@pytest.mark.parametrize("nats", _LEVELS)
def test_beside_ten_times_the_requests_it_needs_no_correction(n_c: int, n_b: int, nats: float) -> None:
    assert 0.7 < _error(root, n_c, n_b, 0.05, nats) <= 1.0


@pytest.mark.parametrize("n_c, n_b", [(240, 240), (2_400, 240)])
def test_without_them_it_does(n_c: int, n_b: int) -> None:
    assert max(_error(root, n_c, n_b, 0.05, nats) for nats in _LEVELS) > 1.3


@pytest.mark.parametrize("n_c, n_b", [(100, 900), (300, 300), (400, 20_000)])
def test_the_valid_bound_looks_at_every_edge_and_says_less_where_requests_lie_dense(
    n_c: int, n_b: int
) -> None:
    """Which is what it costs; both arms' chances added up say less still."""
    rng = np.random.default_rng(3)
    arms = [np.sort(rng.lognormal(shift, 0.8, n)) for shift, n in ((0.9, n_c), (0.0, n_b))]
    above = [np.array([(one > 1.02**edge).sum() for edge in range(-200, 250)]) for one in arms]
    above = [np.concatenate([[len(one)], counts, [0]]) for one, counts in zip(arms, above, strict=True)]
    said = valid_nats(above[0], above[1], 0.05, 4)
    each = [
        pair_nats(
            deviate(above[0][[min(edge + 4, 451)]].astype(float), float(n_c), 0.05),
            deviate(n_b - above[1][[edge]].astype(float), float(n_b), 0.95),
            sqrt(n_c / n_b),
        )[0]
        for edge in range(452)
    ]
    assert said == pytest.approx(min(each))
    assert union_nats(above[0], above[1], 0.05, 4) < said < quantile_above(above[0], above[1], 0.05, 4)


@pytest.mark.parametrize("bound", [valid_nats, uncorrected_nats, union_nats])
def test_an_arm_without_requests_is_no_evidence(bound: Callable[..., float]) -> None:
    some, none = np.array([9, 9, 3, 0]), np.array([0, 0, 0, 0])
    assert bound(some, none, 0.05, 1) == bound(none, some, 0.05, 1) == 0.0


@pytest.mark.parametrize("place, is_shown", [(0.1, False), (0.65, True)])
def test_at_half_the_limit_millions_show_what_a_bin_hides_and_it_is_not_beyond(
    place: float, is_shown: bool
) -> None:
    """+7.5 % is 3.65 bins: judged as 4, which hold only where the baseline's quantile lies low in its bin."""
    limit = limit_of(LATENCY.objective)
    edges = np.arange(400.0, 1_000.0)
    above = [4e6 * _slower(edges - 690 - place - slow / log(1.02)) for slow in (log(1.075), 0.0)]
    stretch = QuantileStretch(limit, np.array([[4e6, *one] for one in above]), 399)
    assert (stretch.evidence_in() > 14.86) is is_shown
    assert stretch.beyond(1.0) is False


def _slower(bins: NDArray[Any]) -> NDArray[np.float64]:
    """Share of lognormal latencies, sigma 0.8, beyond so many bins above their p95."""
    deviates = 1.6448536269514722 + bins * log(1.02) / 0.8
    return np.array([0.5 * erfc(z / sqrt(2.0)) for z in deviates.tolist()])
