"""What an arm shows in scripted traffic: `{task_success: 0.9, p95_ms: 2000}`, by the metrics that budgets limit."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Final

from pydantic_core import PydanticCustomError

from monitor.config.budget_tests_model import as_share, exact
from monitor.config.fields import as_number, as_whole, refuse
from monitor.config.problem import near, shown
from monitor.config.source import BROKEN, Path, Source
from monitor.core.errors import UnknownIndicator
from monitor.core.event import MAX_LATENCY_MS
from monitor.core.indicator import INCIDENTS, INDICATOR_NAMES, QUANTILES, IndicatorKind, indicator
from monitor.core.traffic_script import Values

MAX_INCIDENTS: Final = 1_000
MAX_COST_USD: Final = 1_000_000
MAX_TOKENS: Final = 100_000_000
_MS: Final = "_ms"
KEYS: Final = tuple(f"{name}{_MS}" if name in QUANTILES else name for name in INDICATOR_NAMES)
"""Every key but those of the two open families, `outcome.<name>` and `<stage>_p95_ms`."""


def read_values(data: object, path: Path, source: Source, *, with_incidents: bool) -> Values:
    """Return the values of a mapping by indicator, and report those that are none.

    Args:
        with_incidents: Whether a number of incidents can stand here: it belongs to one arm in one stretch.
    """
    values: dict[str, Fraction] = {}
    for key, value in data.items() if isinstance(data, dict) else ():
        if value is BROKEN:
            continue
        place = (*path, key)
        try:
            name = _indicator_of(key, with_incidents=with_incidents)
        except PydanticCustomError as problem:
            source.error(place, problem.message(), mark=source.keys.get(place))
            continue
        try:
            values[name] = _value(name, value)
        except PydanticCustomError as problem:
            source.error(place, problem.message())
    return values


def complaint_about(values: Values) -> str | None:
    """Return what keeps values from holding together, None where nothing does."""
    failed = values.get("error", Fraction(0)) + values.get("timeout", Fraction(0))
    if failed > 1:
        return f"error and timeout make {float(failed):.0%} of the requests together; at most 100%"
    known: dict[str, list[tuple[float, Fraction, str]]] = {}
    for name, value in values.items():
        found = indicator(name)
        if found.quantile is not None:
            known.setdefault(found.source, []).append((found.quantile, value, name))
    for quantiles in known.values():
        ranked = sorted(quantiles)
        for (_, low, lower), (_, high, higher) in pairwise(ranked):
            if low >= high:
                return (
                    f"{higher}{_MS} ({float(high):g}) is not above {lower}{_MS} ({float(low):g}) here; "
                    "state both, or only one of them"
                )
    return None


def _indicator_of(key: str, *, with_incidents: bool) -> str:
    name = key.removesuffix(_MS)
    try:
        found = indicator(name)
    except UnknownIndicator:
        hint = near(key, KEYS) or _own_rate(key)
        refuse(
            f"no metric of traffic{hint}; allowed are {', '.join(KEYS)}, outcome.<name> and <stage>_p95_ms"
        )
    is_quantile = found.kind is IndicatorKind.QUANTILE
    if is_quantile and not key.endswith(_MS):
        refuse(f"a latency needs its unit; write {key}{_MS}")
    if not is_quantile and key.endswith(_MS):
        refuse(f"{name} is no latency; write {name}")
    if name == INCIDENTS and not with_incidents:
        refuse("a number of incidents belongs to one stretch; write it below its baseline or candidate")
    return name


def _own_rate(key: str) -> str:
    try:
        indicator(f"outcome.{key}")
    except UnknownIndicator:
        return ""
    return f"; a rate of your own is written outcome.{key}"


def _value(name: str, value: object) -> Fraction:
    kind = indicator(name).kind
    if kind is IndicatorKind.RATE:
        return as_share(value)
    if kind is IndicatorKind.INCIDENTS:
        return Fraction(as_whole(value, 0, MAX_INCIDENTS))
    most = (
        MAX_LATENCY_MS if kind is IndicatorKind.QUANTILE else MAX_TOKENS if "tokens" in name else MAX_COST_USD
    )
    number = as_number(value)
    if not 0 < number <= most:
        refuse(f"{shown(value)} is out of range; allowed is above 0, at most {most:,}")
    return exact(number)


def joined(*layers: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Return all values; where several layers state one, the last does."""
    return {name: value for layer in layers for name, value in layer.items()}
