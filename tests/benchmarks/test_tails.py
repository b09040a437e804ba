"""The nearly exact tails that `stretch` tries: bounds at every count, never below the formula's own, and close."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.operating_characteristics.stretch import tail_nats
from monitor.core.stats.evidence import kl, p_value

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
