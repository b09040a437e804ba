"""One objective's sustained rule in one view: windows, spans and thresholds, computed once at load."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from monitor.core.budget import Objective
from monitor.core.indicator import IndicatorKind
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.thresholds import (
    ALPHA_ROLLBACK,
    OVERALL_SHARE,
    GridWindow,
    quarter,
    span_grid,
    window_grid,
    x_star,
)

MEAN_MEASURES: Final = 2  # of a mean: values up to a cap, and values as they are (`core.measure`)
RECOVERY_P: Final = 0.01  # at which a stretch counts as evidently within the limit


@dataclass(frozen=True, slots=True)
class Span:
    """One length of W, in minutes, and what its checks look at."""

    length_min: int
    newest_min: int
    fifth_min: int
    block_nats: float  # evidence of recovery that one of its Y/4 blocks may not reach


@dataclass(frozen=True, slots=True)
class Rule:
    """One objective's rule in one view; everything that does not depend on data, computed once."""

    hold_min: int
    window_min: int
    x_star: float
    min_samples: int
    windows: tuple[GridWindow, ...]
    spans: tuple[Span, ...]
    measures: int = 1  # how many of the indicator are judged, each by this rule

    @property
    def recent_min(self) -> int:
        """The newest stretch that says suspect or recovered: a quarter of the hold."""
        return quarter(self.hold_min)


def make_rule(
    hold_min: int,
    *,
    window_min: int,
    objectives: int,
    cohorts: int = 1,
    min_samples: int = 0,
    measures: int = 1,
    alpha: float = ALPHA_ROLLBACK,
    share: float = OVERALL_SHARE,
) -> Rule:
    """Return the rule of a hold (minutes, 0 = at once) within a budget's window.

    Args:
        objectives, cohorts, alpha, share: How the error rate is split, see `thresholds.x_star`.
        measures: Among how many measures of the indicator this view's part of it is split.
    """
    block = quarter(hold_min)
    return Rule(
        hold_min=hold_min,
        window_min=window_min,
        x_star=x_star(
            hold_min=hold_min,
            window_min=window_min,
            objectives=objectives * measures,
            cohorts=cohorts,
            alpha=alpha,
            share=share,
        ),
        min_samples=min_samples,
        measures=measures,
        windows=window_grid(hold_min, window_min),
        spans=tuple(
            Span(
                length_min=length,
                newest_min=min(quarter(length), max(hold_min, 1)),
                fifth_min=max(block, ceil(length / 5)),
                block_nats=evidence_for(RECOVERY_P / (length // block)),
            )
            for length in span_grid(hold_min, window_min)
        ),
    )


def rule_for(
    objective: Objective,
    *,
    window_min: int,
    objectives: int,
    cohorts: int = 1,
    alpha: float = ALPHA_ROLLBACK,
    share: float = OVERALL_SHARE,
) -> Rule:
    """Return the rule of an objective in one of its views."""
    return make_rule(
        objective.hold_min,
        window_min=window_min,
        objectives=objectives,
        cohorts=cohorts,
        min_samples=objective.min_samples,
        measures=MEAN_MEASURES if objective.indicator.kind is IndicatorKind.MEAN else 1,
        alpha=alpha,
        share=share,
    )
