"""Tests against mutants, inside one pytest: what each test runs is looked at once, then a fork for each mutant.

A mutant in a function's body is put into the functions that are there (`__code__`), so that a fork costs no import.
One that importing runs, as a constant, is put there by `cold`, in a process of its own. Nothing is changed in this
process, nor in any file.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import pytest

from tests.mutation.operators import Mutant, mutated, mutated_lua
from tests.mutation.reach import living, mark_of, put, put_marks

_MEMORY: Final = 4 << 30
_BROKEN: Final = "BROKEN "
_COLD: Final = "COLD"
_ENDED: Final = "ended by "
_PACKAGE: Final = re.compile(r"`(monitor\.[a-z_.]+\.)\*`")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long tests may take, in seconds; of processor time unless it says otherwise.

    Attributes:
        slow_s: A test that takes longer without mutants is not asked.
        slow_wall_s: The same on the clock.
        asked_s: The tests asked about one mutant take no longer together, without it; those left over are not asked.
        times: A test that takes so many times what it takes without the mutant, and more, hangs: that is noticed.
        spare_s: Added to that.
        waits_s: Added to that on the clock.
        cold_tests: So many tests are asked in a process of their own.
        cold_spare_s: For importing them.
    """

    slow_s: float = 2.0
    slow_wall_s: int = 300
    asked_s: float = 8.0
    times: int = 10
    spare_s: float = 3.0
    waits_s: int = 60
    cold_tests: int = 300
    cold_spare_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A test without mutants: whether it passed in time, how long it took, and the marks it reached."""

    passed: bool
    cpu_s: float
    wall_s: float
    reached: list[str]


class Hunt:
    """A pytest plugin that runs its tests against mutants, instead of once.

    Args:
        mutants: Those asked about.
        marked: Those looked for in the tests, so that what was seen serves the next run too: these and more.
        memory: What was seen of tests before; added to.
        found: Called with each mutant and the test that killed it; "" where none did.
    """

    def __init__(
        self,
        mutants: Sequence[Mutant],
        marked: Sequence[Mutant],
        memory: Path,
        found: Callable[[Mutant, str], None],
        limits: Limits | None = None,
    ) -> None:
        self._mutants, self._memory, self._found = mutants, memory.resolve(), found
        self._limits = limits or Limits()
        self._marks: dict[str, set[str]] = {}
        for one in marked:
            self._marks.setdefault(one.path, set()).add(mark_of(one))
        self._failed = False
        self._functions: dict[str, list[FunctionType]] = {}
        self._caches: list[Any] = []
        self._texts: dict[str, str] = {}
        self._alone: dict[str, bool] = {}
        self._killers: dict[tuple[str, str], set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notice a failure, of a fixture too."""
        self._failed = self._failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests against each mutant."""
        if session.testsfailed:
            raise session.Interrupted("a test file cannot be imported")
        self._functions, self._caches = living({str(Path(path).resolve()) for path in self._marks})
        gc.freeze()
        items = {item.nodeid: item for item in session.items}
        seen = self._look(list(items.values()))
        odd = [name for name in items if name in seen and not seen[name].passed]
        sys.stderr.write(f"{len(items)} tests, {len(odd)} left out, failing or slow: {', '.join(odd)}\n")
        for mutant in self._mutants:
            names = [name for name in self._those_to_ask(mutant, seen) if name in items]
            killer = self._ask(mutant, [items[name] for name in names], seen) if mutant.inside else _COLD
            if killer == _COLD:
                killer = _ask_cold(mutant, names[: self._limits.cold_tests], seen, self._limits)
            if killer in items:
                self._killers.setdefault((mutant.path, mutant.scope), set()).add(killer)
            self._found(mutant, killer)
        return True

    def _those_to_ask(self, mutant: Mutant, seen: Mapping[str, Seen]) -> list[str]:
        """Return the tests that run a mutant's statement: killers of its neighbours, its module's own, the quick.

        All of them about a script: no mark can be put into it. About a cold one also those whose file names its module,
        and some of each file before more of any.
        """
        mark, is_script = mark_of(mutant), mutant.path.endswith(".lua")
        killers = self._killers.get((mutant.path, mutant.scope), set())
        own = f"test_{Path(mutant.path).stem}"
        so_far: Counter[str] = Counter()
        fits = []
        for name, one in sorted(seen.items(), key=lambda pair: pair[1].cpu_s):
            file = name.split("::")[0]
            is_named = not mutant.inside and self._names(file, mutant.path)
            if one.passed and (is_script or is_named or mark in one.reached):
                so_far[file] += 0 if mutant.inside else 1
                is_own = Path(file).stem.startswith(own)
                fits.append((name not in killers, not is_own, so_far[file], one.cpu_s, name))
        fits.sort()
        names, left = [], self._limits.asked_s
        for *_, cpu_s, name in fits:
            left -= cpu_s
            if left >= 0:
                names.append(name)
        return names

    def _names(self, file: str, path: str) -> bool:
        if file not in self._texts:
            self._texts[file] = Path(file).read_text(encoding="utf-8")
        return is_named(path, self._texts[file])

    def _look(self, items: Sequence[pytest.Item]) -> dict[str, Seen]:
        """Return what each test runs; those of a file that is as it was are not run again."""
        digest = self._digest()
        if not self._memory.exists() or self._memory.read_text().partition("\n")[0] != json.dumps(digest):
            self._memory.write_text(json.dumps(digest) + "\n")
        ages = {path: sha256(path.read_bytes()).hexdigest() for path in {item.path for item in items}}
        seen: dict[tuple[str, str], Seen] = {}
        while True:
            for name, age, *rest in map(json.loads, self._memory.read_text().splitlines()[1:]):
                seen[name, age] = Seen(*rest)
            new = [item for item in items if (item.nodeid, ages[item.path]) not in seen]
            if not new:
                return {item.nodeid: seen[item.nodeid, ages[item.path]] for item in items}
            before = self._memory.stat().st_size
            _forked(functools.partial(self._write_what_they_run, new, ages))
            if self._memory.stat().st_size == before:  # the first of them ended the fork
                self._write(new[0], ages, Seen(False, 0.0, 0.0, []))

    def _write(self, item: pytest.Item, ages: Mapping[Path, str], seen: Seen) -> None:
        with self._memory.open("a") as file:
            row = [item.nodeid, ages[item.path], seen.passed, seen.cpu_s, seen.wall_s, seen.reached]
            file.write(json.dumps(row) + "\n")

    def _digest(self) -> str:
        """Return what stands for all marks; a change that moves none of them hardly changes who reaches it."""
        return sha256(
            json.dumps(sorted(mark for marks in self._marks.values() for mark in marks)).encode()
        ).hexdigest()

    def _write_what_they_run(self, items: Sequence[pytest.Item], ages: Mapping[Path, str]) -> str:
        """Write a line for each test; one that is slow is the last of this fork."""
        reached: set[str] = set()
        for path, wanted in self._marks.items():
            if not path.endswith(".lua"):
                put_marks(self._functions[str(Path(path).resolve())], path, wanted, reached.add)
        for item, after in _with_next(items):
            self._clear()
            reached.clear()
            start, clock = time.process_time(), time.monotonic()

            def tell(
                passed: bool, item: pytest.Item = item, start: float = start, clock: float = clock
            ) -> None:
                took = (time.process_time() - start, time.monotonic() - clock)
                self._write(item, ages, Seen(passed, *took, sorted(reached)))

            def end(*_: object, tell: Callable[[bool], None] = tell) -> None:
                tell(False)
                os._exit(0)

            signal.signal(signal.SIGPROF, end)
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_PROF, self._limits.slow_s)
            signal.alarm(self._limits.slow_wall_s)
            self._failed = False
            self._run(item, after)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            tell(not self._failed)
        return ""

    def _ask(self, mutant: Mutant, items: Sequence[pytest.Item], seen: Mapping[str, Seen]) -> str:
        """Return the first test that fails with a mutant and, alone, not without it.

        How the tests were ended where they were, and without it are not.
        """
        killer = _forked(functools.partial(self._judge, mutant, items, seen)) if items else ""
        for place, item in enumerate(items):
            if item.nodeid == killer and not self._holds(item, seen):
                return self._ask(mutant, [*items[:place], *items[place + 1 :]], seen)
        if killer.startswith(_ENDED) and _forked(functools.partial(self._judge, None, items, seen)):
            return ""
        return killer

    def _holds(self, item: pytest.Item, seen: Mapping[str, Seen]) -> bool:
        if item.nodeid not in self._alone:
            self._alone[item.nodeid] = not _forked(functools.partial(self._judge, None, [item], seen))
        return self._alone[item.nodeid]

    def _judge(self, mutant: Mutant | None, items: Sequence[pytest.Item], seen: Mapping[str, Seen]) -> str:
        limits = self._limits
        self._clear()
        if mutant and not self._plant(mutant):
            return _COLD
        for item, after in _with_next(items):
            one = seen[item.nodeid]
            signal.setitimer(signal.ITIMER_PROF, limits.spare_s + limits.times * one.cpu_s)
            signal.alarm(limits.waits_s + math.ceil(limits.times * one.wall_s))
            self._failed = False
            self._run(item, after)
            if self._failed:
                return item.nodeid
        return ""

    def _run(self, item: pytest.Item, after: pytest.Item | None) -> None:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)

    def _clear(self) -> None:
        for cache in self._caches:
            cache.cache_clear()

    def _plant(self, mutant: Mutant) -> bool:
        """Put a mutant into the functions that are there; False where it does not go in."""
        source = Path(mutant.path).read_text(encoding="utf-8")
        if mutant.path.endswith(".lua"):
            _plant_script(mutant, mutated_lua(source, mutant.index))
            return True
        path = str(Path(mutant.path).resolve())
        code = compile(mutated(source, mutant.index), path, "exec", dont_inherit=True)
        return put(self._functions[path], code, mutant.scope)


def is_named(path: str, text: str) -> bool:
    """Tell whether a text names a module by its path, or a whole package of it as `monitor.core.*`."""
    module = path.removesuffix(".py").replace("/", ".")
    return module in text or any(module.startswith(package) for package in _PACKAGE.findall(text))


def _plant_script(mutant: Mutant, text: str) -> None:
    from monitor.adapters.redis import connection

    real, name = connection.script_text, Path(mutant.path).stem
    for module in list(sys.modules.values()):
        if vars(module).get("script_text") is real:
            vars(module)["script_text"] = lambda asked: text if asked == name else real(asked)


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
    return f"{_ENDED}{signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else answer


def _ask_cold(mutant: Mutant, tests: Sequence[str], seen: Mapping[str, Seen], limits: Limits) -> str:
    if not tests:
        return ""
    cpu_s = limits.cold_spare_s + limits.times * sum(seen[name].cpu_s for name in tests)
    asked = {"path": mutant.path, "index": mutant.index, "tests": tests, "cpu_s": math.ceil(cpu_s)}
    command = [sys.executable, "-m", "tests.mutation.cold"]
    wait_s = 10 * (limits.waits_s + cpu_s)
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), text=True, capture_output=True, timeout=wait_s, check=False
        )
    except subprocess.TimeoutExpired:
        return "ended for waiting"
    if done.returncode < 0:
        return f"{_ENDED}{signal.Signals(-done.returncode).name}"
    if done.returncode not in (0, 1, 2):
        raise RuntimeError(f"{mutant.name}: pytest ended with {done.returncode}: {done.stdout[-2000:]}")
    return "" if done.returncode == 0 else str(json.loads(done.stdout.splitlines()[-1])["failed"])
