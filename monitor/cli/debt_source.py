"""Where the verbs find eval debts: in the ledger, or in a file that somebody wrote before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

from monitor.cli import orders
from monitor.cli.status import read_ledger
from monitor.config.settings import Settings
from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.core.eval_debt import EvalDebt, debt_of, debts_of
from monitor.engine.ports import LedgerEntry
from monitor.wire.cloudevent import NotACloudEvent, from_structured, to_decision

_FEWEST_DIGITS: Final = 8
_SHOWN: Final = 5  # ids named in an error
ASKED_S: Final = 10.0
"""Who asks beside other things waits no longer for a ledger."""


class NoSuchDebt(MonitorError):
    """What was asked for names no eval debt, or several; the message says what to do."""

    exit_code: ClassVar[int] = 2


def of_ledger(settings: Settings) -> list[EvalDebt]:
    """Return every debt of the ledger, the first due first.

    Raises:
        KafkaAway: Kafka does not answer.
    """
    with orders.kafka_said_plainly(settings):
        entries = asyncio.run(read_ledger(orders.kafka_log(settings)))
    return debts_of(entry.decision for entry in entries)


def of_ledger_soon(settings: Settings) -> list[EvalDebt]:
    """Return every debt of the ledger, where Kafka answers within a moment.

    Raises:
        KafkaAway: It does not.
    """
    return debts_of(entry.decision for entry in ledger_soon(settings))


def ledger_soon(settings: Settings) -> list[LedgerEntry]:
    """Return all that the ledger holds, where Kafka answers within a moment.

    Raises:
        KafkaAway: It does not.
    """

    async def read() -> list[LedgerEntry]:
        async with asyncio.timeout(ASKED_S):
            return await read_ledger(orders.kafka_log(settings))

    try:
        with orders.kafka_said_plainly(settings):
            return asyncio.run(read())
    except TimeoutError as error:
        raise orders.KafkaAway(f"Kafka did not answer within {ASKED_S:g} s") from error


def of_file(name: str) -> list[EvalDebt]:
    """Return the debts of a file: events as `replay` writes them, or lines of `debt export --format jsonl`.

    Raises:
        NoSuchDebt: The file cannot be read, or no line of it is JSON of that kind.
    """
    try:
        with open(name, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise NoSuchDebt(
            f"{name}: {error}; give a file of JSON lines, as `rollback-budget debt export --format jsonl` "
            "or `rollback-budget replay` writes them"
        ) from error
    return _debts(name, lines)


def _debts(name: str, lines: Sequence[Any]) -> list[EvalDebt]:
    decisions: list[Decision] = []
    records: list[EvalDebt] = []
    for number, line in enumerate(lines, start=1):
        try:
            if "debt_id" in line:
                records.append(debt_of(line, line.get("closed")))
            else:
                decisions.append(to_decision(from_structured(line)))
        except (NotACloudEvent, KeyError, TypeError, ValueError, AttributeError) as error:
            raise NoSuchDebt(
                f"{name}: line {number} is neither an event nor an eval debt: {error}"
            ) from error
    kinds = (Type.DEBT_CREATED, Type.DEBT_CLOSED)
    found = [*records, *debts_of(one for one in decisions if one.type in kinds)]
    return sorted(found, key=lambda one: (one.due_ms, one.debt_id))


def chosen(debts: Iterable[EvalDebt], debt_id: str) -> EvalDebt:
    """Return the debt that an id, or its first digits, names.

    Raises:
        NoSuchDebt: None does, or several do.
    """
    debts = list(debts)
    if len(debt_id) < _FEWEST_DIGITS:
        raise NoSuchDebt(f"{debt_id}: give {_FEWEST_DIGITS} digits or more of the debt's id")
    named = [one for one in debts if one.debt_id.startswith(debt_id.lower())]
    if len(named) == 1:
        return named[0]
    if named:
        shown = ", ".join(one.debt_id for one in named[:_SHOWN])
        raise NoSuchDebt(f"{debt_id}: {len(named)} debts begin so; give more digits: {shown}")
    known = ", ".join(one.debt_id[:12] for one in debts if one.is_open) or "none"
    raise NoSuchDebt(f"{debt_id}: no eval debt has this id; open are {known}")
