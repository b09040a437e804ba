"""Where a drill plays: the configured Kafka, the flag system as the workers reach it, and the record of how it went.

Loaded by the verb `rehearse` when it runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, cast
from uuid import uuid4

from monitor.adapters.closing import close_all
from monitor.adapters.flags import actuator_for
from monitor.adapters.kafka.ledger import KafkaLedger
from monitor.adapters.kafka.outputs import KafkaOutputs
from monitor.adapters.kafka.topics import BUDGETS, LEDGER
from monitor.adapters.timebase import WallClock
from monitor.app import timebase_of
from monitor.cli.orders import ClosingLog, entries_of, kafka_log
from monitor.config.drill_budget import drill_budget, drill_flag
from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.config.settings import Settings
from monitor.core.budget import Budget, FlagTarget
from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.core.ids import canonical_json, event_type
from monitor.core.moment import rfc3339
from monitor.core.rehearsal import VALID_DAYS, StandIns, stand_ins
from monitor.engine.act_events import order_for
from monitor.engine.drill import Drill, DrillFlag, FlagSetBack, Rehearsal, Served, Step, Told
from monitor.engine.ports import Follower, LedgerEntry
from monitor.engine.rehearse import Rehearser
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check
from monitor.wire.rehearsed_traffic import rehearsed_request

_DAY_MS: Final = 86_400_000
_CLOSING_MIN: Final = 5  # the lateness, and the minutes that begin and end around what is proven
_SPARE_S: Final = 60.0
_VERIFY_MAX_S: Final = 3_600.0


class NothingToRehearse(MonitorError):
    """The budget, or its flag system, leaves nothing that a drill could show; the message says what to do."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: a budget, the flag that is turned, and who ordered it."""

    budget: Budget
    flag: FlagTarget
    is_real: bool
    author: str


def cast_of(budget: Budget, *, key: str | None, is_real: bool, author: str) -> Cast:
    """Return who plays.

    Args:
        key: The flag for rehearsals; by default the real one's key and `-rehearsal`.

    Raises:
        NothingToRehearse: The budget names no flag, or its own may not be turned in a drill.
    """
    real = budget.flag
    if real is None:
        raise NothingToRehearse(
            f"the budget of {budget.release} names no flag: whoever consumes {Type.ROLLBACK_REQUESTED.value} "
            "rolls back, and has to rehearse that"
        )
    system = FLAG_SYSTEMS.get(real.actuator)
    if is_real and (system is None or not system.is_set_back):
        can = ", ".join(name for name, one in FLAG_SYSTEMS.items() if one.is_set_back)
        raise NothingToRehearse(
            f"--for-real: the monitor cannot set a flag back through {real.actuator} (it can with {can}); make a flag "
            f"{real.key}-rehearsal with the same variations, and leave --for-real away"
        )
    if key == real.key and not is_real:
        raise NothingToRehearse(f"--flag: {key} is the flag that users are served by; say so with --for-real")
    return Cast(
        budget, real if is_real else drill_flag(real, key or f"{real.key}-rehearsal"), is_real, author
    )


class LiveMonitor:
    """`Monitor` on Kafka."""

    def __init__(self, log: ClosingLog, traces_topic: str, names: StandIns, budget: bytes) -> None:
        self._log, self._traces, self._names, self._budget = log, traces_topic, names, budget
        self._follower: Follower | None = None

    async def publish_budget(self, *, is_armed: bool) -> None:
        """Publish the drill's budget, or its tombstone."""
        await self._log.append(BUDGETS, self._names.candidate, self._budget if is_armed else None)

    async def take_back(self, release: str) -> None:
        """Publish the tombstone of another drill's budget."""
        await self._log.append(BUDGETS, release, None)

    async def send(self, requests: Sequence[Served]) -> None:
        """Write trace events, spread over the partitions."""
        await asyncio.gather(
            *(
                self._log.append(
                    self._traces,
                    one.event_id,
                    rehearsed_request(one.event_id, one.release, one.at_ms, has_incident=one.has_incident),
                )
                for one in requests
            )
        )

    async def heard(self) -> Sequence[Decision]:
        """Read the ledger to its end."""
        if self._follower is None:
            self._follower = self._log.follow(LEDGER)
            await self._follower.start()
        return [entry.decision for entry in entries_of(await self._follower.read_to_end())]

    async def close(self) -> None:
        """Leave the ledger."""
        if self._follower is not None:
            await self._follower.stop()


@dataclass(frozen=True, slots=True)
class Played:
    """How a drill went, as it is on record; `is_stored` False where Kafka took no record of it."""

    rehearsal: Rehearsal
    decision: Decision
    is_stored: bool


async def play(settings: Settings, who: Cast, told: Told) -> Played:
    """Play a drill and put it on record; a drill that fails is on record too.

    Raises:
        MonitorError: The flag system is not set up here.
    """
    run = uuid4().hex[:12]
    names, clock = stand_ins(run), WallClock(timebase_of(settings))
    # The command reaches the flag by the settings of the workers: it reads what they turn.
    actuator = actuator_for(who.flag.actuator, settings)
    system = FLAG_SYSTEMS[who.flag.actuator]
    drill = Drill(
        run=run,
        names=names,
        order=order_for(
            who.flag,
            decision_id=f"rehearsal-{run}",
            release=names.candidate,
            baseline=names.baseline,
            reason="rehearsal",
        ),
        flag=cast("DrillFlag", actuator),
        set_back=cast("FlagSetBack", actuator) if system.is_set_back else None,
        is_real=who.is_real,
        verify_s=_verify_s(who.budget.verify.within_min, settings.event_time_speed),
    )
    log = kafka_log(settings)
    monitor = LiveMonitor(log, settings.traces_topic, names, drill_budget(who.budget, names, who.flag))
    try:
        rehearser = Rehearser(drill, monitor, clock=clock, steady_s=time.monotonic, told=told)
        rehearsal = await rehearser.run()
        decision = _decision(run, who, rehearsal, clock.now_ms())
        return Played(rehearsal, decision, await _store(log, decision))
    finally:
        await monitor.close()
        await log.close()
        await close_all([actuator])


def _verify_s(within_min: int, speed: float) -> float:
    return min(_VERIFY_MAX_S, (within_min + _CLOSING_MIN) * 60 / speed + _SPARE_S)


def _decision(run: str, who: Cast, rehearsal: Rehearsal, now_ms: int) -> Decision:
    budget = who.budget
    name = event_type(Type.ROLLBACK_REHEARSED.value)
    seconds = {step: one for step, one in rehearsal.seconds.items() if step != "total"}
    total_s = rehearsal.seconds["total"]
    flag = f"the real flag {who.flag.key}" if who.is_real else f"flag {who.flag.key}"
    if rehearsal.succeeded:
        quick = sum(seconds.get(step.value, 0.0) for step in (Step.DECIDE, Step.APPLY))
        summary = f"rehearsed on {flag}: turned {quick:.1f} s after the breach, proven and cleared in {total_s:.0f} s"
    else:
        summary = f"rehearsal on {flag} failed: {rehearsal.problems[0]}"
    data: dict[str, object] = {
        "release": budget.release,
        "baseline": budget.baseline,
        "budget": budget.name or budget.release,
        "budget_digest": budget.digest,
        "succeeded": rehearsal.succeeded,
        "seconds": dict(rehearsal.seconds),
        "restored": rehearsal.restored,
        "flag": who.flag.key,
        "real_flag": who.is_real,
        "author": who.author,
        "decided_at": rfc3339(now_ms),
        "expires_at": rfc3339(now_ms + VALID_DAYS * _DAY_MS),
        "problems": list(rehearsal.problems),
        "summary": summary,
    }
    decision_id = sha256(canonical_json([name, budget.release, run]).encode()).hexdigest()
    return Decision(Type.ROLLBACK_REHEARSED, decision_id, budget.release, now_ms, data)


async def _store(log: ClosingLog, decision: Decision) -> bool:
    """Put a drill on record as any other decision; where Kafka is the very problem, it is only shown."""
    check(of_decision(decision))
    ledger = KafkaLedger(log)
    try:
        await ledger.append(LedgerEntry(decision, None))
        await KafkaOutputs(log).publish(decision)
        await ledger.append(LedgerEntry(decision, None, True))
    except MonitorError:
        return False
    return True
