"""Event time of the demo: sixty times as fast as the wall, and at the wall's now when the demo ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventClock:
    """Maps the wall to event time: `origin + (wall - wall origin) * speed`; all times epoch milliseconds.

    The workers are given the same three numbers, so that a commander's minute is the traffic's minute.
    """

    origin_ms: int
    wall_origin_ms: int
    speed: int

    def at(self, wall_ms: float) -> int:
        """Return the event time at a moment of the wall."""
        return self.origin_ms + int((wall_ms - self.wall_origin_ms) * self.speed)

    def wall_seconds(self, event_span_ms: int) -> float:
        """Return how long an event span takes on the wall, seconds."""
        return event_span_ms / self.speed / 1000


def ending_now(wall_ms: int, *, expected_min: int, speed: int) -> EventClock:
    """Return the clock whose event time meets the wall's after `expected_min` event minutes from `wall_ms`."""
    span_ms = expected_min * 60_000
    return EventClock(wall_ms + span_ms // speed - span_ms, wall_ms, speed)
