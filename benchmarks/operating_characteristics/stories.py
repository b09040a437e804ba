"""What happens to a release, minute by minute: how much traffic each arm gets and how it fares.

A story is what is expected; `draw` makes releases of it. Arrivals are Poisson, outcomes binomial. Minutes of
all releases are drawn at once: arrays have the shape (releases, minutes, strata).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import erfc, log, pi, sqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.operating_characteristics.objectives import LATENCY_MEDIAN_US, LATENCY_SIGMA, Guarded
from monitor.core.sketch import RATIO

DAY_MIN: Final = 1440
ONSET_MIN: Final = 360
"""Harm begins six hours into the release, where a cell has an onset."""

Floats: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of both arms together, a second, and the candidate's share of them."""

    per_second: float
    canary: float

    @property
    def candidate_per_min(self) -> float:
        """Candidate requests a minute."""
        return 60.0 * self.per_second * self.canary

    @property
    def baseline_per_min(self) -> float:
        """Baseline requests a minute."""
        return 60.0 * self.per_second * (1.0 - self.canary)

    @property
    def label(self) -> str:
        """As tables name it: `10/s, 5%`."""
        return f"{self.per_second:g}/s, {100 * self.canary:g}%"

    @property
    def slug(self) -> str:
        """As names of cells have it: `10s-5`."""
        return f"{self.per_second:g}s-{100 * self.canary:g}"


@dataclass(frozen=True, slots=True)
class Spell:
    """Minutes [start, end) in which the candidate is `times` X worse than the baseline."""

    start: int
    end: int
    times: float


@dataclass(frozen=True, slots=True)
class RateStory:
    """Requests and chance of a hit, minute by minute and stratum by stratum, shape (minutes, strata) each.

    Attributes:
        icc: Correlation of the outcomes of one arm within one minute: a shock that only this arm has.
    """

    candidate_per_min: Floats
    baseline_per_min: Floats
    candidate: Floats
    baseline: Floats
    icc: float = 0.0

    def draw(self, rng: np.random.Generator, releases: int) -> RateReleases:
        """Return so many releases."""
        shape = (releases, *self.candidate.shape)
        n_c = rng.poisson(self.candidate_per_min, shape)
        n_b = rng.poisson(self.baseline_per_min, shape)
        s_c = rng.binomial(n_c, self._shaken(rng, self.candidate, releases))
        s_b = rng.binomial(n_b, self._shaken(rng, self.baseline, releases))
        return RateReleases(s_c, n_c, s_b, n_b)

    def _shaken(self, rng: np.random.Generator, rate: Floats, releases: int) -> Floats:
        """Rates drawn from the beta law whose intra-class correlation is `icc`."""
        if self.icc <= 0.0:
            return rate
        weight = (1.0 - self.icc) / self.icc
        return rng.beta(rate * weight, (1.0 - rate) * weight, (releases, *rate.shape))


@dataclass(frozen=True, slots=True)
class RateReleases:
    """Hits and requests of both arms, shape (releases, minutes, strata) each."""

    s_c: Whole
    n_c: Whole
    s_b: Whole
    n_b: Whole

    @property
    def minutes(self) -> int:
        """Length of each release."""
        return len(self.s_c[0])

    @property
    def strata(self) -> int:
        """Kinds of requests that are told apart."""
        return len(self.s_c[0, 0])

    def pooled(self) -> RateReleases:
        """Return the same releases with all kinds of requests in one stratum."""
        return RateReleases(*(part.sum(axis=2, keepdims=True) for part in self.parts()))

    def parts(self) -> tuple[Whole, Whole, Whole, Whole]:
        """Return candidate hits and requests, baseline hits and requests."""
        return self.s_c, self.n_c, self.s_b, self.n_b


@dataclass(frozen=True, slots=True)
class LatencyStory:
    """Requests a minute of both arms, and the factor on the candidate's latencies, minute by minute."""

    candidate_per_min: float
    baseline_per_min: float
    slowdown: Floats

    def draw(self, rng: np.random.Generator, releases: int) -> LatencyReleases:
        """Return so many releases."""
        shape = (releases, len(self.slowdown))
        n_c, n_b = rng.poisson(self.candidate_per_min, shape), rng.poisson(self.baseline_per_min, shape)
        lowest, baseline = bin_chances(1.0)
        bins_c = np.zeros((*shape, len(baseline)), dtype=np.int32)
        for slow in np.unique(self.slowdown):
            minutes = self.slowdown == slow
            bins_c[:, minutes] = rng.multinomial(n_c[:, minutes], bin_chances(float(slow))[1])
        bins_b = rng.multinomial(n_b, baseline).astype(np.int32)
        return LatencyReleases(lowest, bins_c, bins_b)


@dataclass(frozen=True, slots=True)
class LatencyReleases:
    """Requests per sketch bin of both arms, shape (releases, minutes, bins); the first bin is `lowest`."""

    lowest: int
    candidate: NDArray[np.int32]
    baseline: NDArray[np.int32]

    @property
    def minutes(self) -> int:
        """Length of each release."""
        return len(self.candidate[0])


@lru_cache(maxsize=64)
def bin_chances(slowdown: float) -> tuple[int, Floats]:
    """Return the lowest bin and the chance of each bin of the lognormal latency, `slowdown` times as slow.

    The bins are the same for every slowdown up to 8; beyond them lies less than one request in 10**7.
    """
    low = round((log(LATENCY_MEDIAN_US) - 5.3 * LATENCY_SIGMA) / log(RATIO))
    high = round((log(8 * LATENCY_MEDIAN_US) + 5.3 * LATENCY_SIGMA) / log(RATIO))
    center = log(LATENCY_MEDIAN_US * slowdown)
    edges = np.arange(low, high) * log(RATIO)
    below = np.array([0.5 * erfc((center - edge) / (LATENCY_SIGMA * sqrt(2.0))) for edge in edges])
    return low, np.diff(np.concatenate([[0.0], below, [1.0]]))


def _column(value: float, minutes: int) -> Floats:
    return np.full((minutes, 1), value)


def _times(spells: tuple[Spell, ...], minutes: int) -> Floats:
    times = np.zeros(minutes)
    for spell in spells:
        times[spell.start : spell.end] = spell.times
    return times


def harmed(guarded: Guarded, base: Floats, times: Floats) -> Floats:
    """Return the candidate's rate where it is `times` X worse than `base`, shape (minutes, 1)."""
    worse: Floats = np.clip(base * (1.0 + guarded.limit * times[:, None]), 0.0, 1.0)
    return worse


def steady(guarded: Guarded, traffic: Traffic, *spells: Spell, minutes: int = DAY_MIN) -> RateStory:
    """Return independent requests at a constant rate; the candidate is worse in the spells, adding nothing up."""
    base = _column(guarded.base, minutes)
    return RateStory(
        _column(traffic.candidate_per_min, minutes),
        _column(traffic.baseline_per_min, minutes),
        harmed(guarded, base, _times(spells, minutes)),
        base,
    )


def shaken(guarded: Guarded, traffic: Traffic, icc: float, *spells: Spell) -> RateStory:
    """Return minute-level shocks of each arm, under diurnal traffic (1 to 3) and a shared drift of 4 points."""
    day = 2 * pi * np.arange(DAY_MIN)[:, None] / DAY_MIN
    volume = 1.0 - 0.5 * np.cos(day)
    base = guarded.base + 0.02 * np.sin(day)
    return RateStory(
        traffic.candidate_per_min * volume,
        traffic.baseline_per_min * volume,
        harmed(guarded, base, _times(spells, DAY_MIN)),
        base,
        icc,
    )


def mixed(guarded: Guarded, traffic: Traffic, *spells: Spell) -> RateStory:
    """Return two kinds of requests, of which the candidate gets more hard ones: 40 % against 20 %."""
    base = np.tile([0.95, 0.70], (DAY_MIN, 1))
    return RateStory(
        np.tile([0.6, 0.4], (DAY_MIN, 1)) * traffic.candidate_per_min,
        np.tile([0.8, 0.2], (DAY_MIN, 1)) * traffic.baseline_per_min,
        harmed(guarded, base, _times(spells, DAY_MIN)),
        base,
    )


def ramped(guarded: Guarded, per_second: float, *spells: Spell) -> RateStory:
    """Return a rollout of 1, 5, 20, 50 %, six hours each, while both arms lose 6 points over the day."""
    canary = np.repeat([0.01, 0.05, 0.20, 0.50], DAY_MIN // 4)[:, None]
    base = np.linspace(guarded.base + 0.02, guarded.base - 0.04, DAY_MIN)[:, None]
    return RateStory(
        60.0 * per_second * canary,
        60.0 * per_second * (1.0 - canary),
        harmed(guarded, base, _times(spells, DAY_MIN)),
        base,
    )


def outage(guarded: Guarded, traffic: Traffic, *spells: Spell) -> RateStory:
    """Return an outage of half an hour that takes 40 % of the successes of both arms."""
    base = _column(guarded.base, DAY_MIN)
    base[ONSET_MIN : ONSET_MIN + 30] *= 0.6
    return RateStory(
        _column(traffic.candidate_per_min, DAY_MIN),
        _column(traffic.baseline_per_min, DAY_MIN),
        harmed(guarded, base, _times(spells, DAY_MIN)),
        base,
    )


def slowed(guarded: Guarded, traffic: Traffic, *spells: Spell, minutes: int = DAY_MIN) -> LatencyStory:
    """Return lognormal latencies; the candidate is slower in the spells."""
    return LatencyStory(
        traffic.candidate_per_min,
        traffic.baseline_per_min,
        1.0 + guarded.limit * _times(spells, minutes),
    )
