"""How often the engine errs and how soon it decides, on simulated releases.

`python -m benchmarks.operating_characteristics` runs every cell in full, one result after another into the results
file, and renders the tables and pictures. `--cell NAME` runs some (a name, or the beginning of several).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from benchmarks.operating_characteristics import render, results
from benchmarks.operating_characteristics.bar import Held, verdict
from benchmarks.operating_characteristics.cells import CELLS
from benchmarks.operating_characteristics.run import run_cells

_STYLES: Final = {Held.MET: "green", Held.MISSED: "bold red", Held.OPEN: "yellow", Held.NONE: "dim"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return 0, 1 where a cell on file misses its bar, 2 for an unknown cell."""
    asked = _parser().parse_args(arguments)
    names = _named(asked.cell)
    if asked.list:
        for name in names:
            print(f"{name}  releases {CELLS[name].releases}  seed {CELLS[name].seed}")
        return 0
    if not names:
        print(f"no cell begins with {', '.join(asked.cell)}; --list shows them all", file=sys.stderr)
        return 2
    known = results.load()
    if not asked.render:
        wanted = {name: asked.releases or min(CELLS[name].releases, asked.most) for name in names}
        missed = _run(wanted, asked.jobs, known, is_kept=not asked.dry)
        if asked.dry:
            return int(missed)
    render.PAGE.write(known)
    return int(any(verdict(CELLS[name], tally).held is Held.MISSED for name, tally in known.items()))


def _run(wanted: dict[str, int], jobs: int, known: results.Results, *, is_kept: bool) -> bool:
    """Run so many releases of each cell and print each verdict; tell whether a bar was missed."""
    console, missed = Console(), False
    for name, tally in run_cells(wanted, jobs):
        found = verdict(CELLS[name], tally)
        missed |= found.held is Held.MISSED
        console.print(
            f"{found.held.value:6} {name} ({tally.releases} releases): {found.words}",
            style=_STYLES[found.held],
            highlight=False,
            soft_wrap=True,
        )
        known[name] = tally
        if is_kept:
            results.save(known)
    return missed


def _named(prefixes: list[str]) -> list[str]:
    if not prefixes:
        return list(CELLS)
    return [name for name in CELLS if name in prefixes or any(name.startswith(prefix) for prefix in prefixes)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operating_characteristics", description=__doc__
    )
    parser.add_argument(
        "--cell", action="append", default=[], help="a cell, or the beginning of several names"
    )
    parser.add_argument(
        "--releases", type=int, help="releases a cell; each cell has its own number otherwise"
    )
    parser.add_argument("--most", type=int, default=sys.maxsize, help="cap on each cell's own number")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--dry", action="store_true", help="print the verdicts, keep nothing")
    parser.add_argument("--render", action="store_true", help="run nothing; render what is on file")
    parser.add_argument("--list", action="store_true", help="list the cells")
    return parser


if __name__ == "__main__":
    sys.exit(main())
