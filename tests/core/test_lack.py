"""What a comparison lacks: found where chance does not explain it, and only there."""

from __future__ import annotations

from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.aggregate import Aggregate
from monitor.core.indicator import LABELS, indicator
from monitor.core.lack import Arm, Comparison, Lack, carrying
from tests.engine.worlds import LAWS, cell

UNMEASURED_MIN, AWAY_MIN = 8, 30


def after(*stretches: tuple[int, Arm, Arm]) -> Comparison:
    """A comparison after so many minutes of (candidate, baseline), each (requests, carrying)."""
    made = Comparison()
    for minutes, candidate, baseline in stretches:
        for pair in repeat((candidate, baseline), minutes):
            made.note(*pair)
    return made


def lack_after(*stretches: tuple[int, Arm, Arm]) -> Lack | None:
    return after(*stretches).lacks(UNMEASURED_MIN, AWAY_MIN)


USUAL = (60, (10, 10), (10, 10))


@pytest.mark.parametrize(
    "candidate, baseline, lack",
    [
        ((10, 0), (10, 0), Lack.EVERYWHERE),
        ((10, 0), (10, 1), Lack.IN_CANDIDATE),
        ((10, 1), (10, 0), Lack.IN_BASELINE),
        ((10, 1), (10, 1), None),
    ],
)
def test_what_no_request_of_an_arm_carries_is_lacking_from_the_stretch_s_last_minute_on(
    candidate: Arm, baseline: Arm, lack: Lack | None
) -> None:
    assert lack_after(USUAL, (UNMEASURED_MIN - 1, candidate, baseline)) is None
    assert lack_after(USUAL, (UNMEASURED_MIN, candidate, baseline)) is lack


def test_a_baseline_without_requests_is_lacking_once_it_is_away() -> None:
    assert lack_after(USUAL, (AWAY_MIN - 1, (10, 10), (0, 0))) is None
    gone = after(USUAL, (AWAY_MIN, (10, 10), (0, 0)))
    assert gone.lacks(UNMEASURED_MIN, AWAY_MIN) is Lack.BASELINE
    assert gone.silent_for(Lack.BASELINE) == (30, 300)


def test_one_request_that_carries_it_ends_it() -> None:
    assert lack_after(USUAL, (60, (10, 0), (10, 0)), (1, (10, 1), (10, 1))) is None


def test_what_never_came_is_taken_to_be_one_percent() -> None:
    """0.99 to the power of 921 is 1e-4."""
    assert lack_after((92, (10, 0), (10, 10))) is None  # 920 requests
    assert lack_after((93, (10, 0), (10, 10))) is Lack.IN_CANDIDATE
    assert lack_after((93, (10, 10), (0, 0))) is Lack.BASELINE


def test_few_labels_are_no_lack() -> None:
    """One label in a hundred requests: some stretches of hundreds have none."""
    rare = [(1, (100, 1), (100, 1)), (9, (100, 0), (100, 0))] * 20
    for length in range(1, len(rare) + 1):
        assert lack_after(*rare[:length]) is None


@LAWS
@given(st.lists(st.integers(0, 3), max_size=200))
def test_without_requests_nothing_is_lacking(requests: list[int]) -> None:
    """A quiet candidate is another matter; a few requests are too few to tell."""
    assert lack_after(USUAL, *((1, (0, 0), (count, count)) for count in requests)) is None


def test_a_failed_request_has_no_latency_to_carry() -> None:
    made = cell(10, fast=4)
    made.errors = 6
    assert carrying(indicator("p95"), made) == (4, 4)
    assert carrying(indicator("cost_per_request"), made) == (10, 0)
    assert carrying(indicator("error"), made) == (10, 10)
    made.known[LABELS.index("refusal")] = 3
    assert carrying(indicator("refusal"), made) == (10, 3)
    assert carrying(indicator("outcome.grounded"), Aggregate()) == (0, 0)


def test_a_minute_of_the_past_is_as_many_requests_as_were_measured() -> None:
    """A captured past keeps what its objectives read, and requests only for those that count all of them."""
    past = Aggregate()
    past.known[LABELS.index("task_success")] = 7
    assert carrying(indicator("task_success"), past) == (7, 7)
    past.sketches["latency"] = cell(4, fast=4).sketches["latency"]
    assert carrying(indicator("p95"), past) == (4, 4)
