"""The objectives of the simulation, as a budget file would give them to the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from monitor.core.budget import EvidenceMode, Objective, Tier, Unit
from monitor.core.indicator import Direction, indicator
from monitor.core.stats.rule import Rule, rule_for

WINDOW_MIN: Final = 1440
OBJECTIVES: Final = 4  # that share the error rate of the release
LATENCY_SIGMA: Final = 0.8  # of the lognormal latency, on the natural log scale
LATENCY_MEDIAN_US: Final = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Guarded:
    """An objective with what its baseline shows.

    Attributes:
        base: The baseline's rate; 0 for a latency.
    """

    objective: Objective
    base: float = 0.0

    @property
    def limit(self) -> float:
        """X as a share of the baseline's value, signed."""
        return self.objective.limit / 100.0

    def rule(self, cohorts: int = 1) -> Rule:
        """Return the rule of its overall view, or of one cohort among `cohorts`."""
        return rule_for(self.objective, window_min=WINDOW_MIN, objectives=OBJECTIVES, cohorts=cohorts)

    def held(self, hold_min: int) -> Guarded:
        """Return the same limit with another Y."""
        return replace(self, objective=replace(self.objective, hold_min=hold_min))

    def strict(self) -> Guarded:
        """Return the same limit with `evidence: strict`: beyond X itself must be shown."""
        return replace(self, objective=replace(self.objective, evidence=EvidenceMode.STRICT))


def _guarded(name: str, limit: float, hold_min: int, base: float = 0.0) -> Guarded:
    shown = indicator(name)
    objective = Objective(
        objective_id=f"simulated.{name}_delta_pct",
        indicator=shown,
        worse=shown.worse or Direction.HIGHER_IS_WORSE,
        limit=limit,
        unit=Unit.PERCENT,
        hold_min=hold_min,
        tier=Tier.A,
    )
    return Guarded(objective, base)


SUCCESS: Final = _guarded("task_success", -2.0, 20, 0.9)
HANDOFF: Final = _guarded("human_handoff", 8.0, 20, 0.05)
LATENCY: Final = _guarded("p95", 15.0, 30)
