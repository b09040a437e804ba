"""A baseline's past from a file: the records of the history's topic, one JSON object a line, plain or gzip."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Final

from monitor.adapters.kafka.history import hour_of
from monitor.adapters.recordings import RecordingUnreadable
from monitor.engine.history import HistoryBook

_GZIP: Final = b"\x1f\x8b"


def read_history(path: Path) -> HistoryBook:
    """Return the past that a file holds; several records of one hour are as good as on the topic.

    Raises:
        RecordingUnreadable: The file cannot be read, or a line of it is no such record; the message says which.
    """
    book = HistoryBook()
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(2) == _GZIP
        with gzip.open(path) if is_packed else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    hour = hour_of(line)
                    if isinstance(hour, str):
                        raise RecordingUnreadable(f"{path}: line {number}: {hour}")
                    book.note(hour)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingUnreadable(f"{path}: cannot be read: {error}") from error
    return book
