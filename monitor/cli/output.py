"""What every verb shares about its output: for people on a terminal, plain elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


class Output(StrEnum):
    """For whom a verb writes."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", help="`text` for people, `json` for machines.")]


def console(*, stderr: bool = False) -> Console:
    """Return where text for people goes: styled on a terminal, plain and never cut elsewhere, harmless everywhere."""
    from rich.console import Console  # quick help: loaded when there is something to print

    class Harmless(Console):
        """Prints no character of traffic, budgets or the record that a terminal would obey."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                # Rich's own control codes are marked as such, and its colours are no text.
                yield segment if segment.control else segment._replace(text=harmless(segment.text))

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 10_000  # a pipe has no width: nothing may be wrapped there
    return Harmless(file=stream, highlight=False, markup=False, emoji=False, width=width, soft_wrap=True)


def harmless(text: str) -> str:
    """Return a text without what moves a cursor, colours, turns text round or is not seen; its lines stay lines.

    Cohort values, trace ids and the like are anybody's who may send an event: a terminal must not obey them.
    """
    from monitor.engine.page_commands import UNSEEN

    return text if text.isprintable() else "\n".join(UNSEEN.sub("", line) for line in text.split("\n"))


def on_one_line(text: str) -> str:
    """Return a text as one harmless line: what is anybody's to write must not look like a line of ours."""
    from monitor.engine.page_commands import UNSEEN

    return UNSEEN.sub(" ", text)


def print_json(value: object) -> None:
    """Write one JSON document to stdout. What is not seen is escaped: the same values, and a terminal obeys none."""
    from monitor.engine.page_commands import UNSEEN

    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False)
    print("\n".join(UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], line) for line in text.split("\n")))
