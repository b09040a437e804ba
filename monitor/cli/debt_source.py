"""Where the verbs find eval debts: in the ledger, or in a file that somebody wrote before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import ClassVar, Final

from monitor.cli import orders
from monitor.cli.debt_words import debt_details, debt_line
from monitor.cli.on_record import event_of, lines_of
from monitor.cli.status import read_ledger
from monitor.config.settings import Settings
from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.core.eval_debt import EvalDebt, debt_of, debts_of
from monitor.engine.ports import LedgerEntry
from monitor.wire.cloudevent import NotACloudEvent, finite_only, to_decision
from monitor.wire.eval_cases import debt_lines, inspect_dataset

_FEWEST_DIGITS: Final = 8
_SHOWN: Final = 5  # ids named in an error
DEBTS_MAX: Final = 1_000_000
"""Of one file; more is refused and not cut."""

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

    A file without any is no error: nothing is owed. A line that is neither is one, for what it was about would be
    missing without a word.

    Raises:
        NoSuchDebt: A line is neither, or there are too many.
        RecordingUnreadable, RecordingBroken: The file cannot be read, or not to its end.
    """
    records: list[EvalDebt] = []
    decisions: list[Decision] = []
    for number, line in enumerate(lines_of(name), start=1):
        try:
            found = _found(line)
            if isinstance(found, EvalDebt):
                records.append(found)
            elif found is not None:
                decisions.append(found)
        except (NotACloudEvent, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise NoSuchDebt(
                f"{name}: line {number} is neither an event nor an eval debt: {error}; give a file of JSON lines, as "
                "`rollback-budget debt export --format jsonl` or `rollback-budget replay` writes them"
            ) from error
        if len(records) + len(decisions) > DEBTS_MAX:
            raise NoSuchDebt(f"{name}: holds more than {DEBTS_MAX:,} debts; give a part of them")
    return sorted([*records, *debts_of(decisions)], key=lambda one: (one.due_ms, one.debt_id))


def _found(line: bytes) -> EvalDebt | Decision | None:
    """Return what a line says of a debt; None for an event that is about none."""
    whole = json.loads(line)
    if isinstance(whole, dict) and "debt_id" in whole:
        data = finite_only(whole)
        debt = debt_of(data, data.get("closed"))
        _say(debt)
        return debt
    decision = to_decision(event_of(line))
    if decision.type not in (Type.DEBT_CREATED, Type.DEBT_CLOSED):
        return None
    for debt in debts_of([decision]):
        _say(debt)
    return decision


def _say(debt: EvalDebt) -> None:
    """Say it in every form, so that no verb meets a debt later that cannot be said."""
    text = [debt_line(debt, debt.due_ms), *debt_details(debt), debt_lines([debt], debt.due_ms)]
    "".join([*text, inspect_dataset([debt])]).encode()


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
