"""What one stretch of minutes says about a quantile."""

from __future__ import annotations

import numpy as np

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.stats.limit import Limit
from monitor.core.stats.quantile_stretch import QuantileStretch

_P95 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.95)


def test_where_nothing_ever_was_nothing_is_said() -> None:
    nothing = QuantileStretch(_P95, np.zeros((2, 0), dtype=np.int64), -1)
    assert nothing.requests == (0.0, 0.0)
    assert nothing.bins() == ({}, {})
    assert (nothing.evidence_in(), nothing.evidence_out()) == (0.0, 0.0)
    assert [nothing.beyond(1.0), nothing.mde(15.0), nothing.noise(5)] == [None] * 3
