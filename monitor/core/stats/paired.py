"""Two releases that answered the same requests: what pairs say about rates, sizes and means.

A pair holds what both arms made of one request, so the request's own difficulty is on both sides and cancels.
Assumption left: pairs are independent of each other; the arms of a pair need not be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, exp, inf, lgamma, log, sqrt
from typing import Final, NamedTuple

from monitor.core.budget import Unit
from monitor.core.stats.evidence import Moments, evidence_for, mean_above
from monitor.core.stats.intervals import CONFIDENCE, Interval

_BISECTIONS: Final = 60  # error 2**-60 of the searched interval
_LARGEST: Final = 1e6  # a ratio beyond a million, or below a millionth, is no longer reported
_NEGLIGIBLE: Final = 1e-17  # of a sum, below its last bit
_MEAN_STEP: Final = 1.01  # how far from the observed ratio the search for an interval's end begins
_STEPS_PER_BIN: Final = 200  # ratio bins per unit of the natural logarithm: half a percent each
_RATIO_BIN_MAX: Final = ceil(log(_LARGEST) * _STEPS_PER_BIN)  # of the largest ratio reported

NEVER_BIN: Final = _RATIO_BIN_MAX + 1
"""The bin of a pair whose candidate never finished; its negative is that of one whose baseline never did."""


class PairCounts(NamedTuple):
    """Pairs by what a true/false label says of each arm; scaled ones need not be whole."""

    both: float
    only_candidate: float
    only_baseline: float
    neither: float

    @property
    def n(self) -> float:
        """All pairs."""
        return sum(self)

    @property
    def candidate(self) -> float:
        """Pairs in which the candidate's label is true."""
        return self.both + self.only_candidate

    @property
    def baseline(self) -> float:
        """Pairs in which the baseline's label is true."""
        return self.both + self.only_baseline


def sign_tail(k: int, n: int) -> float:
    """Return the chance of at most `k` heads in `n` tosses of a fair coin, summed from its largest term down."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if 2 * k >= n:
        return 1.0 - sign_tail(n - k - 1, n)
    term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2.0))
    total = 0.0
    while k >= 0 and term > _NEGLIGIBLE * total:
        total += term
        term *= k / (n - k + 1)
        k -= 1
    return total


def mcnemar_p(only_candidate: int, only_baseline: int) -> float:
    """Return the exact two-sided p-value of "both rates are equal": only pairs that differ speak about it.

    Source: the conditional binomial test of McNemar 1947, twice the smaller tail; 1 where no pair differs.
    """
    differing = only_candidate + only_baseline
    return min(1.0, 2.0 * sign_tail(min(only_candidate, only_baseline), differing))


def points_score(counts: PairCounts, shift: float) -> float:
    """Return the standard score of the observed difference against a true one of `shift` (-1 to 1).

    Source: Tango, Statistics in Medicine 17 (1998) 891-908: the share of pairs in which only the baseline's label is
    true is estimated under the null by the larger root of a quadratic. At 0 it is McNemar's statistic.
    """
    _, b, c, _ = counts
    n = counts.n
    linear = -b - c + (2.0 * n - b + c) * shift
    rest = -c * shift * (1.0 - shift)
    share = (sqrt(max(linear * linear - 8.0 * n * rest, 0.0)) - linear) / (4.0 * n)
    variance = n * (2.0 * share + shift * (1.0 - shift))
    return _standard(b - c - n * shift, variance)


def ratio_score(counts: PairCounts, ratio: float) -> float:
    """Return the standard score of the observed ratio of the rates against a true one of `ratio` (above 0).

    Source: Tang, Tang, Chan, Statistics in Medicine 22 (2003) 1217-1233 (the score statistic of Nam and Blackwelder
    2002), with the null's estimate in closed form.
    """
    a, b, c, _ = counts
    n = counts.n
    square = n * (1.0 + ratio)
    linear = (a + c) * ratio * ratio - (a + b + 2.0 * c)
    rest = c * (1.0 - ratio) * (a + b + c) / n
    share = (sqrt(max(linear * linear - 4.0 * square * rest, 0.0)) - linear) / (2.0 * square)
    variance = n * (1.0 + ratio) * share + (a + b + c) * (ratio - 1.0)
    return _standard(a + b - (a + c) * ratio, variance)


def _standard(excess: float, variance: float) -> float:
    if variance > 0.0:
        return excess / sqrt(variance)
    return 0.0 if excess == 0.0 else inf if excess > 0.0 else -inf


def rate_pairs_interval(counts: PairCounts, unit: Unit, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of candidate minus baseline, in percentage points or in percent of the baseline's rate.

    All true differences that the score test does not reject: `points_score` or `ratio_score`. Enumerated coverage of
    95 % intervals stands in the test beside it. An end that the data do not bound is None.
    """
    if counts.n <= 0:
        return Interval(None, None, confidence)
    z = sqrt(2.0 * evidence_for((1.0 - confidence) / 2.0))
    if unit is Unit.POINTS:
        low = _crossing(lambda shift: points_score(counts, shift) - z, -1.0, 1.0)
        high = _crossing(lambda shift: points_score(counts, shift) + z, -1.0, 1.0)
        return Interval(100.0 * low, 100.0 * high, confidence)
    if not counts.baseline:
        return Interval(None, None, confidence)  # nothing to be in percent of
    low = 0.0
    if counts.candidate:
        low = exp(_crossing(lambda g: ratio_score(counts, exp(g)) - z, -log(_LARGEST), log(_LARGEST)))
    high = exp(_crossing(lambda g: ratio_score(counts, exp(g)) + z, -log(_LARGEST), log(_LARGEST)))
    return Interval(
        100.0 * (low - 1.0), None if high >= 0.999 * _LARGEST else 100.0 * (high - 1.0), confidence
    )


def _crossing(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses 0, by bisection; the end it lies beyond where it does not inside."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if falling(middle) > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def ratio_bin(candidate: float, baseline: float) -> int:
    """Return the bin of candidate over baseline, both finished and >= 0: bin 0 holds equal ones, half a percent wide.

    Nothing against nothing is equal; something against nothing is beyond every ratio that is reported.
    """
    if candidate == baseline:
        return 0
    if not baseline or not candidate:
        return _RATIO_BIN_MAX if not baseline else -_RATIO_BIN_MAX
    found = round(log(candidate / baseline) * _STEPS_PER_BIN)
    return max(-_RATIO_BIN_MAX, min(_RATIO_BIN_MAX, found))


@dataclass(frozen=True, slots=True)
class MedianRatio:
    """The median of candidate over baseline of the same requests, with its interval, all in percent from equal.

    `median` is infinite where the candidate (minus: the baseline) did not finish half of the pairs; None: no pairs.
    """

    pairs: int
    median: float | None
    interval: Interval


def median_ratio(bins: Mapping[int, int], *, confidence: float = CONFIDENCE) -> MedianRatio:
    """Return the median of paired ratios and its distribution-free interval.

    The interval runs between the k-th smallest and the k-th largest ratio, k the largest for which at most k - 1 heads
    in n tosses are rarer than half the error rate; its ends are the outer edges of their bins, so it covers at least
    as often as it says. Source: the inverted sign test, Thompson 1936; Conover, Practical Nonparametric Statistics.

    Args:
        bins: Pairs by `ratio_bin`, those where one arm never finished in `NEVER_BIN` and its negative.
    """
    n = sum(bins.values())
    if not n:
        return MedianRatio(0, None, Interval(None, None, confidence))
    rank = _sign_rank(n, (1.0 - confidence) / 2.0)
    middle = _percent_at(_nth(bins, (n + 1) // 2), 0.0)
    if not rank:
        return MedianRatio(n, middle, Interval(None, None, confidence))
    low, high = _percent_at(_nth(bins, rank), -0.5), _percent_at(_nth(bins, n + 1 - rank), 0.5)
    return MedianRatio(n, middle, Interval(_finite(low), _finite(high), confidence))


def _sign_rank(n: int, half_error: float) -> int:
    """Return the largest k with P(at most k - 1 heads of n) <= half_error; 0 where there is none."""
    low, high = 0, n // 2 + 1
    while high - low > 1:
        middle = (low + high) // 2
        if sign_tail(middle - 1, n) <= half_error:
            low = middle
        else:
            high = middle
    return low


def _nth(bins: Mapping[int, int], rank: int) -> int:
    for index in sorted(bins):
        rank -= bins[index]
        if rank <= 0:
            return index
    raise AssertionError("a rank is at most the number of pairs")


def _percent_at(index: int, edge: float) -> float:
    if abs(index) >= _RATIO_BIN_MAX:  # beyond what is told apart
        return inf if index > 0 else -inf if index == -NEVER_BIN else -100.0
    return 100.0 * (exp((index + edge) / _STEPS_PER_BIN) - 1.0)


def _finite(percent: float) -> float | None:
    return None if percent in (inf, -inf) else percent


@dataclass(slots=True)
class PairSums:
    """Sums of the powers of both arms' values up to the third, exact: what a ratio of means is judged by."""

    n: int = 0
    powers: list[int] = field(default_factory=lambda: [0] * 9)  # c b cc cb bb ccc ccb cbb bbb

    def add(self, c: int, b: int) -> None:
        """Add a pair's values, whole numbers: the candidate's and the baseline's."""
        self.n += 1
        cc, bb = c * c, b * b
        terms = (c, b, cc, c * b, bb, cc * c, cc * b, c * bb, bb * b)
        self.powers = [one + term for one, term in zip(self.powers, terms, strict=True)]

    def merge(self, other: PairSums) -> None:
        """Add all that `other` holds."""
        self.n += other.n
        self.powers = [one + more for one, more in zip(self.powers, other.powers, strict=True)]

    @property
    def means(self) -> tuple[float, float] | None:
        """The candidate's and the baseline's mean; None without a pair."""
        return (self.powers[0] / self.n, self.powers[1] / self.n) if self.n else None

    def excess(self, ratio: float, scale: float = 1.0) -> Moments:
        """Return the moments of candidate minus `ratio` times baseline over the pairs, counted `scale` times."""
        c, b, cc, cb, bb, ccc, ccb, cbb, bbb = (one / self.n for one in self.powers)
        mean = c - ratio * b
        second = cc - 2.0 * ratio * cb + ratio**2 * bb
        third = ccc - 3.0 * ratio * ccb + 3.0 * ratio**2 * cbb - ratio**3 * bbb
        variance = second - mean * mean
        if variance <= 1e-12 * (cc + ratio**2 * bb):  # what rounding leaves of no variance at all
            return Moments(self.n * scale, mean, max(variance, 0.0), 0.0)
        skew = (third - 3.0 * mean * second + 2.0 * mean**3) / variance**1.5
        return Moments(self.n * scale, mean, variance, skew)


def mean_pairs_interval(sums: PairSums, *, scale: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
    """Return the interval of the candidate's mean over the baseline's, in percent of the baseline's.

    A ratio r is rejected where the mean of candidate - r * baseline over the pairs is not 0: Fieller, JRSS B 16 (1954)
    175-185, by `mean_above`, which claims nothing below 100 pairs or 355 skewness**2 of that very difference.

    Args:
        scale: Counts each pair so many times: what more pairs like these would show.
    """
    means = sums.means
    if means is None or min(means) <= 0.0:
        return Interval(None, None, confidence)
    needed, observed = evidence_for((1.0 - confidence) / 2.0), means[0] / means[1]

    def rejects(ratio: float) -> bool:
        found = sums.excess(ratio, scale)
        nothing = Moments(found.n, 0.0, 0.0, 0.0)
        upward = found._replace(
            mean=abs(found.mean)
        )  # above at ratios below the observed one, below at those above
        return mean_above(upward, nothing, 1.0) >= needed

    low, high = (_outward(rejects, observed, upward) for upward in (False, True))
    return Interval(
        None if low is None else 100.0 * (low - 1.0),
        None if high is None else 100.0 * (high - 1.0),
        confidence,
    )


def _outward(rejects: Callable[[float], bool], observed: float, upward: bool) -> float | None:
    """Return the ratio nearest to the observed one from which on ratios are rejected; None if none is found."""
    inner, away = 0.0, log(_MEAN_STEP)
    sign = 1.0 if upward else -1.0
    while not rejects(observed * exp(sign * away)):
        inner, away = away, 2.0 * away
        if away > log(_LARGEST):
            return None
    for _ in range(_BISECTIONS):
        middle = 0.5 * (inner + away)
        if rejects(observed * exp(sign * middle)):
            away = middle
        else:
            inner = middle
    return observed * exp(sign * away)
