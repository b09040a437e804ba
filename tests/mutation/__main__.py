"""`python -m tests.mutation`: a sample of mutants from a seed, and which of them the tests let live."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from benchmarks.shares import interval
from tests.mutation.cold import arguments
from tests.mutation.hunt import Hunt
from tests.mutation.kept import Kept
from tests.mutation.operators import Mutant, mutants_of

EXPLAINED: Final = Path(__file__).with_name("survivors.toml")
MEMORY: Final = Path(".pytest_cache/mutation")


# Verbs that need no server.
_IN_FILES: Final = tuple(
    f"tests/cli/test_{verb}.py"
    for verb in (
        "backtest",
        "budget_test",
        "debt",
        "explain",
        "gate",
        "plan",
        "replay",
        "replay_history",
        "shadow",
        "validate",
    )
)


@dataclass(frozen=True, slots=True)
class Part:
    """Files, and the tests that are asked about them: a lot only about what those before it let live."""

    name: str
    files: tuple[str, ...]
    tests: tuple[tuple[str, ...], ...]
    sampled: bool = False


PARTS: Final = (
    Part(
        "core",
        ("monitor/core/**/*.py",),
        (
            ("tests/core",),
            ("tests/config", "tests/wire", "tests/docs", *_IN_FILES),
            ("tests/engine", "tests/golden", "tests/adapters/otlp"),
        ),
        sampled=True,
    ),
    Part(
        "outbox",
        (
            "monitor/engine/outbox.py",
            "monitor/engine/effect_ledger.py",
            "monitor/adapters/kafka/outputs.py",
            "monitor/adapters/kafka/ledger.py",
        ),
        (
            (
                "tests/engine/test_control.py",
                "tests/engine/test_control_proof.py",
                "tests/engine/test_breaker.py",
                "tests/engine/test_effect_ledger.py",
                "tests/engine/test_outbox.py",
                "tests/engine/test_effects_due.py",
                "tests/wire/test_cdevents.py",
                "tests/adapters/kafka/test_outputs.py",
            ),
        ),
    ),
    Part(
        "script",
        ("monitor/adapters/redis/lua/*.lua",),
        (
            ("-k", "script and not hset", "tests/adapters/redis/test_scripts.py"),
            (
                "-k",
                "valkey",
                "tests/contract/test_state_store.py",
                "tests/contract/test_state_reset.py",
                "tests/contract/test_lease.py",
            ),
        ),
    ),
)


def main(given: Sequence[str] | None = None) -> int:
    """Return 0 where every survivor is explained and every explanation has its mutant, else 1."""
    asked = _parser().parse_args(given)
    listed = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["equivalent"]
    explained = {one["mutant"]: one["why"] for one in listed}
    wrong = 0
    for part in PARTS:
        if part.name in asked.part:
            wrong += _hunt(part, asked, explained)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--part",
        nargs="+",
        choices=names,
        default=["outbox", "script"],
        help="of the core, draw a --sample",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    parser.add_argument("--sample", type=int, default=300, help="mutants of the core; 0: all (default: 300)")
    parser.add_argument("--again", action="store_true", help="forget what earlier runs found about the core")
    parser.add_argument(
        "--only", default="", help="mutants whose name holds this text; nothing is sampled then"
    )
    return parser


def _hunt(part: Part, asked: argparse.Namespace, explained: dict[str, str]) -> int:
    paths = sorted(str(path) for pattern in part.files for path in Path().glob(pattern))
    every = [one for path in paths for one in mutants_of(path, Path(path).read_text(encoding="utf-8"))]
    chosen = [one for one in every if asked.only in one.name]
    if part.sampled and asked.sample and not asked.only:
        chosen = random.Random(asked.seed).sample(chosen, min(asked.sample, len(chosen)))
    sys.stderr.write(f"{part.name}: {len(chosen)} of {len(every)} mutants, seed {asked.seed}\n")
    living = chosen
    with _servers(part):
        for number, tests in enumerate(part.tests):
            asked_about = [one for one in living if one.name not in explained]
            kept = _kept(part, number, asked.again)
            living = _survivors(MEMORY / f"{part.name}-{number}.json", asked_about, chosen, tests, kept)
    equivalent = [one for one in chosen if one.name in explained]
    for one in living:
        sys.stdout.write(f"SURVIVES  {one.path}:{one.lines[0]}  {one.name}\n")
    gone = set(explained) - {one.name for one in every}
    stale = sorted(name for name in gone if name.startswith(tuple(paths))) if not asked.only else []
    for name in stale:
        sys.stdout.write(f"EXPLAINED, BUT NOT THERE  {name}\n")
    tried = len(chosen) - len(equivalent)
    low, high = interval(tried - len(living), tried)
    sys.stdout.write(
        f"{part.name}: {tried - len(living)} of {tried} killed = {(tried - len(living)) / max(1, tried):.1%} "
        f"({low:.1%} to {high:.1%}); {len(equivalent)} more are explained; {len(every)} in all\n"
    )
    return len(living) + len(stale)


def _kept(part: Part, number: int, again: bool) -> Kept | None:
    """Return what earlier runs found; the small parts are asked about anew each time."""
    if not part.sampled:
        return None
    MEMORY.mkdir(parents=True, exist_ok=True)
    to = MEMORY / f"{part.name}-{number}-found.jsonl"
    if again:
        to.unlink(missing_ok=True)
    return Kept(to, part.tests[number])


def _survivors(
    memory: Path, mutants: Sequence[Mutant], marked: Sequence[Mutant], tests: Sequence[str], kept: Kept | None
) -> list[Mutant]:
    known = {one: kept.killer(one) if kept else None for one in mutants}
    living = [one for one, killer in known.items() if killer == ""]
    new = sorted(
        (one for one, killer in known.items() if killer is None), key=lambda one: (one.path, one.index)
    )
    sys.stderr.write(f"{len(mutants)} mutants, {len(mutants) - len(new)} of them asked about before\n")
    done = 0

    def found(mutant: Mutant, killer: str) -> None:
        nonlocal done
        done += 1
        sys.stderr.write(f"{done}/{len(new)} {mutant.name[:110]!r}: {killer or 'LIVES'}\n")
        if kept:
            kept.keep(mutant, killer)
        if not killer:
            living.append(mutant)

    if new:
        memory.parent.mkdir(parents=True, exist_ok=True)
        answer = pytest.main([*arguments(), *tests], plugins=[Hunt(new, marked, memory, found)])
        if done != len(new):
            raise SystemExit(f"pytest ended with {answer!r} after {done} of {len(new)} mutants")
    return living


@contextmanager
def _servers(part: Part) -> Iterator[None]:
    if part.name != "script":
        yield
        return
    from monitor.adapters.embedded.valkey import EmbeddedValkey

    with tempfile.TemporaryDirectory() as folder, EmbeddedValkey(Path(folder)) as server:
        os.environ["ROLLBACK_BUDGET_TEST_REDIS"] = server.url
        yield


if __name__ == "__main__":
    sys.exit(main())
