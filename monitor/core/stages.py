"""Which stage of a request moved when its latency did: the same quantile of each stage, over the same minutes.

The stages are those that the budget limits on the same slice: only of these are distributions kept. They explain
a breach and decide nothing, so no error rate is spent on them: each interval speaks for its stage alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from monitor.core.record import StageMove, finite
from monitor.core.series import QuantileSeries
from monitor.core.stats.limit import Limit

if TYPE_CHECKING:
    from monitor.core.watch import Watch

STAGES_MAX: Final = 16  # a request has no more
END_TO_END: Final = "latency"
_STAGE: Final = "stage."


def stage_moves(latency: Watch, others: Iterable[Watch], start: int, end: int) -> tuple[StageMove, ...]:
    """Return how the stages moved over the minutes [start, end) in which an end-to-end quantile is shown.

    The largest slowdown comes first, in milliseconds and not in percent: that is what people wait for.

    Args:
        latency: Of the end-to-end quantile; of anything else no stage is a part.
        others: Among which those of stages on the same slice are looked for.
    """
    if latency.objective.indicator.source != END_TO_END or start >= end:
        return ()
    stages = {_name(one): one for one in others if _is_part(one, latency, start, end)}
    moves = (_move(name, one, latency.series.limit, start, end) for name, one in stages.items())
    known = [move for move in moves if move is not None]
    return tuple(sorted(known, key=lambda move: (-move.moved_ms, move.stage))[:STAGES_MAX])


def _name(watch: Watch) -> str:
    return watch.objective.indicator.source.removeprefix(_STAGE)


def _is_part(one: Watch, latency: Watch, start: int, end: int) -> bool:
    """Tell whether a watch is of a stage, of the same requests, and holds these minutes against the same baseline."""
    return (
        one.objective.indicator.source.startswith(_STAGE)
        and one.view == latency.view
        and one.series.kept_minute <= start
        and end <= one.series.end_minute
        and one.baseline_mode(start) is latency.baseline_mode(start)
    )


def _move(name: str, watch: Watch, limit: Limit, start: int, end: int) -> StageMove | None:
    """Return a stage's quantile of this limit; None where an arm had no request with the stage."""
    series = watch.series
    assert isinstance(series, QuantileSeries), "a stage has quantiles only"
    stretch = replace(series.stretch(start, end), limit=limit)
    seen = stretch.observed()
    baseline, candidate, delta = (finite(one) for one in (seen.baseline, seen.candidate, seen.delta))
    if baseline is None or candidate is None or delta is None:
        return None
    span = stretch.interval(phi=watch.dispersion.now.over(series, start, end))
    return StageMove(
        name, baseline * watch.factor, candidate * watch.factor, delta, finite(span.lower), finite(span.upper)
    )
