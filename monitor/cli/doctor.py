"""The verb `doctor`: everything outside that the monitor needs, asked at once, with a remedy for what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json

if TYPE_CHECKING:
    from monitor.engine.checkup import Finding

DOCTOR_EXAMPLE: Final = "rollback-budget doctor --output json"
UNWELL: Final = 1
_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


def doctor(
    json_: Annotated[
        bool, typer.Option("--json", help="The same as `--output json`.", show_default=False)
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check settings, budgets, Kafka, topics, rights, Redis, flags, pagers and clocks; each failure with its remedy.

    Pages nobody and turns nothing. Every check is bounded in time, and all are made whatever the others find. Exit
    code 1 where one failed; a warning is no failure.
    """
    import asyncio

    from monitor.adapters.kafka.client import silent_library
    from monitor.cli.doctor_checks import all_findings
    from monitor.engine.checkup import is_well

    with silent_library():
        findings = asyncio.run(all_findings())
    if json_ or output is Output.JSON:
        print_json({"well": is_well(findings), "findings": [_as_json(one) for one in findings]})
    else:
        _print(findings)
    if not is_well(findings):
        raise typer.Exit(UNWELL)


def _as_json(one: Finding) -> dict[str, str]:
    return {
        "check": one.check,
        "subject": one.subject,
        "health": one.health.value,
        "text": one.text,
        "remedy": one.remedy,
    }


def _print(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    people = console()
    table = Table(box=None, pad_edge=False)
    for title in ("check", "of what", "", "found"):
        table.add_column(title, overflow="fold")
    for one in findings:
        found = Text(one.text)
        if one.remedy:
            found.append(f"\n→ {one.remedy}", style="bold")
        health = Text(one.health.value, style=_STYLES[one.health.value])
        table.add_row(one.check, one.subject, health, found)
    people.print(table)
    counts = Counter(one.health.value for one in findings)
    people.print()
    people.print(", ".join(f"{counts[name]} {name}" for name in _STYLES if counts[name]))
