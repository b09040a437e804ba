"""The command line `rollback-budget`: one module per noun, every verb in one list.

To add a verb: import its module here and add one line to `VERBS`. A verb's module imports typer and the standard
library only; what does the work is imported inside the verb, so that `--help` stays quick and a missing optional
extra breaks nothing but the verb that needs it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final

import typer

from monitor.cli import (
    backtest,
    bridge,
    budget,
    budget_test,
    checklist,
    commander,
    debt,
    demo,
    doctor,
    evidence,
    explain,
    gate,
    plan,
    rehearse,
    replay,
    run,
    scorecard,
    settings,
    shadow,
    status,
    watch,
)
from monitor.cli.output import let_go
from monitor.core.errors import MonitorError

PROGRAM: Final = "rollback-budget"
DISTRIBUTION: Final = "rollback-budget-monitor"
FAILED: Final = 1
"""Exit code of an error that names none of its own by an attribute `exit_code` (2 = wrong use or invalid input)."""

_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)

_AS_WRITTEN: Final = "\b\n"  # an example is copied: it must not be wrapped


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the command line; its docstring is its help.

    Attributes:
        name: As people type it.
        example: What the end of its help shows.
        lists: Options that take several values in a row, as a shell's pattern gives them.
    """

    name: str
    run: Callable[..., Any]
    example: str
    lists: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A noun with verbs of its own, as `debt list`."""

    name: str
    help: str
    verbs: tuple[Verb, ...]


VERBS: Final = (
    Verb("demo", demo.demo, demo.DEMO_EXAMPLE),
    Verb("validate", budget.validate, budget.VALIDATE_EXAMPLE),
    Verb("plan", plan.plan, plan.PLAN_EXAMPLE, lists=("--history", "--assume", "--cohort-share")),
    Verb("run", run.run, run.RUN_EXAMPLE),
    Verb("doctor", doctor.doctor, doctor.DOCTOR_EXAMPLE),
    Verb("bridge", bridge.bridge, bridge.BRIDGE_EXAMPLE),
    Verb("watch", watch.watch, watch.WATCH_EXAMPLE),
    Verb("replay", replay.replay, replay.REPLAY_EXAMPLE, lists=("--budget", "--events")),
    Verb("backtest", backtest.backtest, backtest.BACKTEST_EXAMPLE, lists=("--budgets", "--events")),
    Verb("test", budget_test.run_tests, budget_test.TEST_EXAMPLE),
    Verb("rehearse", rehearse.rehearse, rehearse.REHEARSE_EXAMPLE),
    Verb(
        "checklist",
        checklist.checklist,
        checklist.CHECKLIST_EXAMPLE,
        lists=("--history", "--assume", "--cohort-share"),
    ),
    Verb("shadow", shadow.shadow, shadow.SHADOW_EXAMPLE, lists=("--events",)),
    Verb("gate", gate.gate, gate.GATE_EXAMPLE),
    Verb("scorecard", scorecard.scorecard, scorecard.SCORECARD_EXAMPLE),
    Verb("evidence", evidence.evidence, evidence.EVIDENCE_EXAMPLE),
    Verb("status", status.status, status.STATUS_EXAMPLE),
    Verb("explain", explain.explain, explain.EXPLAIN_EXAMPLE),
    Verb("decide", commander.decide, commander.DECIDE_EXAMPLE),
    Verb("override", commander.override, commander.OVERRIDE_EXAMPLE),
    Verb("acknowledge", commander.acknowledge, commander.ACKNOWLEDGE_EXAMPLE),
    Verb("extend", commander.extend, commander.EXTEND_EXAMPLE),
    Verb("arm", commander.arm, commander.ARM_EXAMPLE),
    Verb("disarm", commander.disarm, commander.DISARM_EXAMPLE),
    Verb("close-breaker", commander.close_breaker, commander.CLOSE_BREAKER_EXAMPLE),
    Verb("settings", settings.settings, settings.SETTINGS_EXAMPLE),
)
GROUPS: Final = (
    Group(
        "debt",
        "Evaluation cases that breaches still owe: list, show, close, export.",
        (
            Verb("list", debt.list_debts, debt.LIST_EXAMPLE),
            Verb("show", debt.show, debt.SHOW_EXAMPLE),
            Verb("close", debt.close, debt.CLOSE_EXAMPLE),
            Verb("export", debt.export, debt.EXPORT_EXAMPLE),
        ),
    ),
)


def build_app() -> typer.Typer:
    """Return the command line with every verb; for people on a terminal in colour, elsewhere plain."""
    app = typer.Typer(
        name=PROGRAM,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if sys.stdout.isatty() else None,
        help="An open, self-hosted stop-loss for releases of language-model services.",
        epilog=f"{_AS_WRITTEN}Example: {PROGRAM} validate budgets/",
    )
    app.callback()(_root)
    _add(app, VERBS)
    for group in GROUPS:
        nouns = typer.Typer(name=group.name, no_args_is_help=True, help=group.help)
        _add(nouns, group.verbs)
        app.add_typer(nouns, epilog=f"{_AS_WRITTEN}Example: {group.verbs[0].example}")
    return app


def _add(app: typer.Typer, verbs: Sequence[Verb]) -> None:
    for verb in verbs:
        first_line = (verb.run.__doc__ or "").partition("\n")[0]
        app.command(verb.name, epilog=f"{_AS_WRITTEN}Example: {verb.example}", short_help=first_line)(
            verb.run
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 fine, 1 failed, 2 wrong use, 3 `--fail-on` was met.

    Args:
        arguments: Without the program's name; by default those of the process.
    """
    _with_streams()
    try:
        code = _ran(arguments)
        sys.stdout.flush()  # here, where it can be said that it failed
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, *_NOT_WRITTEN):
            raise
        let_go(sys.stdout)
        if problem.errno != errno.EPIPE:  # whoever closed a pipe, as `head` does, has what it wanted
            print(f"{PROGRAM}: the output cannot be written: {problem.strerror}", file=sys.stderr)
        return FAILED
    return code


def _ran(arguments: Sequence[str] | None) -> int:
    try:
        build_app()(args=_spread(sys.argv[1:] if arguments is None else arguments), prog_name=PROGRAM)
    except MonitorError as problem:
        from monitor.engine.page_commands import harmless

        print(harmless(f"{PROGRAM}: {problem}"), file=sys.stderr)
        return int(getattr(problem, "exit_code", FAILED))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    return 0


def _with_streams() -> None:
    """Let what a closed stream is told vanish, as `>&-` wants it; Python has None in its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the end


def _spread(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--events a b` written as `--events a --events b`, which is what typer knows."""
    lists = next((verb.lists for verb in VERBS if verb.name in arguments[:1]), ())
    spread: list[str] = []
    option, has_value = "", False
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            name, has_equals, _ = argument.partition("=")
            option, has_value = name if name in lists else "", bool(has_equals)
        elif option:
            spread += [option] if has_value else []
            has_value = True
        spread.append(argument)
    return spread


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"{PROGRAM} {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            print(f"{PROGRAM} (not installed: run from its sources)")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run before every verb; typer shows the application's own help."""
