"""The watch of the split against its definition, written out over whole lists of minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.budget import TrafficSplit
from monitor.core.split import Split, SplitWatch, e_nats, is_right
from tests.engine.worlds import LAWS

EXACT = TrafficSplit(50.0, tolerance_pct=0.0)
Minute = tuple[int, int]
"""Requests of the candidate, and of both arms."""


def changes(minutes: Sequence[Minute], length: int) -> Iterator[tuple[int, float]]:
    """How far the share moved between blocks with requests, over what chance moves it, and when that is known."""
    ends = range(length, len(minutes) + 1, length)
    blocks = [(end, *np.sum(minutes[end - length : end], axis=0).tolist()) for end in ends]
    for (_, c, n), (end, d, m) in pairwise(block for block in blocks if block[2]):
        hits, both = c + d, n + m
        # As many as both blocks have, drawn from one pot without being put back.
        variance = hits * (both - hits) / (both * (both - 1)) * (1 / n + 1 / m)
        if variance:
            yield end, (d / m - c / n) ** 2 / variance


def weights(minutes: Sequence[Minute]) -> list[float]:
    """What part of itself a minute counts for, by what is known before it."""
    moved = [list(changes(minutes, length)) for length in (1, 5)]
    found = []
    for at, (_, both) in enumerate(minutes):
        known = [[one for end, one in each if end <= at] for each in moved]
        phi = 1.0
        for each in known:
            if len(each) >= 5:
                mean = sum(each) / len(each)
                two_errors = 2 * sqrt(3 / len(each))
                phi = max(phi, mean if mean <= 1 else mean + (mean - 1) * two_errors)
        if len(known[0]) < 5 and both:
            phi = 1 + 0.05 * (both - 1)
        found.append(1 / phi)
    return found


def stretches(minutes: Sequence[Split]) -> Iterator[Split]:
    """The newest 60, 120, 240 and so on."""
    length = 60
    while length <= len(minutes):
        newest = minutes[-length:]
        yield Split(sum(one.candidate for one in newest), sum(one.both for one in newest))
        length *= 2


def by_definition(minutes: Sequence[Minute], declared: TrafficSplit) -> list[tuple[bool, Split]]:
    """Whether the split is wrong after each minute, and what the current test has seen."""
    counted = [Split(w * c, w * n) for w, (c, n) in zip(weights(minutes), minutes, strict=True)]
    wrong: Split | None = None
    tested, found, answers = 0, 0, []
    for at in range(1, len(minutes) + 1):
        if wrong is None:
            so_far = counted[tested:at]
            sums = Split(sum(one.candidate for one in so_far), sum(one.both for one in so_far))
            if e_nats(sums, declared) >= log(10_000):
                wrong, found = sums, at
        elif any(
            is_right(one, declared, wrong.candidate / wrong.both) for one in stretches(counted[found:at])
        ):
            wrong, tested = None, at
        seen = Split(*np.sum([(0, 0), *minutes[tested:at]], axis=0).tolist())
        answers.append((wrong is not None, seen))
    return answers


def traffic(seed: int, per_min: float, off: float, icc: float, lasts: int) -> list[Minute]:
    """The declared half, then less of it, then half again, then more: a share is drawn for so many minutes each."""
    rng = np.random.default_rng(seed)
    minutes = []
    for share, length in ((0.5, 35), (0.5 - off, 60), (0.5, 150), (0.5 + off, 60), (0.5, 100)):
        drawn = rng.beta(share * (1 / icc - 1), (1 - share) * (1 / icc - 1), length // lasts + 1)
        for minute in range(length):
            both = int(rng.poisson(per_min)) if minute % 17 else 0
            minutes.append((int(rng.binomial(both, drawn[minute // lasts])), both))
    return minutes


@pytest.mark.parametrize(
    ("icc", "lasts", "off"),
    [(1e-6, 1, 0.0), (0.01, 1, 0.05), (0.005, 5, 0.1)],
    ids=["calm", "minutes", "blocks"],
)
@pytest.mark.parametrize(
    ("per_min", "more_off"), [(8, 0.25), (40, 0.15), (80, 0.12), (200, 0.08), (600, 0.05)]
)
@pytest.mark.parametrize("seed", range(3))
def test_minute_by_minute_it_says_what_its_definition_says(
    seed: int, per_min: float, more_off: float, icc: float, lasts: int, off: float
) -> None:
    minutes = traffic(seed, per_min, off + more_off, icc, lasts)
    assert_by_definition(minutes)


@pytest.mark.parametrize("per_min", [1, 2, 21])
def test_with_one_arm_alone_it_says_what_its_definition_says(per_min: int) -> None:
    """There is no noise to learn: what is assumed holds on, and a request that is alone in its minute counts whole."""
    assert_by_definition([(0, per_min)] * 60)


def assert_by_definition(minutes: Sequence[Minute]) -> None:
    watch, found = SplitWatch(EXACT), []
    for candidate, both in minutes:
        before = watch.is_wrong
        changed = watch.append(candidate, both - candidate)
        assert changed is (watch.is_wrong is not before)
        found.append((watch.is_wrong, watch.seen))
    assert found == by_definition(minutes, EXACT)


def test_where_an_hour_has_too_few_requests_to_show_it_two_hours_do() -> None:
    """Against 0.38 each request of a half tells 0.03 nats: 60 of them fewer than the 3 that it takes, 120 more."""
    watch = SplitWatch(EXACT)
    while not watch.append(228, 372):
        pass
    right = [watch.append(minute % 2, 1 - minute % 2) for minute in range(120)]
    assert right == [False] * 119 + [True]


def nats(found: Minute, one: float, other: float) -> float:
    """How much better one share explains what was found than another does."""
    candidate, both = found
    return candidate * log(one / other) + (both - candidate) * log((1 - one) / (1 - other))


@LAWS
@given(both=st.integers(3, 3_000), off=st.floats(-0.08, 0.08), wrong=st.floats(0.3, 0.7))
def test_a_stretch_shows_the_declared_share_where_no_other_fits_better_and_the_wrong_one_far_worse(
    both: int, off: float, wrong: float
) -> None:
    found = min(max(round(both * (0.5 + off)), 1), both - 1), both
    fits = nats(found, found[0] / both, 0.5) < 1.92
    assert is_right(Split(*found), EXACT, wrong) is (fits and nats(found, 0.5, wrong) >= 3)


def test_of_nothing_the_candidate_has_no_share_and_nothing_is_shown() -> None:
    assert Split(0, 0).share == 0
    assert is_right(Split(0, 0), EXACT, wrong=0.4) is False
