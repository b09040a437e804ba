"""The `data` of a decision: every number a person or a program needs to check it, JSON-ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from monitor.core.budget import BaselineMode, Budget, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.decision import Action, Reason
from monitor.core.exemplar import Exemplar
from monitor.core.moment import rfc3339

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Arming:
    """One arming of a budget: its number, and where it began."""

    release: str
    number: int
    budget_digest: str
    at_ms: int
    armed_late: bool = False
    offsets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """What a stretch of minutes showed.

    Attributes:
        baseline, candidate, delta: Point estimates; delta in the objective's own unit. None without data.
        lower, upper: Where the true delta lies, at `CONFIDENCE`.
        mde: The smallest harmful delta these samples could have decided, in the same unit.
        samples: Requests of (baseline, candidate).
    """

    baseline: float | None = None
    candidate: float | None = None
    delta: float | None = None
    lower: float | None = None
    upper: float | None = None
    mde: float | None = None
    samples: tuple[int, int] = (0, 0)


def finite(value: float | None) -> float | None:
    """Return the value, or None where it is no number a JSON document can hold."""
    return value if value is not None and isfinite(value) else None


def observed_data(seen: Observed, unit: Unit) -> dict[str, object]:
    """Return `observed` as it stands in an event."""
    return {
        "baseline": finite(seen.baseline),
        "candidate": finite(seen.candidate),
        "delta": finite(seen.delta),
        "unit": unit.value,
        "lower": finite(seen.lower),
        "upper": finite(seen.upper),
        "confidence": CONFIDENCE,
        "mde": finite(seen.mde),
    }


def samples_data(seen: Observed) -> dict[str, int]:
    """Return `samples` as it stands in an event."""
    return {"baseline": seen.samples[0], "candidate": seen.samples[1]}


def release_data(budget: Budget, arming: Arming) -> dict[str, object]:
    """Return what every event of an armed release says."""
    return {
        "release": budget.release,
        "baseline": budget.baseline,
        "budget": budget.title,
        "budget_digest": budget.digest,
        "arming": arming.number,
    }


@dataclass(frozen=True, slots=True)
class Finding:
    """What one objective shows on one slice, at one moment.

    Attributes:
        started_ms: Since when the shown stretch lasts; `held_min` is its length.
        baseline_mode: Whether the baseline is its traffic of the same minutes, or (in part) a frozen reference.
        cohort_share: The slice's part (0 to 1) of the candidate's requests, for a slice that only pages.
        evidence: Returns what the verdict can be computed again from, JSON-ready; to be called in the same tick.
    """

    objective: Objective
    view: CohortKey
    seen: Observed
    started_ms: int
    held_min: int
    exemplars: tuple[Exemplar, ...]
    baseline_mode: BaselineMode = BaselineMode.CONCURRENT
    cohort_share: float | None = None
    evidence: Callable[[], Mapping[str, object] | None] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def only_pages(self) -> bool:
        """Tell whether it is about a watched cohort: its page escalates and never acts."""
        return self.view not in self.objective.views()


def evidence_data(finding: Finding) -> Mapping[str, object] | None:
    """Return `evidence` as it stands in an event; None where nothing was judged."""
    return None if finding.evidence is None else finding.evidence()


def finding_data(
    budget: Budget,
    arming: Arming,
    finding: Finding,
    *,
    action: Action,
    reason: Reason,
    at_ms: int,
    summary: str,
    deadline_ms: int | None = None,
) -> dict[str, object]:
    """Return the data of a decision about one objective."""
    objective = finding.objective
    return {
        **release_data(budget, arming),
        "objective": objective.objective_id,
        "metric": objective.indicator.name,
        "cohort": dict(finding.view),
        **({} if finding.cohort_share is None else {"cohort_share": finding.cohort_share}),
        "tier": objective.tier.value,
        "action": action.value,
        "reason": reason.value,
        "limit": objective.limit,
        "baseline_mode": finding.baseline_mode.value,
        "observed": observed_data(finding.seen, objective.unit),
        "samples": samples_data(finding.seen),
        "held_min": finding.held_min,
        "breach_started_at": rfc3339(finding.started_ms),
        "decided_at": rfc3339(at_ms),
        "deadline": None if deadline_ms is None else rfc3339(deadline_ms),
        "exemplars": trace_ids(finding.exemplars),
        "summary": summary,
        "evidence": evidence_data(finding),
    }


def whole_data(
    budget: Budget, arming: Arming, action: Action, reason: Reason, at_ms: int, summary: str
) -> dict[str, object]:
    """Return the data of a decision about the release as a whole: what only an objective has is null."""
    return {
        **release_data(budget, arming),
        **dict.fromkeys(("objective", "metric", "tier", "limit", "observed", "samples", "held_min")),
        "cohort": {},
        "action": action.value,
        "reason": reason.value,
        "breach_started_at": None,
        "decided_at": rfc3339(at_ms),
        "deadline": None,
        "exemplars": [],
        "summary": summary,
        "evidence": None,
    }


def trace_ids(exemplars: Iterable[Exemplar]) -> list[str]:
    """Return the ids a person looks up."""
    return [exemplar.trace_id for exemplar in exemplars]


def failure_classes(exemplars: Iterable[Exemplar]) -> list[str]:
    """Return the named failure classes among the exemplars, sorted."""
    return sorted({exemplar.failure_class for exemplar in exemplars if exemplar.failure_class})
