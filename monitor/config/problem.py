"""Problems of a file people wrote: where, what it got, what it allows and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import ClassVar, Final

from monitor.core.errors import MonitorError

MAX_PROBLEMS: Final = 100
"""A report longer than this helps nobody; what is left out is counted."""

_SHOWN_CHARS: Final = 60


class Severity(Enum):
    """An error keeps the file from being used; a warning does not, but somebody must see it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file.

    Attributes:
        file: The file's path as the caller gave it.
        path_in_file: `rollback_budget.latency.max_duration_min`; empty for the file as a whole.
        line, column: Counted from 1; 0 where the file as a whole is meant.
        message: What it got; what it allows; what to do.
    """

    file: str
    path_in_file: str
    line: int
    column: int
    message: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        marker = "warning: " if self.severity is Severity.WARNING else ""
        path = f"{self.path_in_file}: " if self.path_in_file else ""
        return f"{place}: {marker}{path}{self.message}"


class BudgetInvalid(MonitorError):
    """A budget file that cannot be used; `problems` holds every error and every warning of it."""

    exit_code: ClassVar[int] = 2  # invalid input

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def errors_of(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return only what keeps the file from being used."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems once each, by place, and at most `MAX_PROBLEMS` of them with a count of the rest.

    Where the report is cut, errors come before warnings, so that a warning never displaces an error.
    """
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column))
    if len(ordered) <= MAX_PROBLEMS:
        return tuple(ordered)
    kept = sorted(ordered, key=lambda problem: problem.severity is Severity.WARNING)[:MAX_PROBLEMS]
    rest = f"{len(ordered) - MAX_PROBLEMS} more problems are not shown; mend these first"
    return (*kept, Problem(ordered[0].file, "", 0, 0, rest))


def shown(value: object) -> str:
    """Return a value as a person wrote it, shortened, on one line and without control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(getattr(value, "text", value))  # a number as it was written
    text = text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return f'"{text}"' if type(value) is str else text  # a subclass marks what was written without quotes


def near(word: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean X?` for the nearest allowed word, or nothing where none is near."""
    choices = list(allowed)
    longer = [choice for choice in choices if choice.startswith(word)] if word else []
    found = longer if len(longer) == 1 else get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""
