"""Tests that ask a tool which is not installed are left out: what was skipped has not passed."""

from __future__ import annotations

import shutil

import pytest

TOOLS = ("helm", "promtool", "amtool")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of tools that are not here; `make integration-deploy` says which tool is missing."""
    missing = {tool for tool in TOOLS if shutil.which(tool) is None}
    out = [one for one in items if isinstance(one, pytest.Function) and missing & set(one.fixturenames)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [one for one in items if one not in out]
