"""How much a past hour tells about the same hour of another day: the variance that more requests do not average out.

The same hour of different days differs by more than chance: another audience, another season, a provider's
mood. With tau**2 the variance of such a difference, n requests of the past say as much about today as

    n' = n / (1 + n * tau**2 * (1 + 1/D) / u)

requests of today would: u is the variance of one request's value, D how many days were pooled. Two answers are
asked for tau**2, and the larger counts:

- between hours: the spread of the hours around their own mean, beyond chance;
- between days: the spread of whole days. What moves a day moves all its hours together, so that hours added up
  do not average it out. H hours of a day must weigh together what one day does: H times the days' tau**2.

Few days say little about how days differ, so the days' spread is taken at the upper end of what they leave open:
its 90 % confidence bound by the chi-square law.

Source: DerSimonian and Laird 1986 (moments of tau**2); Wilson and Hilferty 1931 (quantile of chi-square).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final, NamedTuple

_LOW_Z: Final = 1.2815515655446004  # the normal law has 10 % below minus this
_LOW_OF_ONE: Final = 0.015790774093431  # 10 % quantile of chi-square with 1 degree of freedom


class Hour(NamedTuple):
    """One hour of the past: on which day, in which slot, how many requests, and their mean value."""

    day: int
    slot: int
    n: float
    mean: float


class Level(NamedTuple):
    """A slot's mean over all its days, and the variance of one request's value there."""

    mean: float
    unit: float


def day_variance(hours: Sequence[Hour], levels: Mapping[int, Level], fitted: int) -> float:
    """Return tau**2, in the squared unit of the values; 0 where nothing ever varies.

    Args:
        levels: Of each slot that an hour is in.
        fitted: Days' worth of means that were fitted: 1 where slots are hours of the day, 7 where of the week.
    """
    told = [hour for hour in hours if hour.n > 0 and levels[hour.slot].unit > 0.0]
    if not told:
        return 0.0
    slots = len({hour.slot for hour in told})
    between_hours = _beyond_chance(
        [(hour.mean - levels[hour.slot].mean, levels[hour.slot].unit / hour.n) for hour in told],
        len(told) - slots,
    )
    by_day: dict[int, list[float]] = {}
    for hour in told:
        level = levels[hour.slot]
        sums = by_day.setdefault(hour.day, [0.0, 0.0, 0.0])
        sums[0] += hour.n
        sums[1] += hour.n * (hour.mean - level.mean)
        sums[2] += hour.n * level.unit
    days = [(moved / n, chance / (n * n)) for n, moved, chance in by_day.values()]
    between_days = _beyond_chance(days, len(days) - fitted, is_few=True)
    return max(between_hours, between_days * len(told) / len(days))


def effective_size(n: float, unit: float, tau2: float, days: int) -> float:
    """Return how many requests of today `n` requests of `days` past days stand for."""
    if n <= 0.0 or unit <= 0.0 or days < 1:
        return max(n, 0.0)
    return n / (1.0 + n * tau2 * (1.0 + 1.0 / days) / unit)


def _beyond_chance(moves: Sequence[tuple[float, float]], free: int, *, is_few: bool = False) -> float:
    """Return the variance of moves beyond their own (chance) variances, each weighed by what it is worth.

    Args:
        free: Degrees of freedom; without any, the moves are taken to be what chance makes.
        is_few: Take the upper 90 % bound.
    """
    weights = [1.0 / chance for _, chance in moves]
    whole = sum(weights)
    room = whole - sum(weight * weight for weight in weights) / whole
    if free < 1:
        free, spread = 1, 1.0
    else:
        spread = sum(weight * move * move for (move, _), weight in zip(moves, weights, strict=True))
    if is_few:
        spread *= free / low_chi_square(free)
    # A single day leaves no room to compare: then it is judged as if there were two.
    return max(0.0, spread - free) / (room if len(moves) > 1 and room > 0.0 else whole / 2)


def low_chi_square(free: int) -> float:
    """Return the 10 % quantile of chi-square with `free` degrees of freedom."""
    step = 2.0 / (9.0 * free)
    return max(_LOW_OF_ONE, free * max(0.0, 1.0 - step - _LOW_Z * sqrt(step)) ** 3)
