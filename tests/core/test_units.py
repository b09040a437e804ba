"""Samples of units, and whether assignment sticks: a ramp is no fault, units that go back and forth are."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from math import exp, lgamma, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.units import MOVED_SHARE, UNITS_KEPT, Moves, Share, UnitSample, UnitWatch, moves, unit_hash
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


def test_a_unit_just_below_the_largest_that_is_kept_takes_its_place() -> None:
    """Also long after the sample was cut for the first time."""
    ranked = sorted(range(600), key=lambda one: unit_hash(f"user-{one}"))
    made = sample([*ranked[:255], *ranked[256:513]])
    assert made.ceiling == unit_hash(f"user-{ranked[256]}")
    made.offer(f"user-{ranked[255]}")
    assert made.hashes == sample(ranked[:256]).hashes


def test_a_hash_is_the_same_everywhere() -> None:
    assert unit_hash("user-1").hex() == "9aac5a8621eae188"
    assert len(unit_hash("")) == 8


def test_an_empty_sample_is_false() -> None:
    assert not UnitSample()
    assert sample([1])
    assert (UnitSample() == 0) is False


def _room(made: UnitSample) -> int:
    return len(pickle.dumps([getattr(made, name) for name in UnitSample.__slots__]))


def test_a_sample_takes_no_more_room_than_twice_what_it_keeps() -> None:
    """However many units it is offered, restored from or merged with, and also before anybody looks."""
    every = [unit_hash(f"user-{number}") for number in range(20_000)]
    most = _room(UnitSample(every[:UNITS_KEPT])) * 2
    offered, restored, merged_ = UnitSample(), UnitSample(every), UnitSample()
    for number in range(20_000):
        offered.offer(f"user-{number}")
        if number % 100 == 99:
            assert _room(offered) <= most
    for start in range(0, 20_000, 200):
        merged_.merge(UnitSample(every[start : start + 200]))
        assert _room(merged_) <= most
    assert _room(restored) <= most
    assert offered.hashes == merged_.hashes == restored.hashes == tuple(sorted(every)[:UNITS_KEPT])


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


def test_units_that_go_one_way_are_no_fault() -> None:
    """A share that is raised or lowered moves them so."""
    many, few = Share(50, 100), Share(1, 100)
    assert [Moves(*pair).is_not_sticky for pair in ((many, many), (many, few), (few, many), (few, few))] == [
        True, False, False, False,
    ]  # fmt: skip


def test_events_without_units_show_nothing() -> None:
    watch = UnitWatch()
    seen = [watch.append(UnitSample(), UnitSample()) for _ in range(70)]
    assert [minute for minute, one in enumerate(seen) if one is not None] == [59, 69]
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


@pytest.mark.parametrize(("units", "least"), [(100, 16), (200, 25), (1_000, 79), (10_000, 585)])
def test_a_share_is_evident_from_where_chance_has_it_once_in_ten_thousand(units: int, least: int) -> None:
    """Of units of which each moves with 5 %; the bound is on the safe side of the binomial law, and not far."""
    assert [Share(moved, units).is_evident for moved in (least - 1, least)] == [False, True]
    assert exact_tail(least, units) <= 1e-4
    assert exact_tail(least - 2 - units // 500, units) > 1e-5


def exact_tail(moved: int, units: int) -> float:
    """How probable it is that so many or more of the units move."""
    return sum(
        exp(
            lgamma(units + 1) - lgamma(k + 1) - lgamma(units - k + 1)
            + k * log(MOVED_SHARE) + (units - k) * log(1 - MOVED_SHARE)
        )
        for k in range(moved, min(units, moved + 400) + 1)
    )  # fmt: skip


OLDER, NEWER = ({1, 2, 3}, {4, 5, 6, 7, 8}), ({3, 4}, {1, 5, 9})
"""Candidate and baseline. Of 1 and 3, who came again, 1 left; of 3 and 4, who were known, 4 came."""


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("minutes", [2, 3, 5])
def test_moves_are_those_of_the_smaller_arm(swapped: bool, minutes: int) -> None:
    """Whichever arm it is; of an odd number of minutes the middle one is among the newer."""
    halves = [[sample(sorted(arm)) for arm in half] for half in (OLDER, NEWER)]
    arms = [halves[0 if minute < minutes // 2 else 1] for minute in range(minutes)]
    found = moves([(b, c) if swapped else (c, b) for c, b in arms])
    assert found == Moves(left=Share(1, 2), came=Share(1, 2))


def test_of_arms_of_one_size_the_candidates_units_are_looked_at() -> None:
    older, newer = (sample([1, 2, 3]), sample([4, 5])), (sample([1]), sample([2, 3, 5]))
    assert moves([older, newer]) == Moves(left=Share(2, 3), came=Share(0, 1))


def test_beyond_the_lowest_ceiling_no_unit_is_counted() -> None:
    """Above it a full sample has none, and who is missing there would pass for one who stayed away."""
    ranked = sorted(range(600), key=lambda one: unit_hash(f"user-{one}"))
    full, rest = sample(ranked[:300]), sample(ranked[256:300])
    other = sample(ranked[200:600])
    assert [one.ceiling is None for one in (full, rest, other)] == [False, True, False]
    found = moves([(full, UnitSample()), (rest, UnitSample()), (UnitSample(), other), (UnitSample(), other)])
    assert found.came == Share(56, 56)  # those from 200 to 255: the last is the ceiling itself


def test_who_moved_more_than_an_hour_ago_is_not_counted() -> None:
    watch, few, many = UnitWatch(), sample([1, 2, 3]), sample([4, 5, 6, 7])
    found = [watch.append(few, many) for _ in range(60)] + [watch.append(many, few) for _ in range(60)]
    half, whole = found[89], found[119]
    assert half is not None
    assert half.left.moved == 3
    assert whole == Moves(Share(0, 3), Share(0, 3))
