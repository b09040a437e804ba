"""After a rollback that took effect: did the metric that broke come back?

The traffic is the baseline's now. Its newest 30 minutes R are held against the baseline's own hour before the
rollback was asked for, or, where it had no traffic then, against its captured past of the same minutes. The rollback
did not help when all of these hold:

1. R, and each half of it, is beyond the limit by its point estimate: it lasts;
2. R shows that it is beyond the limit, strictly, with p <= 0.01 over the dispersion of the baseline's own level
   (`core.degraded`). There is one look per rollback, so nothing is divided among looks.

Too little evidence says nothing: then neither help nor harm was shown. It is back when the newest 15 minutes are no
longer beyond the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Objective
from monitor.core.cohort import CohortKey
from monitor.core.degraded import Span, level_evidence, level_phi
from monitor.core.series import AnySeries, RateSeries, series_for
from monitor.core.stats.evidence import evidence_for
from monitor.core.watch import factor_of
from monitor.core.wording import indicator_words, slice_words, unit_words, value_words

PAST_MIN: Final = 60  # minutes before the request that say what the baseline is like
RECOVERY_MIN: Final = 30  # R: a queue that the candidate filled is empty by then, and caches are warm
BACK_MIN: Final = 15  # a half of R: it did not help where both halves are beyond, so one within ends that
NEEDED_NATS: Final = evidence_for(0.01)  # one look per rollback: nothing is divided among looks


@dataclass(frozen=True, slots=True)
class Unrecovered:
    """What the baseline shows after the rollback and showed before, in the units people read.

    Attributes:
        delta: In the limit's unit; None where the level before was 0 or unfinished.
    """

    before: float
    after: float
    delta: float | None


def find_unrecovered(
    objective: Objective, before: Sequence[Aggregate], after: Sequence[Aggregate]
) -> Unrecovered | None:
    """Return how far a metric is from being back; None where it is back, or where that it is not is not evident.

    Args:
        before, after: Minutes of the one traffic that is left, in order.
    """
    series = _series(objective, [*before, *after])
    past, end = (0, len(before)), len(before) + len(after)
    half = len(before) + len(after) // 2
    recent = len(before), end
    found = _found(objective, series, recent, past)
    if found is None or not _is_beyond(objective, found):
        return None
    for part in ((recent[0], half), (half, end)):
        one = _found(objective, series, part, past)
        if one is None or not _is_beyond(objective, one):
            return None
    shown = level_evidence(series, recent, past) / level_phi(series, past)
    return found if shown >= NEEDED_NATS else None


def is_back(objective: Objective, before: Sequence[Aggregate], newest: Sequence[Aggregate]) -> bool:
    """Tell whether the newest minutes are no longer beyond the limit; no data is no recovery."""
    series = _series(objective, [*before, *newest])
    spans = (len(before), len(before) + len(newest)), (0, len(before))
    found = _found(objective, series, *spans)
    return found is not None and not _is_beyond(objective, found)


def not_helped_words(release: str, objective: Objective, view: CohortKey, found: Unrecovered) -> str:
    """Return in one sentence what did not come back, and what that means."""
    unit = unit_words(objective.unit)
    side = "below" if objective.limit < 0 else "above"
    far = f"{abs(found.delta):.1f} {unit} {side}" if found.delta is not None else side
    return (
        f"the rollback of {release} did not help: {RECOVERY_MIN} min after its traffic was gone, "
        f"{indicator_words(objective)}{slice_words(view)} is still {far} what the baseline showed before "
        f"({value_words(objective, found.after)} against {value_words(objective, found.before)}, "
        f"limit {objective.limit:+g} {unit}); the release is not the cause, or not the only one"
    )


def _series(objective: Objective, minutes: Sequence[Aggregate]) -> AnySeries:
    """Return the minutes as a series of two equal arms: a level is asked for here, and no difference of arms."""
    series, source = series_for(objective), objective.indicator.source
    for number, one in enumerate(minutes):
        if isinstance(series, RateSeries):
            series.append(number, one.rate(source), one.rate(source))
        else:
            series.append(number, one.distribution(source), one.distribution(source))
    return series


def _found(objective: Objective, series: AnySeries, recent: Span, past: Span) -> Unrecovered | None:
    before, after = series.observed(*past).baseline, series.observed(*recent).baseline
    if before is None or after is None:
        return None
    factor = factor_of(objective)
    return Unrecovered(before * factor, after * factor, series.limit.delta(after, before))


def _is_beyond(objective: Objective, found: Unrecovered) -> bool:
    """Tell whether it is beyond the limit; a level before of 0, or one that has no number, is no measure."""
    far, limit = found.delta, objective.limit
    return far is not None and (far < limit if limit < 0 else far > limit)
