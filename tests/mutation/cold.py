"""Tests against one mutant that importing runs: it is there before the module is imported."""

from __future__ import annotations

import json
import resource
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

from tests.mutation.operators import mutated

PROFILE = "mutants"


def arguments() -> list[str]:
    """Return what pytest is told in each of these runs."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        PROFILE, deadline=None, derandomize=True, database=None, report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    return [
        "-x",
        "-q",
        "-s",
        "--tb=native",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--hypothesis-profile={PROFILE}",
    ]


class _Only:
    def __init__(self, tests: list[str]) -> None:
        self._place = {name: number for number, name in enumerate(tests)}
        self.failed = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid]
        )


def main() -> int:
    """Return pytest's answer; the last line says which test failed."""
    asked = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (asked["cpu_s"], asked["cpu_s"] + 5))
    path = str(Path(asked["path"]).resolve())
    real = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if self.get_filename(fullname) != path:
            return real(self, fullname)
        tree = mutated(Path(path).read_text(encoding="utf-8"), asked["index"])
        return compile(tree, path, "exec", dont_inherit=True)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]  # every import goes through it
    files = list(dict.fromkeys(name.split("::")[0] for name in asked["tests"]))
    only = _Only(asked["tests"])
    answer = int(pytest.main([*arguments(), *files], plugins=[only]))
    sys.stdout.write(f"\n{json.dumps({'failed': only.failed or f'pytest ended with {answer}'})}\n")
    return answer


if __name__ == "__main__":
    sys.exit(main())
