"""Traffic is the same for the same seed, fits the contract, and is harmed only as the documentation says."""

from __future__ import annotations

import json

import pytest

from monitor.console.demo.pools import Pools, load_pools
from monitor.console.demo.traffic import TENANTS, Harm, Request, Served, Traffic, trace_event
from monitor.wire.trace_event import TraceEvent, read_trace_event

MINUTES_20 = 20 * 60_000


@pytest.fixture(scope="module")
def pools() -> Pools:
    return load_pools()


@pytest.fixture(scope="module")
def requests(pools: Pools) -> list[Request]:
    return list(Traffic(pools, seed=1).until(MINUTES_20))


def p95(served: list[Served]) -> int:
    finished = sorted(one.timing.latency_ms for one in served if not one.timing.failed)
    return finished[int(0.95 * len(finished))]


def test_the_same_seed_is_the_same_traffic(pools: Pools, requests: list[Request]) -> None:
    again = Traffic(pools, seed=1)
    assert list(again.until(MINUTES_20)) == requests
    assert [again.serve(request, Harm.NONE) for request in requests[:500]] == [
        Traffic(pools, seed=1).serve(request, Harm.NONE) for request in requests[:500]
    ]


def test_another_seed_is_other_traffic(pools: Pools, requests: list[Request]) -> None:
    assert list(Traffic(pools, seed=2).until(MINUTES_20)) != requests


def test_small_steps_and_one_leap_bring_the_same_requests(pools: Pools, requests: list[Request]) -> None:
    steps = Traffic(pools, seed=1)
    found = [request for at_ms in range(0, MINUTES_20 + 1, 6_000) for request in steps.until(at_ms)]
    assert found == requests


def test_times_never_go_back_and_the_half_hour_begins_again(pools: Pools) -> None:
    through = list(Traffic(pools, seed=1).until(2 * pools.period_ms))
    times = [request.at_ms for request in through]
    assert times == sorted(times)
    assert [request.number for request in through] == list(range(len(through)))
    size = len(pools.arrivals)
    assert through[size].at_ms == pools.period_ms
    assert through[size].arrival == through[0].arrival


def test_a_sound_release_serves_as_the_baseline_does(pools: Pools, requests: list[Request]) -> None:
    """A/A: the incident release differs in one marked request only, and the healthy one in nothing."""
    traffic = Traffic(pools, seed=1)
    for request in requests[:1_000]:
        assert traffic.serve(request, Harm.NONE) == traffic.serve(request, Harm.INCIDENT)


def test_the_latency_harm_slows_both_workflows_and_touches_no_outcome(
    pools: Pools, requests: list[Request]
) -> None:
    traffic = Traffic(pools, seed=1)
    for workflow in ("chat", "code"):
        mine = [request for request in requests if request.arrival.workflow == workflow]
        sound = [traffic.serve(request, Harm.NONE) for request in mine]
        slow = [traffic.serve(request, Harm.LATENCY) for request in mine]
        assert p95(slow) > 2 * p95(sound)
        assert [one.session for one in slow] == [one.session for one in sound]


def test_the_success_harm_loses_half_the_solved_tasks_and_touches_no_latency(
    pools: Pools, requests: list[Request]
) -> None:
    traffic = Traffic(pools, seed=1)
    sound = [traffic.serve(request, Harm.NONE) for request in requests]
    quiet = [traffic.serve(request, Harm.SUCCESS) for request in requests]
    before, after = (sum(one.success for one in arm) for arm in (sound, quiet))
    assert after == pytest.approx(before / 2, rel=0.1)
    assert [one.timing for one in quiet] == [one.timing for one in sound]


@pytest.mark.parametrize("harm", Harm)
def test_every_event_fits_the_contract(pools: Pools, requests: list[Request], harm: Harm) -> None:
    traffic = Traffic(pools, seed=1)
    for request in requests[:2_000]:
        event = trace_event(
            request, traffic.serve(request, harm), run_id="demo", at_ms=request.at_ms, release="chat-v41"
        )
        assert isinstance(read_trace_event(json.dumps(event).encode()), TraceEvent)


def test_an_incident_is_a_high_severity_one(pools: Pools, requests: list[Request]) -> None:
    served = Traffic(pools, seed=1).serve(requests[0], Harm.INCIDENT)
    event = trace_event(requests[0], served, run_id="demo", at_ms=0, release="chat-v44", severity="high")
    assert event["incident_severity"] == "high"
    assert "incident_severity" not in trace_event(
        requests[0], served, run_id="demo", at_ms=0, release="chat-v44"
    )


def test_a_failed_call_has_no_latency_and_no_success(pools: Pools, requests: list[Request]) -> None:
    traffic = Traffic(pools, seed=1)
    failed = [
        (request, served)
        for request in requests
        if (served := traffic.serve(request, Harm.NONE)).timing.failed
    ]
    assert failed, "the provider's own errors are among its rows"
    for request, served in failed:
        event = trace_event(request, served, run_id="demo", at_ms=0, release="chat-v41")
        assert event["status"] == "error"
        assert event["task_success"] is False
        assert "latency_ms" not in event


def test_a_user_stays_with_its_tenant(requests: list[Request]) -> None:
    tenants: dict[str, str] = {}
    for request in requests:
        assert tenants.setdefault(request.unit_id, request.tenant) == request.tenant
    assert set(tenants.values()) == set(TENANTS)
