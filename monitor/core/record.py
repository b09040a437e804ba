"""The `data` of a decision: every number a person or a program needs to check it, JSON-ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Final

from monitor.core.budget import BaselineMode, Budget, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.decision import Action, Reason
from monitor.core.exemplar import Exemplar
from monitor.core.moment import rfc3339
from monitor.core.stats.intervals import CONFIDENCE

# Each event of a page says by itself what the page is about: whoever hears of its end need not know its beginning.
_SAID_AGAIN: Final = (
    "metric",
    "cohort_share",
    "tier",
    "action",
    "limit",
    "observed",
    "samples",
    "held_min",
    "breach_started_at",
    "exemplars",
)


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
class Capped:
    """The mean of values up to a cap, the baseline's p99, beside the mean of the values as they are.

    Attributes:
        baseline, candidate, delta, lower, upper: As of `Observed`.
        above_baseline, above_candidate: Share (0 to 1) of values above the cap. None without data.
    """

    cap: float | None
    baseline: float | None
    candidate: float | None
    delta: float | None
    lower: float | None
    upper: float | None
    above_baseline: float | None
    above_candidate: float | None


@dataclass(frozen=True, slots=True)
class Observed:
    """What a stretch of minutes showed.

    Attributes:
        baseline, candidate, delta: Point estimates; delta in the objective's own unit. None without data.
        lower, upper: Where the true delta lies, at `CONFIDENCE`.
        mde: The smallest harmful delta these samples could have decided, in the same unit.
        samples: Requests of (baseline, candidate).
        capped: Of a mean, which is judged twice: the other measure.
    """

    baseline: float | None = None
    candidate: float | None = None
    delta: float | None = None
    lower: float | None = None
    upper: float | None = None
    mde: float | None = None
    samples: tuple[int, int] = (0, 0)
    capped: Capped | None = None


@dataclass(frozen=True, slots=True)
class StageMove:
    """The quantile of one stage of the requests, where that of the whole is shown.

    Attributes:
        baseline_ms, candidate_ms: Point estimates, milliseconds.
        delta_pct: Candidate against baseline, percent.
        lower_pct, upper_pct: Where the true delta lies, at `CONFIDENCE`; None is unbounded.
    """

    stage: str
    baseline_ms: float
    candidate_ms: float
    delta_pct: float
    lower_pct: float | None
    upper_pct: float | None

    @property
    def moved_ms(self) -> float:
        """By how much the candidate is slower."""
        return self.candidate_ms - self.baseline_ms

    @property
    def is_slower(self) -> bool:
        """Tell whether it is slower by more than chance explains: the interval excludes no change."""
        return self.moved_ms > 0.0 and self.lower_pct is not None and self.lower_pct > 0.0


def moved_most(stages: Iterable[StageMove]) -> StageMove | None:
    """Return the stage that became slower by the most milliseconds; None where chance explains every slowdown."""
    return max((one for one in stages if one.is_slower), key=lambda one: one.moved_ms, default=None)


def finite(value: float | None) -> float | None:
    """Return the value, or None where it is no number a JSON document can hold."""
    return value if value is not None and isfinite(value) else None


def observed_data(seen: Observed, unit: Unit) -> dict[str, object]:
    """Return `observed` as it stands in an event."""
    data: dict[str, object] = {
        "baseline": finite(seen.baseline),
        "candidate": finite(seen.candidate),
        "delta": finite(seen.delta),
        "unit": unit.value,
        "lower": finite(seen.lower),
        "upper": finite(seen.upper),
        "confidence": CONFIDENCE,
        "mde": finite(seen.mde),
    }
    if seen.capped is not None:
        data["capped"] = {name: finite(value) for name, value in asdict(seen.capped).items()}
    return data


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
        "mode": budget.mode.value,
    }


@dataclass(frozen=True, slots=True)
class Finding:
    """What one objective shows on one slice, at one moment.

    Attributes:
        started_ms: Since when the shown stretch lasts; `held_min` is its length.
        baseline_mode: Whether the baseline is its traffic of the same minutes, or (in part) a frozen reference.
        stages: Of an end-to-end latency, how its stages moved over the same stretch, the slowest-grown first.
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
    stages: tuple[StageMove, ...] = ()
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
        **({"stages": [asdict(stage) for stage in finding.stages]} if finding.stages else {}),
        "held_min": finding.held_min,
        "breach_started_at": rfc3339(finding.started_ms),
        "decided_at": rfc3339(at_ms),
        "deadline": None if deadline_ms is None else rfc3339(deadline_ms),
        "exemplars": trace_ids(finding.exemplars),
        "summary": summary,
        "evidence": evidence_data(finding),
    }


def said_again(opened: Mapping[str, object]) -> dict[str, object]:
    """Return what every later event of a page says of what it was opened with."""
    return {name: opened[name] for name in _SAID_AGAIN if name in opened}


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
