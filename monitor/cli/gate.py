"""The verb `gate`: a pipeline asks whether a release may go on: promote, hold, or roll back.

It asks the worker for an assessment of the stage, which goes on record, and reads the rest as `status` does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.commander import WAIT_S, Author, Release, Wait, give_order
from monitor.cli.output import Output, OutputOption, console, on_one_line, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.cli.orders import Answer
    from monitor.config.settings import Settings
    from monitor.core.gate import Gate, Known
    from monitor.engine.ports import LedgerEntry
    from monitor.engine.standing import Standing

GATE_EXAMPLE: Final = "rollback-budget gate model-v42 --stage canary && ./deploy.sh --share 50"
FAIL_ON: Final = 3
_STYLES: Final = {"promote": "green", "hold": "yellow", "roll_back": "bold red"}


class FailOn(StrEnum):
    """At which answer the exit code is 3."""

    HOLD = "hold"
    ROLL_BACK = "roll-back"


def gate(
    release: Release,
    stage: Annotated[
        str, typer.Option("--stage", metavar="NAME", help="The stage that ends; it goes on record.")
    ] = "canary",
    spare: Annotated[
        list[str] | None,
        typer.Option(
            "--spare",
            metavar="OBJECTIVE",
            help="An objective that need not be decided, as it stands in the budget; in breach it still counts. "
            "May be repeated.",
        ),
    ] = None,
    require_rehearsal: Annotated[
        bool, typer.Option("--require-rehearsal", help="Hold a release whose way back was not rehearsed.")
    ] = False,
    allow_debt: Annotated[
        bool, typer.Option("--allow-debt", help="Go on although evaluation cases are owed from before.")
    ] = False,
    fail_on: Annotated[
        FailOn,
        typer.Option("--fail-on", help="Exit with 3 unless it is promoted (`hold`), or only if rolled back."),
    ] = FailOn.HOLD,
    author: Author = None,
    wait: Wait = WAIT_S,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say whether a release may go on to its next stage: promote, hold, or roll back, and why.

    Promoted is what is seen, watched and healthy in every objective of its budget, with nothing open about it. What is
    not known holds.
    """
    from monitor.config.settings_source import load_settings
    from monitor.core.gate import Asked
    from monitor.core.gate import gate as answer_of

    settings = load_settings()
    order = {"command": "assess", "stage": stage, "release": release, "author": author}
    _, answer = give_order(order, settings, wait)
    known = _known(settings, release, answer, wait)
    found = answer_of(known, Asked(spare or (), require_rehearsal, allow_debt))
    if output is Output.JSON:
        print_json(_as_json(release, stage, found, known))
    else:
        _print(release, stage, found)
    fails = ("roll_back",) if fail_on is FailOn.ROLL_BACK else ("roll_back", "hold")
    if found.answer.value in fails:
        raise typer.Exit(FAIL_ON)


def _known(settings: Settings, release: str, answer: Answer | None, wait_s: float) -> Known:
    """Read what the ledger and the stored state say of the release now, its assessment among it."""
    from monitor.cli.status import look, override_words, rehearsed_line
    from monitor.core.budget import Mode
    from monitor.core.gate import Known
    from monitor.core.sight import Sight
    from monitor.engine.standing import standings

    entries, now_ms, seen = look(settings)
    (one,) = (found for found in standings(entries, now_ms) if found.release == release)
    assessment, unanswered = _assessment(answer, one.assessment, wait_s)
    rollback = one.rollback
    return Known(
        assessment=assessment,
        unanswered=unanswered,
        is_watched=one.stage != "ended" or assessment is not None,
        rollback=None if rollback is None else f"a rollback was requested: {rollback['summary']}",
        sight=Sight(seen.sight),
        halted=None if one.halted is None else str(one.halted["summary"]),
        breaches=[str(breach["summary"]) for breach in one.breaches],
        pages=[f"an open page waits for its decision: {page['summary']}" for page in one.pages],
        overrides={_objective(held): override_words(held) for held in one.overrides},
        debts=_debts(entries, one, now_ms),
        rehearsed=rehearsed_line(one.rehearsed)[0],
        has_rehearsed=one.rehearsed is not None and one.rehearsed.counts,
        mode=Mode(one.mode),
    )


def _objective(held: Mapping[str, object]) -> str | None:
    objective = held["objective"]
    return None if objective is None else str(objective)


def _assessment(
    answer: Answer | None, newest: Mapping[str, object] | None, wait_s: float
) -> tuple[Mapping[str, object] | None, str | None]:
    """Return the assessment of this stage, or of the window where that is over; and why there is none."""
    from monitor.core.decision import Type

    decisions = [] if answer is None else answer.decisions
    for decision in decisions:
        if decision.type is Type.RELEASE_ASSESSED:
            return decision.data, None
    if newest is not None and newest.get("complete") is True:
        return newest, None
    if not decisions:
        return None, f"no worker answered within {wait_s:g} s"
    return None, str(decisions[0].data["summary"])


def _debts(entries: Sequence[LedgerEntry], one: Standing, now_ms: int) -> list[str]:
    from monitor.cli.debt_words import debt_line
    from monitor.core.eval_debt import debts_of, owed_at

    owed = owed_at(debts_of(entry.decision for entry in entries), one.release, one.baseline, one.arming)
    return [f"an evaluation case is owed: {debt_line(debt, now_ms)}" for debt in owed]


def _as_json(release: str, stage: str, found: Gate, known: Known) -> dict[str, object]:
    return {
        "release": release,
        "stage": stage,
        "answer": found.answer.value,
        "grounds": [
            {"ground": one.ground.value, "asks_for": one.asks_for.value, "words": one.words}
            for one in found.points
        ],
        "assessment": known.assessment,
    }


def _print(release: str, stage: str, found: Gate) -> None:
    people = console()
    answer = found.answer.value
    people.print(f"{answer.replace('_', ' ')}: {release} at the end of {stage}", style=_STYLES[answer])
    for one in found.points:
        mark = "note" if one.asks_for.value == "promote" else one.asks_for.value.replace("_", " ")
        people.print(
            f"  {mark}: {on_one_line(one.words)}", style=_STYLES[one.asks_for.value] if mark != "note" else ""
        )
