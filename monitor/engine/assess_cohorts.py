"""What the watched cohorts came to: the worst of them by name, all of them in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from monitor.core.cohort import OTHER
from monitor.core.discovery import DISCOVERED_MAX
from monitor.core.watch import Watch
from monitor.engine.cohorts import Cohort, Cohorts, WatchedDimension
from monitor.engine.past_words import with_past_words
from monitor.engine.reading import delay_of

if TYPE_CHECKING:
    from monitor.engine.evaluate import Evaluator

ROWS_MAX: Final = 50  # cohorts by name in one assessment, over all objectives
_ORDER: Final = ("breach", "inconclusive", "no_data", "healthy")

Row = dict[str, Any]
MakeRow = Callable[[Watch, int, int], Row]
"""Makes the row of a watch at a minute, with the release's late events."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """One cohort's verdict."""

    dimension: WatchedDimension
    cohort: Cohort
    verdict: str


def assess_cohorts(
    evaluator: Evaluator, now: int, late_count: int, make_row: MakeRow
) -> tuple[list[Row], Row, str]:
    """Return the rows of the worst cohorts, what the event says of all of them, and that in words."""
    cohorts = evaluator.cohorts
    listed = cohorts.listed()
    judged = [
        _Judged(dimension, cohort, _verdict(dimension, cohort, now, is_listed=id(cohort) in listed))
        for dimension in cohorts.dimensions()
        for cohort in dimension.cohorts.values()
    ]
    worst = sorted(judged, key=lambda one: (_ORDER.index(one.verdict), -one.cohort.strongest))[:ROWS_MAX]
    rows = [
        with_past_words(evaluator, one.cohort.watch, _row(one, now, late_count, make_row)) for one in worst
    ]
    said: Row = {}
    if judged:
        said["watched"] = [_counted(one, judged, worst) for one in cohorts.dimensions()]
    if warnings := warnings_of(cohorts):
        said["warnings"] = warnings
    return rows, said, _words(judged)


def _verdict(dimension: WatchedDimension, cohort: Cohort, now: int, *, is_listed: bool) -> str:
    """Return a cohort's verdict: among so many, what one alone would call a breach is none unless it is listed."""
    watch = cohort.watch
    verdict = watch.verdict(now - delay_of(watch.objective))
    is_breach = watch.fired or is_listed or dimension.is_literal
    return "inconclusive" if verdict == "breach" and not is_breach else verdict


def _row(judged: _Judged, now: int, late_count: int, make_row: MakeRow) -> Row:
    watch = judged.cohort.watch
    row = make_row(watch, now - delay_of(watch.objective), late_count)
    if row["verdict"] == judged.verdict:
        return row
    words = str(row["summary"]).rpartition(": ")[0]
    evidence = {**row["evidence"], "has_fired": False}
    return {**row, "verdict": judged.verdict, "evidence": evidence, "summary": f"{words}: {judged.verdict}"}


def _counted(dimension: WatchedDimension, judged: list[_Judged], worst: list[_Judged]) -> Row:
    counts = Counter(one.verdict for one in judged if one.dimension is dimension)
    return {
        "objective": dimension.objective.objective_id,
        "dimension": dimension.dimension,
        "values": len(dimension.cohorts) - (OTHER in dimension.cohorts),
        "beyond_cap": dimension.discovery.beyond,
        "shown": sum(one.dimension is dimension for one in worst),
        **{verdict: counts[verdict] for verdict in _ORDER},
    }


def _words(judged: list[_Judged]) -> str:
    """Return `; 1 of 200 watched cohorts in breach`, or nothing where none is watched."""
    views = {one.cohort.watch.view for one in judged}
    broken = {one.cohort.watch.view for one in judged if one.verdict == "breach"}
    return f"; {len(broken)} of {len(views)} watched cohorts in breach" if views else ""


def warnings_of(cohorts: Cohorts) -> list[str]:
    """Return what a cap kept from being judged by itself, dimension by dimension."""
    beyond: dict[str, int] = {}
    for one in cohorts.dimensions():
        if one.discovery.beyond:
            beyond[one.dimension] = max(beyond.get(one.dimension, 0), one.discovery.beyond)
    found = [
        f"{dimension} has more values than are judged by themselves: after the first {DISCOVERED_MAX}, "
        f"up to {count} at a time are judged together as {dimension}={OTHER}"
        for dimension, count in sorted(beyond.items())
    ]
    if cohorts.has_strata_beyond:
        found.append(f"the strata have more values than are told apart: the rest is one stratum, {OTHER}")
    return found
