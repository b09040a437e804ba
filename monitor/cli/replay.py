"""The verb `replay`: the live engine over recorded events. Decisions go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import typer

from monitor.cli.output import Output, OutputOption, console
from monitor.cli.replay_report import FailOn
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.adapters.kafka.topic_range import RangeReader
    from monitor.cli.replay_run import Stage
    from monitor.config.settings import Settings
    from monitor.core.budget import Budget
    from monitor.engine.book import Command
    from monitor.engine.history import HistoryBook
    from monitor.engine.replay import ReplayCounts

REPLAY_EXAMPLE: Final = (
    "rollback-budget replay --budget v42.yaml --events traces-*.jsonl.gz > decisions.jsonl"
)
FAIL_ON_MET: Final = 3
KAFKA: Final = "kafka://"

HistoryOption = Annotated[
    Path | None,
    typer.Option(
        "--history",
        metavar="FILE",
        help="The baselines' past: records of rollback.history.v1, one a line, plain or .gz. Frozen baselines and "
        "what incidents are normal come from it; what ended before the first event counts.",
    ),
]

CommandsOption = Annotated[
    str | None,
    typer.Option(
        "--commands",
        metavar="FILE",
        help="What people ordered meanwhile: orders as on rollback.commands.v1, one JSON object a line, plain or .gz, "
        "each with its record time as `at`. Or a range of that topic, written as one of events is. Without it nobody "
        "answers a page.",
    ),
]


class WrongUse(MonitorError):
    """Arguments that do not go together; the message says which and what to do."""

    exit_code: ClassVar[int] = 2


def replay(
    budget: Annotated[
        list[str],
        typer.Option("--budget", metavar="FILE...", help="Budgets: files, directories or patterns."),
    ],
    events: Annotated[
        list[str],
        typer.Option(
            "--events",
            metavar="FILE...",
            help="Recorded events, one JSON object a line: .jsonl, .gz, .zst, or - for standard input; several are "
            "read one after the other. Or one Kafka range, see above.",
        ),
    ],
    history: HistoryOption = None,
    commands: CommandsOption = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="Write what was counted, as JSON, to this file."),
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            "--fail-on",
            help="Exit with 3 if a rollback was requested or a tier-A breach paged; `tier-b`: or a tier-B breach "
            "paged. Pages that only say that there is no data do not count.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run the live engine over recorded events: decisions as JSON lines on stdout, a summary on stderr.

    The same input gives the same bytes on stdout. Rejected lines are counted and never change the exit code.
    `--output json` makes the summary on stderr one JSON document. Where more releases roll back at once than the
    setting `breaker_max_rollbacks` allows, pages come instead, as they do live; the summary says how often.

    \b
    A Kafka range is read without a group, up to where its partitions end now:
      kafka://host:port/topic
      kafka://host:port/topic?from=2026-11-22T08:00:00Z&to=1795392000000
      kafka://host:port/topic?offsets=0:100-250,1:80-
    from and to are record times, offsets are partition:first-end.
    Without a host, and for logging in, the settings hold.
    """  # noqa: D301 - a real backspace character: it keeps these lines as they are
    from monitor.cli.replay_run import ReaderLeft, Stage

    _check(events, summary)
    budgets = _budgets(budget)
    past = _past(history)
    orders = _orders(commands)
    stage = Stage(sys.stdout.buffer, goes_on=summary is not None or fail_on is not None)
    try:
        counts = _play(budgets, events, stage, past, orders)
    except ReaderLeft:
        return
    _report(counts, stage, summary, output)
    if stage.outcome.fails(fail_on):
        raise typer.Exit(FAIL_ON_MET)


def _check(events: Sequence[str], summary: Path | None) -> None:
    """Refuse what would only be found out after hours of reading."""
    if len(events) > 1 and any(one.startswith(KAFKA) for one in events):
        raise WrongUse("--events: a Kafka range stands alone; replay files and ranges one after the other")
    if summary is not None and (summary.is_dir() or not summary.parent.is_dir()):
        raise WrongUse(f"--summary: {summary} cannot be written: name a file in a directory that exists")


def _budgets(patterns: Sequence[str]) -> list[Budget]:
    """Return the budgets, one a release, and say on stderr what is to be said about them."""
    from monitor.config.files import check_budgets
    from monitor.config.problem import BudgetInvalid

    reports = check_budgets(patterns)
    problems = tuple(problem for report in reports for problem in report.problems)
    if any(report.budget is None for report in reports):
        raise BudgetInvalid(problems)
    for problem in problems:
        console(stderr=True).print(str(problem), style="yellow")
    return list({report.budget.release: report.budget for report in reports if report.budget}.values())


def _report(counts: ReplayCounts, stage: Stage, summary: Path | None, output: Output) -> None:
    import json

    from monitor.cli.replay_report import print_summary, summary_data

    seconds = stage.seconds
    text = json.dumps(summary_data(counts, seconds), indent=2)
    if summary is not None:
        try:
            summary.write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            raise MonitorError(f"{summary}: cannot be written: {error.strerror or error}") from error
    if output is Output.JSON:
        print(text, file=sys.stderr)
    else:
        print_summary(console(stderr=True, wide=True), counts, seconds, stage.outcome)


def _past(file: Path | None) -> HistoryBook | None:
    if file is None:
        return None
    from monitor.adapters.history_file import read_history

    return read_history(file)


def _orders(source: str | None) -> list[Command]:
    if source is None:
        return []
    from monitor.adapters.kafka.readers import signatures_of
    from monitor.adapters.recorded_orders import read_order_range, read_orders
    from monitor.config.settings_source import load_settings

    settings = load_settings()
    signatures = signatures_of(settings)
    if not source.startswith(KAFKA):
        return read_orders(Path(source), signatures)
    import asyncio

    from monitor.adapters.kafka.client import silent_library
    from monitor.app import timebase_of

    async def read() -> tuple[list[Command], list[str]]:
        return await read_order_range(_reader(source, settings), timebase_of(settings).event_ms, signatures)

    with silent_library():
        found, unused = asyncio.run(read())
    for why in unused:
        console(stderr=True).print(f"{source}: not used: {why}", style="yellow")
    return found


def _play(
    budgets: Sequence[Budget],
    events: Sequence[str],
    stage: Stage,
    past: HistoryBook | None,
    orders: Sequence[Command],
) -> ReplayCounts:
    if events[0].startswith(KAFKA):
        return _play_topic(budgets, events[0], stage, past, orders)
    from monitor.adapters.recordings import STDIN, FileRecordings
    from monitor.cli.replay_run import play_files
    from monitor.config.settings_source import load_settings

    storm = load_settings().storm
    if STDIN not in events or sys.stdin is None:
        return play_files(budgets, FileRecordings(events, None), stage, past, storm, orders)
    with open(sys.stdin.fileno(), "rb", closefd=False) as stdin:
        return play_files(budgets, FileRecordings(events, stdin), stage, past, storm, orders)


def _play_topic(
    budgets: Sequence[Budget], url: str, stage: Stage, past: HistoryBook | None, orders: Sequence[Command]
) -> ReplayCounts:
    import asyncio

    from monitor.adapters.kafka.client import silent_library
    from monitor.app import timebase_of
    from monitor.cli.replay_run import play_topic
    from monitor.config.settings_source import load_settings

    settings = load_settings()

    async def play() -> ReplayCounts:
        event_ms = timebase_of(settings).event_ms
        reader = _reader(url, settings)
        return await play_topic(budgets, reader, event_ms, stage, past, settings.storm, orders)

    with silent_library():
        return asyncio.run(play())


def _reader(url: str, settings: Settings) -> RangeReader:
    """Return what reads a range; it has to be made where it is used, in a running loop."""
    from dataclasses import replace

    from monitor.adapters.kafka.topic_range import RangeReader, topic_range
    from monitor.app import kafka_access

    wanted, access = topic_range(url), kafka_access(settings)
    return RangeReader(
        access if wanted.bootstrap is None else replace(access, bootstrap=wanted.bootstrap), wanted
    )
