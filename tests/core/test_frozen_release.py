"""Whole releases against a frozen reference: healthy ones are left alone for a day, and harm is found.

The candidate serves all requests from its first minute on, so that nothing but the past is there to compare with.
Traffic is eight times as much by day as by night, success follows the hour, and days and hours differ.
"""

from __future__ import annotations

import pytest

from tests.core.pasts import Release, Service
from tests.engine.worlds import ACME

RESTLESS = Service(days=7, by_day=0.004, by_hour=0.004)
SERVICES = {
    "three days known": Service(days=3, by_day=0.004, by_hour=0.004),
    "a week known": RESTLESS,
    "four weeks known, good and bad days": Service(days=28, by_day=0.01),
    "shocks within minutes": Service(days=7, by_day=0.004, by_minute=0.06),
    "weekends, much traffic": Service(days=21, by_day=0.004, by_hour=0.004, weekend=0.02, per_min=600.0),
}
SEEDS = 6  # of each service and slice: fifty releases, none of which may be rolled back


@pytest.mark.parametrize("name", SERVICES)
def test_no_healthy_release_breaks_its_budget_within_a_day(name: str) -> None:
    fired = {seed: Release(SERVICES[name], seed).fires_after() for seed in range(SEEDS)}
    assert {seed: at for seed, at in fired.items() if at is not None} == {}


SLICES = {
    "six requests a minute": Service(days=7, by_day=0.004, by_hour=0.004, per_min=6.0),
    "one request in two minutes": Service(days=21, by_day=0.01, per_min=0.5),
    "good and bad days of its own, three known": Service(days=3, by_day=0.02, by_minute=0.06, per_min=20.0),
}


@pytest.mark.parametrize("name", SLICES)
def test_no_healthy_slice_breaks_its_budget_within_a_day(name: str) -> None:
    """A slice has less traffic and days of its own."""
    fired = {seed: Release(SLICES[name], seed, ACME).fires_after() for seed in range(SEEDS)}
    assert {seed: at for seed, at in fired.items() if at is not None} == {}


def test_harm_to_a_slice_that_begins_at_full_traffic_is_found() -> None:
    for seed in range(5):
        fired = Release(SLICES["six requests a minute"], seed, ACME).fires_after(
            harm=0.5, onset_min=360, minutes=480
        )
        assert fired is not None, seed
        assert fired >= 360 + 19, seed


@pytest.mark.parametrize("alone_from", [120, 360])
def test_a_healthy_ramp_to_full_traffic_breaks_nothing(alone_from: int) -> None:
    """The hours side by side are other hours than those alone: nothing is compared across the change."""
    steep = Service(days=7, by_day=0.002, per_min=600.0)
    fired = {seed: Release(steep, seed).fires_after(alone_from=alone_from, minutes=840) for seed in range(6)}
    assert {seed: at for seed, at in fired.items() if at is not None} == {}


@pytest.mark.parametrize(
    ("harm", "within_min"),
    [(0.5, 60), (0.2, 300)],
    ids=["half of the successes", "a fifth of them"],
)
def test_harm_that_begins_at_full_traffic_is_found(harm: float, within_min: int) -> None:
    """Six hours in, and never before it has lasted as long as the budget says."""
    for seed in range(5):
        fired = Release(RESTLESS, seed).fires_after(harm=harm, onset_min=360, minutes=360 + within_min)
        assert fired is not None, seed
        assert fired >= 360 + 19, seed
