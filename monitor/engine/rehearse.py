"""A drill: one synthetic breach on marked traffic, all the way through the running monitor, with a clock on each step.

Everything but the traffic is the real thing: the log, the workers' ingest and evaluators, the ledger, the agents, the
flag system, and the proof from the traffic. The drill speaks to the monitor as people and serving stacks do, by its
topics, and follows what becomes of it in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from monitor.core.decision import Decision, Reason, Type
from monitor.core.errors import MonitorError
from monitor.core.rehearsal import is_rehearsal
from monitor.engine.drill import Drill, Monitor, Rehearsal, Served, Step, StepFailed, Told
from monitor.engine.errors import ActuatorFailed
from monitor.engine.ports import Clock

ARM_S: Final = 60.0  # a worker reads the budgets topic all the time; a rebalance may come first
DECIDE_S: Final = 60.0
APPLY_S: Final = 180.0  # the agents' own patience with a flag system, and a start
END_S: Final = 30.0
PUMP_S: Final = 0.5
PER_PUMP: Final = 4  # requests of each arm: a few hundred a minute prove a share of 0.1 % gone from one half
AGAIN_S: Final = 3.0  # a partition's owner may hear of the budget after the worker that armed it
READ_S: Final = 5.0  # between two looks at a flag that serves the baseline already
LOOK_S: Final = 0.1
STALE_MS: Final = 86_400_000  # a drill of yesterday that is still armed was killed


class _Over(Exception):
    """A step failed, and that is noted."""


class Rehearser:
    """Plays one drill.

    Args:
        clock: Event time.
        steady_s: Seconds of a clock that never jumps.
        told: Hears of every step.
    """

    def __init__(
        self,
        drill: Drill,
        monitor: Monitor,
        *,
        clock: Clock,
        steady_s: Callable[[], float],
        told: Told = lambda _step, _text: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._drill, self._monitor = drill, monitor
        self._clock, self._steady_s, self._told, self._sleep = clock, steady_s, told, sleep
        self._known: dict[str, Decision] = {}
        self._numbers = count()
        self._pumped_s = self._asked_s = self._read_s = float("-inf")
        self._is_turned = self._is_gone = False
        self._kept: dict[str, object] | None = None
        self._began_ms = 0
        self.rehearsal = Rehearsal()

    async def run(self) -> Rehearsal:
        """Play it to its end; whatever happens, its budget is taken back and the flag set back.

        A cancelled drill cleans up too. One that is killed leaves the flag on the baseline: the safe side.
        """
        began_s = self._steady_s()
        self._began_ms = self._clock.now_ms()
        is_armed = False
        try:
            await self._step(Step.FLAG, self._look_at_flag)
            is_armed = True
            await self._step(Step.ARM, self._arm)
            await self._step(Step.DECIDE, self._decide)
            await self._step(Step.APPLY, self._apply)
            await self._step(Step.VERIFY, self._verify)
        except _Over:
            pass  # what follows cleans up
        finally:
            if is_armed:
                await self._clean_up()
            self.rehearsal.seconds["total"] = round(self._steady_s() - began_s, 3)
        return self.rehearsal

    async def _step(self, step: Step, play: Callable[[], Awaitable[str]]) -> None:
        """Play a step with a clock on it; what it returns is said of it.

        Raises:
            _Over: It failed.
        """
        began_s = self._steady_s()
        self._told(step, "")
        try:
            said = await play()
        except (MonitorError, TimeoutError) as failure:
            said = str(failure) or "no answer in time"
            self._note_problem(step, said)
            raise _Over from failure
        finally:
            self.rehearsal.seconds[step.value] = round(self._steady_s() - began_s, 3)
        self.rehearsal.notes[step.value] = said
        self._told(step, said)

    def _note_problem(self, step: Step, text: str) -> None:
        self.rehearsal.failed_at = self.rehearsal.failed_at or step
        self.rehearsal.problems.append(f"{step.value}: {text}")
        self.rehearsal.notes[step.value] = f"FAILED: {text}"
        self._told(step, f"FAILED: {text}")

    async def _look_at_flag(self) -> str:
        order, drill = self._drill.order, self._drill
        if await drill.flag.serves_baseline(order):
            raise StepFailed(
                f"flag {order.flag_key!r} serves the baseline already, so nothing would be turned",
                f"make it serve {order.candidate_variation!r} first",
            )
        if drill.set_back is not None:
            self._kept = await drill.set_back.keep(order)
        return f"{order.flag_key} in {order.actuator} serves the candidate"

    async def _arm(self) -> str:
        await self._hear()
        for release in self._left_behind():
            await self._monitor.take_back(release)
        await self._monitor.publish_budget(is_armed=True)
        await self._until(
            lambda: self._of(Type.ARMING_CREATED),
            ARM_S,
            StepFailed(
                f"no worker armed the drill's budget within {ARM_S:g} s",
                "is a worker running on this Kafka? ask `rollback-budget doctor` and `rollback-budget status`",
            ),
        )
        return "a worker has armed the drill's budget"

    def _left_behind(self) -> list[str]:
        """Return drills that were killed long ago and are still armed."""
        ended = {one.release for one in self._known.values() if one.type is Type.ARMING_ENDED}
        return sorted(
            one.release
            for one in self._known.values()
            if one.type is Type.ARMING_CREATED
            and is_rehearsal(one.release)
            and one.release not in ended
            and one.at_ms < self._began_ms - STALE_MS
        )

    async def _decide(self) -> str:
        self._asked_s = float("-inf")
        request = await self._until(
            lambda: self._of(Type.ROLLBACK_REQUESTED),
            DECIDE_S,
            StepFailed(
                f"no rollback was asked for within {DECIDE_S:g} s of a critical incident",
                "do the workers read the traces topic and write their state? ask `rollback-budget status`",
            ),
            meanwhile=lambda: self._pump(breaks=True),
        )
        return f"rollback requested ({request.data.get('reason')})"

    async def _apply(self) -> str:
        applied = await self._until(
            lambda: self._of(Type.ROLLBACK_APPLIED) or self._of(Type.ROLLBACK_FAILED),
            APPLY_S,
            StepFailed(
                f"the flag was not turned within {APPLY_S:g} s",
                "see the workers' logs: does one of them run the agent of rollback.requests.v1?",
            ),
            meanwhile=self._pump,
        )
        if applied.type is Type.ROLLBACK_FAILED:
            raise StepFailed(
                str(applied.data.get("message")),
                "correct that where the workers run; `rollback-budget doctor` asks the flag system too",
            )
        self._is_turned = True
        return f"{applied.data.get('flag')} was turned in {applied.data.get('seconds')} s and read back"

    async def _verify(self) -> str:
        shown = await self._until(
            lambda: (
                self._of(Type.ROLLBACK_VERIFIED)
                or self._of(Type.ROLLBACK_FAILED)
                or self._of(Type.PAGE_OPENED, about=Reason.ROLLBACK_UNPROVEN)
            ),
            self._drill.verify_s,
            StepFailed(
                f"the traffic did not prove the rollback within {self._drill.verify_s:g} s",
                "a proof needs closed minutes: is a partition held back? ask `rollback-budget status`",
            ),
            meanwhile=self._pump,
        )
        if shown.type is not Type.ROLLBACK_VERIFIED:
            raise StepFailed(
                str(shown.data.get("message") or shown.data.get("summary")),
                "does the flag that was turned reach whoever reads it? ask the flag system",
            )
        return str(shown.data.get("summary"))

    async def _clean_up(self) -> None:
        """Take the budget back first: nobody may watch, and turn again, a flag that is being set back."""
        for step, play in ((Step.DISARM, self._disarm), (Step.RESTORE, self._restore)):
            try:
                await self._step(step, play)
            except _Over:
                self.rehearsal.restored = self.rehearsal.restored and step is not Step.RESTORE

    async def _disarm(self) -> str:
        await self._monitor.publish_budget(is_armed=False)
        if self._of(Type.ARMING_CREATED) is None:
            return "its budget is taken back; nobody had armed it"
        await self._until(
            lambda: self._of(Type.ARMING_ENDED),
            END_S,
            StepFailed(
                f"no worker disarmed the drill within {END_S:g} s",
                "its budget is taken back, so it will be; until then nothing but its own flag is touched",
            ),
        )
        return "its budget is taken back"

    async def _restore(self) -> str:
        order, drill = self._drill.order, self._drill
        if not await drill.flag.serves_baseline(order):
            if self._of(Type.ROLLBACK_REQUESTED) is not None and not self._is_turned:
                raise StepFailed(
                    f"the rollback of {order.flag_key!r} is on record and was not carried out",
                    "a worker may still do so: look at the flag again in a few minutes",
                )
            return "it was not turned"
        if drill.set_back is None or self._kept is None:
            self.rehearsal.restored = False
            return (
                f"{order.actuator} is set back by a person: make {order.flag_key} serve "
                f"{order.candidate_variation} before the next drill"
            )
        if await self._is_really_wanted_back():
            raise StepFailed(
                f"a real rollback asks for {order.flag_key!r} to serve the baseline", "it was left there"
            )
        await drill.set_back.put_back(order, self._kept)
        if await self._is_really_wanted_back():  # asked for while it was being set back
            await drill.flag.serve_baseline(order)
            raise StepFailed(
                f"a real rollback asks for {order.flag_key!r} to serve the baseline", "it was turned again"
            )
        return f"{order.flag_key} is as it was"

    async def _is_really_wanted_back(self) -> bool:
        """Tell whether somebody who is no drill has asked for this flag's baseline since the drill began."""
        await self._hear()
        order = self._drill.order
        for one in self._known.values():
            flag = one.data.get("flag")
            if (
                one.type is Type.ROLLBACK_REQUESTED
                and not is_rehearsal(one.release)
                and one.at_ms >= self._began_ms
                and isinstance(flag, dict)
                and (flag.get("key"), flag.get("scope")) == (order.flag_key, order.scope)
            ):
                return True
        return False

    async def _until(
        self,
        found: Callable[[], Decision | None],
        wait_s: float,
        otherwise: StepFailed,
        *,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> Decision:
        """Follow the ledger until something is on record; the drill's traffic goes on meanwhile."""
        ends_s = self._steady_s() + wait_s
        while True:
            if meanwhile is not None:
                await meanwhile()
            await self._hear()
            decision = found()
            if decision is not None:
                return decision
            if self._steady_s() >= ends_s:
                raise otherwise
            await self._sleep(LOOK_S)

    async def _hear(self) -> None:
        for decision in await self._monitor.heard():
            self._known[decision.decision_id] = decision

    def _of(self, kind: Type, *, about: Reason | None = None) -> Decision | None:
        """Return the drill's own decision of a type; of failures the newest."""
        ours = (
            one
            for one in self._known.values()
            if one.type is kind
            and one.release == self._drill.names.candidate
            and about in (None, one.data.get("reason"))
        )
        return max(ours, key=lambda one: one.at_ms, default=None)

    async def _pump(self, *, breaks: bool = False) -> None:
        """Serve a few requests as the flag says, and until it is heard, one with an incident."""
        now_s = self._steady_s()
        if now_s < self._pumped_s + PUMP_S:
            return
        self._pumped_s = now_s
        # The moment first: what was served before the flag was read is dated before it.
        at_ms = self._clock.now_ms()
        await self._read_flag(now_s)
        candidate, baseline = self._drill.names
        arms = (baseline, baseline if self._is_gone else candidate)
        requests = [self._request(arm, at_ms) for arm in arms for _ in range(PER_PUMP)]
        if breaks and now_s >= self._asked_s + AGAIN_S:
            self._asked_s = now_s
            requests.append(self._request(candidate, at_ms, has_incident=True))
        await self._monitor.send(requests)

    async def _read_flag(self, now_s: float) -> None:
        if not self._is_turned or (self._is_gone and now_s < self._read_s + READ_S):
            return
        self._read_s = now_s
        try:
            self._is_gone = await self._drill.flag.serves_baseline(self._drill.order)
        except ActuatorFailed as failure:
            if not failure.retryable:
                raise

    def _request(self, release: str, at_ms: int, *, has_incident: bool = False) -> Served:
        return Served(f"{self._drill.run}-{next(self._numbers)}", release, at_ms, has_incident)
