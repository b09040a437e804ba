"""The commander's verbs and `status` against a real Kafka: orders out, answers back, the ledger read to its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from monitor.adapters.kafka.ledger import KafkaLedger
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.readers import command_of
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import COMMANDS, product_topics
from monitor.cli import main
from monitor.config.budget_file import load_budget
from monitor.core.record import Arming
from monitor.engine.answer import answer
from monitor.engine.book import Command
from monitor.engine.evaluate import Evaluator
from monitor.engine.ports import LedgerEntry
from tests.cli.ledger_world import arming_of

BUDGET = """
release: RELEASE
baseline: before
window: 24h
rollback_budget:
  quality: {task_success_delta_pct: -2, max_duration_min: 20}
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


@pytest.fixture
async def log(access: KafkaAccess, unique: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaLog]:
    monkeypatch.setenv("ROLLBACK_BUDGET_KAFKA_BOOTSTRAP", access.bootstrap)
    await ensure_topics(access, product_topics(traces=f"{unique}-traces", trace_partitions=1))
    made = KafkaLog(access)
    yield made
    await made.close()


async def typed(*arguments: str) -> int:
    """Type a command; in a thread, because it runs an event loop of its own."""
    return await asyncio.to_thread(main, list(arguments))


async def work(log: KafkaLog, evaluator: Evaluator) -> None:
    """Answer orders for one release, as its owner does."""
    follower = log.follow(COMMANDS)
    await follower.start()
    try:
        async for records in follower:
            for record in records:
                command = command_of(record, record.at_ms)
                if isinstance(command, Command) and command.release == evaluator.budget.release:
                    for decision in answer(evaluator, command):
                        entry = LedgerEntry(decision, None, command_id=command.command_id)
                        await KafkaLedger(log).append(entry)
    finally:
        await follower.stop()


async def test_an_order_is_answered_and_status_shows_it(
    log: KafkaLog, unique: str, capfd: pytest.CaptureFixture[str]
) -> None:
    budget = load_budget(BUDGET.replace("RELEASE", unique), "budget.yaml")
    await KafkaLedger(log).append(LedgerEntry(arming_of(budget), None, True))
    evaluator = Evaluator(budget, Arming(unique, 1, budget.digest, 0), delivered_when_opened=False)
    worker = asyncio.create_task(work(log, evaluator))
    try:
        assert (
            await typed("override", unique, "--until", "30m", "--reason", "outage", "--author", "dana") == 0
        )
        assert "override.created: dana holds back every objective until" in capfd.readouterr().out
        assert await typed("status", unique, "--output", "json") == 0
        (shown,) = json.loads(capfd.readouterr().out)["releases"]
        assert (shown["stage"], [held["author"] for held in shown["overrides"]]) == ("watching", ["dana"])
        assert await typed("disarm", unique, "--reason", "over") == 0
        assert await typed("disarm", unique, "--reason", "over") == 1
        assert "refused" in capfd.readouterr().out
    finally:
        worker.cancel()
        await asyncio.wait({worker})
    assert await typed("arm", unique, "--reason", "again", "--wait", "0.2") == 1
    assert "no answer within 0.2 s" in capfd.readouterr().err
