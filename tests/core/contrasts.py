"""The change of a series between two stretches, asked for by itself."""

from __future__ import annotations

from monitor.core.series import AnySeries
from monitor.core.stats.contrast import Contrast, Stretch


def contrast(series: AnySeries, before: Stretch, after: Stretch) -> Contrast | None:
    """How far the arms' difference moved between two stretches."""
    (found,) = series.contrasts([(before, after)])
    return found
