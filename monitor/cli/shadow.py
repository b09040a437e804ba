"""The verb `shadow`: shadow answers of a candidate beside the live ones they copy, before anybody is exposed."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import typer

from monitor.cli.one_budget import one_budget
from monitor.cli.output import Output, OutputOption, console, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.cli.shadow_run import Compared
    from monitor.core.budget import Budget

SHADOW_EXAMPLE: Final = (
    "rollback-budget shadow --events live.jsonl shadow.jsonl --candidate model-v42 --budget v42.yaml"
)
FAIL_ON_MET: Final = 3


class FailOn(StrEnum):
    """Which verdicts end the command with exit code 3."""

    BEYOND = "beyond"
    INCONCLUSIVE = "inconclusive"


_FAILS: Final = {FailOn.BEYOND: {"beyond"}, FailOn.INCONCLUSIVE: {"beyond", "inconclusive"}}


class WrongShadow(MonitorError):
    """Arguments that do not go together; the message says which and what to do."""

    exit_code: ClassVar[int] = 2


def shadow(
    events: Annotated[
        list[str],
        typer.Option(
            "--events",
            metavar="FILE...",
            help="Recorded events, one JSON object a line: .jsonl, .gz, .zst, or - for standard input; several are "
            "read side by side, in order of time.",
        ),
    ],
    candidate: Annotated[
        str, typer.Option("--candidate", metavar="RELEASE", help="The release that answers in silence.")
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="RELEASE",
            help="Whose live requests are copied; by default the budget's baseline, else any other release.",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="FILE", help="Hold each limit of it against the pairs.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="DIMENSION", help="Compare each value of a dimension too, such as tenant."
        ),
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            "--fail-on",
            help="Exit with 3 if a limit is beyond; `inconclusive`: or is not decided. Needs --budget.",
        ),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare shadow traffic with the live requests it copies: who was better on the same requests, and how surely.

    Events of the candidate with `traffic: shadow` and live ones of the baseline are paired by `request_id`. Files are
    read, nothing is called and nothing acts.
    """
    from monitor.cli.shadow_report import print_compared
    from monitor.cli.shadow_run import compared_data

    limits = _budget(budget, candidate, baseline, fail_on)
    of = limits.baseline if limits is not None else baseline
    if of == candidate:
        raise WrongShadow(
            f"--baseline: {of} is the candidate itself; name the release that serves the live traffic"
        )
    found = _compared(events, candidate, of, limits, by)
    if output is Output.JSON:
        print_json(compared_data(found))
    else:
        print_compared(console(wide=True), found)
    if fail_on is not None and _FAILS[fail_on] & {held.verdict.value for held in found.held}:
        raise typer.Exit(FAIL_ON_MET)


def _budget(path: str | None, candidate: str, baseline: str | None, fail_on: FailOn | None) -> Budget | None:
    """Return the budget, if one is named and is about these releases."""
    if path is None:
        if fail_on is not None:
            raise WrongShadow(
                f"--fail-on {fail_on.value}: without --budget no limit can be met or missed; name one"
            )
        return None
    found = one_budget(path, WrongShadow, "compare")
    for option, given, own in (
        ("candidate", candidate, found.release),
        ("baseline", baseline, found.baseline),
    ):
        if given is not None and given != own:
            role = "release" if option == "candidate" else "baseline"
            raise WrongShadow(
                f"--{option}: {given} is not the {role} of {path}, which is {own}; "
                f"give --{option} {own}, or the budget that is about {given}"
            )
    return found


def _compared(
    events: Sequence[str], candidate: str, baseline: str | None, limits: Budget | None, by: str | None
) -> Compared:
    from monitor.adapters.recordings import STDIN
    from monitor.cli.shadow_run import compare_files
    from monitor.cli.side_by_side import SideBySide

    if STDIN not in events or sys.stdin is None:
        return compare_files(SideBySide(events, None), candidate, baseline, limits, by)
    with open(sys.stdin.fileno(), "rb", closefd=False) as stdin:
        return compare_files(SideBySide(events, stdin), candidate, baseline, limits, by)
