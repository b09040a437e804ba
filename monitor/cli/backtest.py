"""The verb `backtest`: many budgets over recorded traffic. Which would have acted, when, and how narrowly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from monitor.adapters.recordings import FileRecordings
    from monitor.core.budget import Budget
    from monitor.engine.backtest import Backtest

BACKTEST_EXAMPLE: Final = (
    "rollback-budget backtest --budgets what-if/ --events traces-*.jsonl.gz --plot what-if.svg"
)
_SVG: Final = ".svg"
_OWNERS: Final = frozenset({"owner", "on_call"})  # whom a page reaches is no question about the past


class BadPlot(MonitorError):
    """A plot that cannot be written; the message says why and what to do."""

    exit_code: ClassVar[int] = 2


def backtest(
    budgets: Annotated[
        list[str],
        typer.Option(
            "--budgets",
            metavar="DIR",
            help="Budgets: directories, files or patterns. Several of them may be about one release.",
        ),
    ],
    events: Annotated[
        list[str],
        typer.Option(
            "--events",
            metavar="FILE...",
            help="Recorded events, one JSON object a line: .jsonl, .gz, .zst, or - for standard input. Several are "
            "read one after the other, as one recording.",
        ),
    ],
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.svg", help="Draw the excess over time, one panel an objective."),
    ] = None,
    charts: Annotated[
        bool,
        typer.Option("--charts/--no-charts", help="Draw the excess over time below the tables, as text."),
    ] = True,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which of many budgets would have acted on recorded traffic, when, and how narrowly.

    The recording is read once for all budgets. Each decides as in a replay of its own.
    """
    from monitor.adapters.kafka.decode import decode
    from monitor.cli.backtest_report import as_json, print_results
    from monitor.engine.backtest import Backtest

    _check_plot(plot)
    played = Backtest(_budgets(budgets), decode)
    _play(played, events)
    results = played.results()
    if plot is not None:
        _write_plot(plot, played)
    if output is Output.JSON:
        print_json(as_json(results, played.counts()))
    else:
        print_results(console(wide=True), results, played.counts(), charts=charts)


def _check_plot(plot: Path | None) -> None:
    """Refuse what would only be found out after hours of reading."""
    if plot is None:
        return
    if plot.suffix != _SVG:
        raise BadPlot(f"--plot: {plot} is no {_SVG} file; only SVG is written, and browsers make a PNG of it")
    if plot.is_dir() or not plot.parent.is_dir():
        raise BadPlot(f"--plot: {plot} cannot be written: name a file in a directory that exists")


def _write_plot(plot: Path, played: Backtest) -> None:
    from monitor.cli.backtest_svg import drawing

    try:
        plot.write_text(drawing(played.results()), encoding="utf-8")
    except OSError as error:
        raise BadPlot(f"--plot: {plot} cannot be written: {error.strerror or error}") from error


def _budgets(patterns: Sequence[str]) -> dict[str, Budget]:
    """Return the budgets by their file, and say on stderr what is to be said about them."""
    from monitor.config.files import check_budgets
    from monitor.config.problem import BudgetInvalid

    reports = check_budgets(patterns, rivals=True)
    problems = tuple(problem for report in reports for problem in report.problems)
    if any(report.budget is None for report in reports):
        raise BudgetInvalid(problems)
    for problem in problems:
        if problem.path_in_file not in _OWNERS:
            console(stderr=True).print(str(problem), style="yellow")
    return {report.file: report.budget for report in reports if report.budget is not None}


def _play(played: Backtest, events: Sequence[str]) -> None:
    from monitor.adapters.recordings import STDIN, FileRecordings

    if STDIN not in events or sys.stdin is None:
        _play_files(played, FileRecordings(events, None))
        return
    with open(sys.stdin.fileno(), "rb", closefd=False) as stdin:
        _play_files(played, FileRecordings(events, stdin))


def _play_files(played: Backtest, recording: FileRecordings) -> None:
    from monitor.adapters.collector import looking_seldom
    from monitor.cli.replay_run import meter

    feed = played.feed
    with meter("bytes") as tell, looking_seldom():
        for batch in recording.batches():
            for line in batch:
                feed(line)
            tell(recording.done_bytes, recording.total_bytes, recording.lines)
    played.finish()
