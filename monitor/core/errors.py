"""Every error the core raises: named for what happened, with the numbers that show it."""

from __future__ import annotations


class MonitorError(Exception):
    """The root of all errors this product raises on purpose."""


class UnknownIndicator(MonitorError):
    """A name that is no indicator of the contract."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no indicator")
        self.name = name


class TimeWentBack(MonitorError):
    """A step was asked for a moment before the one already reached."""

    def __init__(self, *, at_ms: int, since_ms: int) -> None:
        super().__init__(f"at_ms={at_ms} is earlier than {since_ms}, the moment already reached")
        self.at_ms, self.since_ms = at_ms, since_ms
