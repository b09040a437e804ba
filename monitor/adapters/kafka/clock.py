"""The broker's clock: how far time has come for partitions that bring no records.

A partition without traffic must not hold the watermark back, and our own clock may be wrong. So we append a tiny
record and read the time the broker gave it. Whatever is appended to a partition after that moment is stamped no
earlier (as far as the brokers' clocks agree; the lateness covers what NTP leaves). A partition whose end, asked for
*after* the probe was acknowledged, has been read is therefore complete up to the probe's time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from monitor.engine.ports import Log

_TOPIC: Final = "rollback.clock.v1"
_KEY: Final = "clock"
_VALUE: Final = b"t"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the broker's clock.

    Attributes:
        broker_ms: The broker's time of the probe, epoch milliseconds.
        acknowledged_at_s: Our monotonic clock when the answer was here, seconds.
    """

    broker_ms: int
    acknowledged_at_s: float


class BrokerClock:
    """Asks the broker what time it is, by appending to a topic with `LogAppendTime`."""

    def __init__(self, log: Log, topic: str = _TOPIC) -> None:
        self._log = log
        self._topic = topic

    async def probe(self) -> ClockReading:
        """Append a record of a few bytes and return the time the broker gave it.

        Raises:
            LogUnreachable: Not acknowledged in time.
        """
        stamp = await self._log.append(self._topic, _KEY, _VALUE)
        return ClockReading(stamp.at_ms, time.monotonic())
