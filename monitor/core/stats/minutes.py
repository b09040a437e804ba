"""What every series shares: which minutes it holds, and the values its answers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from monitor.core.errors import MonitorError
from monitor.core.stats.contrast import Contrast, Noise, Stretch
from monitor.core.stats.intervals import CONFIDENCE, Interval
from monitor.core.stats.limit import Limit

Cut: TypeAlias = tuple[int, int]
"""Minutes [a, b) left out of a stretch that holds them."""

EQUAL: Final = 1e-9  # relative differences below this are rounding: equality is not a breach


def length_min(start: int, end: int, cut: Cut | None = None) -> int:
    """Return how many minutes [start, end) has without its cut."""
    return end - start if cut is None else end - start - cut[1] + cut[0]


class MinuteOutOfOrder(MonitorError):
    """A minute was appended that does not follow the newest one; empty minutes are appended too."""

    def __init__(self, *, minute: int, expected: int) -> None:
        super().__init__(f"minute {minute} was appended where {expected} is next; append empty minutes too")
        self.minute, self.expected = minute, expected


class MinuteNotKept(MonitorError):
    """A stretch was asked for that reaches outside the minutes a series holds."""

    def __init__(self, *, start: int, end: int, kept: int, newest: int) -> None:
        super().__init__(f"minutes [{start}, {end}) were asked for; [{kept}, {newest}) are kept")
        self.start, self.end, self.kept, self.newest = start, end, kept, newest


class Counts(NamedTuple):
    """Requests that count for an objective, per arm."""

    baseline: int
    candidate: int


@dataclass(frozen=True, slots=True)
class Observed:
    """The point estimates of both arms and their delta in the limit's unit.

    A share (0 to 1) for rates, the sketch's unit for quantiles and means. None: no data; infinity: a
    quantile that lies among unfinished requests, or a delta to a baseline of 0.
    """

    baseline: float | None
    candidate: float | None
    delta: float | None


def observe(limit: Limit, candidate: float | None, baseline: float | None) -> Observed:
    """Return what was observed, with its delta where both arms have data."""
    if candidate is None or baseline is None:
        return Observed(baseline, candidate, None)
    return Observed(baseline, candidate, limit.delta(candidate, baseline))


class Series(Protocol):
    """The questions that the sustained rule and the reports ask. Evidence is in nats, not yet over phi."""

    @property
    def limit(self) -> Limit:
        """The limit that this series is judged by."""

    @property
    def first_minute(self) -> int:
        """The first minute ever appended; equal to `end_minute` while there is none."""

    @property
    def kept_minute(self) -> int:
        """The oldest minute still held; no stretch may reach before it."""

    @property
    def end_minute(self) -> int:
        """The minute after the newest one."""

    def beyond(self, start: int, end: int, scale: float, cut: Cut | None = None) -> bool | None:
        """Tell whether the point estimate is beyond `scale` times the limit; None without data in either arm."""

    def evidence_in(self, start: int, end: int, cut: Cut | None = None) -> float:
        """Return the evidence of being beyond kappa times the limit."""

    def evidence_out(self, start: int, end: int) -> float:
        """Return the evidence of being within the limit."""

    def has_both(self, start: int, end: int, cut: Cut | None = None) -> bool:
        """Tell whether both arms have data."""

    def counts(self, start: int, end: int, cut: Cut | None = None) -> Counts:
        """Return the requests of both arms."""

    def observed(self, start: int, end: int, cut: Cut | None = None) -> Observed:
        """Return the point estimates that are judged."""

    def interval(self, start: int, end: int, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the delta."""

    def mde(self, start: int, end: int, x_star: float, *, phi: float = 1.0) -> float | None:
        """Return the smallest harmful delta that would have reached `x_star` here; None if none."""

    @property
    def forgets_next(self) -> bool:
        """Tell whether the next minute may make it let go of old ones, or of precision."""

    def contrasts(self, pairs: Sequence[tuple[Stretch, Stretch]]) -> list[Contrast | None]:
        """Return how far the arms' difference moved between two stretches; None where that tells nothing.

        Each pair of an earlier and a later stretch says the same as it did when the later one's last minute was the
        newest, as long as nothing was let go since.
        """

    def noise(self, start: int, end: int, cut: Cut | None = None) -> Noise | None:
        """Return how much independent requests vary at this traffic; None without data or variation."""


class Minutes:
    """Which minutes a series holds: [kept, end), of those since `first`."""

    __slots__ = ("end", "first", "kept")

    def __init__(self) -> None:
        self.first = self.kept = self.end = 0

    def advance(self, minute: int) -> None:
        """Take the next minute; the very first may be any.

        Raises:
            MinuteOutOfOrder: It does not follow the newest one.
        """
        if self.end == self.first:
            self.first = self.kept = self.end = minute
        if minute != self.end:
            raise MinuteOutOfOrder(minute=minute, expected=self.end)
        self.end = minute + 1

    def origin(self, start: int, end: int) -> int:
        """Return the minute of row 0, once the stretch is known to be held.

        Raises:
            MinuteNotKept: It reaches outside the minutes held.
        """
        if not self.kept <= start <= end <= self.end:
            raise MinuteNotKept(start=start, end=end, kept=self.kept, newest=self.end)
        return self.kept

    def rows(self, start: int, end: int, cut: Cut | None = None) -> tuple[int, int, Cut | None]:
        """Return a stretch and its cut as row numbers.

        Raises:
            MinuteNotKept: It reaches outside the minutes held.
        """
        at = self.origin(start, end)
        return start - at, end - at, None if cut is None else (cut[0] - at, cut[1] - at)

    def pair_rows(self, before: Stretch, after: Stretch) -> tuple[Stretch, Stretch]:
        """Return two stretches as row numbers.

        Raises:
            MinuteNotKept: One reaches outside the minutes held.
        """
        return self.rows(*before)[:2], self.rows(*after)[:2]


class Held:
    """A series' part that says which minutes it holds."""

    __slots__ = ("_minutes",)

    def __init__(self) -> None:
        self._minutes = Minutes()

    @property
    def first_minute(self) -> int:
        """The first minute ever appended."""
        return self._minutes.first

    @property
    def kept_minute(self) -> int:
        """The oldest minute still held."""
        return self._minutes.kept

    @property
    def end_minute(self) -> int:
        """The minute after the newest one."""
        return self._minutes.end
