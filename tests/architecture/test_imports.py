"""Imports point inward: the contracts of pyproject.toml hold here, and each of them complains where it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

PACKAGES = (
    "cli",
    "console",
    "adapters",
    "adapters/faust_app",
    "adapters/redis",
    "engine",
    "wire",
    "config",
    "core",
)


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts over the `monitor` that stands in the folder, whichever one is installed."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture
def empty_tree(tmp_path: Path) -> Path:
    """A `monitor` with this project's layers, this project's contracts, and no code."""
    for package in (".", *PACKAGES):
        folder = tmp_path / "monitor" / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
    for root in ("app.py", "bridge.py", "watcher.py", "config/budget_file.py"):
        (tmp_path / "monitor" / root).touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold() -> None:
    answer = lint_imports(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


INWARD = "Imports point inward"
PURE = "The core does no I/O and reads no clock"
VENDOR = "No vendor inside the adapters' ring"
FAUST = "Faust is a host: only its adapter knows it"
OUTSIDE = "The watcher stands outside"
BEFORE = "The bridge stands before the traces topic"


@pytest.mark.parametrize(
    ("module", "source", "contract"),
    [
        ("core/a.py", "import monitor.engine", INWARD),
        ("core/a.py", "import monitor.config", INWARD),
        ("engine/a.py", "import monitor.adapters", INWARD),
        ("engine/a.py", "import monitor.wire", INWARD),
        ("config/a.py", "import monitor.engine", INWARD),
        ("adapters/a.py", "import monitor.app", INWARD),
        ("adapters/a.py", "import monitor.console", INWARD),
        ("app.py", "import monitor.cli", INWARD),
        ("core/a.py", "import pydantic", PURE),
        ("core/a.py", "def f():\n    import time", PURE),
        ("core/a.py", "import os.path", PURE),
        ("engine/a.py", "import aiokafka", VENDOR),
        ("wire/a.py", "from redis.asyncio import Redis", VENDOR),
        ("config/a.py", "import httpx", VENDOR),
        ("app.py", "import faust", FAUST),
        ("watcher.py", "import monitor.app", INWARD),
        ("watcher.py", "import monitor.adapters.redis", OUTSIDE),
        ("watcher.py", "import redis", OUTSIDE),
        ("bridge.py", "import monitor.app", INWARD),
        ("bridge.py", "import monitor.adapters.redis", BEFORE),
        ("bridge.py", "import faust", BEFORE),
        ("bridge.py", "import monitor.config.budget_file", BEFORE),
        ("engine/a.py", "from opentelemetry.proto.trace.v1 import trace_pb2", VENDOR),
        ("adapters/a.py", "from mode import Service", FAUST),
    ],
)
def test_a_broken_contract_is_named(empty_tree: Path, module: str, source: str, contract: str) -> None:
    (empty_tree / "monitor" / module).write_text(source + "\n")
    answer = lint_imports(empty_tree)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"{contract} BROKEN" in answer.stdout


def test_what_the_layers_allow_is_kept(empty_tree: Path) -> None:
    allowed = {
        "core/a.py": "import math\nimport numpy",
        "engine/a.py": "import asyncio\nimport monitor.core.a",
        "wire/a.py": "import pydantic\nimport monitor.core.a",
        "adapters/a.py": "import redis\nimport monitor.engine.a\nimport monitor.wire.a",
        "adapters/faust_app/__init__.py": "import faust",
        "adapters/faust_app/a.py": "import faust, mode",
        "app.py": "import monitor.adapters.faust_app.a\nimport monitor.console",
        "cli/a.py": "import typer\nimport monitor.app",
    }
    for module, source in allowed.items():
        (empty_tree / "monitor" / module).write_text(source + "\n")
    answer = lint_imports(empty_tree)
    assert answer.returncode == 0, answer.stdout + answer.stderr
