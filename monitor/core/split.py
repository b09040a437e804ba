"""The traffic split: whether the candidate gets the share of the requests that the budget declares.

Where routing is broken, every comparison is (sample ratio mismatch). The test may be looked at after every
minute: its e-value is a likelihood ratio, candidate shares drawn from a beta law around the declared one against
the nearest share that the declaration allows, and under any allowed share it exceeds 1/alpha at any time with
probability alpha at most. Given a minute's requests their split is what is tested, so a daily curve is no news.

Requests that come in bursts carry less than their number says. A minute counts for 1/phi of itself, phi being the
dispersion of the split's own minutes before it: a weight that is known beforehand and at most 1 keeps the e-value
one (Jensen). Before six minutes an intra-class correlation of 0.05 is assumed. What phi does not see are retries or
reconnects in one arm that last for many minutes: they do change the split, and they page.

Source: Lindon and Malek, NeurIPS 2022 (multinomial counts, conjugate mixture, optional stopping).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import lgamma, log, sqrt
from typing import Final, NamedTuple

from monitor.core.budget import TrafficSplit
from monitor.core.stats.contrast import BLOCK_MIN, pot_variance
from monitor.core.stats.dispersion import ASSUMED_ICC
from monitor.core.stats.evidence import kl

WRONG_NATS: Final = log(1e4)  # e-value of 10,000: wrong alarms in at most 1 of 10,000 releases
RIGHT_MIN: Final = 60  # how long the split must be right again
_PRIOR_REQUESTS: Final = 100.0  # the beta law's weight: it expects deviations of sqrt(p * (1 - p)) / 10
_NOT_REJECTED: Final = 1.92  # nats: p = 0.05, two-sided
_FAVOURED: Final = 3.0  # nats by which the declared share must explain the minutes better than the wrong one
_LEAST: Final = 5  # changes: six minutes
_KEEP_MIN: Final = 1440  # a day; the longest stretch that is looked at has 960 minutes


class Split(NamedTuple):
    """Requests of the candidate, and of both arms together; whole, or weighted."""

    candidate: float
    both: float

    @property
    def share(self) -> float:
        """The candidate's part, 0 to 1; 0 of nothing."""
        return self.candidate / self.both if self.both else 0.0


def e_nats(found: Split, declared: TrafficSplit) -> float:
    """Return the logarithm of the e-value against every share that the declaration allows.

    The least over the allowed shares is at the one that is nearest to what was found.
    """
    c, b = found.candidate, found.both - found.candidate
    p = declared.share
    alpha, beta = _PRIOR_REQUESTS * p, _PRIOR_REQUESTS * (1.0 - p)
    mixture = _log_beta(alpha + c, beta + b) - _log_beta(alpha, beta)
    nearest = _nearest(found, declared)
    return mixture - c * log(nearest) - b * log(1.0 - nearest)


def is_right(found: Split, declared: TrafficSplit, wrong: float) -> bool:
    """Tell whether a stretch shows the declared split: it fits, and clearly better than the wrong share does."""
    if not found.both:
        return False
    misfit = _misfit(found, declared)
    return misfit < _NOT_REJECTED and found.both * kl(found.share, wrong) - misfit >= _FAVOURED


def _misfit(found: Split, declared: TrafficSplit) -> float:
    return found.both * kl(found.share, _nearest(found, declared))


def _nearest(found: Split, declared: TrafficSplit) -> float:
    low, high = declared.allowed
    return min(max(found.share, low), high)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


class SplitWatch:
    """The split of one arming against one declaration, minute by minute.

    Attributes:
        seen: What the current test has seen so far, unweighted.
    """

    __slots__ = ("_minutes", "_noise", "_tested", "_wrong_share", "declared", "seen")

    def __init__(self, declared: TrafficSplit) -> None:
        self.declared = declared
        self.seen = Split(0, 0)
        self._tested = Split(0.0, 0.0)
        self._minutes: deque[Split] = deque(
            maxlen=_KEEP_MIN
        )  # weighted, since the split was found to be wrong
        self._wrong_share: float | None = None  # at which it was found to be wrong
        self._noise = (_Changes(1), _Changes(BLOCK_MIN))

    @property
    def is_wrong(self) -> bool:
        """From an e-value of 10,000 on, until the last hour shows the split to be right.

        Until more than an hour does, where that has too few requests to show it.
        """
        return self._wrong_share is not None

    def append(self, candidate: int, baseline: int) -> bool:
        """Take in one closed minute's requests, and tell whether the answer changed."""
        both = candidate + baseline
        weight = 1.0 / self._phi(both)
        for noise in self._noise:
            noise.take(candidate, both)
        self.seen = Split(self.seen.candidate + candidate, self.seen.both + both)
        tested = self._tested
        self._tested = Split(tested.candidate + weight * candidate, tested.both + weight * both)
        if self._wrong_share is None:
            return self._fails()
        return self._returns(Split(weight * candidate, weight * both), self._wrong_share)

    def _fails(self) -> bool:
        # The mixture is no likelier than its best share: most minutes need no more than this look.
        can_be = _misfit(self._tested, self.declared) >= WRONG_NATS
        if can_be and e_nats(self._tested, self.declared) >= WRONG_NATS:
            self._wrong_share = self._tested.share
        return self.is_wrong

    def _returns(self, counted: Split, wrong: float) -> bool:
        self._minutes.append(counted)
        if not any(is_right(one, self.declared, wrong) for one in self._newest()):
            return False
        self._wrong_share = None
        self.seen, self._tested = Split(0, 0), Split(0.0, 0.0)
        self._minutes.clear()
        return True

    def _newest(self) -> Iterator[Split]:
        """Yield what the newest 60, 120, 240 ... minutes add up to."""
        length = RIGHT_MIN
        while length <= len(self._minutes):
            yield _total(islice(reversed(self._minutes), length))
            length *= 2

    def _phi(self, requests: int) -> float:
        """How much more the split varies than independent requests would, as known before this minute."""
        if self._noise[0].count < _LEAST:
            return 1.0 + (requests - 1) * ASSUMED_ICC
        return max(1.0, *(noise.phi for noise in self._noise if noise.count >= _LEAST))


class _Changes:
    """How far the share moved between neighbouring blocks of one length, over what independence expects."""

    __slots__ = ("_both", "_candidate", "_last", "_length_min", "_minutes", "_sum", "count")

    def __init__(self, length_min: int) -> None:
        self._length_min = length_min
        self._candidate = self._both = self._minutes = 0
        self._last: tuple[int, int] | None = None
        self._sum = 0.0
        self.count = 0

    @property
    def phi(self) -> float:
        """The mean of the squared changes over their variance under independence, two standard errors up.

        Needs a change. What independence explains is certain, so that only the excess over 1 is raised.
        """
        mean = self._sum / self.count
        return mean + (mean - 1.0) * 2.0 * sqrt(3.0 / self.count)

    def take(self, candidate: int, both: int) -> None:
        """Take in a minute; an empty block is skipped."""
        self._candidate, self._both, self._minutes = (
            self._candidate + candidate,
            self._both + both,
            self._minutes + 1,
        )
        if self._minutes < self._length_min:
            return
        block = self._candidate, self._both
        self._candidate = self._both = self._minutes = 0
        if not block[1]:
            return
        last, self._last = self._last, block
        if last is None:
            return
        (before, n_before), (after, n_after) = last, block
        variance = pot_variance(before + after, n_before, n_after)
        if variance > 0.0:
            self._sum += (after / n_after - before / n_before) ** 2 / variance
            self.count += 1


def _total(minutes: Iterable[Split]) -> Split:
    candidate = both = 0.0
    for minute in minutes:
        candidate += minute.candidate
        both += minute.both
    return Split(candidate, both)
