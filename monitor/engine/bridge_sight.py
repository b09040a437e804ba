"""How a bridge stands, for those who watch it: it has joined, it goes on or has nothing to do, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

STILL_MS: Final = 30_000
"""So long without a record or a later time is no pause of a busy topic: an idle one is asked several times a second."""


class BridgeState(StrEnum):
    """What a bridge is doing."""

    STARTING = "starting"  # it joins, and learns what was told of before
    BRIDGING = "bridging"
    IDLE = "idle"  # all that is there has been read
    STANDBY = "standby"  # other bridges have all partitions
    AWAY = "away"  # Kafka does not answer; it is tried again
    STILL = "still"  # Kafka answers and nothing moves


_READY: Final = frozenset({BridgeState.BRIDGING, BridgeState.IDLE, BridgeState.STANDBY})


@dataclass(frozen=True, slots=True)
class BridgeSight:
    """One look at a bridge.

    Attributes:
        cause: Why Kafka is called away, as it was said.
        unread: Records of its partitions that it has not read; None while that is not known.
        behind_ms: How far the time up to which all of them are read is behind the wall clock; None as above.
        still_ms: How long ago a record came, or that time moved.
        open_traces: Traces that wait for more.
    """

    state: BridgeState
    cause: str | None
    unread: int | None
    behind_ms: int | None
    still_ms: int
    open_traces: int

    @property
    def is_ready(self) -> bool:
        """Whether it has joined, and goes on or has nothing to do."""
        return self.state in _READY


class BridgeObserver(Protocol):
    """Where a bridge shows itself, about once a second."""

    def looked(self, counts: Mapping[str, int], sight: BridgeSight) -> None:
        """Take note of a look.

        Args:
            counts: All that was counted up to the last batch that is acknowledged on the traces topic, by name; it
                does not change any more.
        """


class _Unobserved(BridgeObserver):
    def looked(self, counts: Mapping[str, int], sight: BridgeSight) -> None:
        """Do nothing."""


UNOBSERVED: Final = _Unobserved()
"""For who is not watched."""
