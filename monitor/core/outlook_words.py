"""An outlook in sentences: what a limit means in plain values, and what a plan warns of, each with what to do."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from monitor.core.assumptions import Base, Fact, Origin
from monitor.core.budget import Budget, Objective, Unit
from monitor.core.cohort import CohortKey
from monitor.core.forecast import PLANNED_MULTIPLE, Forecast, Harm, Remark, SafetyForecast
from monitor.core.indicator import IndicatorKind
from monitor.core.wording import indicator_words, slice_words, unit_words, value_words

_NO_EVIDENCE: Final = (
    "`evidence: off` decides on what each minute happens to show: quick, and healthy releases break it by chance; "
    "use it in tests"
)


def span_words(minutes: int) -> str:
    """Return minutes as people say them: `57 min`, `9 h 12 min`, `3 d 4 h`."""
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def share_words(share: float) -> str:
    """Return a share as percent, three digits: `5 %`, `0.125 %`."""
    return f"{100.0 * share:.3g} %"


def delta_words(objective: Objective, delta: float) -> str:
    """Return a delta with its unit: `+10 %`, `-2.5 points`."""
    return f"{delta:+.4g} {unit_words(objective.unit)}"


def multiple_words(multiple: float) -> str:
    """Return a harm as people say it: `1.25x`; what is just above the limit is `1x`."""
    return f"{multiple:.3g}x"


def requests_words(requests: float | None) -> str:
    """Return requests to three digits, as the table of a plan shows them; `-` where there are none to name."""
    if requests is None:
        return "-"
    digits = max(0, len(str(int(requests))) - 3)
    return f"{round(requests, -digits):,.0f}"


def view_words(view: CohortKey) -> str:
    """Return a slice as it is written on the command line: `tenant=acme,workflow=chat`."""
    return ",".join(f"{dimension}={value}" for dimension, value in view)


def limit_in_values(forecast: Forecast) -> str:
    """Return what a limit means: `+8 % of 5.00 % means 5.40 %`, or the limit alone where no value is known."""
    limit = delta_words(forecast.objective, forecast.objective.limit)
    if forecast.base.value is None or forecast.limit_value is None:
        return limit
    joined = "of" if forecast.objective.unit is Unit.PERCENT else "on"
    known = value_words(forecast.objective, forecast.base.value)
    return f"{limit} {joined} {known} means {value_words(forecast.objective, forecast.limit_value)}"


def fact_words(fact: Fact) -> str:
    """Return a taken value: `task_success = 0.9 (default)`."""
    return f"{fact.name} = {fact.value:.6g}" + (" (default)" if fact.origin is Origin.DEFAULT else "")


def base_words(base: Base) -> str:
    """Return where a baseline is from: `recorded, 12,345 requests` or `assumed`."""
    return "assumed" if base.samples is None else f"recorded, {base.samples:,} requests"


def remark_words(forecast: Forecast, remark: Remark) -> str:
    """Return a warning about one objective, with what to do."""
    return f"{_who(forecast.objective, forecast.view)}: {_WORDS[remark](forecast)}"


def safety_remark_words(forecast: SafetyForecast, remark: Remark, budget: Budget) -> str:
    """Return a warning about a safety limit, with what to do."""
    if remark is Remark.SHARE_UNKNOWN:
        text = _share_unknown(forecast.view)
    else:
        text = (
            f"the baseline has {forecast.base.value:.2g} incidents a request, so the first of the candidate's may be "
            f"chance: it pages, and it {acts(forecast.objective, budget)} only where chance does not explain it; "
            "`literal: true` acts on the first one always"
        )
    return f"{_who(forecast.objective, forecast.view)}: {text}"


def safety_words(forecast: SafetyForecast, budget: Budget) -> str:
    """Return what a safety limit does with the candidate's incidents."""
    objective, does = forecast.objective, acts(forecast.objective, budget)
    allowed = int(objective.limit)
    first = "the first high-severity incident" if not allowed else f"high-severity incident {allowed + 1}"
    if objective.literal:
        return f"{first} {does} at once, whatever the baseline has"
    if not forecast.steps:
        clean = "is taken to have none" if forecast.base.samples is None else "had none"
        known = "" if forecast.base.samples is None else f" in {forecast.base.samples:,} recorded requests"
        return f"{first} {does} at once while the baseline has none itself (it {clean}{known}); no duration, no window"
    normal = (
        "" if forecast.expected_per_day is None else f": {forecast.expected_per_day:.3g} a day are normal"
    )
    return f"{first} pages at once; it {does} where chance does not explain it{normal}"


def acts(objective: Objective, budget: Budget) -> str:
    """Return what a breach does: `rolls back`, or `pages`."""
    return "rolls back" if budget.is_automatic(objective) else "pages"


def _who(objective: Objective, view: CohortKey) -> str:
    return f"{objective.objective_id}{slice_words(view)}"


def _planned(forecast: Forecast) -> Harm:
    return next(harm for harm in forecast.harms if harm.multiple == PLANNED_MULTIPLE)


def _undecidable(forecast: Forecast) -> str:
    objective, twice, pace = forecast.objective, _planned(forecast), forecast.per_min
    assert pace is not None
    size = f"twice the limit ({delta_words(objective, twice.delta)})"
    if not twice.is_possible:
        what = f"{size} is worse than a rate can be, and the worst there is"
    elif twice.requests is None:
        what = f"{size} does not show at any number of requests, or nearly so, and"
    else:
        what = f"{size} takes {requests_words(twice.requests)} candidate requests and"
    within = f"cannot be decided within the {span_words(forecast.horizon_min)} that are judged at {pace:.4g} a minute"
    smallest = forecast.smallest
    if smallest is None:
        least = "no harm can; every answer will be `inconclusive`"
    else:
        size = f"{multiple_words(smallest.multiple)} ({delta_words(objective, smallest.delta)})"
        least = f"the smallest harm that can is {size}, less ends as `inconclusive`"
    remedy = remedy_words(forecast)
    return f"{what} {within}; {least}. {remedy[0].upper()}{remedy[1:]}"


def remedy_words(forecast: Forecast) -> str:
    """Return what would let an objective decide twice its limit in time."""
    ways = []
    if forecast.enough_share is not None:
        ways.append(f"give the candidate {share_words(forecast.enough_share)} of the traffic")
    if forecast.enough_requests_per_s is not None:
        ways.append(
            f"bring {forecast.enough_requests_per_s:.3g} requests/s in all (shadow traffic does not count)"
        )
    ways.append("set a wider limit")
    return ", or ".join(ways)


def _never(forecast: Forecast) -> str:
    base = forecast.base.value
    if base == inf:
        return "can never be passed: the baseline's own value lies among unfinished requests; limit `timeout` instead"
    known = value_words(forecast.objective, base)
    return (
        f"can never be passed: {indicator_words(forecast.objective)} of the baseline is {known}, "
        f"and no rate is beyond {delta_words(forecast.objective, forecast.objective.limit)} of it; "
        "write a limit in the other unit, or check the baseline's rate"
    )


def _unit(forecast: Forecast) -> str:
    swap, objective = forecast.swap, forecast.objective
    assert swap is not None
    key = f"{objective.indicator.name}_delta_{swap.unit.value}: {objective.limit:+g}"
    takes = (
        ""
        if swap.here is None
        else f"; deciding twice that takes {requests_words(swap.here)} candidate requests"
    )
    needs = "" if swap.there is None else f"; {requests_words(swap.there)} requests"
    return f"{limit_in_values(forecast)}{takes}. Did you mean `{key}` ({value_words(objective, swap.value)}{needs})?"


def _share_unknown(view: CohortKey) -> str:
    return (
        "how much of the traffic this slice gets is not known, and so are the minutes; "
        f"add --cohort-share {view_words(view)}=0.05, or a --history that has it"
    )


def _few_samples(forecast: Forecast) -> str:
    what = "rate" if forecast.objective.indicator.kind is IndicatorKind.RATE else "distribution"
    return (
        f"the recording holds {forecast.base.samples:,} requests of the baseline that show it; that {what} is rough. "
        "Record more"
    )


_WORDS: Final[dict[Remark, Callable[[Forecast], str]]] = {
    Remark.UNDECIDABLE: _undecidable,
    Remark.NEVER: _never,
    Remark.UNIT: _unit,
    Remark.SHARE_UNKNOWN: lambda forecast: _share_unknown(forecast.view),
    Remark.NO_EVIDENCE: lambda _: _NO_EVIDENCE,
    Remark.FEW_SAMPLES: _few_samples,
}
