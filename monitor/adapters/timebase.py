"""How the broker's time becomes event time. They are the same, except where a recording is played at speed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from monitor.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Timebase:
    """event time = event origin + (record time - wall origin) * speed."""

    speed: float = 1.0
    event_origin_ms: int = 0
    wall_origin_ms: int = 0

    def event_ms(self, wall_ms: int) -> int:
        """Return the event time of a record's own time, epoch milliseconds."""
        if self.speed == 1.0 and self.event_origin_ms == self.wall_origin_ms:
            return wall_ms
        return self.event_origin_ms + round((wall_ms - self.wall_origin_ms) * self.speed)


def timebase_from(settings: Settings) -> Timebase:
    """Return how the settings say that record time becomes event time."""
    return Timebase(
        settings.event_time_speed, settings.event_time_origin_ms or 0, settings.wall_origin_ms or 0
    )


class WallClock:
    """Wall time in event time: for arming and delivery stamps, never for a decision."""

    def __init__(self, timebase: Timebase) -> None:
        self._timebase = timebase

    def now_ms(self) -> int:
        """Return epoch milliseconds, in event time."""
        return self._timebase.event_ms(time.time_ns() // 1_000_000)


class SteadyClock:
    """A clock for waiting: it never jumps, and its zero means nothing."""

    def now_ms(self) -> int:
        """Return milliseconds since some moment."""
        return time.monotonic_ns() // 1_000_000
