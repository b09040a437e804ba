"""How a plan is shown: a table with bars for people, one document for machines. Loaded by the verb when it runs."""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING, Any, Final

from monitor.core.assumptions import Fact, Origin, taken
from monitor.core.budget import Mode
from monitor.core.cohort import OVERALL
from monitor.core.forecast import Forecast, Harm, Remark, SafetyForecast
from monitor.core.outlook import Outlook
from monitor.core.outlook_words import (
    acts,
    base_words,
    delta_words,
    fact_words,
    limit_in_values,
    multiple_words,
    remark_words,
    requests_words,
    safety_remark_words,
    safety_words,
    share_words,
    span_words,
)
from monitor.core.stats.planning import WAIT_MIN
from monitor.core.wording import indicator_words, slice_words, value_words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from monitor.cli.plan_history import History

_BAR_CELLS: Final = 14  # the table fits a terminal of 80 columns
_INDENT: Final = "  "
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_NOTE: Final = (
    "least: the smallest harm that is decided in time. Decided after: from the harm's first minute to the "
    "decision, with an even chance; nine in ten take less than twice that. "
    f"Waiting for late events ({WAIT_MIN} min) is in it."
)


def print_outlook(people: Console, outlook: Outlook, history: History | None) -> None:
    """Write a plan for people."""
    people.print(_head(outlook), style="bold")
    for line in _rests_on(outlook, history):
        people.print(line)
    for forecast in outlook.forecasts:
        people.print()
        people.print(_title(forecast), style="bold")
        people.print(
            f"  {limit_in_values(forecast)} for {forecast.objective.hold_min} min; {_pace(forecast)}"
        )
        people.print(_harms(forecast))
    for safety in outlook.safety:
        people.print()
        people.print(f"{safety.objective.objective_id}{slice_words(safety.view)}", style="bold")
        people.print(f"  {safety_words(safety, outlook.budget)}")
        if safety.steps:
            people.print(_steps(safety, outlook))
    warnings = _once_a_slice(_warnings(outlook))
    if warnings:
        people.print()
        for warning in warnings:
            people.print(f"warning: {warning['text']}", style="yellow")
    people.print()
    people.print(_NOTE, style="dim")


def _head(outlook: Outlook) -> str:
    budget, traffic = outlook.budget, outlook.traffic
    per_min = traffic.candidate_per_min(OVERALL) or 0.0
    mode = "" if budget.mode is Mode.AUTO else f"; mode {budget.mode.value}"
    return (
        f"{budget.release} against {budget.baseline}: {traffic.requests_per_s:.4g} requests/s, "
        f"{share_words(traffic.split.candidate)} of them the candidate's ({per_min:.4g} a minute), "
        f"watched for {span_words(budget.window_min)}{mode}"
    )


def _rests_on(outlook: Outlook, history: History | None) -> list[str]:
    lines = []
    if history is not None:
        pace = history.requests / len(history.minutes) / 60.0
        rejected = sum(history.rejected.values())
        left_out = f"; {rejected:,} lines are no trace events and were left out" if rejected else ""
        lines.append(
            f"Recorded: {history.requests:,} requests of {outlook.budget.baseline} in {len(history.minutes):,} minutes "
            f"({pace:.3g}/s){left_out}"
        )
    facts = _taken(outlook)
    if facts:
        way = "" if history is not None else "--history FILE or "
        lines.append(f"Assumed: {', '.join(map(fact_words, facts))}. Better known? {way}--assume NAME=VALUE")
    return lines


def _taken(outlook: Outlook) -> tuple[Fact, ...]:
    bases = [one.base for one in outlook.forecasts] + [one.base for one in outlook.safety]
    return taken(outlook.phi, bases)


def _title(forecast: Forecast) -> str:
    what = f"{indicator_words(forecast.objective)}{slice_words(forecast.view)}"
    return f"{forecast.objective.objective_id}: {what} ({base_words(forecast.base)})"


def _pace(forecast: Forecast) -> str:
    if forecast.per_min is None:
        return "the slice's part of the traffic is not known"
    covered = forecast.base.coverage
    measured = "" if covered == 1.0 else f", {share_words(covered)} of them measured"
    return f"{forecast.per_min:.4g} candidate requests a minute{measured}"


def _harms(forecast: Forecast) -> Table:
    table = _table(_INDENT + "harm", "delta", "value", "requests", "decided after", "")
    rows = sorted({*forecast.harms, *filter(None, [forecast.smallest])}, key=lambda harm: harm.multiple)
    for harm in rows:
        table.add_row(
            _INDENT + ("least " if harm == forecast.smallest else "") + multiple_words(harm.multiple),
            delta_words(forecast.objective, harm.delta),
            "-" if harm.value is None else value_words(forecast.objective, harm.value),
            requests_words(harm.requests),
            _after(harm, forecast),
            bar(harm.minutes, forecast.horizon_min),
        )
    return table


def _after(harm: Harm, forecast: Forecast) -> str:
    if not harm.is_possible:
        return "no rate is that bad"
    if harm.minutes is not None:
        return span_words(harm.minutes)
    return "share not known" if forecast.per_min is None else f"not in {span_words(forecast.horizon_min)}"


def bar(minutes: int | None, horizon_min: int) -> str:
    """Return a bar of the minutes on a log scale: full at the horizon, empty where there is no decision."""
    if minutes is None:
        return ""
    filled = min(1.0, log(max(minutes, 2)) / log(max(horizon_min + WAIT_MIN, 3))) * _BAR_CELLS
    whole, eighths = divmod(round(filled * 8), 8)
    return ("█" * whole + _EIGHTHS[eighths]).rstrip()


def _steps(safety: SafetyForecast, outlook: Outlook) -> Table:
    does = acts(safety.objective, outlook.budget)
    table = _table(_INDENT + "incident", f"{does} while at most", "requests", "that is, within")
    allowed = int(safety.objective.limit)
    for step in safety.steps:
        table.add_row(
            f"{_INDENT}{step.k + allowed}",
            f"{step.expected:.3g} expected",
            requests_words(step.requests),
            "share not known" if step.minutes is None else span_words(step.minutes),
        )
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in ("", columns[-1]) else "right", no_wrap=True)
    return table


def outlook_data(outlook: Outlook, history: History | None) -> dict[str, Any]:
    """Return a plan as one JSON value; what is not known, or never happens, is null."""
    budget, traffic = outlook.budget, outlook.traffic
    return {
        "release": budget.release,
        "baseline": budget.baseline,
        "budget_digest": budget.digest,
        "mode": budget.mode.value,
        "window_min": budget.window_min,
        "traffic": {
            "requests_per_s": traffic.requests_per_s,
            "candidate_share": traffic.split.candidate,
            "candidate_per_min": traffic.candidate_per_min(OVERALL),
        },
        "history": None if history is None else _history_data(history),
        "assumptions": [
            {"name": fact.name, "value": fact.value, "is_default": fact.origin is Origin.DEFAULT}
            for fact in _taken(outlook)
        ],
        "objectives": [_forecast_data(forecast) for forecast in outlook.forecasts],
        "safety": [_safety_data(safety, outlook) for safety in outlook.safety],
        "warnings": _warnings(outlook),
    }


def _history_data(history: History) -> dict[str, Any]:
    return {
        "requests": history.requests,
        "minutes": len(history.minutes),
        "rejected": dict(history.rejected),
    }


def _forecast_data(forecast: Forecast) -> dict[str, Any]:
    objective, base = forecast.objective, forecast.base
    return {
        "objective": objective.objective_id,
        "metric": objective.indicator.name,
        "cohort": dict(forecast.view),
        "tier": objective.tier.value,
        "limit": objective.limit,
        "unit": objective.unit.value,
        "hold_min": objective.hold_min,
        "x_star": forecast.rule.x_star,
        "baseline": {
            "value": _finite(base.value),
            "coverage": base.coverage,
            "samples": base.samples,
        },
        "limit_value": forecast.limit_value,
        "candidate_per_min": forecast.per_min,
        "horizon_min": forecast.horizon_min,
        "harms": [_harm_data(harm) for harm in forecast.harms],
        "smallest": None if forecast.smallest is None else _harm_data(forecast.smallest),
        "enough": {
            "candidate_share": forecast.enough_share,
            "requests_per_s": forecast.enough_requests_per_s,
        },
    }


def _harm_data(harm: Harm) -> dict[str, Any]:
    return {
        "multiple": harm.multiple,
        "delta": harm.delta,
        "value": harm.value,
        "possible": harm.is_possible,
        "candidate_requests": harm.requests,
        "minutes": harm.minutes,
    }


def _safety_data(safety: SafetyForecast, outlook: Outlook) -> dict[str, Any]:
    return {
        "objective": safety.objective.objective_id,
        "cohort": dict(safety.view),
        "tier": safety.objective.tier.value,
        "limit": safety.objective.limit,
        "literal": safety.objective.literal,
        "incidents_per_request": safety.base.value,
        "samples": safety.base.samples,
        "expected_per_day": safety.expected_per_day,
        "text": safety_words(safety, outlook.budget),
        "steps": [
            {
                "incident": step.k + int(safety.objective.limit),
                "expected_at_most": step.expected,
                "candidate_requests": step.requests,
                "minutes": step.minutes,
            }
            for step in safety.steps
        ],
    }


def _warnings(outlook: Outlook) -> list[dict[str, Any]]:
    return [
        _warning_data(one, remark, remark_words(one, remark))
        for one in outlook.forecasts
        for remark in one.remarks
    ] + [
        _warning_data(one, remark, safety_remark_words(one, remark, outlook.budget))
        for one in outlook.safety
        for remark in one.remarks
    ]


def _warning_data(about: Forecast | SafetyForecast, remark: Remark, text: str) -> dict[str, Any]:
    return {
        "code": remark.value,
        "objective": about.objective.objective_id,
        "cohort": dict(about.view),
        "text": text,
    }


def _once_a_slice(warnings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what is the same for every objective of a slice; machines get all of it."""
    kept: dict[str, dict[str, Any]] = {}
    for warning in warnings:
        is_shared = warning["code"] == Remark.SHARE_UNKNOWN.value
        kept.setdefault(str(warning["cohort"]) if is_shared else warning["text"], warning)
    return list(kept.values())


def _finite(value: float | None) -> float | None:
    return None if value == inf else value
