"""How large a world is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setup:
    """How large a world is.

    Attributes:
        faults: How many happen in it.
        speed: Minutes of event time in a minute.
        per_min: Requests of each of four releases in a minute of event time.
        min_per_fault: Minutes of event time that the traffic's story has for each fault.
        brokers: One, or three that replicate each other.
        cluster: Whether the store is a cluster of six nodes.
        beside: A checkout of another version, which the second worker runs.
        only: The faults that are drawn, by name or by their letter in the plan; all where none is named.
    """

    faults: int = 10
    workers: int = 2
    partitions: int = 4
    speed: int = 20
    per_min: int = 60
    hostile: float = 0.2
    min_per_fault: float = 2.5
    brokers: int = 1
    cluster: bool = False
    beside: Path | None = None
    only: tuple[str, ...] = ()

    @property
    def minutes(self) -> int:
        """How many minutes of event time the stories are told in."""
        return max(16, round(self.faults * self.min_per_fault))
