"""A rollback budget as the core sees it: already parsed, already checked (`monitor.config` does both)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from monitor.core.cohort import OVERALL, CohortKey, narrowed
from monitor.core.indicator import Direction, Indicator, IndicatorKind


class Tier(Enum):
    """A rolls back at once and then tells people; B asks the incident commander first."""

    A = "A"
    B = "B"


class Unit(Enum):
    """What a limit's number counts."""

    PERCENT = "pct"  # relative to the baseline's value
    POINTS = "pp"  # percentage points, rates only
    COUNT = "increase"  # occurrences above what the baseline's rate predicts


class Accounting(Enum):
    """What "beyond X for Y minutes" adds up: one unbroken stretch, or all bad minutes of the window."""

    SUSTAINED = "sustained"
    CUMULATIVE = "cumulative"


class EvidenceMode(Enum):
    """How much evidence a breach needs: beyond half the limit, beyond the limit, or none (tests)."""

    DEFAULT = "default"
    STRICT = "strict"
    OFF = "off"


class OnNoData(Enum):
    """What to do when everything was read and no candidate traffic came."""

    HOLD = "hold"
    PAGE = "page"
    ROLLBACK = "rollback"


class BaselineMode(Enum):
    """Whether the baseline's traffic of the same minutes, or a frozen past, is the reference."""

    AUTO = "auto"
    CONCURRENT = "concurrent"
    FROZEN = "frozen"


class Scope(Enum):
    """What a rollback takes back: the whole release, or one critical cohort of it."""

    RELEASE = "release"
    COHORT = "cohort"


class OnSilence(Enum):
    """What a tier-B page does when its deadline passes without a word from the commander."""

    ROLLBACK = "rollback"
    HOLD = "hold"


class TierAction(Enum):
    """What a tier-A breach leads to."""

    AUTO_ROLLBACK = "auto_rollback"
    PAGE = "page"


class Mode(Enum):
    """How far a budget may go, the rungs of a ladder: it says what it would do, it asks people, it acts."""

    OBSERVE = "observe"
    PAGE = "page"
    AUTO = "auto"


class RollbackBy(Enum):
    """How a flag goes back to the baseline: switched off, the candidate's share at zero, or one variation for all."""

    DISABLE = "disable"
    ROLLOUT_ZERO = "rollout_zero"
    SERVE_VARIATION = "serve_variation"


@dataclass(frozen=True, slots=True)
class Objective:
    """One limit of a budget.

    Attributes:
        objective_id: `<group>.<key as written>`, e.g. `quality.task_success_delta_pct`.
        limit: As written, signed; its sign agrees with `worse`. COUNT limits are whole and >= 0.
        hold_min: Minutes a breach must last: 0 (at once) or 4 and more.
        where: The slice the objective looks at; OVERALL looks at everybody.
        critical_cohorts: Slices that act as the tier says, besides the overall view.
        watched_dimensions: Dimensions of which every value is watched; a breach there pages.
    """

    objective_id: str
    indicator: Indicator
    worse: Direction
    limit: float
    unit: Unit
    hold_min: int
    tier: Tier
    immediate: bool = False
    where: CohortKey = OVERALL
    critical_cohorts: tuple[CohortKey, ...] = ()
    watched_dimensions: tuple[str, ...] = ()
    scope: Scope = Scope.RELEASE
    accounting: Accounting = Accounting.SUSTAINED
    evidence: EvidenceMode = EvidenceMode.DEFAULT
    min_samples: int = 0
    label_delay_min: int = 0
    on_no_data: OnNoData = OnNoData.PAGE
    baseline_mode: BaselineMode = BaselineMode.AUTO
    literal: bool = False
    ignores_override: bool = False

    @property
    def is_guarded(self) -> bool:
        """Tell whether the sustained rule judges it (everything but incidents)."""
        return self.indicator.kind is not IndicatorKind.INCIDENTS

    def views(self) -> tuple[CohortKey, ...]:
        """Return every slice this objective judges: its overall view first, then its critical cohorts."""
        return (self.where, *(narrowed(self.where, cohort) for cohort in self.critical_cohorts))


@dataclass(frozen=True, slots=True)
class FlagTarget:
    """Which switch serves the candidate, and what serving the baseline means there."""

    actuator: str
    key: str
    baseline_variation: str
    candidate_variation: str
    scope: str | None = None
    rollback_by: RollbackBy = RollbackBy.SERVE_VARIATION


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """Which part of the requests the candidate is meant to get.

    Attributes:
        candidate_share_pct: Of the requests of both arms together, above 0 and below 100.
        tolerance_pct: How far the share may be off, in percent of the smaller arm's share.
    """

    candidate_share_pct: float
    tolerance_pct: float = 5.0

    @property
    def share(self) -> float:
        """The declared share, 0 to 1."""
        return self.candidate_share_pct / 100.0

    @property
    def allowed(self) -> tuple[float, float]:
        """The least and the largest share that is still right, 0 to 1."""
        slack = min(self.share, 1.0 - self.share) * self.tolerance_pct / 100.0
        return self.share - slack, self.share + slack


@dataclass(frozen=True, slots=True)
class Verification:
    """When the traffic proves that a rollback took effect.

    Attributes:
        share_pct: What the candidate may keep of the requests of both arms, in percent.
        within_min: How long that may take once the flag was read back.
    """

    share_pct: float = 0.1
    within_min: int = 5

    @property
    def max_ratio(self) -> float:
        """The share it may keep, 0 to 1."""
        return self.share_pct / 100.0


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """Who hears of a page that nobody has acknowledged.

    Attributes:
        after_min: After the page was opened, and not before it could be read.
        pagers: Who is told; none: every pager.
        on_call: Who is named in it.
    """

    after_min: int
    pagers: tuple[str, ...] = ()
    on_call: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The objectives of one release against its baseline, and who decides.

    Attributes:
        digest: SHA-256 of the budget's canonical JSON: equal meaning, equal digest.
        window_min: How long the budget watches, from the candidate's first live request.
        decide_within_min: The commander's clock of a tier-B page.
        max_extension_min: How much longer the commander may take, in all; None: as long again.
        escalation: Who hears of a page that nobody acknowledges, the soonest first.
        mode: What of all this really happens; `on_silence` is as written, `silence` as it holds.
    """

    release: str
    baseline: str
    digest: str
    window_min: int
    objectives: tuple[Objective, ...]
    tier_a: TierAction = TierAction.AUTO_ROLLBACK
    decide_within_min: int = 15
    on_silence: OnSilence = OnSilence.ROLLBACK
    name: str | None = None
    owner: str | None = None
    on_call: str | None = None
    flag: FlagTarget | None = None
    strata: tuple[str, ...] = ("workflow",)
    exemplars: int = 5
    follow_ups: tuple[str, ...] = ()
    traffic: TrafficSplit | None = None
    verify: Verification = Verification()
    max_extension_min: int | None = None
    escalation: tuple[EscalationStep, ...] = ()
    mode: Mode = Mode.AUTO

    def is_automatic(self, objective: Objective) -> bool:
        """Tell whether a breach of an objective rolls back without asking; while observing: whether it would."""
        is_allowed = self.tier_a is TierAction.AUTO_ROLLBACK and self.mode is not Mode.PAGE
        return objective.tier is Tier.A and is_allowed

    @property
    def silence(self) -> OnSilence:
        """What a page does that runs out: where people are only asked, silence is no order."""
        return OnSilence.HOLD if self.mode is Mode.PAGE else self.on_silence

    @property
    def extension_min(self) -> int:
        """The most minutes that may be added to the commander's clock."""
        return self.decide_within_min if self.max_extension_min is None else self.max_extension_min

    @property
    def title(self) -> str:
        """The name people know the budget by: its own, else its release."""
        return self.name or self.release
