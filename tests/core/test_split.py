"""The traffic split: a test one may look at every minute, that bursts do not fool nor broken routing escapes."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import TrafficSplit
from monitor.core.split import RIGHT_MIN, WRONG_NATS, Split, SplitWatch, e_nats, is_right
from tests.engine.worlds import LAWS

DAY = 1440
HALF = TrafficSplit(50.0)
EXACT = TrafficSplit(50.0, tolerance_pct=0.0)


def found_wrong(
    declared: TrafficSplit, seed: int, *, share: float, per_min: float, minutes: int = DAY, icc: float = 0.0
) -> int | None:
    """The minute at which traffic of this share is found to be split wrongly; None if it never is.

    Args:
        icc: Correlation of a minute's requests: its share is drawn from a beta law.
    """
    rng = np.random.default_rng(seed)
    both = rng.poisson(per_min, minutes)
    weight = (1 - icc) / icc if icc else 0.0
    shares = rng.beta(share * weight, (1 - share) * weight, minutes) if icc else share
    candidate = rng.binomial(both, shares)
    watch = SplitWatch(declared)
    for minute in range(minutes):
        if watch.append(int(candidate[minute]), int(both[minute] - candidate[minute])):
            return minute + 1
    return None


def test_the_declared_split_never_pages_in_300_days() -> None:
    for seed in range(300):
        share, per_min = (0.01, 0.1, 0.5)[seed % 3], (6, 60, 600, 6000)[seed % 4]
        declared = TrafficSplit(share * 100, tolerance_pct=(0.0, 5.0)[seed % 2])
        assert found_wrong(declared, seed, share=share, per_min=per_min) is None, seed


@pytest.mark.parametrize("icc", [0.002, 0.01, 0.05])
def test_bursts_within_minutes_do_not_page(icc: float) -> None:
    for seed in range(20):
        share, per_min = (0.1, 0.5)[seed % 2], (60, 600)[seed % 4 // 2]
        found = found_wrong(TrafficSplit(share * 100), seed, share=share, per_min=per_min, icc=icc)
        assert found is None, seed


@pytest.mark.parametrize(
    ("declared", "share", "per_min", "within"),
    [
        (HALF, 0.45, 6000, 15),
        (HALF, 0.45, 600, 60),
        (EXACT, 0.45, 600, 20),
        (TrafficSplit(10.0), 0.12, 6000, 20),
        (TrafficSplit(10.0), 0.0, 600, 15),
        (TrafficSplit(1.0), 0.5, 60, 5),
        (TrafficSplit(90.0), 0.8, 600, 20),
    ],
)
def test_a_wrong_split_pages_within_minutes(
    declared: TrafficSplit, share: float, per_min: float, within: int
) -> None:
    for seed in range(10):
        found = found_wrong(declared, seed, share=share, per_min=per_min, minutes=within + 1)
        assert found is not None, seed
        assert found <= within, seed


@LAWS
@given(
    st.integers(0, 60),
    st.sampled_from([HALF, EXACT, TrafficSplit(10.0), TrafficSplit(2.0, tolerance_pct=50.0)]),
    st.floats(0, 1),
)
def test_the_e_value_is_one_at_most_under_every_allowed_share(
    n: int, declared: TrafficSplit, place: float
) -> None:
    """By enumeration: its mean over all splits of n requests. Then no stopping rule exceeds 1/alpha too often."""
    low, high = declared.allowed
    p = low + place * (high - low)
    mean, chance = 0.0, (1 - p) ** n
    for c in range(n + 1):
        mean += chance * exp(e_nats(Split(c, n), declared))
        chance *= (n - c) / (c + 1) * p / (1 - p)
    assert mean <= 1 + 1e-9


@LAWS
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=80))
def test_the_test_says_what_its_e_value_says(minutes: list[tuple[int, int]]) -> None:
    """The quick look never hides what the e-value shows, and what was seen is what came."""
    watch = SplitWatch(HALF)
    for number, minute in enumerate(minutes):
        changed = watch.append(*minute)
        assert changed == watch.is_wrong
        assert watch.seen == Split(
            sum(one for one, _ in minutes[: number + 1]), sum(map(sum, minutes[: number + 1]))
        )
        if changed:
            assert watch.seen.both * 0.7 > WRONG_NATS  # a request of a half tells ln 2 at most
            return


def test_no_requests_say_nothing() -> None:
    watch = SplitWatch(HALF)
    assert not any(watch.append(0, 0) for _ in range(100))


@pytest.mark.parametrize(("per_min", "hours"), [(6000, 1), (600, 1)])
def test_a_split_that_is_right_for_an_hour_is_right_again(per_min: int, hours: int) -> None:
    watch = SplitWatch(HALF)
    while not watch.append(0, per_min):
        pass
    right = [watch.append(per_min // 2, per_min // 2) for _ in range(hours * RIGHT_MIN)]
    assert right == [False] * (RIGHT_MIN - 1) + [True]
    assert not watch.is_wrong
    assert not any(watch.append(per_min // 2, per_min // 2) for _ in range(DAY))


def test_a_split_that_stays_wrong_never_becomes_right() -> None:
    rng = np.random.default_rng(3)
    watch = SplitWatch(HALF)
    for c in rng.binomial(600, 0.45, 600):
        watch.append(int(c), int(600 - c))
    assert watch.is_wrong


def test_it_can_go_wrong_again() -> None:
    watch = SplitWatch(HALF)
    for expected in (True, False, True):
        arms = (100, 500) if expected else (300, 300)
        for _ in range(600):
            if watch.append(*arms):
                break
        assert watch.is_wrong is expected


def test_few_requests_do_not_show_that_it_is_right() -> None:
    assert not is_right(Split(0, 0), HALF, wrong=0.4)
    assert not is_right(Split(10, 20), HALF, wrong=0.45)
    assert is_right(Split(5_000, 10_000), HALF, wrong=0.45)


@pytest.mark.parametrize(
    ("declared", "allowed"),
    [(TrafficSplit(10.0), (0.095, 0.105)), (TrafficSplit(90.0), (0.895, 0.905)), (EXACT, (0.5, 0.5))],
)
def test_the_tolerance_is_a_part_of_the_smaller_arm_s_share(
    declared: TrafficSplit, allowed: tuple[float, float]
) -> None:
    assert declared.allowed == pytest.approx(allowed)


@pytest.mark.parametrize(("before", "found"), [(5, False), (6, True)])
def test_from_six_minutes_on_their_own_noise_counts_and_not_what_is_assumed(before: int, found: bool) -> None:
    watch = SplitWatch(EXACT)
    for minute in range(before):
        watch.append(300 + minute % 2, 300 - minute % 2)
    assert watch.append(180, 420) is found
