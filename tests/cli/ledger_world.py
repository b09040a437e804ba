"""A ledger in memory and somebody who answers orders by the engine's own rules: the verbs see it as Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache

from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.ledger import KafkaLedger, ledger_entry
from monitor.adapters.kafka.outputs import KafkaOutputs
from monitor.adapters.kafka.readers import command_of
from monitor.adapters.kafka.topics import COMMANDS, LEDGER
from monitor.adapters.memory.lease import MemoryLease
from monitor.adapters.memory.log import MemoryLog
from monitor.config.budget_file import load_budget
from monitor.config.canonical import canonical
from monitor.core.budget import Budget
from monitor.core.decision import Decision, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.record import Arming, release_data
from monitor.core.storm import StormLimit, StormRecord
from monitor.engine.act_events import follow_up_id, identity
from monitor.engine.answer import answer
from monitor.engine.book import CLOSE_DEBT, Command, CommandBook, LedgerBook
from monitor.engine.breaker import CLOSE, Breaker, closed
from monitor.engine.debts import answer_beside_ticks
from monitor.engine.evaluate import Evaluator
from monitor.engine.ports import LedgerEntry, Record, Stamp
from monitor.engine.replay import Replay
from monitor.engine.tenure import Tenure
from monitor.wire.cloudevent import of_decision
from monitor.wire.messages import check
from tests.golden.cases import Case
from tests.golden.traffic import START_MS, STORIES, lines_of

MINUTE_MS = 60_000


class LedgerWorld(MemoryLog):
    """The log of a monitor that has watched a golden case up to a minute.

    Attributes:
        evaluator: As it stands then; it answers orders unless `is_down`.
        commands: What was ordered, as a worker reads it.
    """

    def __init__(self, case: Case, until_min: int) -> None:
        super().__init__(partitions=3, now_ms=lambda: START_MS + until_min * MINUTE_MS)
        self.is_down = False
        self.commands: list[Command] = []
        self.storm = StormRecord()
        self._ledger = KafkaLedger(self)
        self.evaluator, watched = deepcopy(_watched(case, until_min))
        self.budget = self.evaluator.budget
        asyncio.run(self.record([arming_of(self.budget), *watched]))

    async def record(self, decisions: Sequence[Decision], command_id: str | None = None) -> None:
        """Put decisions on record as a worker does: once before and once after they are published."""
        for decision in decisions:
            self.storm.note(decision)
            check(of_decision(decision))
            for is_published in (False, True):
                await self._ledger.append(LedgerEntry(decision, None, is_published, command_id))

    async def append(
        self, topic: str, key: str | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Stamp:
        """Append; an order is answered at once."""
        stamp = await super().append(topic, key, value, headers)
        if topic == COMMANDS:
            record = Record(topic, stamp.partition, stamp.offset, stamp.at_ms, key, value)
            command = command_of(record, stamp.at_ms)
            assert isinstance(command, Command), command
            self.commands.append(command)
            if self.is_down:
                return stamp
            if command.kind == CLOSE_DEBT:
                await self._close_debt(command)
            else:
                await self.record(self._answer(command), command.command_id)
        return stamp

    def _answer(self, command: Command) -> list[Decision]:
        if command.kind == CLOSE:
            return [closed(Breaker(StormLimit(10, 60), self.storm), command)]
        return answer(self.evaluator, command, self.on_record())

    def on_record(self) -> LedgerBook:
        """All that is on record, as a worker knows it."""
        book = LedgerBook()
        for record in self.ledger_records():
            entry = ledger_entry(record)
            assert isinstance(entry, LedgerEntry), entry
            book.note(entry)
        return book

    def fail_rollback(self, request: Decision, why: str) -> Decision:
        """Put on record that the flag of a request was not turned, as the agent does; returns that."""
        failed = Decision(
            Type.ROLLBACK_FAILED,
            follow_up_id(Type.ROLLBACK_FAILED, request.decision_id),
            request.release,
            request.at_ms + 1_000,
            {
                **identity(request.data),
                "request_id": request.decision_id,
                "retryable": False,
                "message": why,
                "reason": "actuator",
            },
        )
        asyncio.run(self.record([failed]))
        return failed

    async def _close_debt(self, command: Command) -> None:
        commands = CommandBook()
        commands.note(command)
        tenure = Tenure(MemoryLease(lambda: 0), "one", 10_000)
        args = (commands, self.on_record(), self._ledger, tenure, KafkaOutputs(self))
        await answer_beside_ticks((), *args, now_ms=command.at_ms)

    async def close(self) -> None:
        """Stay: the test looks again."""

    def ledger_records(self) -> list[Record]:
        """The ledger as it is."""
        return [record for records in self.records(LEDGER) for record in records]


@lru_cache(maxsize=16)
def _watched(case: Case, until_min: int) -> tuple[Evaluator, list[Decision]]:
    """The evaluator of a case as it stands at a minute, and what it has decided; each world gets a copy."""
    budget = load_budget(case.budget.read_text(), "budget.yaml")
    replay = Replay([budget], decode)
    (evaluator,) = replay.evaluators
    decisions: list[Decision] = []
    for line in lines_of(STORIES[case.traffic]):
        if (evaluator.progress.tick or 0) * MINUTE_MS >= START_MS + until_min * MINUTE_MS:
            break
        decisions += replay.feed(line)
    return evaluator, decisions


def arming_of(budget: Budget, number: int = 1, at_ms: int = START_MS) -> Decision:
    """The record of an arming, as `engine.control` writes it."""
    data = {
        **release_data(budget, Arming(budget.release, number, budget.digest, at_ms)),
        "spec": canonical(budget),
        "decided_at": rfc3339(at_ms),
        "summary": f"{budget.release} is armed against {budget.baseline}",
    }
    return Decision(
        Type.ARMING_CREATED,
        decision_id("arming.created", budget.release, number),
        budget.release,
        at_ms,
        data,
    )
