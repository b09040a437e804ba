"""The verb `scorecard`: one release's full record in one arming: its result, objectives, decisions and debts."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.commander import Release
from monitor.cli.output import console, print_json

if TYPE_CHECKING:
    from monitor.cli.on_record import OnRecord
    from monitor.core.scorecard import Scorecard

SCORECARD_EXAMPLE: Final = "rollback-budget scorecard model-v42 --output markdown >> releases/model-v42.md"
_STYLES: Final = {"healthy": "bold green", "rolled_back": "bold red", "breach_hard": "bold red"}


class Form(StrEnum):
    """For whom a scorecard is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


EventsFile = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="Decisions as `replay` writes them, or - for standard input; by default the ledger's topic.",
    ),
]
ArmingNumber = Annotated[
    int | None,
    typer.Option("--arming", metavar="N", min=1, help="An earlier arming; by default the newest on record."),
]


def scorecard(
    release: Release,
    events: EventsFile = None,
    arming: ArmingNumber = None,
    output: Annotated[
        Form,
        typer.Option("--output", help="`text` for people, `json` for machines, `markdown` to be pasted."),
    ] = Form.TEXT,
) -> None:
    """Show a release's full record: one result, every objective's verdict, what happened, what is owed.

    It reads what is on record and asks no worker. What is missing or too thin is said and never counts as passed.
    """
    from dataclasses import asdict

    from monitor.cli.on_record import on_record
    from monitor.cli.scorecard_words import as_markdown, as_text

    found = on_record(events)
    card = card_of(found, release, arming)
    if output is Form.JSON:
        print_json(asdict(card))
    elif output is Form.MARKDOWN:
        sys.stdout.write(as_markdown(card))
    else:
        head, _, rest = as_text(card).partition("\n")
        people = console()
        people.print(head, style=_STYLES.get(card.result.value, "yellow"))
        people.print(rest, end="")
    if (unread := found.unread_words()) is not None:
        console(stderr=True).print(unread, style="yellow")


def card_of(found: OnRecord, release: str, arming: int | None) -> Scorecard:
    """Return the scorecard of an arming; None is the newest."""
    from monitor.core.scorecard import scorecard as of_known
    from monitor.engine.arming_record import arming_record, known_of

    return of_known(known_of(arming_record(found.decisions(), release, arming), found.source))
