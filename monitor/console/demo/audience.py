"""Where the show is seen: one live screen in a terminal, or one line per event everywhere else."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live

from monitor.console.demo.screen import screen
from monitor.console.demo.view import LogLine, View
from monitor.core.moment import rfc3339


class LiveScreen:
    """The one screen; use it as a context manager. It leaves the terminal as it was."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False)

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._live.stop()

    def tell(self, line: LogLine) -> None:
        """Do nothing: the next frame shows the event."""

    def show(self, frame: View) -> None:
        """Replace the screen."""
        self._live.update(screen(frame), refresh=True)


class Lines:
    """One line per event and per turn of a story: for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turn: tuple[object, ...] = ()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def tell(self, line: LogLine) -> None:
        """Print one event."""
        self._print(line.at_ms, f"{line.event_type.removesuffix('.v1'):<19} {line.text}")

    def show(self, frame: View) -> None:
        """Print where the story stands, when that changed."""
        turn = (frame.number, frame.phase, round(frame.share_pct))
        if turn == self._turn:
            return
        self._turn = turn
        self._print(
            frame.now_ms,
            f"story {frame.number}/{frame.total} {frame.story.title} ({frame.story.release}): "
            f"{frame.phase.value}, candidate {frame.share_pct:.0f} %",
        )

    def _print(self, at_ms: int, text: str) -> None:
        # No wrapping and no markup: a log's line is one line, whatever an event's sentence holds.
        line = f"{rfc3339(at_ms)[11:19]} {text}"
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)
