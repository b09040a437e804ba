"""What every verb shares about its output: for people on a terminal, plain elsewhere, JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


class Output(StrEnum):
    """For whom a verb writes."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", help="`text` for people, `json` for machines.")]


def console(*, stderr: bool = False, wide: bool = False) -> Console:
    """Return where text for people goes: styled on a terminal, plain and never cut elsewhere, harmless everywhere.

    Args:
        wide: A table may be wider than the terminal, which breaks its lines then. Else the library cuts names and
            numbers off to make it fit; it folds only what a column asks for.
    """
    from monitor.cli.terminal import HarmlessConsole  # quick help: loaded when there is something to print

    stream = sys.stderr if stderr else sys.stdout
    width = (
        None if stream.isatty() and not wide else 10_000
    )  # a pipe has no width: nothing may be wrapped there
    return HarmlessConsole(
        file=stream, highlight=False, markup=False, emoji=False, width=width, soft_wrap=True
    )


def on_one_line(text: str) -> str:
    """Return a text as one harmless line: what is anybody's to write must not look like a line of ours."""
    from monitor.engine.page_commands import UNSEEN

    return UNSEEN.sub(" ", text)


def print_json(value: object) -> None:
    """Write one JSON document to stdout. What is not seen is escaped: the same values, and a terminal obeys none."""
    from monitor.engine.page_commands import UNSEEN

    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False)
    print("\n".join(UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], line) for line in text.split("\n")))


def let_go(stream: IO[Any]) -> None:
    """Give up a stream that takes nothing any more; else the interpreter, which flushes it at its end, complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
