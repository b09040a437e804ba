"""The verb `demo`: the whole monitor on one machine, on real traffic, in about three minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json

DEMO_EXAMPLE: Final = "rollback-budget demo --stay"
NOT_AS_PROMISED: Final = 1


def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep everything running after the last story, until Ctrl-C.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="Shorter stories and lines instead of the screen.")
    ] = False,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded/--no-embedded",
            help="Start Kafka and Valkey here, or use the configured ones (which nobody else may be using).",
        ),
    ] = True,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the screen.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's folder: logs, flag file, addresses.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where that folder is; an empty or new one. It is kept.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Another seed, other draws of the same rows.")
    ] = 1,
    output: OutputOption = Output.TEXT,
) -> None:
    """Watch four releases: one is fine, three are rolled back, each for another reason.

    Real Kafka, real Valkey, two workers, a flag file and an app that reads it; real traffic at sixty times its speed.
    Exit code 0 when all four stories ended as promised.
    """
    import asyncio
    import sys

    from monitor.cli.demo_stage import Choice, give
    from monitor.console.demo.summary import report, summary

    choice = Choice(
        stay=stay,
        short=short,
        embedded=embedded,
        on_screen=sys.stdout.isatty() and not (plain or short or output is Output.JSON),
        keep=keep,
        folder=folder,
        seed=seed,
    )
    # With --output json the show itself goes to stderr: stdout holds one document.
    people = console(stderr=output is Output.JSON)
    try:
        result = asyncio.run(give(choice, people))
    except asyncio.CancelledError:
        people.print("ended before the first story")
        raise typer.Exit(NOT_AS_PROMISED) from None
    if output is Output.JSON:
        print_json(report(result))
    else:
        people.print(summary(result), width=min(people.width, 120))
    if not result.as_promised:
        raise typer.Exit(NOT_AS_PROMISED)
