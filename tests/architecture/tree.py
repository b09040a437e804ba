"""What belongs to the project: its files, as anybody has them after a clone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_DATA = (".jsonl", ".csv")  # recorded traffic says what it says


def python_files(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield (name, source) of every Python file below the folders, names relative to the checkout."""
    yield from ((name, text) for name, text in text_files(*folders) if name.endswith(".py"))


def text_files(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every file that is text and no recording; of the whole checkout without folders."""
    for name in _names():
        if (folders and name.split("/")[0] not in folders) or name.endswith(_DATA):
            continue
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary


@cache
def _names() -> tuple[str, ...]:
    """Return every file that .gitignore does not keep out; read without git, which an archive does not have."""
    ignored = [
        ".git",
        *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines() if line),
    ]
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)]
        kept = (name for name in files if not any(fnmatch(name, pattern) for pattern in ignored))
        found += [Path(folder, name).relative_to(ROOT).as_posix() for name in kept]
    return tuple(sorted(found))
