"""What one stretch of minutes says about a quantile: the answers of `core.sketch_series.QuantileSeries`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, upper_edge
from monitor.core.stats.contrast import Noise, share_noise
from monitor.core.stats.evidence import Exceedances, quantile_above, quantile_below
from monitor.core.stats.exceedance import quantile_column
from monitor.core.stats.intervals import CONFIDENCE, Interval, quantile_interval, quantile_mde
from monitor.core.stats.limit import Limit
from monitor.core.stats.minutes import Observed, observe


@dataclass(frozen=True, slots=True)
class QuantileStretch:
    """A stretch's exceedances, and what they say; weighted requests may be parts of one.

    Attributes:
        above: Both arms' requests above each edge, candidate first; without columns where nothing ever was.
        lowest: The bin whose upper edge the first column stands for, at least -1: every request lies above.
    """

    limit: Limit
    above: Exceedances
    lowest: int

    @classmethod
    def of_bins(
        cls, limit: Limit, candidate: Mapping[int, float], baseline: Mapping[int, float]
    ) -> QuantileStretch:
        """Return the stretch of both arms' requests per sketch bin, the unfinished in `UNFINISHED_BIN`."""
        finished = [index for arm in (candidate, baseline) for index in arm if index <= LAST_BIN]
        lowest = min(finished, default=0) - 1
        last = max(finished, default=0)
        added = np.zeros((2, last - lowest + 1))
        for row, arm in zip(added, (candidate, baseline), strict=True):
            for index, count in arm.items():
                row[-1 if index > LAST_BIN else index - lowest - 1] += count
        return cls(limit, added[:, ::-1].cumsum(axis=1)[:, ::-1], lowest)

    @property
    def requests(self) -> tuple[float, float]:
        """How many requests the candidate and the baseline count as."""
        if not self.above.size:
            return 0.0, 0.0
        return float(self.above[0][0]), float(self.above[1][0])

    def bins(self) -> tuple[dict[int, float], dict[int, float]]:
        """Return both arms' requests per sketch bin, candidate first; the unfinished in `UNFINISHED_BIN`."""
        found: list[dict[int, float]] = []
        for row in self.above.tolist():
            counts = [one - other for one, other in zip(row, [*row[1:], 0], strict=False)]
            last = len(counts) - 1
            arm = {
                self.lowest + 1 + i if i < last else UNFINISHED_BIN: n for i, n in enumerate(counts) if n > 0
            }
            found.append(arm)
        return found[0], found[1]

    def beyond(self, scale: float) -> bool | None:
        """Tell whether the quantile is beyond `scale` times the limit; None without data in either arm."""
        candidate, baseline = self._bin(0), self._bin(1)
        if candidate is None or baseline is None:
            return None
        if UNFINISHED_BIN in (candidate, baseline):
            return candidate > baseline  # infinitely slower; two infinities are equal
        return candidate - baseline >= self.limit.bins_reached(scale)

    def evidence_in(self) -> float:
        """Return the evidence (nats) of being beyond kappa times the limit."""
        if not self.above.size:
            return 0.0
        shift = self.limit.bins_beyond(self.limit.kappa)
        return quantile_above(self.above[0], self.above[1], self._tail, shift)

    def evidence_out(self) -> float:
        """Return the evidence (nats) of being within the limit."""
        if not self.above.size:
            return 0.0
        return quantile_below(self.above[0], self.above[1], self._tail, self.limit.bins_within(1.0))

    def observed(self) -> Observed:
        """Return both quantiles, as upper edges of their bins, and their delta."""
        candidate, baseline = self._bin(0), self._bin(1)
        return observe(
            self.limit,
            None if candidate is None else upper_edge(candidate),
            None if baseline is None else upper_edge(baseline),
        )

    def interval(self, *, phi: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
        """Return the two-sided interval of the delta."""
        if not self.above.size:
            return Interval(None, None, confidence)
        assert self.limit.quantile is not None
        return quantile_interval(self.above, self.limit.quantile, phi=phi, confidence=confidence)

    def mde(self, x_needed: float) -> float | None:
        """Return the smallest slowdown that would have reached this evidence here; None if none."""
        return quantile_mde(self.above, self.limit, x_needed) if self.above.size else None

    def noise(self, minutes: int) -> Noise | None:
        """Return how much independent requests vary here, as shares above the quantile."""
        return share_noise(self._tail, *self.requests, minutes)

    @property
    def _tail(self) -> float:
        assert self.limit.quantile is not None
        return 1.0 - self.limit.quantile

    def _bin(self, arm: int) -> int | None:
        """The quantile's bin in an arm; None without data."""
        if not self.above.size or not self.above[arm][0]:
            return None
        assert self.limit.quantile is not None
        column = quantile_column(self.above[arm], self.limit.quantile)
        return self.lowest + column if column < self.above.shape[1] else UNFINISHED_BIN
