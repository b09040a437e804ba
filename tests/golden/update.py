"""Writes the golden files anew, on purpose: `python -m tests.golden.update`. Read the diff before you commit it.

The events come from the seeds in `traffic.py`, the decisions from the command as it is now, and so does the output
that docs/explaining.md shows.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

from tests.golden.cases import CASES, FOLDER
from tests.golden.traffic import STORIES, lines_of

PAGE = FOLDER.parents[1] / "docs" / "explaining.md"
SESSION = re.compile(r"\$ rollback-budget explain (\w+) --events decisions.jsonl\n(.*?)```", re.DOTALL)


def main() -> None:
    """Write events first, then what the command says about them."""
    for name, story in STORIES.items():
        write(FOLDER / name / "events.jsonl.gz", packed(b"".join(line + b"\n" for line in lines_of(story))))
    for case in CASES:
        command = [sys.executable, "-m", "monitor", *case.arguments()]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        write(case.decisions, said.stdout)
    write(PAGE, explained(PAGE.read_text(encoding="utf-8")).encode())


def explained(page: str) -> str:
    """Return the page with the output that the command it shows has now."""
    decisions = FOLDER / "task_success" / "decisions.jsonl"
    command, shown = SESSION.search(page).groups()  # type: ignore[union-attr]  # the page has a session
    arguments = [sys.executable, "-m", "monitor", "explain", command, "--events", str(decisions)]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return page.replace(shown, "".join(f"{line.rstrip()}\n" for line in said.splitlines()))


def write(path: Path, content: bytes) -> None:
    """Write a file where it would change, and say so."""
    if path.exists() and plain(path, path.read_bytes()) == plain(path, content):
        return
    path.write_bytes(content)
    sys.stdout.write(f"wrote {path.relative_to(FOLDER.parents[1])}\n")


def packed(content: bytes) -> bytes:
    """Pack without a time, so that the same content is the same file."""
    return gzip.compress(content, 9, mtime=0)


def plain(path: Path, content: bytes) -> bytes:
    """Unpack events: another zlib packs the same lines in another way."""
    return gzip.decompress(content) if path.suffix == ".gz" else content


if __name__ == "__main__":
    main()
