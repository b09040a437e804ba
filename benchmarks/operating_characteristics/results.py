"""The results file: everything that tables and pictures are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks.operating_characteristics.cells import CELLS
from benchmarks.operating_characteristics.tally import Tally

Results: TypeAlias = dict[str, Tally]

FILE: Final = Path(__file__).parent / "results.json"


def load() -> Results:
    """Return the tallies on file, of cells that still exist."""
    if not FILE.exists():
        return {}
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return {name: Tally.from_json(tally) for name, tally in found.items() if name in CELLS}


def save(results: Results) -> None:
    """Write the tallies, a line a cell, in the order of the cells."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(results[name].to_json())}" for name in CELLS if name in results
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
