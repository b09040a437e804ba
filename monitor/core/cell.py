"""Where an aggregate belongs, and the incident that is heard before its cell is closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from monitor.core.cohort import CohortKey


class CellKey(NamedTuple):
    """Where an aggregate belongs. Labels that come later have cells of their own, which close later.

    Attributes:
        shard: Which of the cells that hold the parts of a breakdown; 0 for a slice that is not broken down.
    """

    minute: int
    release: str
    view: CohortKey
    later: bool = False
    shard: int = 0


@dataclass(frozen=True, slots=True)
class Incident:
    """A high-severity incident, as the evaluator hears of it before its minute is closed.

    Attributes:
        minute: The minute it counts in: its own, or the oldest open one where it came late.
    """

    release: str
    event_id: str
    at_ms: int
    minute: int
    severity: str
    exemplar: str
    failure_class: str
    cohort: tuple[tuple[str, str], ...]
