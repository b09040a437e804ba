"""The verb `checklist`: what has to be there before a release, each item answered by what can be seen."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import typer

from monitor.cli.output import console, print_json
from monitor.cli.plan import Assume, CohortShare, HistoryFiles

CHECKLIST_EXAMPLE: Final = "rollback-budget checklist --budget model-v42.yaml --rate 600/min --share 5%"
FAIL_ON: Final = 3


class Form(StrEnum):
    """For whom the page is written."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class FailOn(StrEnum):
    """At what the exit code is 3."""

    GAP = "gap"


def checklist(
    budget: Annotated[str, typer.Option("--budget", metavar="FILE", help="The budget of the release.")],
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", metavar="R", help="All requests, of both releases: 10/s, 600/min; else the recording's."
        ),
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(
            "--share",
            metavar="S",
            help="The candidate's part: 0.05 or 5%; else what the budget's `traffic` says.",
        ),
    ] = None,
    history: HistoryFiles = None,
    assume: Assume = None,
    cohort_share: CohortShare = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody outside: what that leaves open is unknown.")
    ] = False,
    output: Annotated[
        Form,
        typer.Option("--output", help="`text` for people, `markdown` for a ticket, `json` for machines."),
    ] = Form.TEXT,
    fail_on: Annotated[
        FailOn | None,
        typer.Option("--fail-on", help="Exit with 3 where a required item is a gap or unknown."),
    ] = None,
) -> None:
    """Answer the checklist before a release: budget, evidence, way back, people, past and monitor, on one page.

    Pages nobody and turns nothing. What could not be seen is unknown, and never counts as ready. Exit code 0 where it
    could be asked, whatever the answers are.
    """
    from monitor.cli.checklist_facts import Asked, facts_of
    from monitor.cli.checklist_page import as_json, in_markdown, text_lines
    from monitor.core.checklist import checklist as answered

    traffic = (rate, share, tuple(history or ()), tuple(assume or ()), tuple(cohort_share or ()))
    facts = facts_of(Asked(budget, *traffic, is_offline=offline))
    found = answered(facts)
    if output is Form.JSON:
        print_json(as_json(facts, found))
    elif output is Form.MARKDOWN:
        print(in_markdown(facts, found))
    else:
        people = console()
        for line, style in text_lines(facts, found):
            people.print(line, style=style)
    if fail_on is not None and not found.is_ready:
        raise typer.Exit(FAIL_ON)
