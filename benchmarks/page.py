"""A document whose tables and pictures come from results on file; the words around them are written by hand and stay.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

DOCS: Final = Path(__file__).parent.parent / "docs"
_PLACE: Final = re.compile(r"<!-- table: ([^>]+?) -->\n.*?<!-- end -->", re.DOTALL)
R = TypeVar("R")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """Return a Markdown table; with `numbers`, every column but the first is set to the right."""
    rule = ["---", *["---:" if numbers else "---"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


@dataclass(frozen=True)
class Page(Generic[R]):
    """A document of `docs/`, and what makes its tables and pictures (by name, file name) from results."""

    name: str
    tables: Mapping[str, Callable[[R], str]]
    pictures: Mapping[str, Callable[[R], str]]

    @property
    def text(self) -> str:
        """The document as it is on file."""
        return (DOCS / self.name).read_text(encoding="utf-8")

    def places(self) -> list[str]:
        """Return the names of the tables that the document has a place for."""
        return [place[1] for place in _PLACE.finditer(self.text)]

    def rendered(self, results: R) -> str:
        """Return the document with every table anew."""

        def fill(place: re.Match[str]) -> str:
            return f"<!-- table: {place[1]} -->\n\n{self.tables[place[1]](results)}\n\n<!-- end -->"

        return _PLACE.sub(fill, self.text)

    def write(self, results: R) -> None:
        """Write the document and its pictures."""
        (DOCS / self.name).write_text(self.rendered(results), encoding="utf-8")
        for name, draw in self.pictures.items():
            (DOCS / name).write_text(draw(results), encoding="utf-8")
