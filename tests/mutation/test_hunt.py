"""Mutants planted in a small module: what kills them is a test that notices, and nothing else.

One process hunts for all of them, because it forks; it is this file, run with a folder as its argument.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mutation.hunt import Hunt, Limits, is_named
from tests.mutation.kept import Kept
from tests.mutation.operators import Mutant, mutants_of

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = """
from functools import lru_cache

LIMIT = 3
SHARE = 1 / (LIMIT - 2)


def is_large(value):
    return value > LIMIT


def total(values):
    found = 0
    while values:
        found += values.pop()
    return found


def after(value):
    return value + 1


def nobody_asks(value):
    return value + 2


def seen_by_a_failing_test(value):
    return value + 3


def seen_by_a_test_that_needs_another(value):
    return value + 4


@lru_cache
def remembered(value):
    return value + 5


class Base:
    def __init__(self):
        self.kept = []


class Shelf(Base):
    def __init__(self):
        super().__init__()
"""
TESTS: Final = """
import pytest
import small

before = []


@pytest.mark.parametrize(("value", "large"), [(3, False), (4, True)])
def test_large(value, large):
    before.append(value)
    assert small.is_large(value) is large


def test_total():
    assert small.total([1, 2]) == 3


def test_weak():
    assert small.after(1) is not None


def test_failing():
    assert small.seen_by_a_failing_test(1) == 5


def test_that_needs_another():
    assert before
    assert small.seen_by_a_test_that_needs_another(1) == 5


def test_remembered_weakly():
    assert small.remembered(1)


def test_remembered():
    assert small.remembered(1) == 6


def test_shelf():
    assert small.Shelf().kept == []
"""
LARGE: Final = "small.py is_large: value > LIMIT -> value >= LIMIT"
NO_LIMIT: Final = "small.py module: 3 -> 2"
HANGS: Final = "small.py total: found += values.pop() -> pass"
CASES: Final = {
    LARGE: "test_small.py::test_large[3-False]",
    "small.py after: return value + 1 -> return None": "test_small.py::test_weak",
    "small.py after: value + 1 -> value - 1": "",
    "small.py nobody_asks: value + 2 -> value - 2": "",
    "small.py seen_by_a_failing_test: value + 3 -> value - 3": "",
    "small.py seen_by_a_test_that_needs_another: value + 4 -> value - 4": "",
    "small.py remembered: value + 5 -> value - 5": "test_small.py::test_remembered",
    HANGS: "ended by SIGPROF",
    NO_LIMIT: "test_small.py",
    "small.py Shelf.__init__: super().__init__() -> pass": "test_small.py::test_shelf",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What killed each mutant, and what was left of the module after it."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.py").write_text(MODULE)
    (folder / "test_small.py").write_text(TESTS)
    around = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    subprocess.run(
        [sys.executable, "-m", "tests.mutation.test_hunt"],
        cwd=folder,
        env=around | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        check=True,
        capture_output=True,
    )
    answer: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return answer | {"source": (folder / "small.py").read_text()}


@pytest.mark.parametrize(("mutant", "killer"), CASES.items())
def test_a_mutant_is_killed_by_a_test_that_notices_and_by_no_other(
    mutant: str, killer: str, found: dict[str, Any]
) -> None:
    """A weak test, one that fails anyway and one that fails alone notice nothing; hanging and failing to import do."""
    assert found["killers"][mutant] == killer


def test_the_original_is_back_after_each_mutant(found: dict[str, Any]) -> None:
    assert found["source"] == MODULE
    assert found["as_before"] == [True] * len(CASES)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("from monitor.core.split import Split", True),
        ("All of `monitor.core.*` at once", True),
        ("All of `monitor.engine.*` at once", False),
        ("from monitor.core import window", False),
    ],
)
def test_a_text_names_a_module_or_a_whole_package(text: str, named: bool) -> None:
    assert is_named("monitor/core/split.py", text) is named


def _changed(path: Path) -> None:
    path.write_text(f"{path.read_text()}\n")


@pytest.mark.parametrize(
    ("killer", "changed", "asked_again"),
    [
        ("test_b.py::test_it", "test_a.py", False),
        ("test_b.py::test_it", "test_b.py", True),
        ("test_b.py::test_it", "m.py", True),
        ("", "m.py", True),
        ("", "test_a.py", True),
        ("ended by SIGPROF", "test_a.py", True),
        ("", "another.py", False),
    ],
)
def test_an_answer_is_kept_until_what_it_came_from_has_changed(
    killer: str, changed: str, asked_again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m.py", "test_a.py", "test_b.py", "another.py"):
        Path(name).write_text("1 + 1\n")
    mutant = Mutant("m.py", "", "1", "2", (1, 1), 0, inside=False)
    Kept(Path("found"), ["test_a.py", "test_b.py"]).keep(mutant, killer)
    assert Kept(Path("found"), ["test_a.py", "test_b.py"]).killer(mutant) == killer
    _changed(Path(changed))
    again = Kept(Path("found"), ["test_a.py", "test_b.py"]).killer(mutant)
    assert again == (None if asked_again else killer)


def _hunt() -> None:
    mutants = [one for one in mutants_of("small.py", MODULE) if one.name in CASES]
    killers: dict[str, str] = {}
    as_before: list[bool] = []

    def tell(mutant: Mutant, killer: str) -> None:
        small: Any = sys.modules["small"]
        killers[mutant.name] = killer
        as_before.append(
            (small.LIMIT, small.is_large(3), small.total([1, 2]), small.after(1), small.Shelf().kept)
            == (3, False, 3, 2, [])
        )

    hunt = Hunt(mutants, mutants, Path("seen.jsonl"), tell, Limits(spare_s=0.5))
    pytest.main(["-q", "-s", "-p", "no:cacheprovider", "test_small.py"], plugins=[hunt])
    Path("found.json").write_text(json.dumps({"killers": killers, "as_before": as_before}))


if __name__ == "__main__":
    _hunt()
