"""A limit as the formulas read it: which direction harms, how far is too far, how much of it needs proof."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, inf, log
from typing import Final

from monitor.core.budget import EvidenceMode, Objective, Unit
from monitor.core.indicator import Direction
from monitor.core.sketch import RATIO

KAPPA: Final = {EvidenceMode.DEFAULT: 0.5, EvidenceMode.STRICT: 1.0, EvidenceMode.OFF: 0.5}
"""Share of the limit that must be proven; half of it: below X/2 is safe, above X is decided early, between
them the rule follows what was observed."""

_LOG_RATIO: Final = log(RATIO)  # a limit in percent becomes whole bins
_ROUNDING: Final = 1e-9  # of a bin: 1.02**7 asked for is 7 bins, not 8


@dataclass(frozen=True, slots=True)
class Limit:
    """One objective's limit.

    Attributes:
        size: As written and signed, in `unit`: percent of the baseline's value, or percentage points.
        kappa: Share of `size` that evidence must exceed.
        needs_evidence: False only for the literal rule of `evidence: off`.
        quantile: 0 to 1 where the indicator is one, else None.
    """

    worse: Direction
    unit: Unit
    size: float
    kappa: float = 0.5
    needs_evidence: bool = True
    quantile: float | None = None

    @property
    def higher_is_worse(self) -> bool:
        """Tell whether growing is the harmful direction."""
        return self.worse is Direction.HIGHER_IS_WORSE

    def ratio(self, scale: float) -> float:
        """Return candidate over baseline at `scale` times a limit in percent."""
        return (100.0 + scale * self.size) / 100.0

    def shift(self, scale: float) -> float:
        """Return candidate minus baseline at `scale` times a limit in points, as a share (0.08 for +8)."""
        return scale * self.size / 100.0

    def bins_beyond(self, scale: float) -> int:
        """Return the sketch bins that `scale` times the limit spans, rounded against a breach."""
        return ceil(self._bins(scale) - _ROUNDING)

    def bins_within(self, scale: float) -> int:
        """Return the sketch bins that `scale` times the limit spans, rounded against a recovery."""
        return floor(self._bins(scale) + _ROUNDING)

    def bins_reached(self, scale: float) -> int:
        """Return the fewest bins whose ratio is beyond `scale` times the limit; equality is not."""
        return floor(self._bins(scale) + _ROUNDING) + 1

    def delta(self, candidate: float, baseline: float) -> float | None:
        """Return the delta in the limit's unit; None where it has none (a baseline of 0, both unfinished)."""
        if self.unit is Unit.POINTS:
            return 100.0 * (candidate - baseline)
        if baseline <= 0.0:
            return None if candidate <= 0.0 else inf
        if baseline == inf:
            return None
        return 100.0 * (candidate / baseline - 1.0)

    def _bins(self, scale: float) -> float:
        return log(self.ratio(scale)) / _LOG_RATIO


def limit_of(objective: Objective) -> Limit:
    """Return the limit of an objective that the sustained rule judges."""
    return Limit(
        worse=objective.worse,
        unit=objective.unit,
        size=objective.limit,
        kappa=KAPPA[objective.evidence],
        needs_evidence=objective.evidence is not EvidenceMode.OFF,
        quantile=objective.indicator.quantile,
    )
