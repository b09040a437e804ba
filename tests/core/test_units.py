"""Samples of units, and whether assignment sticks: a ramp is no fault, units that go back and forth are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.units import UNITS_KEPT, Moves, Share, UnitSample, UnitWatch, unit_hash
from tests.engine.worlds import LAWS

IDS = st.lists(st.integers(0, 2_000), max_size=900)


def sample(ids: list[int]) -> UnitSample:
    made = UnitSample()
    for one in ids:
        made.offer(f"user-{one}")
    return made


def merged(*samples: UnitSample) -> UnitSample:
    made = UnitSample()
    for one in samples:
        made.merge(one)
    return made


# The sample ------------------------------------------------------------------------------------------------------


@LAWS
@given(IDS)
def test_a_sample_is_the_smallest_hashes_of_what_it_was_offered(ids: list[int]) -> None:
    every = sorted({unit_hash(f"user-{one}") for one in ids})
    made = sample(ids)
    assert list(made.hashes) == every[:UNITS_KEPT]
    assert made.ceiling == (every[UNITS_KEPT - 1] if len(every) >= UNITS_KEPT else None)


@LAWS
@given(IDS, IDS, IDS)
def test_merging_is_associative_commutative_and_idempotent(a: list[int], b: list[int], c: list[int]) -> None:
    one, two, three = sample(a), sample(b), sample(c)
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(one, one) == one
    assert merged(one, UnitSample()) == one


@LAWS
@given(IDS, IDS)
def test_merging_is_having_been_offered_both(a: list[int], b: list[int]) -> None:
    assert merged(sample(a), sample(b)) == sample([*a, *b]) == sample([*reversed(b), *a, *a])


@LAWS
@given(IDS)
def test_a_sample_is_its_hashes(ids: list[int]) -> None:
    made = sample(ids)
    assert UnitSample(made.hashes) == made


def test_a_hash_is_the_same_everywhere() -> None:
    assert unit_hash("user-1").hex() == "9aac5a8621eae188"
    assert len(unit_hash("")) == 8


def test_an_empty_sample_is_false() -> None:
    assert not UnitSample()
    assert sample([1])


# The moves -------------------------------------------------------------------------------------------------------

Assign = Callable[[int, int, np.random.Generator], bool]
"""Whether the candidate serves a unit in a minute."""


def watched(
    assign: Assign, *, minutes: int = 180, units: int = 3_000, per_min: int = 600, seed: int = 1
) -> list[Moves]:
    rng = np.random.default_rng(seed)
    watch, found = UnitWatch(), []
    for minute in range(minutes):
        arms = UnitSample(), UnitSample()
        for unit in rng.integers(0, units, int(rng.poisson(per_min))):
            arms[0 if assign(int(unit), minute, rng) else 1].offer(f"user-{unit}")
        seen = watch.append(*arms)
        if seen is not None:
            found.append(seen)
    return found


@cache
def place_of(unit: int) -> float:
    """Where a unit stands between 0 and 1."""
    return int.from_bytes(unit_hash(f"salt-{unit}"), "big") / 2**64


def hashed(unit: int, share: float) -> bool:
    return place_of(unit) < share


def ramp(minute: int) -> float:
    return (0.05, 0.1, 0.2, 0.35, 0.5, 0.5)[minute // 30]


@pytest.mark.parametrize(
    "assign",
    [
        lambda unit, minute, rng: hashed(unit, 0.5),
        lambda unit, minute, rng: hashed(unit, 0.1),
        lambda unit, minute, rng: hashed(unit, ramp(minute)),
        lambda unit, minute, rng: hashed(unit, ramp(179 - minute)),
        lambda unit, minute, rng: hashed(unit, 0.1) if minute < 90 else hashed(unit, 0.0),
        lambda unit, minute, rng: hashed(unit, 0.5) if rng.random() < 0.99 else rng.random() < 0.5,
    ],
    ids=["half", "tenth", "ramp", "ramp down", "taken back", "1 % stray"],
)
@pytest.mark.parametrize("seed", range(3))
def test_assignment_that_sticks_is_not_complained_of(assign: Assign, seed: int) -> None:
    assert not any(one.is_not_sticky for one in watched(assign, seed=seed))


@pytest.mark.parametrize(
    ("assign", "units"),
    [
        (lambda unit, minute, rng: rng.random() < 0.5, 3_000),
        (lambda unit, minute, rng: rng.random() < 0.1, 3_000),
        (lambda unit, minute, rng: hashed(unit + minute // 10 * 10_000, 0.5), 3_000),
        (lambda unit, minute, rng: hashed(unit, 0.5) if rng.random() < 0.8 else rng.random() < 0.5, 3_000),
        (lambda unit, minute, rng: rng.random() < 0.5, 30_000),
    ],
    ids=[
        "per request",
        "per request, a tenth",
        "dealt anew every ten minutes",
        "a fifth strays",
        "many units",
    ],
)
def test_units_that_go_back_and_forth_are_found_within_the_hour(assign: Assign, units: int) -> None:
    for seed in range(3):
        assert watched(assign, minutes=60, units=units, seed=seed)[0].is_not_sticky, seed


def test_samples_are_representative_where_units_are_many() -> None:
    """Full samples: the shares are those of all units, from a few hundred of them."""
    (seen,) = watched(lambda unit, minute, rng: rng.random() < 0.5, minutes=60, units=20_000, per_min=3_000)
    assert 100 <= seen.left.units < 5_000
    assert seen.left.moved / seen.left.units > 0.5


def test_few_units_prove_nothing() -> None:
    assert not any(one.is_not_sticky for one in watched(lambda *_: _[2].random() < 0.5, units=80))


def test_events_without_units_show_nothing() -> None:
    watch = UnitWatch()
    seen = [watch.append(UnitSample(), UnitSample()) for _ in range(70)]
    assert seen[59] == seen[69] == Moves(Share(0, 0), Share(0, 0))
    assert not Share(0, 0).is_evident


@pytest.mark.parametrize(
    ("share", "is_evident"),
    [
        (Share(5, 100), False),
        (Share(12, 100), False),
        (Share(20, 100), True),
        (Share(50, 99), False),
        (Share(700, 10_000), True),
        (Share(1, 10_000), False),  # evidently fewer
    ],
)
def test_a_share_must_be_beyond_chance(share: Share, is_evident: bool) -> None:
    assert share.is_evident is is_evident


def test_who_moved_more_than_an_hour_ago_is_not_counted() -> None:
    watch, few, many = UnitWatch(), sample([1, 2, 3]), sample([4, 5, 6, 7])
    found = [watch.append(few, many) for _ in range(60)] + [watch.append(many, few) for _ in range(60)]
    half, whole = found[89], found[119]
    assert half is not None
    assert half.left.moved == 3
    assert whole == Moves(Share(0, 3), Share(0, 3))
