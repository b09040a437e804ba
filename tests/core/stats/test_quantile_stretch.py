"""What one stretch of minutes says about a quantile: the same as its requests, counted one by one."""

from __future__ import annotations

from math import ceil, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.sketch import LAST_BIN, UNFINISHED_BIN, upper_edge
from monitor.core.stats.contrast import share_noise
from monitor.core.stats.evidence import quantile_above, quantile_below
from monitor.core.stats.intervals import Interval, quantile_interval, quantile_mde
from monitor.core.stats.limit import Limit
from monitor.core.stats.quantile_stretch import QuantileStretch

_P95 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.95)
_P50 = Limit(Direction.HIGHER_IS_WORSE, Unit.PERCENT, 15.0, quantile=0.5)

_arm = st.dictionaries(
    st.one_of(st.integers(0, 12), st.integers(LAST_BIN - 3, UNFINISHED_BIN)), st.integers(1, 9), max_size=6
)


def test_where_nothing_ever_was_nothing_is_said() -> None:
    nothing = QuantileStretch(_P95, np.zeros((2, 0), dtype=np.int64), -1)
    assert nothing.requests == (0.0, 0.0)
    assert nothing.bins() == ({}, {})
    assert (nothing.evidence_in(), nothing.evidence_out()) == (0.0, 0.0)
    assert [nothing.beyond(1.0), nothing.mde(15.0), nothing.noise(5)] == [None] * 3
    assert nothing.interval(confidence=0.9) == Interval(None, None, 0.9)


@given(_arm, _arm)
@settings(max_examples=40, deadline=None)
def test_a_stretch_counts_what_lies_above_each_edge(
    candidate: dict[int, int], baseline: dict[int, int]
) -> None:
    """From an edge below every request on, up to one that only the unfinished lie above."""
    found = QuantileStretch.of_bins(_P95, candidate, baseline)
    assert list(found.requests) == [sum(candidate.values()), sum(baseline.values())]
    assert found.bins() == (candidate, baseline)
    finished = [index for index in {*candidate, *baseline} if index <= LAST_BIN] or [0]
    assert (found.lowest, found.lowest + found.above.shape[1] - 1) == (min(finished) - 1, max(finished))
    for arm, above in zip((candidate, baseline), found.above, strict=True):
        assert above.tolist() == [
            sum(n for index, n in arm.items() if index > found.lowest + column)
            for column in range(len(above))
        ]


def test_requests_that_count_in_parts_keep_their_bins() -> None:
    parts = {3: 0.5, UNFINISHED_BIN: 0.25}
    assert QuantileStretch.of_bins(_P95, parts, {4: 1.5}).bins() == (parts, {4: 1.5})


def _bin_at_rank(arm: dict[int, int], quantile: float) -> int:
    ranked = [index for index, count in sorted(arm.items()) for _ in range(count)]
    return ranked[ceil(quantile * len(ranked)) - 1]


@given(_arm, _arm, st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_the_quantile_of_a_stretch_is_the_request_at_its_rank(
    candidate: dict[int, int], baseline: dict[int, int], scale: float
) -> None:
    """Beyond the limit where its bin is so many bins up that the ratio exceeds it; the unfinished exceed any."""
    found = QuantileStretch.of_bins(_P50, candidate, baseline)
    if not candidate or not baseline:
        assert found.beyond(scale) is None
        return
    c, b = (_bin_at_rank(arm, 0.5) for arm in (candidate, baseline))
    assert (found.observed().candidate, found.observed().baseline) == (upper_edge(c), upper_edge(b))
    if UNFINISHED_BIN in (c, b):
        assert found.beyond(scale) is (upper_edge(c) > upper_edge(b))
    else:
        assert found.beyond(scale) is (1.02 ** (c - b) > 1 + 0.15 * scale + 1e-9)


@pytest.mark.parametrize("quiet", [({}, {5: 3}), ({5: 3}, {})])
def test_an_arm_without_requests_has_no_quantile(quiet: tuple[dict[int, int], dict[int, int]]) -> None:
    found = QuantileStretch.of_bins(_P95, *quiet)
    assert found.beyond(1.0) is None
    assert {found.observed().candidate, found.observed().baseline} == {None, upper_edge(5)}
    assert (found.evidence_in(), found.evidence_out(), found.noise(5)) == (0.0, 0.0, None)


def test_evidence_interval_and_noise_are_those_of_the_exceedances() -> None:
    """Harm has to be shown beyond half of the limit of 15 %, 4 bins; recovery within all of it, 7 bins."""
    slow = {bin_: 30 - bin_ for bin_ in range(10, 30)}
    found = QuantileStretch.of_bins(_P95, {bin_ + 12: 9 * n for bin_, n in slow.items()}, slow)
    tail = 1.0 - 0.95
    assert found.evidence_in() == quantile_above(found.above[0], found.above[1], tail, 4) > 1.0
    same = QuantileStretch.of_bins(_P95, {bin_: 40 * n for bin_, n in slow.items()}, slow)
    assert same.evidence_out() == quantile_below(same.above[0], same.above[1], tail, 7) > 1.0
    assert found.interval() == quantile_interval(found.above, 0.95)
    wide = found.interval(phi=2.0, confidence=0.8)
    assert wide == quantile_interval(found.above, 0.95, phi=2.0, confidence=0.8)
    assert (found.interval().upper or inf) < inf
    assert same.mde(5.0) == quantile_mde(same.above, _P95, 5.0) is not None
    assert found.noise(20) == share_noise(tail, *found.requests, 20) is not None
