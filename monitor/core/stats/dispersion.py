"""Over-dispersion: how much more a series moves from block to block than independent requests would.

Outcomes that share a cause (a session, a provider's hiccup in one arm) carry less than their number says, so
evidence is divided by phi. It is learned from the release's own past, from the differences d of the arms in
disjoint blocks, each compared with the one before, so that a level, a slow drift and a lasting harm add
little: phi = mean(change of d, squared, over its variance under independence), at least 1. The same changes
give tau**2, the variance that requests do not explain and more of them do not average out; a window W with
more traffic than the past needs more: phi(W) = max(phi, 1 + tau**2 / v(W)), v(W) the variance under
independence of a block at W's traffic.

Two lengths of block are learned from, and the larger answer counts:

- 5 minutes, from 6 blocks on. It sees what lasts a few minutes.
- 1 minute, from 6 minutes on. Six blocks are half an hour, and so few changes understate phi by a factor of
  ten in one release of a hundred: simulated releases with minute-level shocks were rolled back in 0.3 to 2 %
  of the cases before their second hour. Minutes know enough by the time a hold of 20 minutes is over.

A harm's onset is one large change, or two where it lies inside a block. In a young release it would be most
of the mean, and delay its own detection (harm of 5 times the limit, 20 minutes old: by Y + 3 minutes in 42 %
instead of 99 %). So the two largest changes are left out, the rest is scaled up by what the two largest of
so many are expected to be, and what still stands out counts as three standard deviations of the normal law,
by the median. Harm that comes and goes does not pass for noise then, which would hide its good spells.

The larger of two noisy answers, neither below 1, is too large on average: for independent requests it made
harm of twice the limit at 1200 requests a minute, an hour into a release, miss Y + 3 minutes in 12 % of the
releases instead of 4 %, and harm of five times the limit at 3 requests a minute take 225 minutes in the median
instead of 198. So both answers are taken one standard error of so many changes down (207 minutes then); that
of the minutes from two hours on, when it is a sixth at most: strong shocks in a young release must not look
smaller than they are. Simulated: no rollback by shocks within a minute of icc 0.002, 0.01 and 0.05, without a
delta and at half the limit (`docs/operating-characteristics.md`, shocks).

Before six minutes nothing is measured, and an intra-class correlation of 0.05 within a minute (the strongest
that the promise of false rollbacks covers) is assumed: harm that is plain at that level still fires.

Not seen: shocks that last for much more than 5 minutes; they are told from harm by the rule's own checks.
Source: McCullagh and Nelder 1989, section 4.5 (phi); Kish 1965 (design effect 1 + (n - 1) icc).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from math import exp, sqrt
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from monitor.core.stats.contrast import BLOCK_MIN, Noise, Stretch
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.minutes import Cut, Series
from monitor.core.stats.thresholds import MAX_WINDOW_MIN

ASSUMED_ICC: Final = 0.05  # while nothing is measured
_LEAST: Final = 5  # changes: six blocks
_CONCEDES_FROM: Final = 120  # changes between minutes
_MEDIAN: Final = 0.4549364231195725  # of a squared normal deviate
_STANDS_OUT: Final = 9.0  # three standard deviations, squared
_EULER: Final = 0.5772156649015329  # the mean of the standard Gumbel law, which the largest of many follow
_MARGIN: Final = 64  # columns grown at once
# How many minutes wait at most; not as many in each series, or all that began together would be looked at together.
_PATIENCE: Final = cycle(range(24, 41))


class Noisy(Protocol):
    """What divides evidence: a dispersion that is known, or one to be worked out when it is needed."""

    @property
    def dispersion(self) -> Dispersion:
        """What it comes to."""

    def over(self, series: Series, start: int, end: int, cut: Cut | None = None) -> float:
        """Return phi(W) of the minutes [start, end) without the cut, at least 1."""


@dataclass(frozen=True, slots=True)
class Dispersion:
    """What is known about over-dispersion at one tick; the default says: independent requests.

    Attributes:
        phi: Factor by which squared changes exceed independence, at least 1.
        tau2: Variance of a 5-minute block's difference beyond independence, in the series' squared unit.
        assumed_icc: Correlation of one minute's outcomes in one arm, where it is not measured yet.
    """

    phi: float = 1.0
    tau2: float = 0.0
    assumed_icc: float = 0.0

    @property
    def dispersion(self) -> Dispersion:
        """Itself."""
        return self

    def over(self, series: Series, start: int, end: int, cut: Cut | None = None) -> float:
        """Return phi(W) of the minutes [start, end) without the cut: what divides their evidence."""
        if self.tau2 <= 0.0 and self.assumed_icc <= 0.0:
            return self.phi
        noise = series.noise(start, end, cut)
        return self.phi if noise is None else self.at(noise)

    def at(self, noise: Noise) -> float:
        """Return phi at a window's traffic."""
        # Both arms vary by icc * variance in each minute, and a block averages five of them.
        shared = self.tau2 + 2 * self.assumed_icc * noise.request / BLOCK_MIN
        return max(self.phi, 1.0 + shared / noise.block)


INDEPENDENT: Final = Dispersion()  # phi = 1: nothing but the requests themselves
NOT_MEASURED: Final = Dispersion(assumed_icc=ASSUMED_ICC)  # too few blocks to learn from


class _Past(NamedTuple):
    """Changes between neighbouring blocks of one length, as they were known at one tick."""

    length_min: int
    concedes_from: int  # how many changes there must be for a standard error to be conceded
    rows: NDArray[np.float64]

    def estimate(self) -> tuple[float, float]:
        """Return phi and tau**2 of a block of 5 minutes, neither floored; needs three changes."""
        _, ratios, variances = self.rows
        size = len(ratios)
        half = size // 2
        middle = float(np.partition(ratios, half)[half])  # the median, or the value just above it
        typical = max(1.0, middle / _MEDIAN)  # phi is at least 1
        kept = ratios.copy()
        for _ in range(2):
            kept[kept.argmax()] = 0.0
        kept = np.minimum(kept, _STANDS_OUT * typical)
        weight = size - _expected_largest_two(size)
        if size >= self.concedes_from:
            # The standard error of the mean of so many, neighbours sharing a block.
            weight *= 1.0 + sqrt(3.0 / size)
        tau2 = (float((kept * variances).sum()) / weight - float(variances.mean())) / 2
        return float(kept.sum()) / weight, tau2 * self.length_min / BLOCK_MIN


class _Learned:
    """What was learned up to a tick, and what it comes to: worked out once, where somebody asks."""

    __slots__ = ("_found", "_pasts")

    def __init__(self, *pasts: _Past | None) -> None:
        self._pasts = [one for one in pasts if one is not None]
        self._found: Dispersion | None = None

    @property
    def dispersion(self) -> Dispersion:
        if self._found is None:
            self._found = self._estimate()
        return self._found

    def _estimate(self) -> Dispersion:
        known = [one.estimate() for one in self._pasts]
        if not known:
            return NOT_MEASURED
        return Dispersion(
            phi=max(1.0, *(phi for phi, _ in known)), tau2=max(0.0, *(tau2 for _, tau2 in known))
        )


class Known:
    """What is known of a series' noise at one tick, worked out when asked: most ticks find no harm to divide.

    Attributes:
        end: The tick: the minute after the newest that it knows of.
        learned: What that is; None while nobody asked.
    """

    __slots__ = ("_estimate", "end", "learned")

    def __init__(self, estimate: DispersionEstimate, end: int, learned: _Learned | None = None) -> None:
        self._estimate = estimate
        self.end = end
        self.learned = learned

    @property
    def dispersion(self) -> Dispersion:
        """The same whenever it is asked for: what is learned later does not change it."""
        if self.learned is None:
            self._estimate.settle()
        assert self.learned is not None, "it waited there"
        return self.learned.dispersion

    def over(self, series: Series, start: int, end: int, cut: Cut | None = None) -> float:
        """Return phi(W) of the minutes [start, end) without the cut: what divides their evidence."""
        return self.dispersion.over(series, start, end, cut)


class DispersionEstimate:
    """Learns a series' dispersion, minute by minute, from at most its last 24 hours.

    Only blocks that are complete count, so what it says at a tick never changes afterwards. A block without
    data in an arm is skipped, and so is a change between blocks in which every outcome is the same. Minutes wait,
    and are looked at many at once: when somebody asks, when enough wait, and before the series lets any go.

    Attributes:
        known: What is known now; each tick's stays as it is.
    """

    __slots__ = ("_blocks", "_minutes", "_newest", "_patience", "_series", "_waiting", "known")

    def __init__(self) -> None:
        self._minutes = _Changes(1, concedes_from=_CONCEDES_FROM)
        self._blocks = _Changes(BLOCK_MIN, concedes_from=_LEAST)
        self._series: Series | None = None
        self._waiting: list[Known] = []
        self._patience = next(_PATIENCE)
        self._newest = _Learned()
        self.known = Known(self, 0, self._newest)

    @property
    def now(self) -> Dispersion:
        """What is known now."""
        return self.known.dispersion

    def take(self, series: Series) -> None:
        """Learn from the minutes appended to the series since the last call; to be called after each one."""
        self._series = series
        self.known = Known(self, series.end_minute)
        self._waiting.append(self.known)
        if len(self._waiting) >= self._patience or series.forgets_next:
            self.settle()

    def settle(self) -> None:
        """Look at the minutes that wait, and say what each tick knew."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        assert self._series is not None
        for changes in (self._minutes, self._blocks):
            changes.learn(self._series, waiting[-1].end)
        for known in waiting:
            has_minute, has_block = self._minutes.count(known.end), self._blocks.count(known.end)
            # Once there are blocks enough, minutes change little by themselves.
            if has_block or (has_minute and self._blocks.size < _LEAST):
                self._newest = _Learned(self._minutes.past(), self._blocks.past())
            known.learned = self._newest


class _Changes:
    """The changes between neighbouring blocks of one length that have data in both arms, of the last 24 hours."""

    __slots__ = (
        "_concedes_from", "_counted_to", "_end", "_first", "_last", "_learned_to", "_length_min", "_made", "_rows"
    )  # fmt: skip

    def __init__(self, length_min: int, *, concedes_from: int) -> None:
        self._length_min = length_min
        self._concedes_from = concedes_from
        self._learned_to: int | None = None  # where the next block begins
        self._counted_to = 0  # the same of the blocks that count
        self._last: Stretch | None = None  # the newest block with data
        # A column is a change: where its older block begins, its square over its variance under independence, that
        # variance, and where its newer block ends. Columns [first, end) count, those up to `made` are to come.
        self._rows: NDArray[np.float64] = np.empty((4, 0))
        self._first = self._end = self._made = 0

    @property
    def size(self) -> int:
        """How many changes count."""
        return self._end - self._first

    def learn(self, series: Series, until: int) -> None:
        """Look at the blocks that are complete at a tick; none counts yet."""
        if self._learned_to is None:
            self._learned_to = self._counted_to = series.first_minute
        pairs: list[tuple[Stretch, Stretch]] = []
        at, length_min = self._learned_to, self._length_min
        while at + length_min <= until:
            block = at, at + length_min
            at += length_min
            if not series.has_both(*block):
                continue
            if self._last is not None and self._last[0] >= series.kept_minute:
                pairs.append((self._last, block))
            # Else an arm was away for more than a day: there is nothing left to compare with.
            self._last = block
        self._learned_to = at
        found = [
            (before[0], contrast.square / contrast.variance, contrast.variance, after[1])
            for (before, after), contrast in zip(pairs, series.contrasts(pairs), strict=True)
            if contrast is not None
        ]
        self._make_room(len(found))
        for column in found:
            self._rows[:, self._made] = column
            self._made += 1

    def count(self, now: int) -> bool:
        """Let the changes count that are known at a tick, and those no more that are too old by then.

        Returns:
            Whether a block became complete since the last tick.
        """
        rows, began = self._rows, self._counted_to
        self._counted_to += (now - began) // self._length_min * self._length_min
        while self._end < self._made and rows[3, self._end] <= now:
            self._end += 1
        oldest = now - MAX_WINDOW_MIN
        while self._first < self._end and rows[0, self._first] < oldest:
            self._first += 1
        return self._counted_to > began

    def past(self) -> _Past | None:
        """Return the changes that count now, for good; None while they are too few to say anything."""
        if self.size < _LEAST:
            return None
        # Columns that are written are never written again: those to come lie behind them, or in another array.
        return _Past(self._length_min, self._concedes_from, self._rows[:3, self._first : self._end])

    def _make_room(self, columns: int) -> None:
        """Have so many free columns: forget what no longer counts, else double them."""
        if self._made + columns <= self._rows.shape[1]:
            return
        kept = self._rows[:, self._first : self._made]
        have = kept.shape[1]
        self._rows = np.empty((4, max(2 * have, have + columns + _MARGIN)))
        self._rows[:, :have] = kept
        self._first, self._end, self._made = 0, self._end - self._first, have


@lru_cache(maxsize=2 * MAX_WINDOW_MIN)
def _expected_largest_two(size: int) -> float:
    """Return what the two largest of `size` independent squared normal deviates are expected to add up to.

    Quantiles of tails exp(-gamma) / size and exp(1 - gamma) / size, gamma Euler's constant: the means of the
    largest and second largest by Gumbel's law of extremes. A few percent off from 9 on, a quarter at 5.
    """
    return 2.0 * sum(evidence_for(0.5 * exp(rank - _EULER) / size) for rank in (0, 1))
