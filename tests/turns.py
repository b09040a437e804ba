"""Under pytest-xdist, the tests that run real servers and workers take turns: all of them go to one process.

They share one broker, and the control topics have fixed names: a worker of one test would answer the commands of
another. Grouped by folder, not by `xdist_group` marks: pytest-xdist 3.8 writes a mark's group into an attribute that
pytest 9.2 does not read any more, and nothing says so.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling

TOGETHER: Final = "tests/integration/"


class InTurns(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Every test goes where there is room, but for those of one folder, which stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else nodeid
