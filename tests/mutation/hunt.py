"""Tests against mutants, inside one pytest: what each test runs is looked at once, then a fork for each mutant.

A mutant in a function's body is put into the functions that are there (`__code__`), so that a fork costs no import.
One that importing runs, as a constant, is put there by `cold`, in a process of its own.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

import pytest

from tests.mutation.operators import Mutant, mutated, mutated_lua

SLOW_S: Final = 3.0  # of processor time, while it is looked at: such a test is not asked about every mutant
SLOW_WALL_S: Final = 30
HANGS_S: Final = 300  # a test that waits that long for nothing; one that computes is ended sooner
COLD_TESTS: Final = 60
COLD_S: Final = 600
_MEMORY: Final = 4 << 30
_BROKEN: Final = "BROKEN "

Lines = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A test without mutants: whether it passed in time, and the lines it ran."""

    passed: bool
    cpu_s: float
    lines: Lines


class Hunt:
    """A pytest plugin that runs its tests against mutants, instead of once.

    Args:
        memory: What was seen of tests before, by id and digest; added to.
        found: Called with each mutant and the test that killed it; "" where none did.
    """

    def __init__(
        self, mutants: Sequence[Mutant], memory: Path, digest: str, found: Callable[[Mutant, str], None]
    ) -> None:
        self._mutants, self._memory, self._digest, self._found = mutants, memory, digest, found
        self._failed = False
        self._functions: dict[str, list[FunctionType]] = {}
        self._caches: list[Any] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notice a failure, of a fixture too."""
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests against each mutant."""
        if session.testsfailed:
            raise session.Interrupted("a test file cannot be imported")
        self._functions, self._caches = _living({str(Path(one.path).resolve()) for one in self._mutants})
        items = {item.nodeid: item for item in session.items}
        seen = self._look(list(items.values()))
        odd = [name for name in items if name in seen and not seen[name].passed]
        sys.stderr.write(f"{len(items)} tests, {len(odd)} left out: failing or slow\n")
        gc.freeze()
        for mutant in self._mutants:
            chosen = [items[name] for name in _those_that_run(mutant, seen) if name in items]
            if mutant.inside:
                killer = self._ask(mutant, chosen, seen)
            else:
                killer = _ask_cold(mutant, [item.nodeid for item in chosen[:COLD_TESTS]])
            self._found(mutant, killer)
        return True

    def _look(self, items: Sequence[pytest.Item]) -> dict[str, Seen]:
        """Return what each test runs; those of a file that is as it was are not run again."""
        kept = json.loads(self._memory.read_text()) if self._memory.exists() else {}
        kept = kept if kept.get("digest") == self._digest else {"digest": self._digest, "tests": {}}
        tests = kept["tests"]
        ages = {item.path: str(item.path.stat().st_mtime_ns) for item in items}
        new = [item for item in items if tests.get(item.nodeid, [""])[0] != ages[item.path]]
        if new:
            written = self._memory.with_suffix(".new")
            written.write_text("")
            while new:
                _forked(functools.partial(self._write_what_they_run, new, written))
                rows = {row[0]: row[1:] for row in map(json.loads, written.read_text().splitlines())}
                rows.setdefault(new[0].nodeid, [False, 0.0, {}])  # it ended the fork
                tests |= {
                    item.nodeid: [ages[item.path], *rows[item.nodeid]] for item in new if item.nodeid in rows
                }
                new = [item for item in new if item.nodeid not in rows]
            self._memory.write_text(json.dumps(kept))
        return {item.nodeid: Seen(*tests[item.nodeid][1:]) for item in items if item.nodeid in tests}

    def _write_what_they_run(self, items: Sequence[pytest.Item], to: Path) -> str:
        """Write a line for each test; one that is slow is the last of this fork."""
        for item, after in _with_next(items):
            lines: dict[str, set[int]] = {}
            start = time.process_time()

            def tell(passed: bool, name: str = item.nodeid, lines: Any = lines, start: float = start) -> None:
                used = {path: sorted(found) for path, found in lines.items()}
                with to.open("a") as file:
                    file.write(json.dumps([name, passed, time.process_time() - start, used]) + "\n")

            def end(*_: object, tell: Callable[[bool], None] = tell) -> None:
                sys.settrace(None)
                tell(False)
                os._exit(0)

            signal.signal(signal.SIGPROF, end)
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_PROF, SLOW_S)
            signal.alarm(SLOW_WALL_S)
            self._failed = False
            sys.settrace(_tracer(lines, set(self._functions)))
            self._run(item, after)
            sys.settrace(None)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            tell(not self._failed)
        return ""

    def _ask(self, mutant: Mutant, items: Sequence[pytest.Item], seen: Mapping[str, Seen]) -> str:
        def judge() -> str:
            self._plant(mutant)
            for item, after in _with_next(items):
                signal.setitimer(signal.ITIMER_PROF, 5 + 10 * seen[item.nodeid].cpu_s)
                signal.alarm(HANGS_S)
                self._failed = False
                self._run(item, after)
                if self._failed:
                    return item.nodeid
            return ""

        return _forked(judge)

    def _run(self, item: pytest.Item, after: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)

    def _plant(self, mutant: Mutant) -> None:
        for cache in self._caches:
            cache.cache_clear()
        source = Path(mutant.path).read_text(encoding="utf-8")
        if mutant.path.endswith(".lua"):
            _plant_script(mutant, mutated_lua(source, mutant.index))
            return
        path = str(Path(mutant.path).resolve())
        codes = {
            (code.co_qualname, code.co_firstlineno): code for code in _codes(_compiled(mutant, source, path))
        }
        mine = (mutant.scope, f"{mutant.scope}.<locals>.")
        for function in self._functions[path]:
            old = function.__code__
            if old.co_qualname == mine[0] or old.co_qualname.startswith(mine[1]):
                function.__code__ = codes[old.co_qualname, old.co_firstlineno]


def _plant_script(mutant: Mutant, text: str) -> None:
    from monitor.adapters.redis import connection

    real, name = connection.script_text, Path(mutant.path).stem
    for module in list(sys.modules.values()):
        if vars(module).get("script_text") is real:
            vars(module)["script_text"] = lambda asked: text if asked == name else real(asked)


def _compiled(mutant: Mutant, source: str, path: str) -> CodeType:
    return compile(mutated(source, mutant.index), path, "exec", dont_inherit=True)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _living(paths: set[str]) -> tuple[dict[str, list[FunctionType]], list[Any]]:
    """Return the functions of these files that exist, and all caches of calls."""
    functions: dict[str, list[FunctionType]] = {path: [] for path in paths}
    caches = []
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename in functions:
            functions[thing.__code__.co_filename].append(thing)
        elif isinstance(thing, functools._lru_cache_wrapper):
            caches.append(thing)
    return functions, caches


def _tracer(lines: dict[str, set[int]], paths: set[str]) -> Any:
    """Return a trace function that notes the lines run of these files."""

    def inside(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            lines[frame.f_code.co_filename].add(frame.f_lineno)
        return inside

    def entered(frame: FrameType, event: str, _: object) -> Any:
        path = frame.f_code.co_filename
        if path not in paths:
            return None
        lines.setdefault(path, set()).add(frame.f_lineno)
        return inside

    return entered


def _those_that_run(mutant: Mutant, seen: Mapping[str, Seen]) -> list[str]:
    """Return the tests that run a mutant's statement, the quickest first; all that run its module for a cold one."""
    path, wanted = str(Path(mutant.path).resolve()), set(range(mutant.lines[0], mutant.lines[1] + 1))
    fits = [
        (one.cpu_s, name)
        for name, one in seen.items()
        if one.passed
        and (
            path.endswith(".lua")
            or (path in one.lines and (not mutant.inside or wanted & set(one.lines[path])))
        )
    ]
    return [name for _, name in sorted(fits)]


def _with_next(items: Sequence[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    return zip(items, (*items[1:], None), strict=False)


def _forked(job: Callable[[], str]) -> str:
    """Return what a job says in a fork; how the fork ended, where it was ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
        said = ""
        try:
            said = job()
        except BaseException:  # noqa: BLE001 # whatever it is, whoever waits is told
            said = _BROKEN + traceback.format_exc()
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if answer.startswith(_BROKEN):  # of ours, not of a test: never to be taken for a kill
        raise RuntimeError(answer)
    return f"ended by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else answer


def _ask_cold(mutant: Mutant, tests: Sequence[str]) -> str:
    if not tests:
        return ""
    asked = json.dumps({"path": mutant.path, "index": mutant.index, "tests": tests})
    command = [sys.executable, "-m", "tests.mutation.cold"]
    try:
        done = subprocess.run(
            command, input=asked, text=True, capture_output=True, timeout=COLD_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "ended after ten minutes"
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f"{mutant.name}: pytest ended with {done.returncode}: {done.stdout[-2000:]}")
    return "" if done.returncode == 0 else f"one of {len(tests)} tests, in a process of their own"
