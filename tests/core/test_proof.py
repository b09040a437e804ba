"""What a record shows beside its numbers: minutes before the moment that was judged, and none after it."""

from __future__ import annotations

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.proof import MAX_POINTS, points_of
from monitor.core.series import RateSeries
from monitor.core.stats.limit import Limit


def test_points_end_where_it_was_judged_although_more_is_known() -> None:
    series = RateSeries(Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0))
    for minute in range(1_500):
        series.append(minute, (1, 1 + minute), (2, 2))
    points = points_of(series, 20, 4, 100.0)
    assert (points["step_min"], points["candidate_requests"][-1]) == (1, 20)
    coarse = points_of(series, 1_390, 600, 100.0)
    assert coarse["step_min"] > 1
    assert len(coarse["candidate"]) <= MAX_POINTS
    assert coarse["candidate_requests"][-1] == sum(range(1_391 - coarse["step_min"], 1_391))
