"""The verb `status`: how every release stands and how well it is seen; no worker is needed.

Releases are read from the ledger, what is seen of the traffic from the stored state.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli.output import Output, OutputOption, console, on_one_line, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

    from monitor.cli.orders import ClosingLog
    from monitor.cli.sight import Glance
    from monitor.config.settings import Settings
    from monitor.core.rehearsal import Rehearsed
    from monitor.core.storm import BreakerStanding
    from monitor.engine.ports import LedgerEntry, Record
    from monitor.engine.standing import Standing

CLOSE_BREAKER: Final = 'rollback-budget close-breaker --reason "..."'
STATUS_EXAMPLE: Final = "rollback-budget status model-v42"
_STAGE_STYLES: Final = {"watching": "green", "locked": "bold red", "ended": "dim"}


def status(
    release: Annotated[
        str | None,
        typer.Argument(metavar="RELEASE", help="Only this release; by default all that were ever armed."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how releases stand: open breaches and pages with what to type, overrides, the last decisions."""
    from dataclasses import asdict

    from monitor.config.settings_source import load_settings
    from monitor.core.storm import standing_of
    from monitor.engine.standing import record_of, standings

    settings = load_settings()
    entries, now_ms, seen = look(settings)
    breaker = standing_of(settings.storm, record_of(entries), now_ms)
    found = standings(entries, now_ms)
    if release is not None:
        known = [one.release for one in found]
        found = [one for one in found if one.release == release]
        if not found:
            raise MonitorError(f"{release} was never armed; known are {', '.join(known) or 'none'}")
    if output is Output.JSON:
        releases = [asdict(one) for one in found]
        parts = {"sight": asdict(seen), "breaker": asdict(breaker), "releases": releases}
        print_json({"now": _moment(now_ms), **parts})
    else:
        _print(console(wide=True), found, now_ms, seen, breaker)


def look(settings: Settings) -> tuple[list[LedgerEntry], int, Glance]:
    """Return all that the ledger holds, now (event time, epoch milliseconds), and how well the traffic is seen."""
    import asyncio

    from monitor.adapters.timebase import WallClock
    from monitor.app import timebase_of
    from monitor.cli import sight
    from monitor.cli.orders import kafka_log, kafka_said_plainly

    with kafka_said_plainly(settings):
        entries = asyncio.run(read_ledger(kafka_log(settings)))
        now_ms = WallClock(timebase_of(settings)).now_ms()
        return entries, now_ms, asyncio.run(sight.glance(settings, entries, now_ms))


async def read_ledger(log: ClosingLog) -> list[LedgerEntry]:
    """Return all that the ledger holds and this version can read, and give the log's connections back."""
    from monitor.cli.orders import entries_of

    return entries_of(await read_ledger_records(log))


async def read_ledger_records(log: ClosingLog) -> Sequence[Record]:
    """Return the ledger's records as they are, and give the log's connections back."""
    from monitor.adapters.kafka.topics import LEDGER

    follower = log.follow(LEDGER)
    try:
        await follower.start()
        return await follower.read_to_end()
    finally:
        await follower.stop()
        await log.close()


def _moment(at_ms: int) -> str:
    from monitor.core.moment import rfc3339

    return rfc3339(at_ms)


def _print(
    people: Console, found: list[Standing], now_ms: int, seen: Glance, breaker: BreakerStanding
) -> None:
    from rich.table import Table

    from monitor.cli.sight import lines_of

    if not found:
        people.print("no release was armed yet: give a worker a budget, or publish one")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("release", "stage", "mode", "arming", "since", "baseline", "budget"):
        table.add_column(title)
    for title in ("breaches", "pages", "overrides", "eval debt"):
        table.add_column(title, justify="right")
    for one in found:
        stage = _stage(one, is_live=seen.sight == "live")
        late = f" ({one.eval_debt_overdue} overdue)" if one.eval_debt_overdue else ""
        counts = (len(one.breaches), len(one.pages), len(one.overrides), f"{one.eval_debt}{late}")
        named = (one.mode, str(one.arming), one.since, one.baseline, one.budget)
        table.add_row(one.release, stage, *named, *map(str, counts))
    people.print(table)
    people.print()
    for line, style in lines_of(seen):
        people.print(line, style=style)
    if breaker.is_open:
        people.print(f"{breaker.words}; what should roll back pages instead", style="bold red")
        people.print(f"  {CLOSE_BREAKER}")
    for one in found:
        people.print()
        people.print(f"{one.release}, arming {one.arming}, budget {one.budget_digest[:12]}", style="bold")
        for line, style in _lines(one, now_ms):
            people.print(f"  {on_one_line(line)}", style=style)


def _stage(one: Standing, *, is_live: bool) -> Text:
    """Return a release's stage; no green without a fresh look at its traffic."""
    from rich.text import Text

    if one.halted is not None and one.stage == "watching":
        return Text("halted", style="bold red")
    style = _STAGE_STYLES[one.stage] if is_live or one.stage != "watching" else "yellow"
    return Text(one.stage, style=style)


def _lines(one: Standing, now_ms: int) -> list[tuple[str, str]]:
    """Return what is to be said about a release, each line with its style."""
    lines: list[tuple[str, str]] = []
    if one.halted is not None:
        lines.append((f"halted: {one.halted['summary']}", "bold red"))
    lines.append(_mode_line(one))
    lines.append(rehearsed_line(one.rehearsed))
    for seen in one.observed:
        lines.append(
            (f"would be {seen['would_be']} {seen['at']}{_slice(seen)}: {seen['summary']}", "magenta")
        )
    if one.rollback is not None:
        lines += _rollback_lines(one.rollback)
    if one.eval_debt:
        owed = f"eval debt: {one.eval_debt} open, {one.eval_debt_overdue} overdue"
        style = "yellow" if one.eval_debt_overdue else ""
        lines.append((f"{owed}: rollback-budget debt list {shlex.quote(one.release)}", style))
    for breach in one.breaches:
        lines.append((f"breach since {breach['since']}{_slice(breach)}: {breach['summary']}", "yellow"))
    for page in one.pages:
        lines += _page_lines(page, now_ms)
    lines += [(override_words(held), "cyan") for held in one.overrides]
    if one.assessment is not None:
        lines.append((f"assessed {one.assessment.get('decided_at')}: {one.assessment.get('summary')}", ""))
    if one.last_decisions:
        lines.append(("last decisions", ""))
    for decision in one.last_decisions:
        what = f": {decision['summary']}" if decision["summary"] else ""
        lines.append((f"  {decision['at']} {decision['type']}{what}", "dim"))
    return lines


def override_words(held: Mapping[str, object]) -> str:
    """Return who holds what back, until when, and why."""
    what = held["objective"] or "every objective"
    until = f"until {held['until']}" if held["until"] else "until it clears"
    return f"override by {held['author']}: {what} {until}: {held['note']}"


def _mode_line(one: Standing) -> tuple[str, str]:
    from monitor.core.ladder import mode_words

    return f"mode {mode_words({'mode': one.mode}) or one.mode}", "" if one.mode == "auto" else "bold magenta"


def rehearsed_line(last: Rehearsed | None) -> tuple[str, str]:
    """Return when a way back was last tried; old and failed rehearsals count for nothing."""
    if last is None:
        return "its rollback was never rehearsed: rollback-budget rehearse --budget FILE", "yellow"
    when = "today" if last.days_ago == 0 else f"{last.days_ago} days ago"
    if last.counts:
        return f"last rehearsed {when}: {last.summary}", "green"
    why = f"too old, it counted until {last.expires_at}" if last.succeeded else last.summary
    return f"last rehearsed {when}, and that does not count: {why}", "yellow"


def _rollback_lines(rollback: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        (
            f"rollback requested {rollback['requested_at']} ({rollback['reason']}): {rollback['summary']}",
            "red",
        )
    ]
    for word in ("applied", "verified", "failed"):
        if rollback[word] is not None:
            why = {"failed": f": {rollback['message']}", "verified": f": {rollback['proof']}"}.get(word, "")
            lines.append((f"rollback {word} {rollback[word]}{why}", "red" if word == "failed" else "green"))
    if rollback["applied"] is not None and rollback["verified"] is None:
        lines.append(
            ("rollback not verified: the traffic has not shown yet that the candidate is gone", "yellow")
        )
    return lines


def _page_lines(page: dict[str, Any], now_ms: int) -> list[tuple[str, str]]:
    told = f"delivered {page['delivered_at']}" if page["delivered_at"] else "not delivered yet"
    seen = f", seen by {page['acknowledged_by']}" if page["acknowledged_by"] else ""
    seen += f", {page['extended_by']} takes {page['extended_min']} min more" if page["extended_by"] else ""
    head = f"page open since {page['opened_at']}{_slice(page)}, {told}{seen}: {page['summary']}"
    commands = [(f"  {command}", "") for command in page["commands"]]
    called = [(f"  {page['escalated']}", "yellow")] if page["escalated"] else []
    return [(head, "bold yellow"), (f"  {_time_left(page, now_ms)}", ""), *called, *commands]


def _time_left(page: dict[str, Any], now_ms: int) -> str:
    from monitor.wire.rfc3339 import parse_strictly

    if page["expired_at"]:
        return f"ran out {page['expired_at']} without a decision"
    if page["deadline"] is None:
        return "no deadline: it never acts by itself"
    if page["delivered_at"] is None:
        return f"its clock starts when it is delivered; not before {page['deadline']}"
    left_ms = (parse_strictly(page["deadline"]) or 0) - now_ms
    if left_ms <= 0:
        return f"deadline {page['deadline']}: now"
    return f"deadline {page['deadline']}: {-(-left_ms // 60_000)} min left"


def _slice(row: dict[str, Any]) -> str:
    parts = ", ".join(f"{name}={value}" for name, value in (row["cohort"] or {}).items())
    return f" in {parts}" if parts else ""
