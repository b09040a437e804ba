"""What planning takes the baseline to be: as a recording shows it, as somebody says, or as written here.

Every value that a plan rests on comes with where it is from, so that the plan can say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from math import exp, isfinite, sqrt
from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget, Objective
from monitor.core.indicator import INCIDENTS, Direction, IndicatorKind
from monitor.core.sketch import LAST_BIN, upper_edge
from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.planning import RateShape, Shape, SketchShape, lognormal_shape

PHI: Final = "phi"
SIGMA: Final = "_sigma"
COVERAGE: Final = "_coverage"
MAX_SIGMA: Final = 3.0  # e**3 between neighbouring sigmas: beyond any latency or cost that was measured

DEFAULT_RATES: Final[Mapping[str, float]] = {
    "task_success": 0.9,
    "parse_failures": 0.01,
    "citation_validity": 0.9,
    "refusal": 0.05,
    "abstention": 0.05,
    "human_handoff": 0.05,
    "user_retry": 0.1,
    "tool_success": 0.95,
    "fallback": 0.02,
    "error": 0.01,
    "timeout": 0.005,
    INCIDENTS: 0.0,
}
"""Round numbers of a service in fair health; `outcome.*` takes 0.9 where a fall is harm and 0.05 where a rise is."""

# An `outcome.*` that nobody has measured.
DEFAULT_OUTCOME: Final[Mapping[Direction, float]] = {
    Direction.LOWER_IS_WORSE: 0.9,
    Direction.HIGHER_IS_WORSE: 0.05,
}
DEFAULT_LATENCY_SIGMA: Final = 0.8  # lognormal: the p95 is 3.7 times the median
DEFAULT_MEAN_SIGMA: Final = 1.0  # costs and tokens spread further than latencies
_MEDIAN: Final = 1e6  # a second in microseconds, a dollar in millionths: only the shape counts
_PER_PERSONS_UNIT: Final = {
    IndicatorKind.QUANTILE: 1e3,
    IndicatorKind.MEAN: 1e6,
}  # sketch's unit in ms, in USD


class Origin(Enum):
    """Where a value is from."""

    HISTORY = "history"  # the baseline's recorded traffic
    GIVEN = "given"  # somebody said so
    DEFAULT = "default"  # nobody did


@dataclass(frozen=True, slots=True)
class Fact:
    """One value that the plan rests on; `name` is how another one would be given."""

    name: str
    value: float
    origin: Origin


@dataclass(frozen=True, slots=True)
class Base:
    """The baseline of one objective in one slice.

    Attributes:
        shape: What evidence is computed from; None for incidents.
        value: A rate as a share, a quantile in ms, a mean in USD or tokens, incidents per request; None where only
            the shape is assumed, infinity for a quantile among unfinished requests.
        coverage: Share of the requests that carry the label or the size, above 0 up to 1.
        samples: Requests of a recording that carry it; None where there is none.
    """

    shape: Shape | None
    value: float | None
    coverage: float
    samples: int | None
    facts: tuple[Fact, ...]


def assumable(budget: Budget) -> dict[str, str]:
    """Return every name that may be given for this budget, with what it means."""
    names = {PHI: "over-dispersion, 1 or more"}
    for objective in budget.objectives:
        name, kind = objective.indicator.name, objective.indicator.kind
        if kind is IndicatorKind.INCIDENTS:
            names[name] = "incidents per request of the baseline"
            continue
        names[name + COVERAGE] = "share of the requests that carry it"
        if kind is IndicatorKind.RATE:
            names[name] = "the baseline's rate, 0 to 1"
        else:
            names[name] = f"the baseline's value in {_unit(objective)}"
            names[name + SIGMA] = f"its spread on the natural log scale, up to {MAX_SIGMA:g}"
    return names


def complaint(name: str, value: float) -> str | None:
    """Return what is wrong with a given value, None where it can be."""
    if not isfinite(value):
        return f"{value:g} is not finite"
    if name == PHI:
        return None if value >= 1.0 else f"{value:g} is below 1, which is what independent requests have"
    if name.endswith(SIGMA) and not name.startswith("outcome."):
        return (
            None if 0.0 < value <= MAX_SIGMA else f"{value:g} is out of range; above 0, at most {MAX_SIGMA:g}"
        )
    if name.endswith(COVERAGE):
        return None if 0.0 < value <= 1.0 else f"{value:g} is no share; above 0, at most 1"
    if name == INCIDENTS or _is_rate(name):
        return None if 0.0 <= value <= 1.0 else f"{value:g} is no share; 0 to 1, or 5% for 0.05"
    return None if 0.0 < value <= 1e9 else f"{value:g} is out of range; above 0, at most 1e9"


def _is_rate(name: str) -> bool:
    return name in DEFAULT_RATES or name.startswith("outcome.")


def base_of(objective: Objective, recorded: Aggregate | None, given: Mapping[str, float]) -> Base:
    """Return an objective's baseline: what is given for it, else what was recorded, else the defaults.

    Args:
        recorded: The baseline's requests in the objective's slice; None or without a measured one: not known.
    """
    kind, known = objective.indicator.kind, Aggregate() if recorded is None else recorded
    if kind is IndicatorKind.INCIDENTS:
        return _incidents(objective, known, given)
    if kind is IndicatorKind.RATE:
        return _rate(objective, known, given)
    return _distribution(objective, known, given)


def _incidents(objective: Objective, recorded: Aggregate, given: Mapping[str, float]) -> Base:
    requests = recorded.requests
    if requests and objective.indicator.name not in given:
        per_request = recorded.incidents / requests
        return Base(None, per_request, 1.0, requests, (Fact(INCIDENTS, per_request, Origin.HISTORY),))
    fact = _fact(INCIDENTS, given, DEFAULT_RATES[INCIDENTS])
    return Base(None, fact.value, 1.0, None, (fact,))


def _rate(objective: Objective, recorded: Aggregate, given: Mapping[str, float]) -> Base:
    name = objective.indicator.name
    hits, known = recorded.rate(objective.indicator.source)
    coverage = _coverage(name, known, recorded, given)
    if known and name not in given:
        rate = Fact(name, hits / known, Origin.HISTORY)
    else:
        rate = _fact(name, given, DEFAULT_RATES.get(name, DEFAULT_OUTCOME[objective.worse]))
    samples = known if rate.origin is Origin.HISTORY else None
    return Base(RateShape(rate.value), rate.value, coverage.value, samples, (rate, *_unless_all(coverage)))


def _distribution(objective: Objective, recorded: Aggregate, given: Mapping[str, float]) -> Base:
    name = objective.indicator.name
    sketch = recorded.distribution(objective.indicator.source)
    coverage = _coverage(name, sketch.count, recorded, given)
    has_values = any(index <= LAST_BIN for index in sketch.bins)
    if has_values and name not in given and name + SIGMA not in given:
        value = _recorded_value(objective, sketch.bins, sketch.total)
        facts = (Fact(name, value, Origin.HISTORY), *_unless_all(coverage))
        return Base(SketchShape((sketch,)), value, coverage.value, sketch.count, facts)
    is_quantile = objective.indicator.kind is IndicatorKind.QUANTILE
    sigma = _fact(name + SIGMA, given, DEFAULT_LATENCY_SIGMA if is_quantile else DEFAULT_MEAN_SIGMA)
    said = given.get(name)
    median = (
        _MEDIAN
        if said is None
        else said * _per_persons_unit(objective) / _over_median(objective, sigma.value)
    )
    facts = (sigma, *_unless_all(coverage))
    if said is not None:
        facts = (Fact(name, said, Origin.GIVEN), *facts)
    return Base(lognormal_shape(sigma.value, median), said, coverage.value, None, facts)


def _recorded_value(objective: Objective, bins: Mapping[int, int], total: int) -> float:
    if objective.indicator.kind is IndicatorKind.QUANTILE:
        assert objective.indicator.quantile is not None
        return upper_edge(_quantile_bin(bins, objective.indicator.quantile)) / _per_persons_unit(objective)
    finished = sum(count for index, count in bins.items() if index <= LAST_BIN)
    return total / finished / _per_persons_unit(objective)


def _quantile_bin(bins: Mapping[int, int], quantile: float) -> int:
    left = quantile * sum(bins.values()) - 1e-9  # as `stats.exceedance.quantile_column` rounds
    for index in sorted(bins):
        left -= bins[index]
        if left <= 0:
            break
    return index


def _over_median(objective: Objective, sigma: float) -> float:
    """Return how many medians a lognormal's quantile or mean is."""
    if objective.indicator.quantile is None:
        return exp(0.5 * sigma * sigma)
    return exp(sigma * sqrt(2.0 * evidence_for(1.0 - objective.indicator.quantile)))


def _per_persons_unit(objective: Objective) -> float:
    return 1.0 if objective.indicator.source == "tokens" else _PER_PERSONS_UNIT[objective.indicator.kind]


def _unit(objective: Objective) -> str:
    if objective.indicator.kind is IndicatorKind.QUANTILE:
        return "ms"
    return "USD" if objective.indicator.source == "cost" else "tokens"


def _coverage(name: str, known: int, recorded: Aggregate, given: Mapping[str, float]) -> Fact:
    name += COVERAGE
    if known and name not in given:
        # Labels that come later may bring more of them than there are requests in the recording.
        return Fact(name, min(1.0, known / max(recorded.requests, 1)), Origin.HISTORY)
    return _fact(name, given, 1.0)


def _unless_all(coverage: Fact) -> tuple[Fact, ...]:
    return () if coverage.value == 1.0 and coverage.origin is not Origin.GIVEN else (coverage,)


def _fact(name: str, given: Mapping[str, float], default: float) -> Fact:
    return Fact(name, given[name], Origin.GIVEN) if name in given else Fact(name, default, Origin.DEFAULT)


def phi_of(given: Mapping[str, float]) -> Fact:
    """Return the over-dispersion that is given, else that of independent requests."""
    return _fact(PHI, given, 1.0)


def taken(phi: Fact, bases: Iterable[Base]) -> tuple[Fact, ...]:
    """Return what was not recorded and is taken to be so, once each."""
    facts = (phi, *(fact for base in bases for fact in base.facts))
    return tuple(dict.fromkeys(fact for fact in facts if fact.origin is not Origin.HISTORY))
