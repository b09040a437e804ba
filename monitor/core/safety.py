"""The safety watch: high-severity incidents of the candidate against what the baseline's rate predicts.

It has no duration. Incidents of closed minutes come with the cells; those of minutes still open are heard one
by one as they are folded, so that the first one can act at once. What chance explains is judged over closed
minutes only: of the open ones the requests, and with them the expectation, are not known yet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Objective
from monitor.core.cell import Incident
from monitor.core.cohort import CohortKey, matches
from monitor.core.exemplar import EXEMPLARS_PER_CELL, Exemplar, offer, smallest
from monitor.core.incidents import (
    ALPHA_SAFETY,
    IncidentAnswer,
    IncidentCounts,
    IncidentJudgement,
)
from monitor.core.indicator import INCIDENTS
from monitor.core.moment import rfc3339
from monitor.core.record import Finding, Observed, finite, observed_data, samples_data
from monitor.core.window import tick_ms
from monitor.core.wording import incident_words

HEARD_MAX = 1_000  # incidents of open minutes remembered; their number still counts when the minute closes


@dataclass(frozen=True, slots=True)
class SafetyVerdict:
    """What the incidents ask for, with the numbers and a sentence.

    Attributes:
        is_breach: Beyond the limit; else more than allowed, and chance may still explain it.
        at_ms: The moment asked about, but never before the newest incident that counts.
        episode_ms: When the count began: it names the episode, because no order of arrival changes it.
    """

    finding: Finding
    is_breach: bool
    at_ms: int
    episode_ms: int
    text: str


class SafetyWatch:
    """Counts incidents and exposure of both arms since the evaluator began.

    Args:
        view: The slice it looks at; the objective's own one unless another is named.
        since_ms: When it begins to count; 0 for a watch that begins with its arming.

    Attributes:
        before: The baseline's (incidents, requests) of the days before, as far as known.
        acted: Whether a breach was acted upon, and no override has ended since.
        fired: Whether a breach was ever acted upon.
    """

    def __init__(self, objective: Objective, view: CohortKey | None = None, since_ms: int = 0) -> None:
        self.objective = objective
        self.view = objective.where if view is None else view
        self.before = (0, 0)
        self.acted = False
        self.fired = False
        self._since_ms = since_ms
        self._alpha = alpha_of(objective, self.view)
        self.paged = False
        self._closed_to: int | None = None
        self._candidate = [0, 0]  # incidents, requests of closed minutes
        self._baseline = [0, 0]
        self._heard: dict[str, Incident] = {}
        self._kept: list[Exemplar] = []
        self._first_minute: int | None = None

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

        A slice of the objective's own view does not page on what chance may explain: each of its incidents is
        one of the whole view, which does.

        Args:
            held: Whether an override holds a rollback for this objective back.
        """
        judged = self._judge()
        if judged.answer is IncidentAnswer.QUIET or self.acted:
            return None
        is_breach = judged.answer is IncidentAnswer.ROLLBACK
        if is_breach and held:
            return None
        if not is_breach and (self.paged or self.view != self.objective.where):
            return None
        self.acted = is_breach
        self.fired |= is_breach
        self.paged = True
        at_ms = max([at_ms, *(one.at_ms for one in self._heard.values())])
        return SafetyVerdict(
            finding=self.finding(budget.exemplars, at_ms, judged),
            is_breach=is_breach,
            at_ms=at_ms,
            episode_ms=self._since_ms,
            text=incident_words(judged.k, judged.mu, self._exemplars(1)[0].trace_id),
        )

    def _judge(self) -> IncidentJudgement:
        return self._counts().judge()

    def _counts(self) -> IncidentCounts:
        return IncidentCounts(
            closed=self._candidate[0],
            opened=len(self._heard),
            requests=self._candidate[1],
            reference_incidents=self._reference[0],
            reference_requests=self._reference[1],
            allowed_increase=int(self.objective.limit),
            literal=self.objective.literal,
            alpha=self._alpha,
        )

    @property
    def _reference(self) -> tuple[int, int]:
        """The baseline's incidents and requests: of the days before, and of the closed minutes since."""
        return self.before[0] + self._baseline[0], self.before[1] + self._baseline[1]

    def _started_ms(self, at_ms: int) -> int:
        """When the first incident known so far happened, as a minute; the moment asked about without one."""
        minutes = [one.minute for one in self._heard.values()]
        if self._first_minute is not None:
            minutes.append(self._first_minute)
        return min((tick_ms(minute) for minute in minutes), default=at_ms)

    def _exemplars(self, size: int) -> tuple[Exemplar, ...]:
        heard = [Exemplar(one.at_ms, one.exemplar, one.failure_class) for one in self._heard.values()]
        return tuple(smallest([self._kept, heard], size))

    def _seen(self, judged: IncidentJudgement) -> Observed:
        incidents = self._counts().incidents
        return Observed(
            baseline=judged.mu,
            candidate=float(incidents),
            delta=incidents - judged.mu,
            samples=(self._reference[1], self._candidate[1]),
        )

    def finding(self, size: int, at_ms: int, judged: IncidentJudgement | None = None) -> Finding:
        """Return what the incidents show at a moment, with at most `size` of them as exemplars."""
        judged = self._judge() if judged is None else judged
        started_ms = self._started_ms(at_ms)
        return Finding(
            objective=self.objective,
            view=self.view,
            seen=self._seen(judged),
            started_ms=started_ms,
            held_min=max(0, (at_ms - started_ms) // 60_000),
            exemplars=self._exemplars(size),
            evidence=partial(incident_evidence, self._counts(), judged, at_ms),
        )

    def assessed(self, late_count: int) -> dict[str, object]:
        """Return this objective's row of the release's assessment."""
        judged = self._judge()
        seen = self._seen(judged)
        if self.fired or judged.answer is IncidentAnswer.ROLLBACK:
            verdict = "breach"
        elif not self._candidate[1] or not self._reference[1]:
            verdict = "no_data"
        else:
            verdict = "healthy" if judged.answer is IncidentAnswer.QUIET else "inconclusive"
        return {
            "objective": self.objective.objective_id,
            "metric": self.objective.indicator.name,
            "cohort": dict(self.view),
            "tier": self.objective.tier.value,
            "verdict": verdict,
            "limit": self.objective.limit,
            "observed": observed_data(seen, self.objective.unit),
            "samples": samples_data(seen),
            "mde": None,
            "phi": 1.0,
            "minutes_spent": 0,
            "late_count": late_count,
            "evidence": incident_evidence(self._counts(), judged, None),
            "summary": f"{self._candidate[0] + len(self._heard)} high-severity incidents: {verdict}",
        }


def incident_evidence(
    counts: IncidentCounts, judged: IncidentJudgement, at_ms: int | None
) -> dict[str, object]:
    """Return what a safety decision is judged by, JSON-ready; unbounded expectations are null.

    Args:
        at_ms: The moment asked about; None in an assessment, which has one of its own.
    """
    return {
        "kind": "incidents",
        "answer": judged.answer.value,
        "judged_to": None if at_ms is None else rfc3339(at_ms),
        "k": judged.k,
        "mu": finite(judged.mu),
        "g_k": judged.g_k,
        "counts": asdict(counts),
    }


def alpha_of(objective: Objective, view: CohortKey) -> float:
    """Return a slice's part of the error rate: all of it, or half to the whole view and half to its slices."""
    slices = len(objective.critical_cohorts)
    if not slices:
        return ALPHA_SAFETY
    return ALPHA_SAFETY / 2 if view == objective.where else ALPHA_SAFETY / 2 / slices
