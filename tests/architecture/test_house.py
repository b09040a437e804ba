"""The house rules hold in the whole tree; each failure lists its offenders."""

from __future__ import annotations

import sys

from tests.architecture import checks
from tests.architecture.tree import ROOT, python_files, text_files

CODE = ("monitor", "tests", "benchmarks", "tools")


def none(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def core() -> list[tuple[str, str]]:
    return [(name, source) for name, source in python_files("monitor") if name.startswith("monitor/core/")]


def test_functions_and_modules_fit_the_screen() -> None:
    none([offence for name, source in python_files(*CODE) for offence in checks.oversized(source, name)])


def test_the_core_uses_no_io_no_clock_and_no_chance() -> None:
    none([offence for name, source in core() for offence in checks.impure(source, name)])


def test_the_core_knows_the_standard_library_numpy_and_itself() -> None:
    allowed = frozenset(
        {*sys.stdlib_module_names, "numpy", "monitor"}
    )  # which of monitor: the import contracts
    none([offence for name, source in core() for offence in checks.foreign_imports(source, name, allowed)])


def test_nothing_is_left_over() -> None:
    none(
        [offence for name, text in text_files("monitor", "tests") for offence in checks.leftovers(text, name)]
    )


def test_what_is_silenced_says_why() -> None:
    none(
        [offence for name, source in python_files("monitor") for offence in checks.unexplained(source, name)]
    )


def test_no_file_names_this_machine_or_a_registry() -> None:
    found = [
        offence for name, text in text_files() for offence in checks.of_this_machine(text, name, str(ROOT))
    ]
    none(found)


def test_every_dependency_says_what_it_is_for() -> None:
    none(checks.without_reason((ROOT / "pyproject.toml").read_text(encoding="utf-8")))


def test_the_tree_was_found() -> None:
    """An empty list of files would pass every test above."""
    assert len(core()) > 5
    assert {"Makefile", "pyproject.toml", ".ci/run"} <= {name for name, _ in text_files()}
