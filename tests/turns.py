"""Under pytest-xdist, the tests that run real servers and workers take turns: they go to one process.

They share one broker, and the control topics have fixed names: a worker of one test would answer the commands of
another. Those of one file have servers of their own. The tests of some files stay together as well: they share what
takes longer to make than to look at.
Grouped by path, not by `xdist_group` marks: pytest-xdist 3.8 writes a mark's group into an attribute that pytest 9.2
does not read any more, and nothing says so.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling

# The first that fits.
TOGETHER: Final = (
    "tests/integration/test_demo.py",
    "tests/integration/test_embedded.py",
    "tests/integration/",
    "tests/cli/test_backtest.py",
    "tests/console/demo/test_replayed.py",
    "tests/engine/test_backtest.py",
    "tests/golden/test_golden.py",
    "tests/schemas/test_asyncapi.py",
    "tests/simulation/test_crash_points.py",
    "tests/simulation/test_simulation.py",
)


class InTurns(LoadScopeScheduling):  # type: ignore[misc] # it has no types
    """Every test goes where there is room, but for those that stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid)
