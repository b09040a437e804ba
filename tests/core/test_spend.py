"""Spent minutes: bad blocks add up, each is judged once, and old ones leave the window."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.budget import Unit
from monitor.core.indicator import Direction
from monitor.core.series import RateSeries
from monitor.core.spend import Spend
from monitor.core.stats.dispersion import Dispersion
from monitor.core.stats.limit import Limit
from monitor.core.sums import sums_of
from monitor.core.sustained import Answer, judge, make_rule

_SUCCESS = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0)
_LITERAL = Limit(Direction.LOWER_IS_WORSE, Unit.PERCENT, -2.0, needs_evidence=False)
_RULE = make_rule(20, window_min=1440, objectives=4)
_GOOD, _BAD, _WEAK = ((900, 1000), (900, 1000)), ((800, 1000), (900, 1000)), ((7, 10), (9, 10))
_NONE = ((0, 0), (900, 1000))


def _series(
    *spells: tuple[int, tuple[tuple[int, int], tuple[int, int]]], limit: Limit = _SUCCESS
) -> RateSeries:
    series = RateSeries(limit)
    for length, minute in spells:
        for _ in range(length):
            series.append(series.end_minute, *minute)
    return series


def _spent(series: RateSeries, now: int | None = None, phi: float = 1.0) -> Spend:
    spend = Spend(_RULE)
    spend.advance(series, series.end_minute if now is None else now, Dispersion(phi))
    return spend


@pytest.mark.parametrize(
    "spells, minutes",
    [
        ([(60, _GOOD)], 0),
        ([(20, _GOOD), (10, _BAD), (20, _GOOD)], 10),
        ([(20, _GOOD), (4, _BAD)], 0),  # the block is not complete yet
        ([(5, _BAD), (10, _GOOD)] * 4, 20),
        ([(60, _WEAK)], 0),  # beyond the limit, without evidence
        ([(60, _NONE)], 0),
    ],
)
def test_bad_blocks_add_up(spells: list, minutes: int) -> None:
    assert _spent(_series(*spells)).minutes == minutes


def test_more_than_the_hold_is_overspent_and_exactly_the_hold_is_not() -> None:
    """Flapping that the sustained rule lets pass still spends."""
    series = _series(*[(10, _BAD), (20, _GOOD)] * 2)
    assert not _spent(series).is_overspent
    for _ in range(5):
        series.append(series.end_minute, *_BAD)
    spend = _spent(series)
    assert spend.is_overspent
    assert judge(series, series.end_minute, _RULE).answer is not Answer.FIRES
    assert spend.blocks == ((0, 5), (5, 10), (30, 35), (35, 40), (60, 65))


def test_how_often_it_is_asked_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    series = RateSeries(_SUCCESS)
    often, rarely = Spend(_RULE), Spend(_RULE)
    for minute in range(300):
        rate = 0.8 if rng.random() < 0.4 else 0.9
        series.append(minute, (int(rng.binomial(300, rate)), 300), (int(rng.binomial(900, 0.9)), 900))
        often.advance(series, minute + 1)
        if minute % 37 == 0:
            rarely.advance(series, minute + 1)
    rarely.advance(series, 300)
    assert often.blocks == rarely.blocks
    assert often.minutes > 0


def test_minutes_that_left_the_window_are_given_back() -> None:
    spend = Spend(make_rule(20, window_min=100, objectives=4))
    series = _series((10, _BAD), (200, _GOOD))
    spend.advance(series, 50)
    assert spend.minutes == 10
    for now, minutes in ((100, 10), (101, 5), (105, 5), (106, 0), (200, 0)):
        spend.advance(series, now)  # the blocks began at minutes 0 and 5
        assert spend.minutes == minutes


def test_minutes_that_are_skipped_are_never_spent() -> None:
    """They compared the candidate with another baseline; what comes after them counts from its first minute."""
    spend = Spend(_RULE)
    series = _series((27, _BAD))
    spend.advance(series, 10)
    spend.skip(17)
    spend.advance(series, 27)
    assert spend.blocks == ((0, 5), (5, 10), (17, 22), (22, 27))


def test_what_a_spent_block_was_judged_by_is_kept() -> None:
    series = _series((5, _GOOD), (5, _BAD))
    (proof,) = _spent(series, phi=1.5).proofs
    assert (proof.block, proof.phi) == ((5, 10), Dispersion(1.5))
    assert proof.sums == sums_of(series, 5, 10)


@pytest.mark.parametrize(("hits", "minutes"), [(891, 0), (870, 10), (800, 10)])
def test_by_the_letter_a_block_is_bad_beyond_the_limit_itself(hits: int, minutes: int) -> None:
    """A fall from 90 % by 1 % is within the limit of 2 %, one by 3.3 % is beyond it, and by far more too."""
    assert _spent(_series((10, ((hits, 1000), (900, 1000))), limit=_LITERAL)).minutes == minutes


def test_correlated_outcomes_spend_less() -> None:
    series = _series((20, _GOOD), (10, ((860, 1000), (900, 1000))))
    assert _spent(series).minutes == 10
    assert _spent(series, phi=20.0).minutes == 0


def test_without_evidence_the_letter_spends() -> None:
    assert _spent(_series((60, _WEAK), limit=_LITERAL)).minutes == 60


def test_a_healthy_release_hardly_spends() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        series = RateSeries(_SUCCESS)
        for minute in range(480):
            series.append(minute, (int(rng.binomial(100, 0.9)), 100), (int(rng.binomial(900, 0.9)), 900))
        assert not _spent(series).is_overspent


def test_a_hold_of_nothing_spends_minute_by_minute() -> None:
    spend = Spend(make_rule(0, window_min=1440, objectives=4))
    assert not spend.is_overspent
    series = _series((3, _GOOD), (1, _BAD))
    spend.advance(series, 4)
    assert spend.blocks == ((3, 4),)
    assert spend.is_overspent
