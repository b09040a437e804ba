"""Text for people on a terminal: names come from traffic and from budgets, and none of them may steer it.

Loaded when there is something to print.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from monitor.engine.page_commands import harmless


class HarmlessConsole(Console):
    """Shows no text before it is harmless, wherever it came from; styles are the console's own and stay."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it will be shown, of a cell in a table too; the library calls this for each."""
        return super().render_str(harmless(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what will be written, of texts with styles of their own too."""
        for segment in super().render(renderable, options):
            # Rich's own control codes are marked as such, and its colours are no text.
            yield segment if segment.control else segment._replace(text=harmless(segment.text))
