"""Indicators: the quantities of requests that budgets limit, one closed list.

`outcome.<name>` and `<stage>_pNN` are the two open families of the contract; `indicator` reads both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from monitor.core.errors import UnknownIndicator


class Direction(Enum):
    """Which way of moving is worse for the user."""

    LOWER_IS_WORSE = "lower"
    HIGHER_IS_WORSE = "higher"


class IndicatorKind(Enum):
    """How an indicator is computed, and with that which evidence applies to it."""

    RATE = "rate"
    QUANTILE = "quantile"
    MEAN = "mean"
    INCIDENTS = "incidents"


@dataclass(frozen=True, slots=True)
class Indicator:
    """One measured quantity.

    Attributes:
        name: As budgets write it: `task_success`, `p95`, `retrieval_p95`, `outcome.grounded`.
        source: Where an aggregate keeps it: a label (`task_success`), an outcome's name, or a
            distribution (`latency`, `stage.retrieval`, `cost`, `tokens`).
        worse: The harmful direction; None where only the limit's sign says it (`outcome.*`).
        quantile: 0 to 1, for `QUANTILE` only.
    """

    name: str
    kind: IndicatorKind
    source: str
    worse: Direction | None
    quantile: float | None = None


_LOWER, _HIGHER = Direction.LOWER_IS_WORSE, Direction.HIGHER_IS_WORSE

# (name in budgets, field of the trace event, harmful direction)
_RATES: Final = (
    ("task_success", "task_success", _LOWER),
    ("parse_failures", "parse_failure", _HIGHER),
    ("citation_validity", "citation_valid", _LOWER),
    ("refusal", "refusal", _HIGHER),
    ("abstention", "abstained", _HIGHER),
    ("human_handoff", "human_handoff", _HIGHER),
    ("user_retry", "user_retry", _HIGHER),
    ("tool_success", "tool_success", _LOWER),
    ("fallback", "fallback_used", _HIGHER),
    ("error", "error", _HIGHER),
    ("timeout", "timeout", _HIGHER),
)
LABELS: Final = tuple(field for _, field, _ in _RATES if field not in ("error", "timeout"))
"""The true/false/absent labels of a trace event, in the order aggregates keep them."""

INCIDENTS: Final = "high_severity_incidents"
# Those that a budget can name.
QUANTILES: Final = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
_FIXED: Final = {
    **{name: Indicator(name, IndicatorKind.RATE, field, worse) for name, field, worse in _RATES},
    **{name: Indicator(name, IndicatorKind.QUANTILE, "latency", _HIGHER, q) for name, q in QUANTILES.items()},
    "cost_per_request": Indicator("cost_per_request", IndicatorKind.MEAN, "cost", _HIGHER),
    "tokens_per_request": Indicator("tokens_per_request", IndicatorKind.MEAN, "tokens", _HIGHER),
    INCIDENTS: Indicator(INCIDENTS, IndicatorKind.INCIDENTS, "incidents", _HIGHER),
}
INDICATOR_NAMES: Final = tuple(_FIXED)
_OUTCOME = re.compile(r"outcome\.([A-Za-z0-9_.-]{1,64})")
_STAGE = re.compile(r"([A-Za-z0-9_-]{1,64})_(p50|p90|p95|p99)")


def indicator(name: str) -> Indicator:
    """Return the indicator that budgets call `name`.

    Raises:
        UnknownIndicator: Neither one of `INDICATOR_NAMES` nor of the two open families.
    """
    if name in _FIXED:
        return _FIXED[name]
    if found := _OUTCOME.fullmatch(name):
        return Indicator(name, IndicatorKind.RATE, f"outcome.{found[1]}", None)
    if found := _STAGE.fullmatch(name):
        return Indicator(name, IndicatorKind.QUANTILE, f"stage.{found[1]}", _HIGHER, QUANTILES[found[2]])
    raise UnknownIndicator(name)
