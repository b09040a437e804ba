"""The safety watch: high-severity incidents of the candidate against what the baseline's rate predicts.

It has no duration. Incidents of closed minutes come with the cells; those of minutes still open are heard one
by one as they are folded, so that the first one can act at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Objective, Tier
from monitor.core.cohort import CohortKey, matches
from monitor.core.exemplar import EXEMPLARS_PER_CELL, Exemplar, offer, smallest
from monitor.core.incidents import IncidentAnswer, IncidentJudgement, expected_incidents, judge_incidents
from monitor.core.indicator import INCIDENTS
from monitor.core.partition import Incident
from monitor.core.record import Finding, Observed, observed_data, samples_data
from monitor.core.window import tick_ms
from monitor.core.wording import incident_words

HEARD_MAX = 1_000  # incidents of open minutes remembered; their number still counts when the minute closes


@dataclass(frozen=True, slots=True)
class SafetyVerdict:
    """What the incidents ask for, with the numbers and a sentence."""

    finding: Finding
    rolls_back: bool
    episode_ms: int
    text: str


class SafetyWatch:
    """Counts incidents and exposure of both arms since the evaluator began."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.fired = False
        self._paged = False
        self._closed_to: int | None = None
        self._candidate = [0, 0]  # incidents, requests of closed minutes
        self._baseline = [0, 0]
        self._heard: dict[str, Incident] = {}
        self._kept: list[Exemplar] = []
        self._first_minute: int | None = None

    @property
    def view(self) -> CohortKey:
        """The slice it looks at."""
        return self.objective.where

    def append(self, minute: int, candidate: Aggregate, baseline: Aggregate) -> None:
        """Take in one closed minute of both arms; what was heard of it is in the cells now."""
        self._closed_to = minute + 1
        self._candidate[0] += candidate.incidents
        self._candidate[1] += candidate.requests
        self._baseline[0] += baseline.incidents
        self._baseline[1] += baseline.requests
        for exemplar in candidate.exemplars.get(INCIDENTS, ()):
            offer(self._kept, exemplar, EXEMPLARS_PER_CELL * 4)
        if candidate.incidents and self._first_minute is None:
            self._first_minute = minute
        self._heard = {name: one for name, one in self._heard.items() if one.minute > minute}

    def hear(self, incident: Incident) -> None:
        """Take in an incident of a minute that is still open; a repeat changes nothing."""
        if self._closed_to is not None and incident.minute < self._closed_to:
            return
        if not matches(self.view, dict(incident.cohort)) or len(self._heard) >= HEARD_MAX:
            return
        self._heard.setdefault(incident.event_id, incident)

    def judge(self, budget: Budget, at_ms: int, *, held: bool) -> SafetyVerdict | None:
        """Return what the incidents ask for now; None where nothing new follows.

        Args:
            held: Whether an override holds a rollback for this objective back.
        """
        judged = self._judge()
        if judged.answer is IncidentAnswer.QUIET or self.fired:
            return None
        acts = judged.answer is IncidentAnswer.ROLLBACK
        if acts and held:
            return None
        if not acts and self._paged:
            return None
        self.fired = acts
        self._paged = True
        return SafetyVerdict(
            finding=self._finding(budget.exemplars, judged, at_ms),
            rolls_back=acts and self.objective.tier is Tier.A,
            episode_ms=tick_ms(self._episode_minute()),
            text=incident_words(judged.k, judged.mu, self._exemplars(1)[0].trace_id),
        )

    def _judge(self) -> IncidentJudgement:
        incidents = self._candidate[0] + len(self._heard)
        mu = expected_incidents(
            self._candidate[1],
            reference_incidents=self._baseline[0],
            reference_requests=self._baseline[1],
        )
        return judge_incidents(
            incidents,
            mu,
            allowed_increase=int(self.objective.limit),
            literal=self.objective.literal,
            # Without any request of the baseline nothing is known about what is normal.
            reference_loaded=self._baseline[1] > 0,
            reference_incidents=self._baseline[0],
        )

    def _episode_minute(self) -> int:
        minutes = [one.minute for one in self._heard.values()]
        if self._first_minute is not None:
            minutes.append(self._first_minute)
        return min(minutes)

    def _exemplars(self, size: int) -> tuple[Exemplar, ...]:
        heard = [Exemplar(one.at_ms, one.exemplar, one.failure_class) for one in self._heard.values()]
        return tuple(smallest([self._kept, heard], size))

    def _seen(self, judged: IncidentJudgement) -> Observed:
        incidents = self._candidate[0] + len(self._heard)
        return Observed(
            baseline=judged.mu,
            candidate=float(incidents),
            delta=incidents - judged.mu,
            samples=(self._baseline[1], self._candidate[1]),
        )

    def _finding(self, size: int, judged: IncidentJudgement, at_ms: int) -> Finding:
        started_ms = tick_ms(self._episode_minute())
        return Finding(
            objective=self.objective,
            view=self.view,
            seen=self._seen(judged),
            started_ms=started_ms,
            held_min=max(0, (at_ms - started_ms) // 60_000),
            exemplars=self._exemplars(size),
        )

    def assessed(self, late_count: int) -> dict[str, object]:
        """Return this objective's row of the release's assessment."""
        judged = self._judge()
        seen = self._seen(judged)
        if self.fired:
            verdict = "breach"
        elif not self._candidate[1] or not self._baseline[1]:
            verdict = "no_data"
        else:
            verdict = "healthy" if judged.answer is IncidentAnswer.QUIET else "inconclusive"
        return {
            "objective": self.objective.objective_id,
            "cohort": dict(self.view),
            "verdict": verdict,
            "observed": observed_data(seen, self.objective.unit),
            "samples": samples_data(seen),
            "mde": None,
            "phi": 1.0,
            "minutes_spent": 0,
            "late_count": late_count,
            "summary": f"{self._candidate[0] + len(self._heard)} high-severity incidents: {verdict}",
        }
