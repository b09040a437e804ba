"""A drill goes through its steps, says which one failed and what to do, and always leaves things as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from monitor.adapters.memory.actuator import MemoryActuator, MemoryFlag
from monitor.core.decision import Decision, Type
from monitor.core.rehearsal import stand_ins
from monitor.engine.drill import Drill, Rehearsal, Served, Step
from monitor.engine.errors import ActuatorFailed, LogUnreachable
from monitor.engine.ports import RollbackOrder
from monitor.engine.rehearse import STALE_MS, Rehearser

NAMES = stand_ins("run")
NOW_MS = 1_790_000_000_000
ORDER = RollbackOrder("d", NAMES.candidate, NAMES.baseline, "rehearsal", "memory", "chat", "old", "new")


@dataclass
class Time:
    """Passes only while the drill waits."""

    s: float = 0.0

    def steady_s(self) -> float:
        return self.s

    def now_ms(self) -> int:
        return NOW_MS + round(self.s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.s += seconds
        await asyncio.sleep(0)


@dataclass
class World:
    """A monitor that does what it should, but for the steps in `deaf`."""

    time: Time
    flag: MemoryActuator
    deaf: frozenset[str] = frozenset()
    instead: dict[str, tuple[Type, dict[str, object]]] = field(default_factory=dict)
    at_restore: Callable[[World], None] = lambda _: None
    sent: list[Served] = field(default_factory=list)
    published: list[bool] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    news: list[Decision] = field(default_factory=list)

    def say(self, kind: Type, release: str = NAMES.candidate, **data: object) -> None:
        self.note(kind, data, release)

    def note(self, kind: Type, data: dict[str, object], release: str = NAMES.candidate) -> None:
        made = Decision(kind, f"{kind.value}-{release}", release, self.time.now_ms(), data)
        self.news.append(made)

    async def publish_budget(self, *, is_armed: bool) -> None:
        self.published.append(is_armed)
        if is_armed and "arm" not in self.deaf:
            self.say(Type.ARMING_CREATED)
        if not is_armed:
            self.say(Type.ARMING_ENDED)
            self.at_restore(self)

    async def take_back(self, release: str) -> None:
        self.taken_back.append(release)

    async def send(self, requests: Sequence[Served]) -> None:
        if "log" in self.deaf:
            raise LogUnreachable("no broker")
        self.sent += requests
        has_incident = any(one.has_incident for one in requests)
        if has_incident and "decide" not in self.deaf:
            self.say(Type.ROLLBACK_REQUESTED, reason="immediate")
            if "apply" in self.instead:
                kind, data = self.instead["apply"]
                self.note(kind, data)
            elif "apply" not in self.deaf:
                await self.flag.serve_baseline(ORDER)
                self.say(Type.ROLLBACK_APPLIED, flag="chat", seconds=0.1)
        is_clean = self.flag.flags["chat"].serving == "old" and all(
            one.release == NAMES.baseline for one in requests
        )
        if is_clean and "verify" in self.instead:
            kind, data = self.instead["verify"]
            self.note(kind, data)
        elif is_clean and "verify" not in self.deaf:
            self.say(Type.ROLLBACK_VERIFIED, summary="gone")

    async def heard(self) -> Sequence[Decision]:
        news, self.news = self.news, []
        return news


def world(**kwargs: Any) -> World:
    flag = MemoryActuator({"chat": MemoryFlag(("old", "new"), "new")})
    return World(Time(), flag, **kwargs)


def play(world: World, *, can_set_back: bool = True) -> tuple[Rehearsal, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    drill = Drill(
        run="run",
        names=NAMES,
        order=ORDER,
        flag=world.flag,
        set_back=world.flag if can_set_back else None,
        is_real=False,
        verify_s=600.0,
    )
    rehearser = Rehearser(
        drill,
        world,
        clock=world.time,
        steady_s=world.time.steady_s,
        told=lambda step, text: told.append((step.value, text)),
        sleep=world.time.sleep,
    )
    return asyncio.run(rehearser.run()), told


def test_a_drill_plays_every_step_and_sets_everything_back() -> None:
    here = world()
    found, told = play(here)
    assert found.succeeded, found.problems
    assert [step for step, text in told if not text] == [one.value for one in Step]
    assert set(found.seconds) == {*(one.value for one in Step), "total"}
    assert here.published == [True, False]
    assert here.flag.flags["chat"].serving == "new"
    assert found.restored


def test_its_traffic_follows_the_flag() -> None:
    here = world()
    play(here)
    arms = [one.release for one in here.sent]
    assert {NAMES.candidate, NAMES.baseline} == set(arms)
    assert NAMES.candidate not in arms[-8:]
    assert len({one.event_id for one in here.sent}) == len(here.sent)


def test_an_incident_is_sent_again_until_it_is_heard() -> None:
    here = world(deaf=frozenset({"decide"}))
    found, _ = play(here)
    assert found.failed_at is Step.DECIDE
    assert len([one for one in here.sent if one.has_incident]) > 5


@pytest.mark.parametrize(
    ("kwargs", "step", "words"),
    [
        ({"deaf": frozenset({"arm"})}, Step.ARM, "is a worker running"),
        ({"deaf": frozenset({"log"})}, Step.DECIDE, "no broker"),
        ({"deaf": frozenset({"decide"})}, Step.DECIDE, "traces topic"),
        ({"deaf": frozenset({"apply"})}, Step.APPLY, "agent of rollback.requests.v1"),
        (
            {"instead": {"apply": (Type.ROLLBACK_FAILED, {"message": "the token is not accepted"})}},
            Step.APPLY,
            "the token is not accepted; correct that where the workers run",
        ),
        ({"deaf": frozenset({"verify"})}, Step.VERIFY, "closed minutes"),
        (
            {"instead": {"verify": (Type.ROLLBACK_FAILED, {"message": "still served"})}},
            Step.VERIFY,
            "still served; does the flag",
        ),
        (
            {
                "instead": {
                    "verify": (Type.PAGE_OPENED, {"reason": "rollback_unproven", "summary": "too few"})
                }
            },
            Step.VERIFY,
            "too few; does the flag",
        ),
    ],
    ids=["arm", "log", "decide", "apply", "refused", "verify", "stays", "unproven"],
)
def test_a_failure_names_the_step_and_the_remedy_and_cleans_up(
    kwargs: dict[str, Any], step: Step, words: str
) -> None:
    here = world(**kwargs)
    found, _ = play(here)
    assert not found.succeeded
    assert found.failed_at is step
    assert found.problems[0].startswith(f"{step.value}: ")
    assert words in found.problems[0]
    assert here.published == [True, False]
    assert here.flag.flags["chat"].serving == "new"


def test_a_flag_that_is_back_already_shows_nothing_and_nothing_is_touched() -> None:
    here = world()
    here.flag.flags["chat"].serving = "old"
    found, _ = play(here)
    assert found.failed_at is Step.FLAG
    assert "make it serve 'new' first" in found.problems[0]
    assert (here.published, here.sent) == ([], [])


def test_a_system_that_cannot_set_back_is_said_to_need_a_person() -> None:
    here = world()
    found, _ = play(here, can_set_back=False)
    assert found.succeeded
    assert not found.restored
    assert "by a person" in found.notes["restore"]
    assert here.flag.flags["chat"].serving == "old"


def test_a_real_rollback_during_the_drill_is_not_undone() -> None:
    """Whatever was rehearsed: the flag stays on the baseline that somebody asked for in earnest."""

    def real(here: World) -> None:
        here.say(Type.ROLLBACK_REQUESTED, "model-v42", flag={"key": "chat", "scope": None})

    here = world(at_restore=real)
    found, _ = play(here)
    assert (found.failed_at, found.restored) == (Step.RESTORE, False)
    assert "a real rollback asks for 'chat'" in found.problems[0]
    assert here.flag.flags["chat"].serving == "old"


def test_a_real_rollback_while_the_flag_is_set_back_turns_it_again() -> None:
    here = world()

    class Late(MemoryActuator):
        async def put_back(self, order: RollbackOrder, kept: Any) -> None:
            await super().put_back(order, kept)
            here.say(Type.ROLLBACK_REQUESTED, "model-v42", flag={"key": "chat", "scope": None})

    here.flag = Late(here.flag.flags)
    found, _ = play(here)
    assert "it was turned again" in found.problems[0]
    assert here.flag.flags["chat"].serving == "old"


def test_a_flag_that_cannot_be_read_fails_at_once() -> None:
    class Broken(MemoryActuator):
        async def serves_baseline(self, order: RollbackOrder) -> bool:
            raise ActuatorFailed("no such file; mount it", retryable=False)

    here = world()
    here.flag = Broken({})
    found, _ = play(here)
    assert found.problems == ["flag: no such file; mount it"]


def test_a_drill_that_was_killed_yesterday_is_taken_back() -> None:
    here = world()
    old = stand_ins("old")
    data: dict[str, object] = {}
    for name, at_ms in ((old.candidate, NOW_MS - STALE_MS - 1), (stand_ins("new").candidate, NOW_MS - 1)):
        here.news.append(Decision(Type.ARMING_CREATED, name, name, at_ms, data))
    play(here)
    assert here.taken_back == [old.candidate]


def test_a_cancelled_drill_sets_everything_back() -> None:
    here = world(deaf=frozenset({"verify"}))

    async def cancelled() -> None:
        drill, turned = Drill("run", NAMES, ORDER, here.flag, here.flag, False, 1e9), asyncio.Event()

        def told(step: Step, _: str) -> None:
            if step is Step.VERIFY:
                turned.set()

        time = here.time
        rehearser = Rehearser(drill, here, clock=time, steady_s=time.steady_s, told=told, sleep=time.sleep)
        task = asyncio.create_task(rehearser.run())
        await turned.wait()
        assert here.flag.flags["chat"].serving == "old"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert here.published == [True, False]
    assert here.flag.flags["chat"].serving == "new"
