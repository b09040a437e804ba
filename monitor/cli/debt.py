"""The noun `debt`: breaches that still lack an evaluation case, and what becomes of them."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli import commander
from monitor.cli.output import Output, OutputOption, console, on_one_line, print_json

if TYPE_CHECKING:
    from monitor.core.eval_debt import EvalDebt

LIST_EXAMPLE: Final = "rollback-budget debt list model-v42"
SHOW_EXAMPLE: Final = "rollback-budget debt show 3e969c0ae4c2"
CLOSE_EXAMPLE: Final = (
    'rollback-budget debt close 3e969c0ae4c2 --evaluation evals/refunds.yaml --reason "50 refunds labelled"'
)
EXPORT_EXAMPLE: Final = "rollback-budget debt export --format promptfoo > debts.yaml"


class Format(StrEnum):
    """For whom the cases are written."""

    PROMPTFOO = "promptfoo"
    JSONL = "jsonl"
    INSPECT = "inspect"


DebtId = Annotated[str, typer.Argument(metavar="ID", help="The debt's id, or its first 8 digits and more.")]
OfRelease = Annotated[
    str | None, typer.Argument(metavar="RELEASE", help="Only this release's; by default every release's.")
]
All = Annotated[bool, typer.Option("--all", help="Closed ones too.")]
DebtsFile = Annotated[
    str | None,
    typer.Option(
        "--debts",
        metavar="FILE",
        help="Debts as `debt export --format jsonl` or `replay` wrote them, or - for standard input; by default the "
        "ledger's topic.",
    ),
]


def list_debts(
    release: OfRelease = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those beyond their due date.")] = False,
    closed: All = False,
    debts: DebtsFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List the evaluation cases that are owed, the first due first; overdue ones are marked."""
    from monitor.cli.debt_words import debt_line
    from monitor.wire.eval_cases import record_of

    found, now_ms = _found(debts)
    meant = [one for one in _of(found, release, closed=closed) if one.is_overdue(now_ms) or not overdue]
    if output is Output.JSON:
        print_json([record_of(one, now_ms) for one in meant])
        return
    people = console()
    if not meant:
        people.print("no evaluation case is owed")
    for one in meant:
        people.print(on_one_line(debt_line(one, now_ms)), style="red" if one.is_overdue(now_ms) else None)


def show(debt_id: DebtId, debts: DebtsFile = None, output: OutputOption = Output.TEXT) -> None:
    """Show one debt: what broke, for whom, the traces to begin from, and how it was closed."""
    from monitor.cli.debt_source import chosen
    from monitor.cli.debt_words import debt_details, debt_line
    from monitor.wire.eval_cases import record_of

    found, now_ms = _found(debts)
    one = chosen(found, debt_id)
    if output is Output.JSON:
        print_json(record_of(one, now_ms))
        return
    people = console()
    people.print(on_one_line(debt_line(one, now_ms)), style="red" if one.is_overdue(now_ms) else None)
    for line in debt_details(one):
        people.print(f"  {on_one_line(line)}")


def close(
    debt_id: DebtId,
    reason: commander.Reason,
    evaluation: Annotated[
        str | None, typer.Option("--evaluation", metavar="WHERE", help="Where the case is: a path or a link.")
    ] = None,
    author: commander.Author = None,
    wait: commander.Wait = commander.WAIT_S,
    no_wait: commander.NoWait = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Close a debt: a case covers it now. Closing one that is closed changes nothing and says who did."""
    from monitor.cli.debt_source import chosen
    from monitor.wire.eval_cases import record_of

    found, now_ms = _found(None)
    one = chosen(found, debt_id)
    if one.closed is not None:
        if output is Output.JSON:
            print_json(record_of(one, now_ms))
        else:
            console().print(f"closed already, by {one.closed['author']} at {one.closed['decided_at']}")
        return
    order = {"command": "close_debt", "debt_id": one.debt_id, "evaluation": evaluation}
    given = {**order, "release": one.release, "reason": reason, "author": author}
    commander.send_order(given, wait, output, no_wait=no_wait)


def export(
    release: OfRelease = None,
    form: Annotated[Format, typer.Option("--format", help="Who is to read them.")] = Format.PROMPTFOO,
    closed: All = False,
    debts: DebtsFile = None,
) -> None:
    """Write the owed cases to stdout, one per exemplar trace, for an evaluation tool to begin from.

    promptfoo: test cases, for `tests: file://debts.yaml`. inspect: a dataset, for `json_dataset("debts.jsonl")`.
    jsonl: one debt per line, which `--debts` reads again. Inputs are placeholders that name their trace.
    """
    from monitor.wire.eval_cases import debt_lines, inspect_dataset, promptfoo_tests

    found, now_ms = _found(debts)
    meant = _of(found, release, closed=closed)
    if form is Format.JSONL:
        sys.stdout.write(debt_lines(meant, now_ms))
    else:
        sys.stdout.write((promptfoo_tests if form is Format.PROMPTFOO else inspect_dataset)(meant))


def _found(file: str | None) -> tuple[list[EvalDebt], int]:
    """Return every debt, and now, in event time."""
    from monitor.adapters.timebase import WallClock
    from monitor.app import timebase_of
    from monitor.cli.debt_source import of_file, of_ledger
    from monitor.config.settings_source import load_settings

    settings = load_settings()
    found = of_ledger(settings) if file is None else of_file(file)
    return found, WallClock(timebase_of(settings)).now_ms()


def _of(debts: list[EvalDebt], release: str | None, *, closed: bool) -> list[EvalDebt]:
    return [one for one in debts if release in (None, one.release) and (closed or one.is_open)]
