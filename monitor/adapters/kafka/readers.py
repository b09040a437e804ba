"""Records of the control topics as the engine knows them: budgets and commands."""

from __future__ import annotations

from typing import Final

from monitor.config.budget_file import load_budget
from monitor.config.command_keys import keys_of
from monitor.config.problem import BudgetInvalid
from monitor.config.settings import Settings
from monitor.core.budget import Budget
from monitor.engine.book import Command
from monitor.engine.ports import Record
from monitor.wire.commands import (
    Acknowledge,
    Assess,
    BadCommand,
    CloseDebt,
    Decide,
    Extend,
    HoldBack,
    read_command,
)
from monitor.wire.signing import Signatures

UNCHECKED: Final = Signatures()


def budget_of(record: Record) -> tuple[str, Budget | None] | str:
    """Return the release and its budget (None for a tombstone), or why the record cannot be used."""
    if not record.key:
        return "the record has no key; its key is the release that the budget is for"
    if record.value is None:
        return record.key, None
    try:
        budget = load_budget(record.value, f"budget of {record.key}")
    except BudgetInvalid as error:
        return str(error)
    if budget.release != record.key:
        return (
            f"the record's key is {record.key!r} and its budget is for {budget.release!r}; they must be equal"
        )
    return record.key, budget


def signatures_of(settings: Settings) -> Signatures:
    """Return what tells whose an order is."""
    keys = settings.command_keys
    known = {} if keys is None else keys_of(keys.get_secret_value())
    return Signatures(known, settings.require_signed_commands)


def command_of(record: Record, at_ms: int, signatures: Signatures = UNCHECKED) -> Command | str:
    """Return the command a record holds, or why it is none.

    Args:
        at_ms: The record's time, in event time: a command counts from then on.
        signatures: What tells whose it is.
    """
    try:
        order = read_command(record.value)
    except BadCommand as error:
        return str(error)
    shown = signatures.check(order)
    return Command(
        kind=order.command,
        command_id=order.command_id,
        release=order.release,
        author=order.author,
        reason=order.reason,
        at_ms=at_ms,
        decision=order.decision if isinstance(order, Decide) else None,
        page_id=order.page_id if isinstance(order, Decide | Acknowledge | Extend) else None,
        objective=order.objective if isinstance(order, Decide | Acknowledge | HoldBack | Extend) else None,
        until_ms=order.until if isinstance(order, Decide | HoldBack) else None,
        limit=order.limit if isinstance(order, HoldBack) else None,
        signed=shown.is_known,
        fault=shown.fault,
        by_min=order.by_min if isinstance(order, Extend) else None,
        debt_id=order.debt_id if isinstance(order, CloseDebt) else None,
        evaluation=order.evaluation if isinstance(order, CloseDebt) else None,
        stage=order.stage if isinstance(order, Assess) else None,
    )
