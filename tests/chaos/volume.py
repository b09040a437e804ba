"""`python -m tests.chaos.volume`: the promises about volume, on a real Kafka and Valkey with the product's own workers.

Four cases: two workers that are killed again and again, a store that is emptied, as many hostile records as good ones,
a million values of a watched cohort. In each the log is filled first and recounted from the broker's own files; what is
stored in the end has to equal the recount, minute by minute, and the dead letters have to be the hostile records.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from monitor.adapters.kafka.client import silent_library
from tests.chaos.report import VOLUME_COLUMNS, machine, volume_cells, write
from tests.chaos.volume_cases import CASES, Asked, Found
from tests.chaos.volume_crew import WATCHED

LINE_EVERY_S = 10.0  # where nobody watches a bar
WIDTH = 130  # of a table in a file


class Telling:
    """Says how far it is: a bar on a terminal, else a line every few seconds."""

    def __init__(self, console: Console) -> None:
        """Say nothing yet."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._console, self._bar = console, self.progress.add_task("volume", total=None)
        self._said, self._said_s = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say what is done, how much of it, and of how much."""
        self.progress.update(self._bar, description=what, completed=min(done, total), total=total)
        is_new = what.split(",", maxsplit=1)[0] != self._said
        if not self._console.is_terminal and (is_new or time.monotonic() - self._said_s >= LINE_EVERY_S):
            self._said, self._said_s = what.split(",", maxsplit=1)[0], time.monotonic()
            self._console.print(
                f"{what}: {done:,} of {total:,}", markup=False, highlight=False, soft_wrap=True
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where every promise was kept, else 1."""
    asked = _parser().parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 20) if asked.seed is None else asked.seed
    size = Asked(seed, asked.events, asked.kills, () if asked.no_cohorts else WATCHED)
    names = asked.only or list(CASES)
    console, rows = Console(stderr=True), list[dict[str, Any]]()
    command = _command(asked, seed)
    console.print(f"seed {seed}: {command}", markup=False, highlight=False, soft_wrap=True)
    for name in names:
        telling = Telling(console)
        with (
            telling.progress,
            silent_library(),
        ):  # a broker that has just begun is asked again; what fails is raised
            found = _case(name, size, asked.folder, telling)
        rows.append({**found.row(), "name": name, "command": command, "machine": machine()})
        console.print(
            f"{name}: {'; '.join(found.wrong) or 'as promised'}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    _show(rows)
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if asked.write:
        write({"volume": {row["name"]: row for row in rows}})
    return 1 if any(row["wrong"] for row in rows) else 0


def _case(name: str, size: Asked, folder: Path | None, telling: Telling) -> Found:
    """Run one case; one that does not come to its end has failed, and the others are still run."""
    try:
        return CASES[name](size, folder, telling)
    except (TimeoutError, ValueError, AssertionError) as error:
        return Found(name, "to come to its end", wrong=[repr(error)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.volume",
        description="Millions of events through real servers and workers, held against a recount.",
        epilog='example: make volume ARGS="--events 200000 --kills 4 --only kills --seed 7"',
    )
    parser.add_argument("--seed", type=int, help="of traffic and kills; a fresh one where none is given")
    parser.add_argument(
        "--events", type=int, help="requests in each case (10,000,000; hostile 1,000,000; cohorts 2,000,000)"
    )
    parser.add_argument("--kills", type=int, help="of workers, in the case of that name (200)")
    parser.add_argument("--only", choices=CASES, action="append", help="this case alone; may be repeated")
    parser.add_argument(
        "--no-cohorts", action="store_true", help="watch no cohorts in kills and rebuild; else every tenant"
    )
    parser.add_argument(
        "--folder", type=Path, help="where servers keep their files; 10,000,000 events are 4 GB"
    )
    parser.add_argument("--json", type=Path, help="where the results are written, too")
    parser.add_argument("--write", action="store_true", help="put the results into the docs")
    return parser


def _command(asked: argparse.Namespace, seed: int) -> str:
    """Return what has to be typed to run the same again, wherever its results go."""
    sizes = [
        f"--{name} {getattr(asked, name)}" for name in ("events", "kills") if getattr(asked, name) is not None
    ]
    cohorts = ["--no-cohorts"] * asked.no_cohorts
    words = [f"--seed {seed}", *sizes, *cohorts, *(f"--only {name}" for name in asked.only or ())]
    return f'make volume ARGS="{" ".join(words)}"'


def _show(rows: Sequence[dict[str, Any]]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    shown = Table()
    for column in VOLUME_COLUMNS:
        shown.add_column(column, justify="left" if column in ("case", "target") else "right")
    for row in rows:
        shown.add_row(*volume_cells(row), style="red" if row["wrong"] else None)
    console.print(shown)
    failed = [row["name"] for row in rows if row["wrong"]]
    console.print(f"FAILED: {', '.join(failed)}" if failed else "every promise kept")


if __name__ == "__main__":
    sys.exit(main())
