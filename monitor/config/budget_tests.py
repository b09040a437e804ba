"""Files with the tests of a budget, strictly loaded: all problems of a file in one report, or its tests.

A file of tests lies beside its budget (`chat.yaml`, `chat.tests.yaml`) and names it. It is read by the same
strict reader as a budget; the traffic it states comes out as exact scripts (`core.traffic_script`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.budget_file import BudgetReport
from monitor.config.budget_tests_model import (
    BudgetTestsFile,
    BudgetTestSpec,
    SliceSpec,
    SliceValuesSpec,
    StretchSpec,
)
from monitor.config.expectations import ExpectReader
from monitor.config.files import SUFFIXES, TESTS_SUFFIX, check_budgets, holds_tests
from monitor.config.problem import Problem, errors_of, in_order, near
from monitor.config.scripting import script_of
from monitor.config.source import BROKEN, MAX_BYTES, Path, Source
from monitor.config.translate import message_of, place_of
from monitor.config.yaml_source import read_source
from monitor.core.budget import Budget
from monitor.core.errors import MonitorError
from monitor.core.expectation import Expectation
from monitor.core.traffic_script import TrafficScript

_MODELS: Final[dict[tuple[str, ...], type[BaseModel]]] = {
    (): BudgetTestsFile,
    ("slices", "*"): SliceSpec,
    ("tests", "*"): BudgetTestSpec,
    ("tests", "*", "slices", "*"): SliceSpec,
    ("tests", "*", "traffic", "*"): StretchSpec,
    ("tests", "*", "traffic", "*", "slices", "*"): SliceValuesSpec,
}
"""Which model the keys of a place belong to; `*` is any name or position."""


@dataclass(frozen=True, slots=True)
class BudgetTest:
    """One test of a budget.

    Attributes:
        name: What it promises; unique within its file. It is also the seed of its traffic.
    """

    name: str
    script: TrafficScript
    expected: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class BudgetTestsReport:
    """What a file of tests says: the budget and its tests, where there is no error, and every problem by place."""

    file: str
    budget: Budget | None
    tests: tuple[BudgetTest, ...]
    problems: tuple[Problem, ...]

    @property
    def is_valid(self) -> bool:
        """Tell whether its tests can be run."""
        return self.budget is not None and not errors_of(self.problems)


class BudgetTestsInvalid(MonitorError):
    """Files of tests that cannot be used; the message holds every problem of every file."""

    exit_code: ClassVar[int] = 2  # invalid input

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load_budget_tests(names: Sequence[str]) -> tuple[BudgetTestsReport, ...]:
    """Return the tests of files and directories, each file once.

    Raises:
        BudgetTestsInvalid: With every problem of every file, where one of them cannot be used.
    """
    reports = [_read(path) for path in dict.fromkeys(path for name in names for path in _files(name))]
    if not all(report.is_valid for report in reports):
        raise BudgetTestsInvalid(tuple(problem for report in reports for problem in report.problems))
    return tuple(reports)


def _files(name: str) -> list[str]:
    """Return the files that a name means: itself, or the files of tests in a directory."""
    path = File(name)
    if not path.is_dir():
        return [name]
    found = sorted(str(entry) for entry in path.iterdir() if holds_tests(entry.name) and entry.name[0] != ".")
    return found or [name]


def _read(path: str) -> BudgetTestsReport:
    if File(path).is_dir():
        kinds = ", ".join(f"*{TESTS_SUFFIX}{suffix}" for suffix in SUFFIXES)
        return _failed(path, f"the directory holds no tests ({kinds})")
    try:
        with File(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # one more, so that the loader sees that it is too large
    except FileNotFoundError:
        return _failed(
            path, "no such file; give a file of tests such as chat.tests.yaml, or a directory of them"
        )
    except OSError as problem:
        return _failed(path, f"cannot be read: {problem.strerror or type(problem).__name__}")
    return check_budget_tests(content, path)


def _failed(path: str, message: str) -> BudgetTestsReport:
    return BudgetTestsReport(path, None, (), (Problem(path, "", 0, 0, message),))


def check_budget_tests(text: str | bytes, path: str) -> BudgetTestsReport:
    """Return the tests that a YAML or JSON text holds, with everything that is to be said about it.

    Args:
        path: Names the text in problems, and the directory in which its budget lies.
    """
    source = read_source(text, path)
    if source.data is BROKEN:
        return BudgetTestsReport(path, None, (), in_order(source.problems))
    source.refuse_empty()
    file = _structure(source)
    kept = source.data if isinstance(source.data, dict) else {}
    about_budget = _budget_of(kept, source)
    budget = None if about_budget is None else about_budget.budget
    tests = tuple(_tests(kept, file, budget, source))
    _check_names(kept, source)
    problems = in_order(source.problems)
    if about_budget is not None:
        problems += errors_of(about_budget.problems)
    return BudgetTestsReport(path, budget, () if errors_of(problems) else tests, problems)


def _structure(source: Source) -> BudgetTestsFile | None:
    """Report what does not fit the models; return the file where it fits as a whole."""
    try:
        return BudgetTestsFile.model_validate(source.data)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            _report(error, source)
    return None


def _report(error: ErrorDetails, source: Source) -> None:
    path, kind = place_of(error), error["type"]
    if error["input"] is BROKEN:
        return  # reported already
    if path == () and kind.startswith("model_"):
        source.error(path, "a file of tests is a mapping; it begins with budget and tests")
        return
    model = _model_of(path)
    if kind == "extra_forbidden":
        source.error(path, _unknown_key(path, model), mark=source.keys.get(path))
    elif kind == "missing":
        source.error(path, _missing(str(path[-1]), model))
    elif kind == "too_short":
        source.error(path, "empty; write at least one entry")
    else:
        source.error(path, message_of(error, model))


def _model_of(path: Path) -> type[BaseModel] | None:
    """Return the model that the last key of a path belongs to."""
    above = path[:-1]
    for pattern, model in _MODELS.items():
        if len(pattern) == len(above) and all(a in ("*", b) for a, b in zip(pattern, above, strict=True)):
            return model
    return None


def _keys(model: type[BaseModel] | None) -> dict[str, Any]:
    """Return a model's fields by the keys that people write: `for` is no name that Python can use."""
    fields = {} if model is None else model.model_fields
    return {field.alias or name: field for name, field in fields.items()}


def _unknown_key(path: Path, model: type[BaseModel] | None) -> str:
    key, allowed = str(path[-1]), _keys(model)
    if path[:1] == ("release",) or path[:1] == ("rollback_budget",):
        return "belongs to a budget; this file holds tests, and names its budget by `budget:`"
    return f"unknown key{near(key, allowed)}; allowed are {', '.join(allowed)}"


def _missing(key: str, model: type[BaseModel] | None) -> str:
    examples = _keys(model)[key].examples
    return f"missing; add it, such as `{key}: {examples[0]}`"


def _budget_of(kept: dict[str, Any], source: Source) -> BudgetReport | None:
    """Return what the budget beside the file says; None where the file does not name one."""
    name = kept.get("budget")
    if not isinstance(name, str):
        return None
    path = File(source.file).parent / name
    if not path.is_file():
        source.error(("budget",), f"there is no file {path}; name the budget as seen from this file")
        return None
    report = check_budgets([str(path)])[0]
    if report.budget is None:
        source.error(("budget",), f"{path} cannot be used; mend it first")
    return report


def _tests(
    kept: dict[str, Any], file: BudgetTestsFile | None, budget: Budget | None, source: Source
) -> Iterable[BudgetTest]:
    """Yield the tests; where the file does not fit as a whole, check what can be checked all the same."""
    tests = kept.get("tests")
    for position, raw in enumerate(tests if isinstance(tests, list) else ()):
        if not isinstance(raw, dict):
            continue
        path: Path = ("tests", position)
        script = script_of(kept, file, position, source)
        expected: tuple[Expectation, ...] = ()
        if "expect" in raw and raw["expect"] is not BROKEN:
            reader = ExpectReader(source, budget, None if script is None else script.minutes)
            expected = reader.read(raw["expect"], (*path, "expect"))
        if script is not None and file is not None:
            yield BudgetTest(file.tests[position].name, script, expected)


def _check_names(kept: dict[str, Any], source: Source) -> None:
    """Refuse a second test of one name: a report could not tell them apart."""
    first: dict[str, int] = {}
    tests = kept.get("tests")
    for position, test in enumerate(tests if isinstance(tests, list) else ()):
        name = test.get("name") if isinstance(test, dict) else None
        if isinstance(name, str) and first.setdefault(name, position) != position:
            source.error(("tests", position, "name"), f'"{name}" is the name of tests[{first[name]}] too')
