"""The command line `rollback-budget`: one module per noun, every verb in one list.

To add a verb: import its module here and add one line to `VERBS`. A verb's module imports typer and the standard
library only; what does the work is imported inside the verb, so that `--help` stays quick and a missing optional
extra breaks nothing but the verb that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final

import typer

from monitor.cli import budget, demo, run, settings
from monitor.core.errors import MonitorError

PROGRAM: Final = "rollback-budget"
DISTRIBUTION: Final = "rollback-budget-monitor"
FAILED: Final = 1
"""Exit code of an error that names none of its own by an attribute `exit_code` (2 = wrong use or invalid input)."""

_AS_WRITTEN: Final = "\b\n"  # an example is copied: it must not be wrapped


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the command line; its docstring is its help.

    Attributes:
        name: As people type it.
        example: What the end of its help shows.
    """

    name: str
    run: Callable[..., Any]
    example: str


VERBS: Final = (
    Verb("demo", demo.demo, demo.DEMO_EXAMPLE),
    Verb("validate", budget.validate, budget.VALIDATE_EXAMPLE),
    Verb("run", run.run, run.RUN_EXAMPLE),
    Verb("settings", settings.settings, settings.SETTINGS_EXAMPLE),
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
    for verb in VERBS:
        first_line = (verb.run.__doc__ or "").partition("\n")[0]
        app.command(verb.name, epilog=f"{_AS_WRITTEN}Example: {verb.example}", short_help=first_line)(
            verb.run
        )
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 fine, 1 failed, 2 wrong use, 3 `--fail-on` was met.

    Args:
        arguments: Without the program's name; by default those of the process.
    """
    try:
        build_app()(args=arguments, prog_name=PROGRAM)
    except MonitorError as problem:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)
        return int(getattr(problem, "exit_code", FAILED))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    return 0


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
