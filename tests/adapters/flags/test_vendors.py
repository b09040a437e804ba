"""One suite over all flag systems behind an HTTP API: whatever goes wrong, each thing changes exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from monitor.adapters.flags import ACTUATORS
from monitor.adapters.flags.driver import ApiActuator
from monitor.adapters.flags.settings import USUAL
from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.engine.errors import ActuatorFailed, ApprovalRequired
from tests.adapters.flags.servers.base import TOKEN, Fault, Said, running
from tests.adapters.flags.vendors import BUILD, CASES, Case, settings, turner

PASSING = [
    Fault.ERROR, Fault.ERROR_AFTER, Fault.DROPPED_AFTER, Fault.LIED, Fault.LIMITED, Fault.PARTIAL, Fault.CONFLICT,
]  # fmt: skip
SILENT = [Fault.LOST_AFTER, Fault.LOST_BEFORE]
SILENCE_S = 6.0  # of real time; long beside any answer of these servers, even on a busy machine
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_each_ability_of_each_system_is_in_the_suite() -> None:
    tested = {(case.actuator, case.rollback_by) for case in CASES}
    elsewhere = {"flagd", "flagd-file", "gofeatureflag-file", "webhook"}
    declared = {
        (name, way) for name, system in FLAG_SYSTEMS.items() for way in system.ways if name not in elsewhere
    }
    assert tested == declared
    assert set(FLAG_SYSTEMS) == set(ACTUATORS)


@every_case
async def test_the_baseline_is_served_and_the_record_says_from_what_to_what(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        assert "v42" in server.served() or "on" in server.served()
        effect = await actuator.serve_baseline(case.order())
        assert server.served() == case.after
    assert effect.changed
    assert effect.before != effect.after
    assert Counter(server.changes) == Counter(case.changed)
    assert TOKEN not in f"{effect.before}{effect.after}"


@every_case
async def test_a_drill_can_read_what_is_served_and_changes_nothing_by_that(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        assert isinstance(actuator, ApiActuator)
        assert not await actuator.serves_baseline(case.order())
        assert not server.changes
        await actuator.serve_baseline(case.order())
        assert await actuator.serves_baseline(case.order())


@every_case
async def test_a_repeated_order_only_reads(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        await actuator.serve_baseline(case.order())
        asked = len(server.asked)
        again = await actuator.serve_baseline(case.order())
        another = await actuator.serve_baseline(case.order(decision_id="d2"))
    assert (again.changed, another.changed) == (False, False)
    assert again.before == again.after
    assert not any(server.is_change(one) for one in server.asked[asked:])


@every_case
async def test_orders_at_the_same_time_are_one_change(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        orders = (actuator.serve_baseline(case.order(decision_id=f"d{number}")) for number in range(4))
        effects = await asyncio.gather(*orders)
    assert sum(effect.changed for effect in effects) == 1
    assert Counter(server.changes) == Counter(case.changed)


@every_case
@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
async def test_after_a_fault_everything_changed_exactly_once(case: Case, fault: Fault) -> None:
    async with turner(case) as (actuator, server, _):
        server.faults = [fault]
        effect = await actuator.serve_baseline(case.order())
        assert server.served() == case.after
    assert effect.changed
    assert Counter(server.changes) == Counter(case.changed)


async def test_after_an_answer_that_never_came_everything_changed_exactly_once() -> None:
    """All at once, since each of them waits for the time-out."""

    async def outcome(case: Case, fault: Fault) -> tuple[set[str], Counter[str], bool]:
        async with turner(case, attempt_s=SILENCE_S) as (actuator, server, _):
            server.faults = [fault]
            effect = await actuator.serve_baseline(case.order())
            return server.served(), Counter(server.changes), effect.changed

    tried = [(case, fault) for case in CASES for fault in SILENT]
    ended = await asyncio.gather(*(outcome(case, fault) for case, fault in tried))
    wanted = {
        f"{case.name} {fault.name}": (set(case.after), Counter(case.changed), True) for case, fault in tried
    }
    assert dict(zip(wanted, ended, strict=True)) == wanted


@every_case
async def test_a_row_of_all_faults_ends_like_none(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        server.faults = list(PASSING)
        server.reads = [Said(503), Said(200, "a page of a proxy"), Said(429, None, {"retry-after": "1"})]
        effect = await actuator.serve_baseline(case.order())
        assert server.served() == case.after
    assert effect.changed
    assert Counter(server.changes) == Counter(case.changed)


@every_case
async def test_a_limit_is_waited_for_as_long_as_asked(case: Case) -> None:
    async with turner(case) as (actuator, server, time):
        server.faults = [Fault.LIMITED]
        await actuator.serve_baseline(case.order())
    assert max(time.waits) == pytest.approx(7, abs=0.01)


@every_case
async def test_a_system_that_stays_down_is_given_up_within_the_total_and_may_be_asked_again(
    case: Case,
) -> None:
    async with turner(case) as (actuator, server, time):
        server.faults = [Fault.ERROR] * 100
        with pytest.raises(ActuatorFailed, match="500") as failed:
            await actuator.serve_baseline(case.order())
        assert failed.value.retryable
        assert time.seconds <= 60
        assert server.changes == []
        server.faults = []
        assert (await actuator.serve_baseline(case.order())).changed


@every_case
async def test_a_system_that_says_yes_and_does_nothing_is_not_believed(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        server.faults = [Fault.LIED] * 100
        with pytest.raises(ActuatorFailed, match="does not serve the baseline") as failed:
            await actuator.serve_baseline(case.order())
    assert failed.value.retryable
    assert len(server.faults) > 80  # asked a few times, not for ever


@every_case
async def test_somebody_who_keeps_saving_is_named_after_a_few_times(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        server.faults = [Fault.CONFLICT] * 100
        with pytest.raises(ActuatorFailed, match="keeps changing") as failed:
            await actuator.serve_baseline(case.order())
    assert failed.value.retryable
    assert len(server.faults) > 80


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.server().approval is not None], ids=lambda case: case.name
)
async def test_a_wanted_approval_is_its_own_failure_at_once(case: Case) -> None:
    async with turner(case) as (actuator, server, time):
        server.faults = [Fault.APPROVAL] * 100
        with pytest.raises(ApprovalRequired, match="approve the change there") as failed:
            await actuator.serve_baseline(case.order())
    assert not failed.value.retryable
    assert (len(server.faults), time.waits, server.changes) == (99, [], [])


@every_case
async def test_a_missing_right_is_final_and_no_approval(case: Case) -> None:
    async with turner(case) as (actuator, server, time):
        server.faults = [Fault.FORBIDDEN] * 100
        with pytest.raises(ActuatorFailed, match="give it the right") as failed:
            await actuator.serve_baseline(case.order())
    assert not isinstance(failed.value, ApprovalRequired)
    assert (failed.value.retryable, len(server.faults), time.waits) == (False, 99, [])


@every_case
async def test_a_wrong_token_is_final_and_shown_nowhere(case: Case) -> None:
    async with turner(case, token="another-token") as (actuator, server, _):
        for attempt in (actuator.probe, actuator.serve_baseline):
            with pytest.raises(ActuatorFailed, match=f"check the setting {case.setting}_token") as failed:
                await attempt(case.order())
            assert not failed.value.retryable
            assert "another-token" not in str(failed.value)
    assert len(server.asked) == 2


@every_case
async def test_an_unknown_flag_is_final_and_named(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        for attempt in (actuator.probe, actuator.serve_baseline):
            with pytest.raises(ActuatorFailed, match="no flag 'absent'") as failed:
                await attempt(case.order(flag_key="absent"))
            assert not failed.value.retryable
    assert server.changes == []


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.rollback_by.value == "serve_variation"], ids=lambda case: case.name
)
async def test_an_unknown_variation_is_final_and_lists_what_there_is(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        for attempt in (actuator.probe, actuator.serve_baseline):
            with pytest.raises(ActuatorFailed, match=r"'v39'.*there are .*'v4") as failed:
                await attempt(case.order(baseline_variation="v39"))
            assert not failed.value.retryable
    assert server.changes == []


@every_case
async def test_a_probe_changes_nothing(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        await actuator.probe(case.order())
    assert server.changes == []


@every_case
async def test_a_system_out_of_order_fails_a_probe_that_may_be_repeated(case: Case) -> None:
    async with turner(case) as (actuator, server, _):
        server.reads = [Said(503)]
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.probe(case.order())
    assert failed.value.retryable


@every_case
async def test_what_a_system_cannot_do_is_refused_before_it_is_asked(case: Case) -> None:
    system = FLAG_SYSTEMS[case.actuator]
    async with turner(case) as (actuator, server, _):
        if case.rollback_by not in system.cohort_ways:
            with pytest.raises(ActuatorFailed, match="cannot roll back one cohort"):
                await actuator.serve_baseline(case.order(cohort={"tenant": "acme"}))
        if system.scope is not None:
            wrong = "a/b/c/d" if system.scope else "anything"
            with pytest.raises(ActuatorFailed, match=r"flag\.scope") as failed:
                await actuator.serve_baseline(case.order(scope=wrong))
            assert not failed.value.retryable
    assert server.asked == []


@pytest.mark.parametrize(
    "case",
    [one for one in CASES if one.rollback_by in FLAG_SYSTEMS[one.actuator].cohort_ways],
    ids=lambda case: case.name,
)
async def test_a_cohorts_order_leaves_everybody_else_alone(case: Case) -> None:
    acme = {"tenant": "acme"}
    async with turner(case) as (actuator, server, _):
        server.without_individuals()
        others = server.served(tenant="beta")
        first = await actuator.serve_baseline(case.order(cohort=acme))
        again = await actuator.serve_baseline(case.order(cohort=acme))
        assert (server.served(**acme), server.served(tenant="beta")) == ({"v41"}, others)
    assert (first.changed, again.changed) == (True, False)


@pytest.mark.parametrize("kind", sorted(BUILD))
async def test_a_private_address_is_called_only_where_that_is_allowed(kind: str) -> None:
    case = next(one for one in CASES if one.actuator == kind)
    async with running(case.server()) as server:
        actuator = BUILD[kind](settings(kind, server.url, allow_private=False), USUAL)
        for attempt in (actuator.probe, actuator.serve_baseline):
            with pytest.raises(ActuatorFailed, match="private or loopback") as failed:
                await attempt(case.order())
            assert not failed.value.retryable
    assert server.asked == []


@pytest.mark.parametrize("kind", sorted(BUILD))
@pytest.mark.parametrize("become", [{}, "x", None], ids=repr)
async def test_a_document_that_is_not_as_described_is_a_failure_and_never_taken_for_the_baseline(
    kind: str, become: object
) -> None:
    case = next(one for one in CASES if one.actuator == kind)
    async with turner(case) as (actuator, server, _):
        server.spoil = lambda body: server.spoilt(body, become)
        for attempt in (actuator.probe, actuator.serve_baseline):
            with pytest.raises(ActuatorFailed):
                await attempt(case.order())
    assert server.changes == []
