"""How a worker reads the control topics: which it follows, and what their records mean."""

from __future__ import annotations

from collections.abc import Callable

from monitor.adapters.kafka.history import history_hour
from monitor.adapters.kafka.ledger import ledger_entry
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.outputs import incident_of
from monitor.adapters.kafka.readers import budget_of, command_of, signatures_of
from monitor.adapters.kafka.topics import BUDGETS, COMMANDS, HISTORY, INCIDENTS, LEDGER
from monitor.config.settings import Settings
from monitor.engine.supervise import Followers, Readers


def followers_of(log: KafkaLog) -> Followers:
    """Return what follows each of the topics."""
    return Followers(
        ledger=log.follow(LEDGER),
        budgets=log.follow(BUDGETS),
        commands=log.follow(COMMANDS),
        incidents=log.follow(INCIDENTS),
        history=log.follow(HISTORY),
    )


def readers_of(settings: Settings, event_ms: Callable[[int], int]) -> Readers:
    """Return what makes of their records what the engine knows.

    Args:
        event_ms: Event time of a record's own time.
    """
    signatures = signatures_of(settings)
    return Readers(
        entry=ledger_entry,
        budget=budget_of,
        command=lambda record: command_of(record, event_ms(record.at_ms), signatures),
        incident=incident_of,
        hour=history_hour,
    )
