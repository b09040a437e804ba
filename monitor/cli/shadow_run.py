"""Runs a comparison of shadow traffic, and tells machines what it found. Loaded by the verb when it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from monitor.adapters.collector import looking_seldom
from monitor.cli.replay_run import meter
from monitor.cli.shadow_words import warnings_of
from monitor.core.cohort import Role
from monitor.core.indicator import Direction, IndicatorKind
from monitor.core.pairing import Pairing, Seen
from monitor.core.shadow import MeanShown, Shown, SizeShown, show
from monitor.core.shadow_budget import Held, hold
from monitor.core.shadow_tally import Names, Slices

if TYPE_CHECKING:
    from monitor.cli.side_by_side import SideBySide
    from monitor.core.budget import Budget
    from monitor.core.stats.intervals import Interval

PER_UNIT: Final = {"cost": 1e6, "tokens": 1.0}
"""What turns a size's sketch unit into the one people read (USD, tokens); all others are times: microseconds to ms."""

PER_MS: Final = 1e3
_TELL_EVERY: Final = 1_000  # events


@dataclass(frozen=True, slots=True)
class Compared:
    """What a run found.

    Attributes:
        baseline: None: live requests of any other release.
        rejected: Lines that are no trace events, by reason.
        values: Per value of the dimension, the most pairs first; `rest` is what has no line of its own.
        held: The budget's limits; none without a budget.
        forgotten_ids: Event ids forgotten early: repeats of them count twice.
        left_out: Times that a named outcome or a stage was not compared because there were too many names.
    """

    candidate: str
    baseline: str | None
    by: str | None
    seen: Seen
    rejected: Counter[str]
    everybody: Shown
    values: tuple[tuple[str, Shown], ...]
    rest: Shown | None
    held: tuple[Held, ...]
    left_out: int
    forgotten_ids: int

    @property
    def warnings(self) -> list[str]:
        """What is to be known before any of it is believed."""
        words = warnings_of(self.seen, self.candidate, self.baseline, self.left_out)
        if self.forgotten_ids:
            words.append(
                f"{self.forgotten_ids:,} event ids were forgotten early: repeats of them would count twice"
            )
        return words


def compare_files(
    files: SideBySide, candidate: str, baseline: str | None, budget: Budget | None, by: str | None
) -> Compared:
    """Pair and compare what files hold.

    Raises:
        RecordingUnreadable, RecordingBroken: A file cannot be read, or not to its end.
    """
    objectives = () if budget is None else budget.objectives
    views = [view for objective in objectives for view in objective.views()]
    names = Names(objective.indicator.source for objective in objectives)
    slices, pairing = Slices(views, by, names), Pairing(candidate, baseline, lanes=files.lanes)
    with meter("bytes") as tell, looking_seldom():
        for number, (_, lane, event) in enumerate(files.events()):
            pair = pairing.feed(event, lane)
            if pair is not None:
                slices.add(pair)
            if number % _TELL_EVERY == 0:
                tell(files.done_bytes, files.total_bytes, files.lines)
    for pair in pairing.finish():
        slices.add(pair)
    directions = _directions(budget)
    values, rest = slices.most()
    return Compared(
        candidate,
        baseline,
        by,
        pairing.seen,
        files.rejected,
        show(slices.overall, directions),
        tuple((value, show(tally, directions)) for value, tally in values),
        None if rest is None else show(rest, directions),
        () if budget is None else tuple(hold(budget, slices)),
        slices.names.left_out,
        pairing.forgotten_ids,
    )


def _directions(budget: Budget | None) -> dict[str, Direction]:
    rates = () if budget is None else budget.objectives
    return {one.indicator.source: one.worse for one in rates if one.indicator.kind is IndicatorKind.RATE}


def compared_data(found: Compared) -> dict[str, Any]:
    """Return all of it as one JSON value; what is not known, or lies among unfinished requests, is null."""
    by = None
    if found.by is not None:
        values = [{"value": value or None, **_slice(shown)} for value, shown in found.values]
        by = {
            "dimension": found.by,
            "values": values,
            "rest": None if found.rest is None else _slice(found.rest),
        }
    return {
        "candidate": found.candidate,
        "baseline": found.baseline,
        "coverage": _coverage(found.seen),
        "input": _input(found),
        "warnings": found.warnings,
        "limits": [_held(held) for held in found.held],
        "everybody": _slice(found.everybody),
        "by": by,
    }


def _coverage(seen: Seen) -> dict[str, Any]:
    arms = {"live": Role.BASELINE, "shadow": Role.CANDIDATE}
    return {
        "pairs": seen.pairs,
        **{
            name: {
                "requests": seen.requests(role),
                "unpaired": seen.unpaired(role),
                "paired_ratio": seen.paired_ratio(role),
                "without_request_id": seen.without_id[role],
                "same_request_again": seen.again[role],
                "dropped_while_waiting": seen.dropped[role],
            }
            for name, role in arms.items()
        },
    }


def _input(found: Compared) -> dict[str, Any]:
    seen = found.seen
    return {
        "rejected": dict(sorted(found.rejected.items())),
        "duplicates": seen.duplicates,
        "rehearsals": seen.rehearsed,
        "other_events": seen.others,
        "outcomes_attached": seen.labels,
        "outcomes_without_request_id": seen.labels_without_id,
        "outcomes_without_request": seen.labels_lost,
    }


def _slice(shown: Shown) -> dict[str, Any]:
    return {
        "pairs": shown.pairs,
        "rates": [
            {
                "metric": one.name,
                "worse": one.worse.value,
                "worse_is_assumed": one.is_assumed,
                "pairs": one.pairs,
                "both_good": one.both_good,
                "only_candidate_bad": one.only_candidate_bad,
                "only_baseline_bad": one.only_baseline_bad,
                "both_bad": one.both_bad,
                "baseline": one.baseline,
                "candidate": one.candidate,
                "delta_pp": one.delta_points,
                "delta_pp_interval": _interval(one.points),
                "delta_pct": one.delta_percent,
                "delta_pct_interval": _interval(one.percent),
                "mcnemar_p": one.p,
            }
            for one in shown.rates
        ],
        "sizes": [_size(one) for one in shown.sizes],
        "incidents": {name: {"candidate": c, "baseline": b} for name, (c, b) in shown.incidents.items()},
    }


def _size(one: SizeShown) -> dict[str, Any]:
    per = PER_UNIT.get(one.source, PER_MS)
    return {
        "size": one.source,
        "unit": {"cost": "USD", "tokens": "tokens"}.get(one.source, "ms"),
        "pairs": one.pairs,
        "unfinished_in_both": one.unfinished,
        "quantiles": [
            {
                "quantile": each.name,
                "baseline": _number(each.baseline / per),
                "candidate": _number(each.candidate / per),
                "delta_pct": _number(each.delta),
                "delta_pct_interval": _interval(each.interval),
            }
            for each in one.quantiles
        ],
        "mean": None if one.mean is None else _mean(one.mean, per),
        "paired_ratio": {
            "pairs": one.ratio.pairs,
            "median_delta_pct": _number(one.ratio.median),
            "median_delta_pct_interval": _interval(one.ratio.interval),
        },
    }


def _mean(mean: MeanShown, per: float) -> dict[str, Any]:
    return {
        "baseline": mean.baseline / per,
        "candidate": mean.candidate / per,
        "delta_pct": mean.delta,
        "delta_pct_interval": _interval(mean.interval),
    }


def _held(held: Held) -> dict[str, Any]:
    objective = held.objective
    return {
        "objective": objective.objective_id,
        "cohort": dict(held.view),
        "limit": objective.limit,
        "unit": objective.unit.value,
        "verdict": held.verdict.value,
        "pairs": held.pairs,
        "delta": _number(held.delta),
        "interval": _interval(held.interval),
        "more_pairs": held.more_pairs,
        "why": held.why or None,
    }


def _interval(interval: Interval) -> list[float | None]:
    return [interval.lower, interval.upper]


def _number(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else value
