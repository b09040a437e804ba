"""The grammar of a limit: `<metric>_delta_pct`, `<metric>_delta_pp` and `<metric>_increase`, with its sign."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monitor.config.budget_model import GroupSpec
from monitor.config.fields import MAX_LIMIT, MIN_LIMIT
from monitor.config.problem import near, shown
from monitor.core.budget import Unit
from monitor.core.errors import UnknownIndicator
from monitor.core.indicator import INDICATOR_NAMES, QUANTILES, Direction, Indicator, IndicatorKind, indicator

KNOWN_STAGES: Final = ("model", "retrieval", "rerank", "tool", "first_token")
_END_TO_END: Final = frozenset({"latency", "total", "end_to_end", "e2e", "request", "response", "overall"})
_LIMIT: Final = re.compile(r"(?P<metric>.+)_(?P<unit>delta_pct|delta_pp|increase)", re.DOTALL)
_UNITS: Final = {"delta_pct": Unit.PERCENT, "delta_pp": Unit.POINTS, "increase": Unit.COUNT}
_SUFFIXES: Final = {
    IndicatorKind.RATE: ("delta_pct", "delta_pp"),
    IndicatorKind.QUANTILE: ("delta_pct",),
    IndicatorKind.MEAN: ("delta_pct",),
    IndicatorKind.INCIDENTS: ("increase",),
}
_OFTEN_MEANT: Final = {
    "latency": "p95",
    "cost": "cost_per_request",
    "cost_usd": "cost_per_request",
    "tokens": "tokens_per_request",
    "incidents": "high_severity_incidents",
    "success": "task_success",
    "abstained": "abstention",
    "fallback_used": "fallback",
}
_STAGE_NAMES: Final = tuple(f"{stage}_{quantile}" for stage in KNOWN_STAGES for quantile in QUANTILES)
_METRICS: Final = f"{', '.join(INDICATOR_NAMES)}, outcome.<name>, <stage>_p50, _p90, _p95 or _p99"


@dataclass(frozen=True, slots=True)
class LimitName:
    """What a limit's key says: which indicator, counted in which unit."""

    indicator: Indicator
    unit: Unit


def limit_name(key: str) -> LimitName | str:
    """Return what the key of a limit says, or the complaint where it is no limit at all."""
    found = _LIMIT.fullmatch(key)
    if not found:
        return _no_limit(key)
    metric, suffix = found["metric"], found["unit"]
    try:
        meant = indicator(metric)
    except UnknownIndicator:
        return f"unknown metric {shown(metric)}{_meant(metric)}; allowed are {_METRICS}"
    if suffix not in _SUFFIXES[meant.kind]:
        return _wrong_unit(meant, suffix)
    return LimitName(meant, _UNITS[suffix])


def _meant(metric: str) -> str:
    if metric in _OFTEN_MEANT:
        return f"; did you mean {_OFTEN_MEANT[metric]}?"
    if hint := near(metric, (*INDICATOR_NAMES, *_STAGE_NAMES)):
        return hint
    return f"; a rate of your own is written outcome.{metric}" if _is_known(f"outcome.{metric}") else ""


def limit_keys(names: Iterable[str] = INDICATOR_NAMES) -> tuple[str, ...]:
    """Return every key that a limit of these indicators may have."""
    return tuple(f"{name}_{suffix}" for name in names for suffix in _SUFFIXES[indicator(name).kind])


def _no_limit(key: str) -> str:
    shared = tuple(GroupSpec.model_fields)
    if key in INDICATOR_NAMES or key.startswith("outcome."):
        keys = limit_keys((key,)) if _is_known(key) else (f"{key}_delta_pp",)
        return f"a limit needs its unit; write {' or '.join(keys)}"
    allowed = f"allowed are {', '.join(shared)}, and limits such as task_success_delta_pct"
    return f"unknown key{near(key, (*shared, *limit_keys()))}; {allowed}"


def _is_known(name: str) -> bool:
    try:
        indicator(name)
    except UnknownIndicator:
        return False
    return True


def _wrong_unit(meant: Indicator, suffix: str) -> str:
    why = {
        "increase": "counts occurrences, and only high_severity_incidents are counted",
        "delta_pp": "means percentage points, and only rates have them",
        "delta_pct": "is a share of the baseline's value, and a clean baseline has none",
    }[suffix]
    right = " or ".join(f"{meant.name}_{allowed}" for allowed in _SUFFIXES[meant.kind])
    return f"_{suffix} {why}; write {right}"


def value_complaint(name: LimitName, value: float) -> str | None:
    """Return what is wrong with a limit's number, None where it can mean something."""
    if name.unit is Unit.COUNT:
        return _count_complaint(value)
    if value == 0:
        return _zero_complaint(name.indicator)
    if abs(value) > MAX_LIMIT or abs(value) < MIN_LIMIT:
        return f"{value:+g} is out of range; its size must be {MIN_LIMIT:g} to {MAX_LIMIT:,}"
    if name.indicator.worse is not None and direction(name.indicator, value) is not name.indicator.worse:
        return _sign_complaint(name.indicator, value)
    if (name.unit is Unit.POINTS or value < 0) and abs(value) >= 100:
        return f"{value:+g} can never be passed: a rate has 100 points, and nothing falls by more than 100 %"
    return None


def direction(meant: Indicator, value: float) -> Direction:
    """Return the harmful direction that the sign of a limit names; incidents are worse when they rise."""
    if meant.kind is IndicatorKind.INCIDENTS:
        return Direction.HIGHER_IS_WORSE
    return Direction.LOWER_IS_WORSE if value < 0 else Direction.HIGHER_IS_WORSE


def stage_remark(meant: Indicator) -> str | None:
    """Return a remark where a stage's name looks like a slip, None where it looks meant."""
    stage, _, quantile = meant.name.rpartition("_")
    if meant.kind is not IndicatorKind.QUANTILE or not stage or stage in KNOWN_STAGES:
        return None
    if stage.lower() in _END_TO_END:
        return f"reads the stage {shown(stage)}; end to end is written {quantile}_delta_pct"
    hint = near(stage, KNOWN_STAGES)
    return f"reads the stage {shown(stage)}, which is not one of the usual ones{hint}" if hint else None


def _count_complaint(value: float) -> str | None:
    if value.is_integer() and 0 <= value <= MAX_LIMIT:
        return None
    return f"{value:g} is no number of incidents; use a whole number, 0 or more"


def _zero_complaint(meant: Indicator) -> str:
    if meant.worse is None:
        return (
            f"0 does not say which direction is worse; use a negative limit where a fall of {meant.name} is harm, "
            "a positive one where a rise is"
        )
    example = "-1" if meant.worse is Direction.LOWER_IS_WORSE else "+5"
    return f"0 would make every difference a breach, and chance alone makes differences; use a limit such as {example}"


def _sign_complaint(meant: Indicator, value: float) -> str:
    lower = meant.worse is Direction.LOWER_IS_WORSE
    moves, sign = ("falls", "negative") if lower else ("rises", "positive")
    return (
        f"{value:+g} has the wrong sign: {meant.name} is worse when it {moves}, so its limit is {sign}; "
        f"write {-value:+g}"
    )
