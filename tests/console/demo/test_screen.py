"""One screen, 100 columns by 30 lines, that shows what happens; lines for logs; a summary at the end."""

from __future__ import annotations

import asyncio
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from monitor.console.demo.audience import Lines, LiveScreen
from monitor.console.demo.screen import HEIGHT, WIDTH, screen
from monitor.console.demo.show import Result, play
from monitor.console.demo.stories import FULL
from monitor.console.demo.summary import report, summary
from monitor.console.demo.view import View
from tests.console.demo.stand_in import Watcher, stage


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Watcher]:
    folder: Path = tmp_path_factory.mktemp("show")
    on, _, watcher = stage(FULL, folder)
    return asyncio.run(play(FULL, on)), watcher


def text_of(what: RenderableType, width: int = WIDTH) -> str:
    console = Console(width=width, height=HEIGHT, file=StringIO(), record=True, color_system=None)
    console.print(what)
    return console.export_text()


def frame_with_page(watcher: Watcher) -> View:
    return next(frame for frame in watcher.frames if frame.page is not None)


def test_every_frame_fits_the_screen(show: tuple[Result, Watcher]) -> None:
    for frame in show[1].frames[::10]:
        lines = text_of(screen(frame)).splitlines()
        assert len(lines) <= HEIGHT
        assert max(map(len, lines)) <= WIDTH


def test_the_screen_tells_the_story(show: tuple[Result, Watcher]) -> None:
    shown = text_of(screen(frame_with_page(show[1])))
    for words in (
        "Story 2/4: a release that breaks latency",
        "release chat-v43 against chat-v41, share 40 %",
        "at 60x",
        "p95 latency",
        "task success",
        "high-severity incidents",
        "breach",
        "candidate 40 %, baseline 60 %",
        "left, then silence decides",
        "page.opened",
        "the last line",
        "what the app saw",
    ):
        assert words in shown


def test_the_numbers_are_those_of_the_traffic(show: tuple[Result, Watcher]) -> None:
    rows = {row.objective.objective_id: row for row in frame_with_page(show[1]).rows}
    latency, success = rows["latency.p95_delta_pct"], rows["quality.task_success_delta_pct"]
    assert (latency.reading.delta or 0) > 100
    assert latency.state == "breach"
    assert abs(success.reading.delta or 100) < 15


def test_a_screen_without_any_event_is_one(show: tuple[Result, Watcher]) -> None:
    assert "nothing to report" in text_of(screen(show[1].frames[0]))


def test_a_log_has_one_line_per_event_and_turn(show: tuple[Result, Watcher]) -> None:
    file = StringIO()
    lines = Lines(Console(file=file, width=40))
    for frame in show[1].frames:
        lines.show(frame)
    for line in show[1].lines:
        lines.tell(line)
    written = file.getvalue().splitlines()
    assert sum("rollback.requested" in line for line in written) == 3
    assert any("story 2/4" in line and "rollout" in line for line in written)
    assert len(written) < 60


def test_the_live_screen_leaves_the_terminal_as_it_was(show: tuple[Result, Watcher]) -> None:
    file = StringIO()
    console = Console(file=file, width=WIDTH, height=HEIGHT, force_terminal=True, legacy_windows=False)
    with LiveScreen(console) as live:
        live.show(show[1].frames[-1])
    assert "\x1b[?1049h" in file.getvalue()
    assert file.getvalue().rstrip().endswith(("\x1b[?1049l", "\x1b[?25h"))


def test_the_summary_says_what_happened_and_why(show: tuple[Result, Watcher]) -> None:
    shown = " ".join(text_of(summary(show[0]), width=200).split())
    for words in (
        "a healthy release (chat-v42)",
        "yes",
        "27 min",
        "first breach visible",
        "Where to look next",
    ):
        assert words in shown
    found = report(show[0])
    assert found["as_promised"] is True
    stories = found["stories"]
    assert isinstance(stories, list)
    assert [story["name"] for story in stories] == ["healthy", "latency", "incident", "success"]
