"""A rule: what its stretches look at, and among how many tests its error rate is split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.stats.evidence import evidence_for
from monitor.core.stats.rule import Rule, Span, make_rule, rule_for
from monitor.core.stats.thresholds import look_count, x_star
from tests.engine.worlds import objective

DAY = 1440


@pytest.mark.parametrize(
    ("hold", "length", "newest", "fifth", "blocks"),
    [
        (20, 20, 5, 5, 4),
        (20, 21, 6, 5, 4),
        (20, 27, 7, 6, 5),
        (20, 147, 20, 30, 29),
        (20, 1043, 20, 209, 208),
        (4, 4, 1, 1, 4),
        (4, 67, 4, 14, 67),
        (0, 1, 1, 1, 1),
        (0, 1024, 1, 205, 1024),
    ],
)
def test_what_a_stretch_looks_at(hold: int, length: int, newest: int, fifth: int, blocks: int) -> None:
    """Its newest quarter, the hold at most; its weakest fifth, a quarter of the hold at least; and its blocks.

    A recovery is told with an error of 1 % in all blocks together.
    """
    rule = make_rule(hold, window_min=DAY, objectives=4)
    assert Span(length, newest, fifth, evidence_for(0.01 / blocks)) in rule.spans
    assert all(one.length_min >= max(hold, 1) for one in rule.spans)
    assert rule.recent_min == {20: 5, 4: 1, 0: 1}[hold]


def test_a_rule_by_itself_is_that_of_one_cohort_and_one_measure() -> None:
    alone = make_rule(20, window_min=DAY, objectives=4)
    assert alone == make_rule(20, window_min=DAY, objectives=4, cohorts=1, min_samples=0, measures=1)
    assert alone.x_star == evidence_for(1e-3 * 0.5 / (look_count(20, DAY) * 4))
    judged = objective(hold=20)
    assert rule_for(judged, window_min=DAY, objectives=4) == replace(alone, min_samples=judged.min_samples)
    assert Rule(20, DAY, 15.0, 0, alone.windows, alone.spans).measures == 1


def test_both_measures_of_a_mean_share_its_error_rate() -> None:
    rule = rule_for(objective("cost_per_request", 10.0, hold=20), window_min=DAY, objectives=3, cohorts=5)
    assert rule.measures == 2
    assert rule.x_star == x_star(hold_min=20, window_min=DAY, objectives=6, cohorts=5)
    assert rule_for(objective(hold=20), window_min=DAY, objectives=3).measures == 1
