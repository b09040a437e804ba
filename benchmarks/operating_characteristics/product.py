"""One simulated release under the engine's own watch: its series, its dispersion estimate, its rule.

A watch learns and judges once a minute. Most of those answers cannot be a rollback (`screen`), so minutes are
taken in ahead of the next tick that matters: the dispersion estimate then learns many minutes at once, up to the
last complete block, which leaves it exactly as if it had learned them one by one. Tests hold both shortcuts to a
watch that is fed and judged every minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from benchmarks.operating_characteristics.objectives import Guarded
from benchmarks.operating_characteristics.screen import MARGIN, latency_evidence, rate_evidence
from benchmarks.operating_characteristics.stories import Floats, LatencyReleases, RateReleases
from benchmarks.operating_characteristics.tally import NEVER
from monitor.core.cohort import OVERALL
from monitor.core.series import QuantileSeries, RateSeries
from monitor.core.sketch import Sketch
from monitor.core.stats.contrast import BLOCK_MIN
from monitor.core.stats.limit import limit_of
from monitor.core.stats.rule import Rule
from monitor.core.watch import Watch

Feed: TypeAlias = Callable[[Watch, int], None]
"""Appends one minute of one release to a watch's series."""


@dataclass(slots=True)
class Watched:
    """What the watch came to in so many releases.

    Attributes:
        fired: How often it fired at each tick; `NEVER` for releases that it let pass.
        overspent: How many releases had more minutes spent, in all, than Y.
        verdicts: How often it ended with each verdict.
    """

    fired: Counter[int] = field(default_factory=Counter)
    overspent: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)


def watch_releases(
    guarded: Guarded, rule: Rule, releases: RateReleases | LatencyReleases, *, to_the_end: bool = False
) -> Watched:
    """Watch each release until it fires.

    Args:
        to_the_end: Judge every minute up to the end, for what is spent and for the verdict.
    """
    found = Watched()
    shown = evidence(guarded, rule, releases)
    for index in range(len(shown)):
        release = Release(guarded, rule, feed_of(releases, index))
        if to_the_end:
            found.fired[release.run_through(releases.minutes)] += 1
            found.overspent += release.was_overspent
            found.verdicts[release.watch.verdict(releases.minutes)] += 1
        else:
            found.fired[release.first_fire(shown[index])] += 1
    return found


def evidence(guarded: Guarded, rule: Rule, releases: RateReleases | LatencyReleases) -> Floats:
    """Return what the screen shows of each release and tick."""
    limit = limit_of(guarded.objective)
    if isinstance(releases, RateReleases):
        return rate_evidence(releases, limit, rule)
    return latency_evidence(releases, limit, rule)


def feed_of(releases: RateReleases | LatencyReleases, index: int) -> Feed:
    """Return what appends the minutes of one release."""
    return rate_feed(releases, index) if isinstance(releases, RateReleases) else latency_feed(releases, index)


class Release:
    """One release under watch."""

    def __init__(self, guarded: Guarded, rule: Rule, feed: Feed) -> None:
        self.watch = Watch(guarded.objective, OVERALL, rule, 0)
        self.was_overspent = False
        self._feed = feed
        self._end = 0

    def first_fire(self, shown: Floats) -> int:
        """Return the first tick that fires, of those whose evidence (phi = 1) may suffice; `NEVER` if none does."""
        needed = self.watch.rule.x_star * (1.0 - MARGIN)
        for tick in np.flatnonzero(shown >= needed).tolist():
            self._take_in(tick)
            if shown[tick] >= needed * self.watch.dispersion.now.phi and self._fires(tick):
                return int(tick)
        return NEVER

    def run_through(self, minutes: int) -> int:
        """Judge every minute, fired or not; return the first tick that fires."""
        first = NEVER
        for tick in range(1, minutes + 1):
            self._take_in(tick)
            if self._fires(tick) and first == NEVER:
                first = tick
                self.watch.fired = True
            self.was_overspent |= self.watch.is_overspent
        return first

    def _fires(self, tick: int) -> bool:
        return self.watch.fires(self.watch.judge(tick))

    def _take_in(self, end: int) -> None:
        """Append the minutes before `end`; the last complete block at once, the minutes after it one by one."""
        whole = end - end % BLOCK_MIN
        if whole > self._end:
            for minute in range(self._end, whole):
                self._feed(self.watch, minute)
            self.watch.dispersion.take(self.watch.series)
            self._end = whole
        for minute in range(self._end, end):
            self._feed(self.watch, minute)
            self.watch.dispersion.take(self.watch.series)
        self._end = end


def rate_feed(releases: RateReleases, index: int) -> Feed:
    """Return what appends the minutes of one release, stratum by stratum where there are several."""
    arms: list[list[list[int]]] = np.stack([part[index] for part in releases.parts()], axis=2).tolist()
    totals: list[list[int]] = np.stack(
        [part[index].sum(axis=1) for part in releases.parts()], axis=1
    ).tolist()

    def feed(watch: Watch, minute: int) -> None:
        assert isinstance(watch.series, RateSeries)
        s_c, n_c, s_b, n_b = totals[minute]
        strata = [((a, b), (c, d)) for a, b, c, d in arms[minute]] if releases.strata > 1 else ()
        watch.series.append(minute, (s_c, n_c), (s_b, n_b), strata)

    return feed


def latency_feed(releases: LatencyReleases, index: int) -> Feed:
    """Return what appends the minutes of one release."""

    def sketch(bins: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Sketch:
        some = np.flatnonzero(bins)
        return Sketch(dict(zip((some + releases.lowest).tolist(), bins[some].tolist(), strict=True)))

    def feed(watch: Watch, minute: int) -> None:
        assert isinstance(watch.series, QuantileSeries)
        watch.series.append(
            minute, sketch(releases.candidate[index, minute]), sketch(releases.baseline[index, minute])
        )

    return feed
