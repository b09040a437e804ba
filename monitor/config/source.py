"""The text of a file as a plain tree that knows the place of every node: what the YAML and the JSON reader share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from monitor.config.problem import Problem, Severity, shown

Path = tuple[str | int, ...]
"""The way to a node: keys of mappings, positions in lists."""

MAX_BYTES: Final = 64 * 1024
MAX_NODES: Final = 4_000  # 32 objectives with 64 cohorts and 16 conditions each are fewer
MAX_DEPTH: Final = 16  # the contract's depth for trace events; a budget needs four


class Mark(NamedTuple):
    """A place in a text, both counted from 1."""

    line: int
    column: int


class Unreadable(Exception):
    """The text cannot be read any further; never leaves this package."""

    def __init__(self, mark: Mark | None, message: str) -> None:
        super().__init__(message)
        self.mark, self.message = mark, message


class Broken:
    """Stands for a node whose problem is already in the report: nothing more is said about it."""


BROKEN: Final = Broken()


@dataclass(slots=True)
class Source:
    """A file's tree, the place of its nodes, and what was wrong with its text.

    Attributes:
        data: Dicts, lists and scalars; `BROKEN` for a node whose problem is reported, or for the whole.
        marks: Where each node stands: a scalar's own place, else its key's, else its own.
        keys: Where the key of each node of a mapping stands.
    """

    file: str
    data: object = BROKEN
    marks: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def enter(self, path: Path, mark: Mark) -> None:
        """Count one more node, in the tree or not.

        Raises:
            Unreadable: Too many of them, or too deep: reading on would only cost time.
        """
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Unreadable(mark, f"more than {MAX_NODES:,} values; shorten it, no budget needs so many")
        if len(path) > MAX_DEPTH:
            raise Unreadable(mark, f"nested deeper than {MAX_DEPTH} levels; a budget needs four")

    def mark(self, path: Path) -> Mark:
        """Return the place of the nearest node on the way to `path` that the file has."""
        for length in range(len(path), -1, -1):
            if found := self.marks.get(path[:length]):
                return found
        return Mark(0, 0)

    def error(self, path: Path, message: str, *, mark: Mark | None = None) -> None:
        """Report what keeps the file from being used."""
        self._add(path, message, mark or self.mark(path), Severity.ERROR)

    def warning(self, path: Path, message: str) -> None:
        """Report what does not keep the file from being used, but must be seen."""
        self._add(path, message, self.mark(path), Severity.WARNING)

    def refuse_empty(self) -> None:
        """Report every key without a value, once, and take its node out of all further checks."""
        self.data = self._without_empty(self.data, ())

    def _without_empty(self, data: object, path: Path) -> object:
        if data is None:
            self.error(path, "empty; give it a value, or remove the key")
            return BROKEN
        if isinstance(data, dict):
            return {key: self._without_empty(value, (*path, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self._without_empty(value, (*path, position)) for position, value in enumerate(data)]
        return data

    def _add(self, path: Path, message: str, mark: Mark, severity: Severity) -> None:
        self.problems.append(Problem(self.file, dotted(path), mark.line, mark.column, message, severity))


def dotted(path: Path) -> str:
    """Return a path as people read it: `rollback_budget.quality.cohorts[1]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if step.isprintable() else shown(step)
            text += f".{name}" if text else name
    return text


def decoded(content: str | bytes) -> str:
    """Return a file's content as text.

    Raises:
        Unreadable: Over `MAX_BYTES`, or not UTF-8.
    """
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MAX_BYTES:
        raise Unreadable(None, f"more than {MAX_BYTES:,} bytes; shorten it, no budget needs so many")
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")  # editors on Windows write this mark
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        bad = f"byte 0x{raw[problem.start]:02x} is not UTF-8"
        raise Unreadable(Mark(line, 1), f"{bad}; save the file as UTF-8") from problem
