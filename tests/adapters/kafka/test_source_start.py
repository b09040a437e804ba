"""Where reading begins that finds no state: at a first start as configured, after a loss never at the end."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.adapters.kafka.source import START_WINDOW_MS, KafkaSource, StartFrom
from monitor.engine.ports import Partition

PARTITION = Partition("traces", 0)
NOW_MS = 10 * START_WINDOW_MS
FIRST, WINDOW, END = 3, 40, 90


class Consumer:
    """As much of a group's consumer as finding a beginning takes."""

    def __init__(self, committed: int | None, window: int | None = WINDOW) -> None:
        self._committed, self._window = committed, window

    async def committed(self, _partition: Partition) -> int | None:
        return self._committed

    async def beginning_offset(self, _partition: Partition) -> int:
        return FIRST

    async def end_offset(self, _partition: Partition) -> int:
        return END

    async def offset_for_time(self, _partition: Partition, at_ms: int) -> int | None:
        assert at_ms == NOW_MS - START_WINDOW_MS
        return self._window


class Now:
    def now_ms(self) -> int:
        return NOW_MS


@pytest.mark.parametrize(
    ("start_from", "committed", "window", "begins"),
    [
        ("earliest", None, WINDOW, FIRST),
        ("earliest", 70, WINDOW, FIRST),
        ("window", None, WINDOW, WINDOW),
        ("window", 70, WINDOW, WINDOW),
        ("window", 70, None, END),  # nothing was written since
        ("latest", None, WINDOW, END),
        (
            "latest",
            70,
            WINDOW,
            WINDOW,
        ),  # it was here before: the state was lost, and what it counted is read again
    ],
)
async def test_where_reading_begins(
    start_from: StartFrom, committed: int | None, window: int | None, begins: int
) -> None:
    consumer: Any = Consumer(committed, window)
    assert await KafkaSource(consumer, start_from, Now()).start_offset(PARTITION) == begins


async def test_a_record_that_comes_while_an_empty_partition_is_asked_about_is_read() -> None:
    """The answer "nothing is as young as that" holds for the moment it was given in, and for no record after it."""

    class Filling(Consumer):
        end = END

        async def end_offset(self, _partition: Partition) -> int:
            return self.end

        async def offset_for_time(self, partition: Partition, at_ms: int) -> int | None:
            self.end += 143  # they come right behind this answer
            return await super().offset_for_time(partition, at_ms)

    consumer: Any = Filling(None, None)
    assert await KafkaSource(consumer, "window", Now()).start_offset(PARTITION) == END
