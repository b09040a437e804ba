"""Which formula of `evidence` answers for a limit: the one place that turns direction and unit into a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from monitor.core.budget import Unit
from monitor.core.stats.evidence import (
    Moments,
    mean_above,
    mean_below,
    points_above,
    points_below,
    rate_above,
    rate_below,
)
from monitor.core.stats.limit import Limit

_LEAST_BASELINE: Final = 0.8  # of the candidate's size: half and half, and what chance makes of it

RateTest: TypeAlias = Callable[[float, float, float, float], float]
"""Evidence (nats) from candidate hits, candidate requests, baseline hits, baseline requests."""

MeanTest: TypeAlias = Callable[[Moments, Moments], float]
"""Evidence (nats) from the candidate's and the baseline's capped values."""


def rate_beyond(limit: Limit, scale: float) -> RateTest:
    """Return the test of a rate being beyond `scale` times the limit."""
    return _rate_test(limit, scale, above=limit.higher_is_worse)


def rate_within(limit: Limit, scale: float) -> RateTest:
    """Return the test of a rate being within `scale` times the limit."""
    return _rate_test(limit, scale, above=not limit.higher_is_worse)


def mean_beyond(limit: Limit, scale: float) -> MeanTest:
    """Return the test of a capped mean being beyond `scale` times the limit.

    None is made where growing is harm and the baseline is clearly the smaller arm: a few values too many in the
    tail of a large candidate, beside a small baseline without its own, pass for growth more often than p says.
    """
    test = _mean_test(limit, scale, above=limit.higher_is_worse)
    if not limit.higher_is_worse:
        return test
    return lambda candidate, baseline: (
        test(candidate, baseline) if baseline.n >= _LEAST_BASELINE * candidate.n else 0.0
    )


def mean_within(limit: Limit, scale: float) -> MeanTest:
    """Return the test of a capped mean being within `scale` times the limit."""
    return _mean_test(limit, scale, above=not limit.higher_is_worse)


def _rate_test(limit: Limit, scale: float, *, above: bool) -> RateTest:
    if limit.unit is Unit.POINTS:
        shift, points = limit.shift(scale), points_above if above else points_below
        return lambda s_c, n_c, s_b, n_b: points(s_c, n_c, s_b, n_b, shift)
    ratio, relative = limit.ratio(scale), rate_above if above else rate_below
    return lambda s_c, n_c, s_b, n_b: relative(s_c, n_c, s_b, n_b, ratio)


def _mean_test(limit: Limit, scale: float, *, above: bool) -> MeanTest:
    ratio, mean = limit.ratio(scale), mean_above if above else mean_below
    return lambda candidate, baseline: mean(candidate, baseline, ratio)
