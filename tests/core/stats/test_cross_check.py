"""The evidence and its intervals against what other libraries compute for the same inputs.

`cross_check.json` holds the references, the versions they come from, and the command that makes it anew
(`make cross-check`). A library answers a question of its own: each test names the relation that is promised.
"""

from __future__ import annotations

import json
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.operating_characteristics.naive import mixture_radius
from monitor.core.budget import Unit
from monitor.core.stats.evidence import Moments, mean_above, p_value, quantile_above, quantile_below
from monitor.core.stats.intervals import Interval, RateCounts, mean_interval, rate_interval
from monitor.core.stats.thresholds import ALPHA_ROLLBACK, OVERALL_SHARE, x_star

_FILE = Path(__file__).parent / "cross_check.json"
_KNOWN: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
_RULE = x_star(hold_min=20, window_min=1440, objectives=4)
_PAGE = x_star(hold_min=20, window_min=1440, objectives=4, alpha=0.05)
_MANY = 1e12  # requests of an arm whose rate or mean is as good as known

Ends = tuple[float, float]


def _rows(part: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", _KNOWN[part], ids=str_of)


def str_of(row: dict[str, Any]) -> str:
    return "-".join(str(value) for value in row.values() if isinstance(value, (int, str)))


def _ends(found: Interval, scale: float = 0.01, middle: float = 0.0) -> Ends:
    assert found.lower is not None
    assert found.upper is not None
    return middle + scale * found.lower, middle + scale * found.upper


def _width(ends: Ends) -> float:
    return ends[1] - ends[0]


def _is_inside(inner: Ends, outer: Ends, slack: float = 0.0) -> bool:
    room = slack * _width(outer)
    return outer[0] - room <= inner[0] and inner[1] <= outer[1] + room


def test_the_references_are_of_the_pinned_versions() -> None:
    pins = (Path(__file__).parents[3] / "requirements-cross-check.txt").read_text(encoding="utf-8")
    for name, version in _KNOWN["versions"].items():
        assert f"\n{name}=={version} " in pins
    assert _KNOWN["command"] == "make cross-check"
    assert _KNOWN["rule_alpha"] == ALPHA_ROLLBACK * OVERALL_SHARE / 4


@_rows("welch")
def test_evidence_of_a_mean_is_half_the_square_of_welchs_t(row: dict[str, Any]) -> None:
    """And its error rate is the t test's, to what the normal law lacks of the t law in so many requests."""
    candidate, baseline = (
        Moments(n, mean, variance, 0.0) for n, mean, variance in (row["candidate"], row["baseline"])
    )
    x = mean_above(candidate, baseline, row["ratio"])
    assert sqrt(2 * x) == pytest.approx(row["t"], rel=1e-9)
    assert 0.9 * row["p"] <= p_value(x) <= row["p"] * (1 + 1e-9)


@_rows("rates")
def test_a_reported_interval_of_a_rate_is_the_t_tests_and_a_little_more(row: dict[str, Any]) -> None:
    """It speaks of one look: wider than the t test's by the counts of continuity, far within the always-valid one."""
    found = _ends(rate_interval(RateCounts(*row["counts"]), Unit.POINTS))
    assert 1.0 <= _width(found) / _width(row["once"]) <= 1.1
    assert _is_inside(
        row["once"], found, slack=0.08
    )  # a rate near 0 or 1 leans to the middle; the t test's does not
    assert _is_inside(found, row["always"])
    assert _width(found) >= 0.6 * _width(row["always"])


@_rows("rates")
def test_what_decides_asks_for_more_than_a_test_that_holds_at_every_look(row: dict[str, Any]) -> None:
    """At its own error rate the rule is never tighter than an always-valid sequence from one known start, tuned best.

    It may be up to 30 % wider: that start is not known, and the rule tries them all.
    """
    found = _ends(rate_interval(RateCounts(*row["counts"]), Unit.POINTS, confidence=1 - 2 * p_value(_RULE)))
    always: Ends = row["always_at_the_rules_rate"]
    assert _is_inside(always, found, slack=0.01)
    assert 1.15 <= _width(found) / _width(always) <= 1.3


@_rows("binomials")
def test_an_interval_of_one_rate_holds_the_exact_one_and_no_whole_count_more(row: dict[str, Any]) -> None:
    """The exact one is Clopper and Pearson's; the bound that holds at every look is wider still."""
    known = RateCounts(row["hits"], row["n"], 0.5 * _MANY, _MANY)
    found = _ends(rate_interval(known, Unit.POINTS), middle=0.5)
    assert _is_inside(row["exact"], found)
    assert _is_inside(found, row["exact_one_count_wider"])
    assert _is_inside(found, row["always"])


@_rows("costs")
def test_an_interval_of_a_capped_mean_keeps_within_the_bounds_that_need_no_normal_law(
    row: dict[str, Any],
) -> None:
    """Betting and empirical Bernstein bounds hold for any bounded values; from the floor on the normal law is tighter.

    By less than a third against betting at one look, whose order of values shifts it by up to a tenth of itself.
    Below the floor of 355 * skewness**2 nothing is claimed.
    """
    values = Moments(row["n"], row["mean"], row["variance"], row["skew"])
    interval = mean_interval(values, Moments(_MANY, 1.0, 1e-12, 0.0))
    if row["n"] < 355 * row["skew"] ** 2:
        assert interval.lower is interval.upper is None
        return
    found = _ends(interval, middle=1.0)
    assert _is_inside(found, row["betting_once"], slack=0.1)
    assert _is_inside(found, row["betting_always"])
    assert _is_inside(found, row["bernstein_always"])
    assert _width(found) >= 0.67 * _width(row["betting_once"])


@pytest.mark.parametrize("quantile", ["0.75", "0.9", "0.95"])
@_rows("latencies")
def test_evidence_of_a_quantile_says_what_the_test_of_equal_quantiles_says(
    row: dict[str, Any], quantile: str
) -> None:
    """That test holds at every look, so it says less: never more than the evidence; and where a rollback has its
    evidence that test rejects too, where it sees nothing there is not even a page.
    """
    above = [np.append(np.cumsum(row[arm][::-1])[::-1], 0) for arm in ("candidate", "baseline")]
    tail = 1 - float(quantile)
    x = max(quantile_above(above[0], above[1], tail, 0), quantile_below(above[0], above[1], tail, 0))
    always = row["p"][quantile]
    assert 2 * p_value(x) <= always
    assert always < 0.05 or x < _RULE
    assert always < 1.0 or x < _PAGE


@_rows("mixtures")
def test_the_sequence_that_the_engine_is_compared_with_is_the_published_one(row: dict[str, Any]) -> None:
    """`cs_start` of the simulation: after n unit variances the boundary is of a sum, so the mean's times sqrt(n)."""
    n = np.array([float(row["n"])])
    radius = mixture_radius(n, np.array([float(row["tightest_at"])]), row["alpha"])
    assert sqrt(row["n"]) * float(radius[0]) == pytest.approx(row["bound"], rel=1e-9)


def test_each_kind_of_reference_is_there() -> None:
    """Each relation is held on both sides of what it is about."""
    assert {row["n"] < 355 * row["skew"] ** 2 for row in _KNOWN["costs"]} == {True, False}
    shown = [p for row in _KNOWN["latencies"] for p in row["p"].values()]
    assert min(shown) < 1e-6
    assert max(shown) == 1.0
