"""Several recordings read at once, in order of time: a shadow request lies near the live one it copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import merge
from io import BufferedReader
from typing import Any, ClassVar, Final

from monitor.adapters.kafka.decode import TraceRecord, decode
from monitor.adapters.recordings import FileRecordings
from monitor.core.errors import MonitorError

FILES_MAX: Final = 64
"""Files that are open at once at most."""


class TooManyFiles(MonitorError):
    """More files than can be read at once; the message says what to do."""

    exit_code: ClassVar[int] = 2


class SideBySide:
    """The events of files, merged by their time; each file in its own order, whatever that is.

    Attributes:
        lanes: How many files there are.
        total_bytes: Of all files, as they lie on disk; None where that is not known (a pipe).
        rejected: Lines that are no trace events, by reason.
    """

    def __init__(self, names: Sequence[str], stdin: BufferedReader[Any] | None) -> None:
        """Check every name, before anything is read.

        Raises:
            TooManyFiles: There are more than `FILES_MAX`.
            RecordingUnreadable: For the first name that cannot be used.
        """
        if len(names) > FILES_MAX:
            raise TooManyFiles(
                f"--events: {len(names)} files; at most {FILES_MAX} are read side by side: join some of them first"
            )
        self.total_bytes = FileRecordings(names, stdin).total_bytes  # checks them together: - is there once
        self._files = [FileRecordings([name], stdin) for name in names]
        self.lanes = len(names)
        self.rejected: Counter[str] = Counter()

    @property
    def done_bytes(self) -> int:
        """How far reading has come, in bytes on disk; pipes do not count."""
        return sum(file.done_bytes for file in self._files)

    @property
    def lines(self) -> int:
        """How many lines were read."""
        return sum(file.lines for file in self._files)

    def events(self) -> Iterator[tuple[int, int, TraceRecord]]:
        """Yield (time, lane, event), epoch milliseconds; lines that are no trace events are counted.

        Raises:
            RecordingUnreadable, RecordingBroken: A file cannot be read, or not to its end.
        """
        # Two heads never are of one lane, so that no events are compared.
        return merge(*(self._of(lane) for lane in range(self.lanes)))

    def _of(self, lane: int) -> Iterator[tuple[int, int, TraceRecord]]:
        for batch in self._files[lane].batches():
            for line in batch:
                event = decode(line)
                if isinstance(event, str):
                    self.rejected[event] += 1
                else:
                    yield event.at_ms, lane, event
