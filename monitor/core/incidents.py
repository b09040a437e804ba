"""Severe incidents: the first one acts where the reference has none, else the one that chance does not explain.

No duration and no windows: ask when an incident arrives. The objective's tier and `action` say what becomes
of an answer and how fast; this module only says what the incidents show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from monitor.core.stats.safety import ALPHA_SAFETY, expected_incidents, tolerated_expectation

__all__ = [
    "ALPHA_SAFETY",
    "IncidentAnswer",
    "IncidentCounts",
    "IncidentJudgement",
    "expected_incidents",
    "judge_incidents",
]

_MAX_COUNTED: Final = 100_000  # beyond it the bound would only cost time: that many are judged as this many


class IncidentAnswer(Enum):
    """What the candidate's incidents show."""

    ROLLBACK = "rollback"  # beyond the limit
    PAGE = "page"  # more than allowed, and chance may still explain it
    QUIET = "quiet"  # not more than allowed


@dataclass(frozen=True, slots=True)
class IncidentCounts:
    """What the incidents of both arms are judged by: all of it, so a record of it is enough to judge again.

    Attributes:
        closed, opened: Incidents of the candidate, in closed minutes and in those still open.
        requests: Of the candidate, in closed minutes: of the open ones they are not known yet.
        reference_incidents, reference_requests: Of the baseline.
    """

    closed: int
    opened: int
    requests: int
    reference_incidents: int
    reference_requests: int
    allowed_increase: int
    literal: bool
    alpha: float

    @property
    def incidents(self) -> int:
        """All that are known of the candidate."""
        return self.closed + self.opened

    def judge(self) -> IncidentJudgement:
        """Return what they show; what chance may explain is judged over closed minutes only."""
        judged = self._judge(self.incidents)
        by_chance = self.reference_incidents > 0 and not self.literal
        if judged.answer is IncidentAnswer.ROLLBACK and by_chance and self.opened:
            if self._judge(self.closed).answer is not IncidentAnswer.ROLLBACK:
                return replace(judged, answer=IncidentAnswer.PAGE)
        return judged

    def _judge(self, incidents: int) -> IncidentJudgement:
        mu = expected_incidents(
            self.requests,
            reference_incidents=self.reference_incidents,
            reference_requests=self.reference_requests,
        )
        return judge_incidents(
            incidents,
            mu,
            allowed_increase=self.allowed_increase,
            literal=self.literal,
            # Without any request of the baseline nothing is known about what is normal.
            reference_loaded=self.reference_requests > 0,
            reference_incidents=self.reference_incidents,
            alpha=self.alpha,
        )


@dataclass(frozen=True, slots=True)
class IncidentJudgement:
    """An answer with its numbers.

    Attributes:
        k: Incidents above the allowed increase.
        mu: Incidents that the known reference's rate explains on the candidate's requests.
        g_k: The largest expectation under which `k` is more than chance; 0 for `k` = 0.
    """

    answer: IncidentAnswer
    k: int
    mu: float
    g_k: float


def judge_incidents(
    candidate_incidents: int,
    mu: float,
    *,
    allowed_increase: int,
    literal: bool,
    reference_loaded: bool,
    reference_incidents: int,
    alpha: float = ALPHA_SAFETY,
) -> IncidentJudgement:
    """Return what the candidate's severe incidents show.

    Args:
        mu: From `expected_incidents`, over the same requests as `candidate_incidents`.
        allowed_increase: N of the budget: shifts the count, whatever the reference has.
        literal: The first incident above N is beyond the limit, whatever the reference has.
        reference_loaded: Whether the days before are known; until then nothing but `literal` acts.
        reference_incidents: Of the baseline, concurrent and before; none = the literal rule.
        alpha: Error rate of this budget's safety, over all times and counts.
    """
    k = max(0, candidate_incidents - allowed_increase)
    g_k = tolerated_expectation(min(k, _MAX_COUNTED), alpha)
    if k == 0:
        return IncidentJudgement(IncidentAnswer.QUIET, 0, mu, g_k)
    if literal:
        return IncidentJudgement(IncidentAnswer.ROLLBACK, k, mu, g_k)
    if not reference_loaded:
        return IncidentJudgement(IncidentAnswer.PAGE, k, mu, g_k)
    beyond_chance = reference_incidents == 0 or mu <= g_k
    return IncidentJudgement(IncidentAnswer.ROLLBACK if beyond_chance else IncidentAnswer.PAGE, k, mu, g_k)
