"""The verb `plan`: what a budget can decide at a traffic, before the rollout."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import typer

from monitor.cli.one_budget import one_budget
from monitor.cli.output import Output, OutputOption, console, print_json
from monitor.core.errors import MonitorError

if TYPE_CHECKING:
    from monitor.cli.plan_history import History
    from monitor.core.budget import Budget
    from monitor.core.cohort import CohortKey
    from monitor.core.outlook import Outlook

PLAN_EXAMPLE: Final = (
    "rollback-budget plan --budget model-v42.yaml --rate 600/min --share 5% --history yesterday.jsonl.gz"
)
_SECONDS: Final = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_RATE: Final = re.compile(r"(?P<count>[0-9]+(\.[0-9]+)?)(/(?P<unit>s|min|h|d))?")
_NUMBER: Final = re.compile(r"(?P<number>[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,2})?)(?P<percent> ?%)?")
_MAX_RATE_PER_S: Final = 1e7
_MIN_SHARE: Final = 1e-5

HistoryFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--history",
        metavar="FILE...",
        help="A recording with the baseline's requests, as `replay` reads it; rates, latencies and costs are "
        "taken from it.",
    ),
]
Assume = Annotated[
    list[str] | None,
    typer.Option(
        "--assume",
        metavar="NAME=VALUE...",
        help="What the baseline is where no recording shows it: task_success=0.9, human_handoff=5%, p95=1200 (ms), "
        "p95_sigma=0.8, task_success_coverage=0.2 (share of the requests that carry it), phi=1. Wins over a "
        "recording.",
    ),
]
CohortShare = Annotated[
    list[str] | None,
    typer.Option(
        "--cohort-share",
        metavar="DIMENSION=VALUE=SHARE...",
        help="A slice's part of the traffic: tenant=acme=0.05. Taken from the recording where it has it.",
    ),
]


class BadPlan(MonitorError):
    """Arguments that make no plan; the message says which, what it got and what it allows."""

    exit_code: ClassVar[int] = 2


def plan(
    budget: Annotated[str, typer.Option("--budget", metavar="FILE", help="The budget of the rollout.")],
    rate: Annotated[
        str,
        typer.Option(
            "--rate", metavar="R", help="All requests, of both releases: 10/s, 600/min, or a number (/s)."
        ),
    ],
    share: Annotated[
        str, typer.Option("--share", metavar="S", help="The candidate's part of the traffic: 0.05 or 5%.")
    ],
    history: HistoryFiles = None,
    assume: Assume = None,
    cohort_share: CohortShare = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say before a rollout what a budget can decide at its traffic: how soon, how small, and what is likely a slip.

    Nothing is called or written. Warnings never change the exit code.
    """
    from monitor.cli.plan_report import outlook_data, print_outlook

    found = one_budget(budget, BadPlan, "plan")
    per_s, ratio = requests_per_s(rate), candidate_share(share)
    recorded = recorded_of(found, history) if history else None
    found_outlook = outlook_of(found, per_s, ratio, recorded, assume or (), cohort_share or ())
    if output is Output.JSON:
        print_json(outlook_data(found_outlook, recorded))
    else:
        print_outlook(console(wide=True), found_outlook, recorded)


def outlook_of(
    budget: Budget,
    per_s: float,
    share: float,
    recorded: History | None,
    assume: Sequence[str],
    cohort_share: Sequence[str],
) -> Outlook:
    """Return what a budget can decide at a traffic.

    Args:
        per_s: All requests, of both releases, per second.
        share: The candidate's part of them, 0 to 1, both excluded.
        assume, cohort_share: As people write them.
    Raises:
        BadPlan: One of these is none of the budget's.
    """
    from monitor.core.assumptions import base_of, phi_of
    from monitor.core.forecast import Traffic
    from monitor.core.outlook import outlook
    from monitor.core.stats.planning import Split

    given = _given(budget, assume)
    slices = {**(recorded.shares() if recorded else {}), **_slices(budget, cohort_share)}
    return outlook(
        budget,
        Traffic(per_s, Split(share), slices),
        lambda objective, view: base_of(objective, recorded.baseline(view) if recorded else None, given),
        phi_of(given),
    )


def recorded_of(budget: Budget, names: Sequence[str]) -> History:
    """Return what recordings show of the budget's baseline; `-` is stdin.

    Raises:
        BadPlan: They hold no live request of it.
        RecordingUnreadable, RecordingBroken: A file cannot be read, or not to its end.
    """
    from monitor.adapters.recordings import STDIN, FileRecordings
    from monitor.cli.plan_history import read_history

    if STDIN not in names or sys.stdin is None:
        return read_history(budget, FileRecordings(names, None), names)
    with open(sys.stdin.fileno(), "rb", closefd=False) as stdin:
        return read_history(budget, FileRecordings(names, stdin), names)


def requests_per_s(text: str) -> float:
    """Return a rate of requests per second.

    Raises:
        BadPlan: It is none.
    """
    found = _RATE.fullmatch(text.strip().replace(" ", ""))
    per_s = float(found["count"]) / _SECONDS[found["unit"] or "s"] if found else 0.0
    if not 0.0 < per_s <= _MAX_RATE_PER_S:
        raise BadPlan(
            f'--rate: "{text}" is no rate; write 10/s, 600/min, 36000/h or a number of requests per second '
            f"(above 0, at most {_MAX_RATE_PER_S:,.0f}/s)"
        )
    return per_s


def candidate_share(text: str) -> float:
    """Return the candidate's share, 0 to 1, both excluded: without a baseline there is nothing to compare with.

    Raises:
        BadPlan: It is none.
    """
    share = _number(text)
    if share is None or not _MIN_SHARE <= share <= 1.0 - _MIN_SHARE:
        raise BadPlan(
            f'--share: "{text}" is no share for a candidate; write 0.05 or 5%, from {_MIN_SHARE:.3%} up to below 100%: '
            "a baseline must be left to compare with"
        )
    return share


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text.strip())
    return None if found is None else float(found["number"]) / (100.0 if found["percent"] else 1.0)


def _given(budget: Budget, assume: Sequence[str]) -> Mapping[str, float]:
    from monitor.core.assumptions import assumable, complaint

    allowed = assumable(budget)
    given: dict[str, float] = {}
    for text in assume:
        name, has_value, written = text.rpartition("=")
        value = _number(written) if has_value else None
        if name not in allowed:
            known = ", ".join(f"{key} ({meaning})" for key, meaning in allowed.items())
            raise BadPlan(f'--assume: "{text}": this budget knows no {name or written}; allowed are {known}')
        if value is None:
            raise BadPlan(f'--assume: "{text}" has no number; write {name}=0.05 or {name}=5%')
        if wrong := complaint(name, value):
            raise BadPlan(f"--assume: {name}: {wrong}")
        given[name] = value
    return given


def _slices(budget: Budget, cohort_share: Sequence[str]) -> dict[CohortKey, float]:
    from monitor.core.outlook_words import view_words

    views = {view_words(view): view for one in budget.objectives for view in one.views() if view}
    slices: dict[CohortKey, float] = {}
    for text in cohort_share:
        name, has_value, written = text.rpartition("=")
        share = _number(written) if has_value else None
        if name not in views:
            known = ", ".join(views) or "none: it names no critical cohort and no `where`"
            raise BadPlan(
                f'--cohort-share: "{text}": this budget judges no slice {name or written}; it has {known}'
            )
        if share is None or not 0.0 < share <= 1.0:
            raise BadPlan(f'--cohort-share: "{text}": {written} is no share; write {name}=0.05 or {name}=5%')
        slices[views[name]] = share
    return slices
