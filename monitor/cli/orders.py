"""An order on its way: onto the commands topic, and back as what the ledger says became of it.

Loaded by the verbs of the commander when they run. An answer is a ledger entry that carries the order's id.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Protocol

from monitor.adapters.kafka.client import silent_library
from monitor.adapters.kafka.ledger import ledger_entry
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.topics import COMMANDS, LEDGER
from monitor.app import kafka_access
from monitor.config.settings import Settings
from monitor.config.settings_source import variable_of
from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Follower, LedgerEntry, Log, Record
from monitor.wire.commands import CloseBreaker, Order, command_value

# One order may lead to several decisions, recorded one right after the other.
REST_S: Final = 0.3


class KafkaAway(MonitorError):
    """Kafka does not answer; the message says which address was tried."""


class NotSent(MonitorError):
    """The order was not sent; the message says why."""


@dataclass(slots=True)
class Answer:
    """What became of an order: decisions that carry its id; none where nobody answered in time."""

    decisions: list[Decision] = field(default_factory=list)

    def note(self, decision: Decision) -> None:
        """Take in a decision; the ledger has it twice, before and after it is published."""
        if all(one.decision_id != decision.decision_id for one in self.decisions):
            self.decisions.append(decision)

    @property
    def is_refused(self) -> bool:
        """Tell whether a worker refused it."""
        return any(one.type is Type.COMMAND_REFUSED for one in self.decisions)


class ClosingLog(Log, Protocol):
    """A log with connections of its own."""

    async def close(self) -> None:
        """Give them back."""


@contextmanager
def kafka_said_plainly(settings: Settings) -> Iterator[None]:
    """Keep the library silent, and say what to look at where Kafka does not answer.

    Raises:
        KafkaAway: In place of `LogUnreachable`.
    """
    with silent_library():
        try:
            yield
        except LogUnreachable as error:
            where = f"it is {settings.kafka_bootstrap} by {variable_of('kafka_bootstrap')}"
            raise KafkaAway(f"Kafka does not answer ({where}): {error}") from error


def kafka_log(settings: Settings) -> ClosingLog:
    """Return the log that the settings name."""
    return KafkaLog(kafka_access(settings))


async def send(log: Log, order: Order, wait_s: float) -> Answer | None:
    """Send an order; return its answer, or None where none was waited for.

    Args:
        wait_s: How long to wait for the answer; 0 sends and leaves.

    Raises:
        LogUnreachable: Kafka does not answer.
        NotSent: The ledger knows no such release.
    """
    follower = log.follow(LEDGER)
    try:
        if wait_s:
            await follower.start()
            entries = entries_of(await follower.read_to_end())
            if not isinstance(order, CloseBreaker):
                _check_release(order.release, entries)
        await log.append(COMMANDS, order.release, command_value(order))
        return await _awaited(follower, order, wait_s) if wait_s else None
    finally:
        await follower.stop()


def _check_release(release: str, entries: Sequence[LedgerEntry]) -> None:
    known = sorted(
        {entry.decision.release for entry in entries if entry.decision.type is Type.ARMING_CREATED}
    )
    if release in known:
        return
    near = get_close_matches(release, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known[-5:]) or 'none'}."
    raise NotSent(f"{release} was never armed: {hint} Nothing was sent; --no-wait sends it all the same")


async def _awaited(follower: Follower, order: Order, wait_s: float) -> Answer:
    try:
        return await _answer(follower, order.command_id, wait_s)
    except (
        asyncio.CancelledError
    ):  # Ctrl-C: it ends the waiting, and whoever pressed it may believe the order too
        print(f"the order is on record (command {order.command_id}) and counts all the same", file=sys.stderr)
        raise


async def _answer(follower: Follower, command_id: str, wait_s: float) -> Answer:
    answer = Answer()
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s) as limit:
            async for records in follower:
                for entry in entries_of(records):
                    if entry.command_id == command_id:
                        answer.note(entry.decision)
                if answer.decisions:
                    limit.reschedule(asyncio.get_running_loop().time() + REST_S)
    return answer


def entries_of(records: Sequence[Record]) -> list[LedgerEntry]:
    """Return the entries that this version can read; one that it cannot is somebody else's concern here."""
    found = (ledger_entry(record) for record in records)
    return [entry for entry in found if isinstance(entry, LedgerEntry)]
