"""What a backtest found, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.backtest_chart import UNITS, chart, is_worth_drawing
from monitor.cli.output import on_one_line
from monitor.core.budget import Mode
from monitor.core.moment import rfc3339
from monitor.core.record import finite
from monitor.engine.backtest_result import BudgetResult, Closest, Fate, Moment, ObjectiveResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from monitor.engine.replay import ReplayCounts

FATES: Final = {
    Fate.ROLLED_BACK: "rolled back",
    Fate.HELD: "paged, held",
    Fate.PAGED: "paged",
    Fate.QUIET: "quiet",
}
REFUSALS: Final = {
    "no_data": "no data",
    "not_enough_evidence": "not enough evidence",
    "min_samples": "fewer samples than min_samples",
    "not_beyond_now": "the newest minutes are not beyond the limit",
    "healthy_fifth": "a fifth of the window looks healthy",
    "younger_or_burst": "younger than the duration, or one burst",
    "evidently_back": "evidently back within the limit",
}
"""The checks that keep a rule from acting, in words."""

_STYLES: Final = {
    Fate.ROLLED_BACK: "bold red",
    Fate.HELD: "yellow",
    Fate.PAGED: "yellow",
    Fate.QUIET: "green",
}


def as_json(results: Sequence[BudgetResult], counts: ReplayCounts) -> dict[str, Any]:
    """Return the results for machines; minutes count from the candidate's first live request."""
    return {
        "accepted": counts.accepted,
        "rejected": dict(sorted(counts.rejected.items())),
        "late": counts.late,
        "duplicates": counts.duplicates,
        "budgets": [_budget_json(one) for one in results],
    }


def _budget_json(result: BudgetResult) -> dict[str, Any]:
    rollback = result.rollback
    return {
        "file": result.name,
        "budget": result.budget.title,
        "digest": result.budget.digest,
        "release": result.budget.release,
        "baseline": result.budget.baseline,
        "mode": result.budget.mode.value,
        "outcome": result.fate.value,
        "began_at": None if result.began_at_ms is None else rfc3339(result.began_at_ms),
        "minutes": result.minutes,
        "complete": result.complete,
        "rolled_back": None if rollback is None else _moment_json(rollback.rolled_back),
        "rolled_back_by": None if rollback is None else rollback.objective.objective_id,
        "objectives": [_objective_json(one) for one in result.objectives],
    }


def _objective_json(result: ObjectiveResult) -> dict[str, Any]:
    closest, objective = result.closest, result.objective
    return {
        "objective": objective.objective_id,
        "cohort": dict(result.cohort),
        "tier": objective.tier.value,
        "limit": objective.limit,
        "unit": objective.unit.value,
        "max_duration_min": objective.hold_min,
        "outcome": result.fate.value,
        "reason": result.reason,
        "first_breach": _moment_json(result.first_breach),
        "acted": _moment_json(result.acted),
        "rolled_back": _moment_json(result.rolled_back),
        "delta": finite(result.delta),
        "margin": finite(result.margin),
        "evidence": None
        if closest is None
        else {
            "minute": closest.minute,
            "nats": finite(closest.evidence),
            "x_star": finite(closest.x_star),
        },
        "last_refusal": result.last_refusal,
        "usual_refusal": result.usual_refusal,
        "minutes_spent": result.minutes_spent,
        "verdict": result.verdict,
        "mde": finite(result.mde),
        "samples": {"baseline": result.samples[0], "candidate": result.samples[1]},
        "curve": {
            "step_min": result.step_min,
            "points": [[minute, finite(value)] for minute, value in result.curve],
        },
    }


def _moment_json(moment: Moment | None) -> dict[str, Any] | None:
    return None if moment is None else {"minute": moment.minute, "at": rfc3339(moment.at_ms)}


def print_results(
    people: Console, results: Sequence[BudgetResult], counts: ReplayCounts, *, charts: bool
) -> None:
    """Say to people what every budget would have done."""
    rejected = sum(counts.rejected.values())
    lost = f", {counts.late:,} late, {counts.duplicates:,} duplicates, {rejected:,} rejected"
    people.print(f"{counts.accepted:,} events{lost if counts.late + counts.duplicates + rejected else ''}\n")
    for result in results:
        people.print(headline(result), style=_STYLES[result.fate])
        if result.began_at_ms is None:
            why = f"no live request of {result.budget.release} in it: nothing could be judged"
            people.print(f"  {why}\n", style="yellow")
            continue
        people.print(_table(result))
        people.print()
        for one in result.objectives if charts else ():
            if is_worth_drawing(one, result.minutes):
                people.print(chart(one, result.minutes, caption(one)), end="\n\n")


def headline(result: BudgetResult) -> str:
    """Return `strict.yaml: model-v42 against model-v41, 90 min: rolled back at minute 53 (2026-01-01 00:53 UTC)`."""
    budget, rollback = result.budget, result.rollback
    what = FATES[result.fate]
    if rollback is not None and rollback.rolled_back is not None:
        what = f"rolled back at minute {_moment_words(rollback.rolled_back)} by {rollback.objective.objective_id}"
    # Of a budget that only observes: as if it acted, which is what a backtest asks of every budget.
    mode = "" if budget.mode is Mode.AUTO else f", mode {budget.mode.value}"
    return f"{result.name}: {budget.release} against {budget.baseline}, {result.minutes} min{mode}: {what}"


def caption(result: ObjectiveResult) -> str:
    """Return `quality.… of tenant=acme, limit -2 % for 20 min: rolled back at minute 53`."""
    objective = result.objective
    slice_ = f" of {_slice(result)}" if result.cohort else ""
    unit = UNITS[objective.unit]
    moment = result.rolled_back or result.acted
    when = f" at minute {moment.minute}" if moment is not None else ""
    limit = f"limit {objective.limit:+g}{unit} for {objective.hold_min} min"
    return f"{objective.objective_id}{slice_}, {limit}: {FATES[result.fate]}{when}"


def why_quiet(result: ObjectiveResult) -> str:
    """Return what kept an objective from acting, most often and last; empty where nothing did."""
    usual, last = (REFUSALS.get(one or "", one or "") for one in (result.usual_refusal, result.last_refusal))
    return f"{usual}; at last: {last}" if usual and last and usual != last else usual or last


def evidence_words(closest: Closest | None) -> str:
    """Return `8.1 of 14.8`: nats there were, nats it takes."""
    return "-" if closest is None else f"{closest.evidence:.1f} of {closest.x_star:.1f}"


def _table(result: BudgetResult) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("  objective", "slice", "outcome", "first breach", "acted", "delta", "of limit"):
        table.add_column(title)
    for title in ("evidence", "min. beyond", "verdict", "could show", "mostly kept back by"):
        table.add_column(title)
    for one in result.objectives:
        unit = UNITS[one.objective.unit]
        table.add_row(
            f"  {one.objective.objective_id}",
            _slice(one),
            Text(_outcome(one), style=_STYLES[one.fate]),
            _moment_words(one.first_breach),
            _moment_words(one.acted),
            _number(one.delta, unit),
            "-" if one.margin is None else f"{one.margin:.2f}×",
            evidence_words(one.closest),
            str(one.minutes_spent),
            one.verdict,
            _number(one.mde, unit),
            "" if one.acted is not None else why_quiet(one),
        )
    return table


def _outcome(result: ObjectiveResult) -> str:
    text = FATES[result.fate]
    later = result.rolled_back
    if later is not None and result.acted is not None and later.at_ms > result.acted.at_ms:
        return f"paged, {text} at {later.minute}"
    return text if result.reason in (None, "breach") else f"{text} ({result.reason})"


def _slice(result: ObjectiveResult) -> str:
    return on_one_line(", ".join(f"{name}={value}" for name, value in result.cohort)) or "everybody"


def _moment_words(moment: Moment | None) -> str:
    if moment is None:
        return "-"
    date, _, clock = rfc3339(moment.at_ms).partition("T")
    return f"{moment.minute} ({date} {clock[:5]} UTC)"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:+.3g}{unit}" if isfinite(value) else "no end"
