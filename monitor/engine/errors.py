"""What can go wrong between the engine and the outside: each says what to do."""

from __future__ import annotations

from monitor.core.errors import MonitorError


class StoreUnusable(MonitorError):
    """The state store is reachable but could lose state without an error; the message names the remedy."""


class StoreUnreachable(MonitorError):
    """The state store does not answer in time."""


class FlushTooLarge(MonitorError):
    """A batch is beyond `MAX_FLUSH_FIELDS` or `MAX_FLUSH_BYTES`; the message names got and allowed."""


class LogUnreachable(MonitorError):
    """The log does not answer or acknowledge in time."""


class OffsetOutOfRange(MonitorError):
    """The log no longer has, or does not have, the offset a partition must go on from: never a silent reset."""

    def __init__(self, topic: str, number: int, offset: int, *, first: int | None, end: int | None) -> None:
        known = "" if first is None or end is None else f"; it holds {first} to {end}"
        super().__init__(
            f"{topic}/{number}: offset {offset} is not in the log{known}. Retention overtook us, or the topic was "
            "truncated or made anew: the partition's state must be rebuilt"
        )
        self.topic, self.number, self.offset, self.first, self.end = topic, number, offset, first, end


class PartitionLost(MonitorError):
    """The group gave the partition to somebody else meanwhile: stop working on it."""


class TopicUnusable(MonitorError):
    """A topic exists with settings that break a promise; the message names setting, value and remedy."""


class ActuatorFailed(MonitorError):
    """A flag could not be made to serve the baseline, or could not be shown to."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class PagerFailed(MonitorError):
    """A page was not confirmed by the paging system."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class ApprovalRequired(ActuatorFailed):
    """The flag system accepts the change only after a person approved it there."""
