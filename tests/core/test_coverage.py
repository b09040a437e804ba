"""Label coverage: survivors are not compared, and a team that labels little of both arms is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.core.aggregate import Aggregate
from monitor.core.budget import Unit
from monitor.core.coverage import Coverage, has_labels, labelled
from monitor.core.indicator import LABELS
from tests.engine.worlds import cell, incidents, objective

HOLD = 20


def minutes_until_short(
    share_c: float,
    share_b: float,
    *,
    per_min: float = 600,
    canary: float = 0.5,
    minutes: int = 120,
    since: int = 0,
    icc: float = 0.0,
    seed: int = 1,
) -> int | None:
    """The minute at which labels of these shares of both arms' requests fall short; None if they never do.

    Args:
        since: Before this minute the candidate is labelled as the baseline.
        icc: Correlation of a minute's labels in one arm.
    """
    rng = np.random.default_rng(seed)
    coverage = Coverage(HOLD)
    weight = (1 - icc) / icc if icc else 0.0
    for minute in range(minutes):
        arms = []
        for share, size in ((share_c if minute >= since else share_b, canary), (share_b, 1 - canary)):
            n = int(rng.poisson(per_min * size))
            p = rng.beta(share * weight, (1 - share) * weight) if icc and 0 < share < 1 else share
            arms.append((int(rng.binomial(n, p)), n))
        coverage.append(minute, (arms[0], arms[1]))
        if coverage.judge():
            return minute + 1
    return None


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (objective(), True),
        (objective("outcome.grounded", -2.0), True),
        (objective("tool_success", -2.0, unit=Unit.POINTS), True),
        (objective("error", 8.0), False),
        (objective("timeout", 8.0), False),
        (objective("p95", 15.0), False),
        (objective("cost_per_request", 15.0), False),
        (incidents(), False),
    ],
)
def test_only_what_a_request_may_lack_is_covered_at_all(judged: object, said: bool) -> None:
    assert has_labels(judged) is said  # type: ignore[arg-type]


def test_a_label_that_came_twice_counts_once_at_most() -> None:
    arm = cell(10)
    arm.known[LABELS.index("task_success")] = 12
    assert labelled(arm, "task_success") == (10, 10)
    assert labelled(Aggregate(), "task_success") == (0, 0)


@pytest.mark.parametrize(
    ("share_c", "share_b", "per_min", "canary", "within"),
    [
        (0.43, 0.91, 600, 0.5, HOLD),
        (0.43, 0.91, 600, 0.01, HOLD + 10),
        (0.0, 0.05, 600, 0.5, HOLD),
        (0.0, 1.0, 60, 0.1, HOLD),
        (0.8, 0.95, 6000, 0.1, HOLD),
    ],
)
def test_a_candidate_with_fewer_labels_falls_short(
    share_c: float, share_b: float, per_min: float, canary: float, within: int
) -> None:
    for seed in range(5):
        found = minutes_until_short(share_c, share_b, per_min=per_min, canary=canary, seed=seed)
        assert found is not None, seed
        assert HOLD <= found <= within, seed


def test_labels_that_begin_to_fail_are_seen_before_the_rule_could_fire() -> None:
    """15 % fewer labels: within the hold, though most of the newest 2Y minutes were covered."""
    for seed in range(5):
        found = minutes_until_short(0.77, 0.91, per_min=6000, since=60, seed=seed)
        assert found is not None, seed
        assert 60 < found <= 60 + HOLD, seed


@pytest.mark.parametrize("share", [0.05, 0.5, 0.91, 1.0])
@pytest.mark.parametrize("icc", [0.0, 0.01])
def test_equal_coverage_never_falls_short_however_low(share: float, icc: float) -> None:
    for seed in range(6):
        per_min, canary = (6, 60, 600)[seed % 3], (0.01, 0.5)[seed % 2]
        found = minutes_until_short(
            share, share, per_min=per_min, canary=canary, minutes=480, icc=icc, seed=seed
        )
        assert found is None, seed


def test_more_labels_of_the_candidate_are_no_complaint() -> None:
    assert minutes_until_short(0.95, 0.5) is None


def test_labels_of_neither_arm_are_no_complaint() -> None:
    assert minutes_until_short(0.0, 0.0) is None


@pytest.mark.parametrize("arm", [0, 1])
def test_without_requests_in_an_arm_nothing_changes(arm: int) -> None:
    coverage = Coverage(4)
    for minute in range(8):
        coverage.append(minute, ((20, 100), (90, 100)))
        coverage.judge()
    assert coverage.is_short
    pair = [(20, 100), (90, 100)]
    pair[arm] = (0, 0)
    for minute in range(8, 30):
        coverage.append(minute, (pair[0], pair[1]))
        assert not coverage.judge()


def judged(*stretches: tuple[int, int, int], hold_min: int = 4, requests: int = 100) -> list[int]:
    """At which minutes the answer changes, where arms of so many requests have labels on so many of them.

    Args:
        stretches: How many minutes, then labelled requests of the candidate and of the baseline.
    """
    coverage, changed = Coverage(hold_min), []
    pairs = [((c, requests), (b, requests)) for minutes, c, b in stretches for _ in range(minutes)]
    for minute, pair in enumerate(pairs, 1):
        coverage.append(minute, pair)
        if coverage.judge():
            changed.append(minute)
    return changed


def test_it_is_over_when_the_newest_minutes_are_covered_by_their_point_estimate() -> None:
    """Over eight minutes 20 and 90 of 100 pass 81 of 100 with the seventh: 20 + 7 * 90 of 8 * 81 = 648."""
    assert judged((20, 20, 90), (20, 90, 90)) == [4, 27]


def test_a_sudden_lack_is_seen_in_the_newest_hold() -> None:
    """Two minutes of 60 in four are 75 of 100 and short of 81; in eight they are 82.5, and short of nothing."""
    assert judged((20, 90_000, 90_000), (2, 60_000, 90_000), requests=100_000) == [22]


def test_a_small_lack_is_seen_in_twice_the_hold_and_in_no_more() -> None:
    """A label of every tenth request of ten, and none of the candidate's: it takes 16 minutes to be evident."""
    by_hold = {
        hold_min: judged((40, 0, 1), requests=10, hold_min=hold_min) for hold_min in (6, 8, 10, 16, 17)
    }
    assert by_hold == {6: [], 8: [16], 10: [16], 16: [16], 17: [17]}


def test_minutes_that_vary_by_themselves_prove_less() -> None:
    """70 of 100 every minute, or 40 and 100 by turns: as many in all, and the second may be chance."""
    assert judged((60, 70, 90))[:1] == [6]
    assert judged(*[(1, 40, 90), (1, 100, 90)] * 30) == []


def test_a_label_of_one_workflow_is_compared_within_it() -> None:
    """Twice as many requests of the workflow that is labelled: of the whole arm, half as many of the baseline's."""
    plain, stratified = Coverage(4), Coverage(4)
    for minute in range(20):
        strata = (((90, 100), (180, 200)), ((0, 200), (0, 100)))
        pair = ((90, 300), (180, 300))
        plain.append(minute, pair)
        stratified.append(minute, pair, strata)
        plain.judge()
        assert not stratified.judge()
    assert plain.is_short


def test_what_is_short_is_said_in_shares() -> None:
    coverage = Coverage(4)
    assert coverage.shortfall() is None
    for minute in range(10):
        coverage.append(minute, ((43, 100), (91, 100)))
    assert coverage.shortfall() == pytest.approx((0.43, 0.91, 4))


@pytest.mark.parametrize(
    ("before", "newest", "said"),
    [
        (90, 40, (0.40, 0.90, 4)),
        (40, 90, (0.65, 0.90, 8)),  # of eight minutes, half
        (None, 40, (0.40, 0.90, 4)),
        (40, None, (0.40, 0.90, 8)),  # there is nothing in the newest four
        (None, None, None),
    ],
)
def test_of_the_newest_minutes_those_are_said_that_are_short_by_most(
    before: int | None, newest: int | None, said: tuple[float, float, int] | None
) -> None:
    coverage = Coverage(4)
    for minute, labelled_c in enumerate(
        [10] * 4 + [before] * 4 + [newest] * 4
    ):  # what is older is not looked at
        coverage.append(minute, ((0, 0) if labelled_c is None else (labelled_c, 100), (90, 100)))
    found = coverage.shortfall()
    assert found == (None if said is None else pytest.approx(said))


def test_short_by_most_is_the_difference_of_the_arms() -> None:
    """Of the newest four minutes 50 against 60, of eight 55 against 80: fewer are labelled in the first."""
    coverage = Coverage(4)
    for minute in range(8):
        coverage.append(minute, ((60, 100), (100, 100)) if minute < 4 else ((50, 100), (60, 100)))
    assert coverage.shortfall() == pytest.approx((0.55, 0.8, 8))


def test_an_arm_that_was_away_for_days_is_no_trouble() -> None:
    coverage = Coverage(HOLD)
    for minute in range(2_200):
        coverage.append(minute, ((90, 100) if minute < 30 or minute >= 2_100 else (0, 0), (90, 100)))
        assert not coverage.judge()


def test_what_acts_at_once_waits_five_minutes_for_its_labels() -> None:
    coverage = Coverage(0)
    found = []
    for minute in range(6):
        coverage.append(minute, ((20, 1_000), (900, 1_000)))
        coverage.judge()
        found.append(coverage.is_short)
    assert found == [False] * 4 + [True] * 2
