"""From a recorded decision to its effect: done once, recorded, told, and loud where it is not done."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.memory.actuator import MemoryActuator
from monitor.adapters.memory.pager import MemoryPager
from monitor.core.decision import Type
from monitor.engine.act import Act, Outcome
from monitor.engine.act_events import order_of
from monitor.engine.errors import ActuatorFailed, ApprovalRequired, PagerFailed
from monitor.engine.patience import Patience
from monitor.engine.ports import Effect, RollbackOrder
from tests.engine.acting import APPLIED, FAILED, REQUEST_ID, SCHEMAS, World, request


async def test_a_request_turns_the_flag_records_it_and_tells_people() -> None:
    world = World()
    assert await world.act().on_request(request()) is Outcome.DONE
    assert world.flag.serving == "v41"
    (data,) = world.ledger.of(Type.ROLLBACK_APPLIED)
    assert data == {
        "release": "model-v42", "baseline": "model-v41", "budget": "chat", "budget_digest": "5e" * 32, "arming": 1,
        "objective": "quality.task_success_delta_pct", "cohort": {"tenant": "acme"}, "tier": "A",
        "reason": "breach", "action": "rollback", "request_id": REQUEST_ID, "actuator": "memory", "flag": "chat-model",
        "changed": True, "before": {"serving": "v42"}, "after": {"serving": "v41"}, "seconds": 0.0,
    }  # fmt: skip
    ((state, text),) = world.told()
    assert state == "informed"
    assert "read back as serving the baseline" in text
    assert "task success is 12.3 % below" in text


async def test_what_is_recorded_is_what_the_published_schemas_promise() -> None:
    world = World(failures=[ActuatorFailed("401", retryable=False)])
    act = world.act()
    assert [await act.on_request(request()) for _ in range(2)] == [Outcome.REFUSED, Outcome.DONE]
    for kind in (Type.ROLLBACK_FAILED, Type.ROLLBACK_APPLIED):
        (data,) = world.ledger.of(kind)
        schema = json.loads((SCHEMAS / f"{kind.value}.v1.json").read_text())
        jsonschema.Draft202012Validator(schema).validate(data)


async def test_the_same_request_again_does_and_says_nothing() -> None:
    world = World()
    await world.act().on_request(request())
    appended, attempts = world.ledger.appended, world.pager.attempts
    world.flag.serving = (
        "v42"  # somebody turned it back: that is for the verification to find, not for a repeat
    )
    assert await world.act().on_request(request()) is Outcome.ALREADY_DONE
    assert (world.ledger.appended, world.pager.attempts, world.flag.serving) == (appended, attempts, "v42")


async def test_a_failure_that_may_pass_is_tried_again_and_then_applied() -> None:
    world = World(failures=[ActuatorFailed("503", retryable=True)] * 3)
    assert await world.act().on_request(request()) is Outcome.DONE
    assert world.flag.serving == "v41"
    assert world.ledger.of(Type.ROLLBACK_FAILED) == []
    assert [0.5 * bound <= wait <= bound for wait, bound in zip(world.waits, [0.5, 1, 2], strict=True)] == [
        True
    ] * 3


async def test_no_attempt_is_begun_that_would_keep_people_waiting() -> None:
    """A flag system with deadlines of its own takes long to fail: it is paged about then, and asked again later."""
    world = World()

    class Slow(MemoryActuator):
        async def serve_baseline(self, order: RollbackOrder) -> Effect:
            await world.sleep(20.0)
            raise ActuatorFailed("no answer", retryable=True)

    assert await world.act(actuators={"memory": Slow({})}).on_request(request()) is Outcome.TRY_LATER
    assert world.waits == [20.0]
    assert [state for state, _ in world.told()] == ["opened"]


async def test_after_the_deadline_it_is_recorded_as_failed_and_paged_as_not_applied() -> None:
    world = World(failures=[ActuatorFailed("flag system answered 503", retryable=True)] * 99)
    began = world.at_ms
    assert await world.act().on_request(request()) is Outcome.TRY_LATER
    assert world.at_ms - began <= 30_000  # within half a minute people know
    (data,) = world.ledger.of(Type.ROLLBACK_FAILED)
    assert (data["request_id"], data["reason"], data["retryable"]) == (REQUEST_ID, "actuator", True)
    assert data["message"] == "flag system answered 503"
    assert world.ledger.of(Type.ROLLBACK_APPLIED) == []
    ((state, text),) = world.told()
    assert state == "opened"
    assert "NOT APPLIED: flag system answered 503" in text


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ActuatorFailed("404", retryable=False), "actuator"),
        (ApprovalRequired("409", retryable=False), "approval_required"),
    ],
)
async def test_a_final_refusal_is_not_asked_twice(failure: ActuatorFailed, reason: str) -> None:
    world = World(failures=[failure])
    assert await world.act().on_request(request()) is Outcome.REFUSED
    assert world.waits == []
    assert world.ledger.of(Type.ROLLBACK_FAILED)[0]["reason"] == reason


async def test_a_failed_rollback_that_is_asked_again_pages_once_and_closes_its_page_when_it_works() -> None:
    world = World(failures=[ActuatorFailed("401", retryable=False)] * 2)
    act = world.act()
    for _ in range(2):
        assert await act.on_request(request()) is Outcome.REFUSED
    assert len(world.ledger.of(Type.ROLLBACK_FAILED)) == 1
    assert world.pager.attempts == 1
    assert (
        await world.act(actuators={"memory": MemoryActuator({"chat-model": world.flag})}).on_request(
            request()
        )
        is Outcome.DONE
    )
    assert [state for state, _ in world.told()] == ["opened", "informed", "resolved"]
    opened, _, resolved = world.pager.delivered.values()
    assert opened.page_id == resolved.page_id == FAILED


async def test_without_a_flag_the_request_is_the_effect() -> None:
    world = World()
    event = request(flag=None, baseline_variation=None, candidate_variation=None)
    assert await world.act().on_request(event) is Outcome.NO_FLAG
    assert (world.flag.serving, world.ledger.of(Type.ROLLBACK_APPLIED)) == ("v42", [])
    ((state, text),) = world.told()
    assert (state, "no flag is set" in text) == ("informed", True)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            {"flag": {"actuator": "unleash", "key": "k"}},
            "actuator 'unleash' is not set up here; there are memory",
        ),
        ({"flag": {"actuator": "memory"}}, "its data lacks 'key'"),
        ({"flag": {"actuator": "memory", "key": "absent"}}, "no flag 'absent'"),
    ],
)
async def test_a_budget_whose_flag_cannot_work_is_paged_not_crashed(data: dict[str, Any], says: str) -> None:
    world = World()
    assert await world.act().on_request(request(**data)) is Outcome.REFUSED
    assert says in str(world.ledger.of(Type.ROLLBACK_FAILED)[0]["message"])
    assert world.told()[0][0] == "opened"


class _Broken:
    """An actuator with a defect."""

    async def probe(self, order: RollbackOrder) -> None:
        raise ZeroDivisionError

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        raise ZeroDivisionError("a defect")


class _Silent(_Broken):
    """An actuator that never answers."""

    async def serve_baseline(self, order: RollbackOrder) -> Effect:
        await asyncio.Event().wait()
        raise AssertionError("never reached")


@pytest.mark.parametrize(
    ("actuator", "outcome", "says"),
    [
        (_Broken(), Outcome.REFUSED, "ZeroDivisionError: a defect"),
        (_Silent(), Outcome.TRY_LATER, "no answer within"),
    ],
)
async def test_a_defect_or_a_hang_of_one_actuator_ends_in_a_page(
    actuator: _Broken, outcome: Outcome, says: str
) -> None:
    world = World()
    patience = Patience(attempt_s=0.001, max_attempts=2)
    act = world.act(actuators={"memory": actuator}, patience=patience)
    assert await act.on_request(request()) is outcome
    assert says in str(world.ledger.of(Type.ROLLBACK_FAILED)[0]["message"])


async def test_a_clock_that_stands_still_cannot_make_it_try_for_ever() -> None:
    world = World(failures=[ActuatorFailed("503", retryable=True)] * 999)

    async def no_time_passes(seconds: float) -> None:
        world.waits.append(seconds)

    act = Act(
        {"memory": MemoryActuator({}, world.failures)},
        world.pager,
        world.ledger,
        clock=world,
        steady=lambda: 0.0,
        sleep=no_time_passes,
    )
    assert await act.on_request(request()) is Outcome.TRY_LATER
    assert len(world.waits) == Patience().max_attempts - 1


async def test_patience_is_real_time_also_where_event_time_runs_faster() -> None:
    """A demo at a hundred times the speed would give up after half a second of a slow disk."""

    class Faster:
        def now_ms(self) -> int:
            return world.at_ms * 100

    world = World(failures=[ActuatorFailed("503", retryable=True)] * 3)
    assert await world.act(clock=Faster()).on_request(request()) is Outcome.DONE
    assert world.ledger.of(Type.ROLLBACK_FAILED) == []


async def test_a_broken_pager_delays_no_rollback_and_is_asked_again_on_the_next_call() -> None:
    world = World(pager=MemoryPager([PagerFailed("down", retryable=False)]))
    with pytest.raises(PagerFailed):
        await world.act().on_request(request())
    assert world.flag.serving == "v41"
    assert APPLIED in world.ledger.records
    assert await world.act().on_request(request()) is Outcome.ALREADY_DONE
    assert [state for state, _ in world.told()] == ["informed"]


async def test_cancelling_stops_at_once_and_records_nothing() -> None:
    world = World()
    task = asyncio.create_task(world.act(actuators={"memory": _Silent()}).on_request(request()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.ledger.records == {}


def test_a_breach_of_one_cohort_rolls_the_release_back_unless_the_scope_says_cohort() -> None:
    assert order_of(request()).cohort == {}
    assert order_of(request(scope="cohort")).cohort == {"tenant": "acme"}
    assert order_of(request(flag={"actuator": "memory", "key": "k", "scope": "eu"})).scope == "eu"


@given(crash_at=st.integers(1, 4), failures=st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_a_crash_at_any_write_leaves_nothing_undone_and_nothing_done_twice(
    crash_at: int, failures: int
) -> None:
    """However it was interrupted, calling until it returns ends in: turned, recorded once, told once."""
    world = World(failures=[ActuatorFailed("401", retryable=False)] * failures)
    world.ledger.crash_at = crash_at
    act = world.act()

    async def until_done() -> None:
        for _ in range(6):
            try:
                if await act.on_request(request()) in {Outcome.DONE, Outcome.ALREADY_DONE}:
                    return
            except ConnectionResetError:
                act._actuators["memory"] = MemoryActuator({"chat-model": world.flag})

    asyncio.run(until_done())
    asyncio.run(world.act().on_request(request()))
    assert world.flag.serving == "v41"
    assert len(world.ledger.of(Type.ROLLBACK_APPLIED)) == 1
    told = [state for state, _ in world.told()]
    assert told.count("informed") == 1
    assert told.count("opened") == told.count("resolved") == (FAILED in world.ledger.records)
