"""What a comparison lacks while the candidate has traffic: what an objective is measured by, or the baseline.

A budget that compares nothing looks as calm as one whose release is well, so it has to be said. An objective lacks
what it is measured by where for a stretch of minutes no request of an arm carries it: a judge that stopped, a field
that was renamed, labels that come later than they are waited for. It lacks the baseline where no request comes to
it, and nothing of its past stands in.

Chance makes such stretches too, where few requests carry a label, or few are the baseline's. So there must be more
of them than that: at the share that carried it before, so many in a row without one come in fewer than 1 of 10,000
stretches. Where none ever did, a share of 1 % is taken. How much is measured at all does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from monitor.core.aggregate import Aggregate
from monitor.core.indicator import Indicator, IndicatorKind

_CHANCE_NATS: Final = 9.21  # p = 1e-4: asked every minute, of every objective
_LEAST_SHARE: Final = 0.01  # what is rarer from the start is not waited for

Arm: TypeAlias = tuple[int, int]
"""A minute's requests of an arm, and those of them that carry what is measured."""


class Lack(Enum):
    """What is lacking."""

    BASELINE = "baseline"  # no request comes to it
    EVERYWHERE = "everywhere"  # no request of either release carries what is measured
    IN_CANDIDATE = "in_candidate"
    IN_BASELINE = "in_baseline"


def carrying(indicator: Indicator, cell: Aggregate) -> Arm:
    """Return a minute's requests that can carry what an indicator is measured by, and how many do.

    A failed request has no latency. A minute of the past is known by what was measured in it alone.
    """
    if indicator.kind is IndicatorKind.RATE:
        could, do = cell.requests, cell.rate(indicator.source)[1]
    else:
        failed = cell.errors if indicator.kind is IndicatorKind.QUANTILE else 0
        could, do = cell.requests - failed, cell.distribution(indicator.source).count
    return max(could, do), do


@dataclass(slots=True)
class _Drought:
    """Requests in a row of which none was of a kind, and how common that kind was before.

    Attributes:
        requests, minutes: Of the drought.
        before, found: Requests up to then, and those of them that were of the kind.
    """

    requests: int = 0
    minutes: int = 0
    before: int = 0
    found: int = 0

    def note(self, requests: int, found: int) -> None:
        """Take in a minute."""
        self.requests += requests
        self.minutes += 1
        if found:
            self.before += self.requests
            self.found += found
            self.requests = self.minutes = 0

    def lasts(self, minutes: int) -> bool:
        """Tell whether it lasts for so long, with more requests than chance explains."""
        share = self.found / self.before if self.before else _LEAST_SHARE
        return self.minutes >= minutes and self.requests * share >= _CHANCE_NATS


@dataclass(slots=True)
class Comparison:
    """What one objective was compared by on one slice, minute by minute."""

    _candidate: _Drought = field(default_factory=_Drought)
    _baseline: _Drought = field(default_factory=_Drought)
    _presence: _Drought = field(default_factory=_Drought)

    def note(self, candidate: Arm, baseline: Arm) -> None:
        """Take in one closed minute; the baseline's is of its past where that stands in."""
        self._candidate.note(*candidate)
        self._baseline.note(*baseline)
        self._presence.note(candidate[0] + baseline[0], baseline[0])

    def lacks(self, unmeasured_min: int, away_min: int) -> Lack | None:
        """Return what is lacking now; None where nothing is.

        Args:
            unmeasured_min: For how long no request carries what is measured.
            away_min: For how long no request comes to the baseline.
        """
        if self._presence.lasts(away_min):
            return Lack.BASELINE
        in_candidate, in_baseline = (
            drought.lasts(unmeasured_min) for drought in (self._candidate, self._baseline)
        )
        if in_candidate and in_baseline:
            return Lack.EVERYWHERE
        if in_candidate:
            return Lack.IN_CANDIDATE
        return Lack.IN_BASELINE if in_baseline else None

    @property
    def was_measured(self) -> bool:
        """Tell whether any request of either release ever carried what is measured."""
        return bool(self._candidate.found or self._baseline.found)

    def silent_for(self, lack: Lack) -> tuple[int, int]:
        """Return for how many minutes it has been lacking, and over how many requests."""
        droughts = {
            Lack.BASELINE: (self._presence,),
            Lack.IN_CANDIDATE: (self._candidate,),
            Lack.IN_BASELINE: (self._baseline,),
            Lack.EVERYWHERE: (self._candidate, self._baseline),
        }[lack]
        return min(one.minutes for one in droughts), sum(one.requests for one in droughts)
