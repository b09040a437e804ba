"""What was found is kept, a line for each mutant, so that a run that was ended goes on, and the next one asks less."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.mutation.operators import Mutant


class Kept:
    """The answers of one lot of tests.

    A kill holds while the mutated file and the killing test's file are as they were, a survivor while all of these
    tests are.

    Args:
        to: The file.
        tests: Files and folders of tests.
    """

    def __init__(self, to: Path, tests: Sequence[str]) -> None:
        self._to = to
        self._digests: dict[tuple[str, ...], str] = {}
        self._files = sorted(str(path) for name in tests for path in _python_files(Path(name)))
        lines = to.read_text(encoding="utf-8").splitlines() if to.exists() else []
        self._answers: dict[str, list[str]] = {row[0]: row[1:] for row in map(json.loads, lines)}

    def killer(self, mutant: Mutant) -> str | None:
        """Return what was found: the test, "" for a survivor; None where it has to be asked."""
        mutated, tests, killer = self._answers.get(mutant.name, ["", "", ""])
        return killer if mutated == self._digest(mutant.path) and tests == self._asked(killer) else None

    def keep(self, mutant: Mutant, killer: str) -> None:
        """Write down what was found."""
        row = [self._digest(mutant.path), self._asked(killer), killer]
        self._answers[mutant.name] = row
        with self._to.open("a", encoding="utf-8") as file:
            file.write(json.dumps([mutant.name, *row]) + "\n")

    def _asked(self, killer: str) -> str:
        """Return a digest of the tests an answer comes from; one that names no test comes from all."""
        name = killer.split("::", maxsplit=1)[0]
        return self._digest(*([name] if name in self._files else self._files))

    def _digest(self, *paths: str) -> str:
        if paths not in self._digests:
            texts = (path.encode() + Path(path).read_bytes() for path in paths)
            self._digests[paths] = sha256(b"".join(texts)).hexdigest()[:16]
        return self._digests[paths]


def _python_files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]
