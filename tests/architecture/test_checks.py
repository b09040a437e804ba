"""Each house rule complains where it must and is silent where it must be: a check that cannot fail protects nothing."""

from __future__ import annotations

import pytest

from tests.architecture import checks


def test_a_function_of_61_lines_is_too_long_and_one_of_60_is_not() -> None:
    fits = "def fits():\n" + "    x = 1\n" * 59
    too_long = "async def too_long():\n" + "    x = 1\n" * 60
    assert checks.oversized(fits, "m.py") == []
    assert checks.oversized(fits + too_long, "m.py") == [
        "m.py:61: too_long has 61 lines, at most 60; name its steps"
    ]


def test_a_module_of_401_lines_is_too_long_and_one_of_400_is_not() -> None:
    assert checks.oversized("x = 1\n" * 400, "m.py") == []
    assert checks.oversized("x = 1\n" * 401, "m.py") == ["m.py: 401 lines, at most 400; split it by meaning"]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from datetime import datetime\nx = datetime.now()", "datetime.datetime.now"),
        ("from datetime import datetime as d, UTC\nx = d.now(UTC).timestamp()", "datetime.datetime.now"),
        ("import datetime\nx = datetime.datetime.utcnow()", "datetime.datetime.utcnow"),
        ("from datetime import date\nx = date.today()", "datetime.date.today"),
        ("import time as t\nx = t.monotonic()", "time.monotonic"),
        ("from time import time as now\nx = now()", "time.time"),
        ("def f():\n    import random\n    return random.random()", "random.random"),
        ("import numpy as np\nx = np.random.default_rng(1)", "numpy.random.default_rng"),
        ("from numpy import random\nx = random.normal()", "numpy.random.normal"),
        ("import os.path\nx = os.path.exists('a')", "os.path.exists"),
        ("x = open('a')", "open"),
        ("x = map(print, ())", "print"),
    ],
)
def test_the_core_may_not_reach_the_world(source: str, name: str) -> None:
    (found,) = checks.impure(source, "core.py")
    assert found.startswith(f"core.py:{source.count(chr(10)) + 1}: {name}: ")


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import UTC, datetime\nx = datetime.fromtimestamp(0, UTC)",
        "import numpy as np\ndef f(draws: np.random.Generator) -> float: return draws.normal()",
        "def f(time: int) -> int: return time + 1",  # a name of its own, not the module
        "x = book.open()",
        "class A:\n    __hash__ = None",
    ],
)
def test_the_core_may_compute(source: str) -> None:
    assert checks.impure(source, "core.py") == []


@pytest.mark.parametrize(
    "source", ["import redis", "import redis.asyncio as r", "from redis.client import Redis"]
)
def test_the_core_may_not_import_what_is_not_allowed(source: str) -> None:
    (found,) = checks.foreign_imports(f"import math\n{source}", "core.py", frozenset({"math"}))
    assert found.startswith("core.py:2: imports redis")


@pytest.mark.parametrize(
    "line",
    [
        "# TO" + "DO: later",
        "x = 1  # FIX" + "ME",
        "pytest.sk" + 'ip("no broker")',
        "@pytest.mark.sk" + "ipif(True)",
        "pytest.importorsk" + 'ip("redis")',
        "@pytest.mark.xf" + "ail",
        "raise NotImple" + "mentedError",
    ],
)
def test_what_is_left_over_is_found(line: str) -> None:
    (found,) = checks.leftovers(f"x = 0\n{line}", "m.py")
    assert found.startswith("m.py:2: ")


def test_a_method_todos_or_a_skipped_record_is_nothing_left_over() -> None:
    assert checks.leftovers("self.skip(record)\nmastodons = skipped + 1", "m.py") == []


@pytest.mark.parametrize(
    "line",
    [
        "except Exception:",
        "    except (ValueError, Exception) as error:",
        "except BaseException: pass",
        "except:",
        "except Exception:  # noqa: BLE001",
        "x = f()  # type: ignore[assignment]",
        "x = f()  # noqa: S311",
        "x = f()  # type: ignore[arg-type]  # noqa: E731",
    ],
)
def test_silence_without_a_reason_is_found(line: str) -> None:
    (found,) = checks.unexplained(f"x = 0\n{line}\nx = 1", "m.py")
    assert found.startswith("m.py:2: ")
    assert found.endswith("without its reason beside it")


@pytest.mark.parametrize(
    "lines",
    [
        "except Exception:  # noqa: BLE001 - a plug-in may raise anything; it is counted",
        "except Exception:\n    # a plug-in may raise anything; it is counted",
        "# the stub lacks the overload\nx = f()  # type: ignore[call-overload]",
        "x = f()  # type: ignore[assignment]  # mutable: hashing one would be a mistake",
        "x = f()  # type: ignore[assignment]  # null stands for the default\ny = f()  # type: ignore[assignment]",
        "except ValueError:",
        "except redis.exceptions.ResponseError:",
    ],
)
def test_silence_with_its_reason_and_a_named_error_are_fine(lines: str) -> None:
    assert checks.unexplained(f"x = 0\n{lines}\nx = 1", "m.py") == []


@pytest.mark.parametrize(
    "line",
    [
        "path = '/ho" + "me/ada/project'",
        "see /Us" + "ers/ada/x",
        "cache: /ro" + "ot/.cache",
        "C:\\Us" + "ers\\ada",
        "index = https://py" + "pi.org/simple",
        "see https://files.python" + "hosted.org/x",
        "jar: https://repo.maven.apa" + "che.org/maven2",
        "run /srv/build/checkout/tool",
    ],
)
def test_a_place_that_only_this_machine_has_is_found(line: str) -> None:
    (found,) = checks.of_this_machine(f"ok\n{line}", "a.md", checkout="/srv/build/checkout")
    assert found.startswith("a.md:2: names ")


@pytest.mark.parametrize(
    "line",
    [
        "$HOME/.config and ~/.config",
        "https://example.com/home/page and https://example.com/root/",
        "/var/lib/rollback-budget",
        "docs/home/index.md",
        "COPY . /src",
    ],
)
def test_a_place_that_every_machine_has_is_fine(line: str) -> None:
    assert checks.of_this_machine(line, "a.md", checkout="/src") == []


PYPROJECT = """
[build-system]
requires = ["hatchling"]  # packs the wheel
[project]
dependencies = [
  "redis>=8",  # state
  "rich",
]
[project.optional-dependencies]
dev = ["pytest>=9"]
[tool.other]
x = ["rich"]
"""


def test_a_dependency_without_a_reason_is_found() -> None:
    assert checks.without_reason(PYPROJECT) == [
        'pyproject.toml:7: "rich" does not say what it is for',
        'pyproject.toml:10: "pytest>=9" does not say what it is for',
    ]
