"""The verb `explain`: why a decision was made, and whether its own record bears it out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from monitor.wire.cloudevent import CloudEvent

EXPLAIN_EXAMPLE: Final = "rollback-budget explain 8d2f61c07b5e --events decisions.jsonl"
_FEWEST_DIGITS: Final = 8
_SHOWN: Final = 5  # ids named in an error


class NoSuchDecision(MonitorError):
    """An id that names no decision, or several; the message says what to do."""

    exit_code: ClassVar[int] = 2


def explain(
    decision_id: Annotated[
        str,
        typer.Argument(metavar="ID", help="The decision's id, or its first 8 digits and more."),
    ],
    events: Annotated[
        str | None,
        typer.Option(
            "--events",
            metavar="FILE",
            help="Decisions as `replay` writes them, or - for standard input; by default the ledger's topic.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say why a decision was made, and compute its verdict again from its own record.

    Ends with 1 where a number of the record does not follow from its sums.
    """
    from monitor.cli.explain_report import explanation, print_explanation
    from monitor.cli.on_record import on_record

    _check(decision_id)
    record = on_record(events)
    found = record.events
    if (unread := record.unread_words()) is not None:  # it may be the one that is asked for
        console(stderr=True).print(unread, style="yellow")
    told = explanation(_chosen(found, decision_id, events), found)
    if output is Output.JSON:
        print_json(told.as_json())
    else:
        print_explanation(console(), told)
    if not told.agrees:
        raise typer.Exit(1)


def _check(decision_id: str) -> None:
    if len(decision_id) < _FEWEST_DIGITS:
        raise NoSuchDecision(
            f"{decision_id}: {len(decision_id)} digits are too few to name a decision; "
            f"give {_FEWEST_DIGITS} or more of its `id`"
        )


def _chosen(found: Iterable[CloudEvent], decision_id: str, events: str | None) -> CloudEvent:
    known = {event.id: event for event in found}
    named = [event for event_id, event in known.items() if event_id.startswith(decision_id.lower())]
    where = events or "the ledger"
    if not named:
        newest = list(known.values())[-_SHOWN:]
        shown = ", ".join(f"{event.id[:12]} ({event.name})" for event in newest)
        raise NoSuchDecision(
            f"{decision_id}: no decision of {where} has this id; the newest of its {len(known)} are "
            f"{shown or 'none'}. `rollback-budget status` names those of armed releases"
        )
    if len(named) > 1:
        shown = ", ".join(event.id for event in named[:_SHOWN])
        raise NoSuchDecision(f"{decision_id}: {len(named)} decisions begin so; give more digits: {shown}")
    return named[0]
