"""Writes the document's tables between their markers, and its pictures, from the results on file.

The words around the tables are written by hand and stay. A table stands between `<!-- table: NAME -->` and
`<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.operating_characteristics import plot, tables
from benchmarks.operating_characteristics.results import Results

DOCS: Final = Path(__file__).parent.parent.parent / "docs"
DOCUMENT: Final = DOCS / "operating-characteristics.md"

TABLES: Final[dict[str, Callable[[Results], str]]] = {
    "cost": tables.cost,
    "summary": tables.summary,
    "false rollbacks": tables.false_rollbacks,
    "false totals": tables.false_totals,
    "detection success": partial(tables.detection, name="success"),
    "detection compared": tables.detection_compared,
    "detection handoff": partial(tables.detection, name="handoff"),
    "detection p95": partial(tables.detection, name="p95"),
    "shocks": tables.shocks,
    "causes": tables.causes,
    "early": tables.early,
    "early others": tables.early_others,
    "bursts": tables.bursts,
    "others": tables.others,
    "verdicts": tables.verdicts,
    "safety": tables.safety,
    "safety without a past": tables.safety_new,
    "safety harm": tables.safety_harm,
    "every cell": tables.every_cell,
}
PICTURES: Final[dict[str, Callable[[Results], str]]] = {
    "operating-characteristics-detection.svg": plot.detection,
    "operating-characteristics-curves.svg": plot.curves,
    "operating-characteristics-false.svg": plot.false_rollbacks,
}
_PLACE: Final = re.compile(r"<!-- table: ([^>]+?) -->\n.*?<!-- end -->", re.DOTALL)


def places(text: str) -> list[str]:
    """Return the names of the tables that the document has a place for."""
    return [place[1] for place in _PLACE.finditer(text)]


def rendered(text: str, results: Results) -> str:
    """Return the document with every table anew."""

    def fill(place: re.Match[str]) -> str:
        return f"<!-- table: {place[1]} -->\n\n{TABLES[place[1]](results)}\n\n<!-- end -->"

    return _PLACE.sub(fill, text)


def write(results: Results) -> None:
    """Write the document and its pictures."""
    DOCUMENT.write_text(rendered(DOCUMENT.read_text(encoding="utf-8"), results), encoding="utf-8")
    for name, draw in PICTURES.items():
        (DOCS / name).write_text(draw(results), encoding="utf-8")
