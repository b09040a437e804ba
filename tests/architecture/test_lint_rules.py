"""The linter knows what this project bans, and where: a rule that is switched off by mistake fails here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

HEAD = '"""A module."""\n\n'


def codes(name: str, source: str) -> set[str]:
    """Return the codes of what the linter says about a source that would stand under this name."""
    command = [str(Path(sys.executable).with_name("ruff")), "check", "--no-cache", "--output-format=json"]
    answer = subprocess.run(
        [*command, f"--stdin-filename={ROOT / name}", "-"],
        input=source,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert answer.returncode in (0, 1), answer.stderr
    return {offence["code"] for offence in json.loads(answer.stdout)}


NOW = "from datetime import UTC, datetime\n\nMOMENT = datetime.now(UTC)\n"


@pytest.mark.parametrize(
    ("name", "source", "code"),
    [
        ("monitor/core/a.py", HEAD + NOW, "TID251"),
        ("monitor/engine/a.py", HEAD + NOW, "TID251"),
        ("monitor/wire/a.py", HEAD + NOW, "TID251"),
        ("monitor/config/a.py", HEAD + NOW, "TID251"),
        ("monitor/engine/a.py", HEAD + "import time\n\nSTARTED = time.time()\n", "TID251"),
        ("monitor/engine/a.py", HEAD + "from uuid import uuid4\n\nONE = uuid4()\n", "TID251"),
        ("monitor/core/a.py", HEAD + "from random import random\n\nONE = random()\n", "TID251"),
        ("monitor/core/a.py", HEAD + "from . import budget\n\n__all__ = ['budget']\n", "TID252"),
        ("monitor/core/a.py", "def limit():\n    return 1\n", "D100"),
        ("monitor/core/a.py", HEAD + "def limit():\n    return 1\n", "D103"),
        ("monitor/core/a.py", HEAD + "class Limit:\n    pass\n", "D101"),
        ("monitor/core/a.py", HEAD + "print(1)\n", "T201"),
        ("monitor/adapters/a.py", HEAD + "import datetime\n\nX = datetime.datetime.now()\n", "DTZ005"),
        ("monitor/adapters/a.py", HEAD + "try:\n    X = 1\nexcept Exception:\n    X = 2\n", "BLE001"),
        ("monitor/adapters/a.py", HEAD + "import time\n\n\nasync def _wait():\n    time.sleep(1)\n", "ASYNC251"),
        ("monitor/adapters/a.py", HEAD + "import pickle\n\nX = pickle.loads(b'')\n", "S301"),
        ("monitor/adapters/a.py", HEAD + "HOST = '0.0.0.0'\n", "S104"),
        ("monitor/adapters/a.py", HEAD + "X = 1  # type: ignore\n", "PGH003"),
        ("monitor/adapters/a.py", HEAD + "X = 1  # noqa: E501 - no longer true\n", "RUF100"),
        ("tests/core/test_a.py", "import pytest\n\nwith pytest.raises(ValueError):\n    f()\n", "PT011"),
    ],
)  # fmt: skip
def test_a_banned_thing_is_found(name: str, source: str, code: str) -> None:
    assert code in codes(name, source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("monitor/adapters/clock.py", HEAD + NOW),  # the one place that may ask for the time
        ("monitor/cli/a.py", HEAD + "print(1)\n"),
        ("monitor/core/a.py", HEAD + 'class TimeWentBack(Exception):\n    """Named for what happened."""\n'),
        ("tests/core/test_a.py", "def test_a() -> None:\n    assert 1 + 1 == 2\n"),
    ],
)  # fmt: skip
def test_what_is_fine_stays_silent(name: str, source: str) -> None:
    assert codes(name, source) == set()
