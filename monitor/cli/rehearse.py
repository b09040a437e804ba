"""The verb `rehearse`: a drill of the whole way from a breach to the proven rollback, with a clock on every step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.output import Output, OutputOption, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from monitor.cli.rehearse_stage import Cast, Played
    from monitor.core.budget import Budget
    from monitor.engine.drill import Step

REHEARSE_EXAMPLE: Final = "rollback-budget rehearse --budget budgets/model-v42.yaml"
FAILED: Final = 1
_IN_WORDS: Final = {
    "flag": "the flag serves the candidate",
    "arm": "a worker arms the drill's budget",
    "decide": "an incident arrives, a rollback is asked for",
    "apply": "the flag is turned and read back",
    "verify": "the traffic proves it (minutes have to close)",
    "disarm": "the drill's budget is taken back",
    "restore": "the flag is set back",
}


def rehearse(
    budget: Annotated[
        str, typer.Option("--budget", metavar="FILE", help="The budget whose way back is rehearsed.")
    ],
    flag: Annotated[
        str | None,
        typer.Option(
            "--flag",
            metavar="KEY",
            help="The flag for rehearsals, with the real one's variations; by default its key and `-rehearsal`.",
        ),
    ] = None,
    for_real: Annotated[
        bool,
        typer.Option(
            "--for-real",
            help="Turn the flag that users are served by, for a few minutes, and set it back.",
        ),
    ] = False,
    author: Annotated[
        str | None,
        typer.Option("--author", metavar="NAME", help="Who rehearses; by default who is logged in."),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Rehearse a rollback: a synthetic breach through the running workers, the flag and the proof; seconds per step.

    The traffic is marked `rehearsal`, is served by stand-ins of the releases, counts for no real objective and pages
    nobody. Exit code 0 when every step ended as it must; the result is on record either way, and `status` shows it.
    """
    import asyncio

    from monitor.cli.commander import login_name
    from monitor.cli.orders import kafka_said_plainly
    from monitor.cli.rehearse_stage import NothingToRehearse, cast_of, play
    from monitor.config.settings_source import load_settings

    if flag is not None and for_real:
        raise NothingToRehearse("--flag, --for-real: give one of the two")
    settings = load_settings()
    who = cast_of(_only(budget), key=flag, is_real=for_real, author=author or login_name())
    people = console(stderr=output is Output.JSON)
    with kafka_said_plainly(settings), _Shown(people, who) as shown:
        played = asyncio.run(play(settings, who, shown.told))
    if output is Output.JSON:
        print_json({"stored": played.is_stored, **dict(played.decision.data)})
    else:
        _print(people, played)
    if not played.rehearsal.succeeded or not played.is_stored:
        raise typer.Exit(FAILED)


def _only(file: str) -> Budget:
    from monitor.cli.rehearse_stage import NothingToRehearse
    from monitor.config.files import load_budgets

    budgets = load_budgets([file])
    if len(budgets) != 1:
        names = ", ".join(sorted(one.release for one in budgets))
        raise NothingToRehearse(f"--budget: {file} holds {len(budgets)} budgets ({names}); name one file")
    return budgets[0]


class _Shown:
    """Tells of each step: a line that moves on a terminal, a line when it ends elsewhere."""

    def __init__(self, people: Console, who: Cast) -> None:
        self._people, self._who = people, who
        self._status = people.status("") if people.is_terminal else None

    def __enter__(self) -> _Shown:
        which = "the REAL flag" if self._who.is_real else "flag"
        self._people.print(
            f"rehearsing the rollback of {self._who.budget.release} on {which} {self._who.flag.key} "
            f"({self._who.flag.actuator})",
            style="bold",
        )
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def told(self, step: Step, text: str) -> None:
        """Show that a step begins, or how it ended."""
        if text:
            self._people.print(f"  {step.value:<8} {text}", style="red" if text.startswith("FAILED") else "")
        elif self._status is not None:
            self._status.update(f"{step.value}: {_IN_WORDS[step.value]}")


def _print(people: Console, played: Played) -> None:
    from rich.table import Table

    rehearsal = played.rehearsal
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("what")
    for step, seconds in rehearsal.seconds.items():
        table.add_row(step, f"{seconds:.1f}", _IN_WORDS.get(step, ""))
    people.print()
    people.print(table)
    people.print()
    people.print(str(played.decision.data["summary"]), style="green" if rehearsal.succeeded else "bold red")
    if not played.is_stored:
        print("this rehearsal is not on record: Kafka did not take it", file=sys.stderr)
