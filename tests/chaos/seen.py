"""What is seen of a real world from outside, in the shape in which worlds are judged.

The log is read from the broker's files, the state from the store itself; what the flag and paging systems were asked
is what they counted. Nothing is asked of the workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from monitor.adapters.flush_limits import OFFSET
from monitor.core.budget import Budget
from monitor.engine.ports import Partition
from tests.chaos.outside import Flags, People
from tests.chaos.segments import Row
from tests.simulation import oracle
from tests.simulation.traffic import Story
from tests.simulation.verdict import judge_counts, meta_of, truth_of


@dataclass(frozen=True)
class Part:
    """One partition of the traces topic."""

    rows: list[Row]


@dataclass(frozen=True)
class Log:
    """The log as far as it was read."""

    traces: list[Part]
    topics: Mapping[str, list[Row]] = field(default_factory=dict)

    def flat(self, topic: str) -> list[Row]:
        """Return a control topic's records, in order within each partition."""
        return self.topics.get(topic, [])


@dataclass(frozen=True)
class Store:
    """The stored state; who wrote it is not seen from outside."""

    hashes: dict[Partition, dict[str, bytes]]
    applied: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Group:
    """The traces topic's partitions."""

    partitions: tuple[Partition, ...]


@dataclass
class Seen:
    """A world, as it is judged."""

    broker: Log
    store: Store
    group: Group
    flags: Flags
    people: People
    stories: list[Story]
    budgets: tuple[Budget, ...]
    minute: int
    speed: int
    begin_ms: int
    wall_ms: int
    held_ms: dict[str, int]
    violations: list[tuple[str, str]] = field(default_factory=list)
    corrupted: dict[tuple[Partition, str], bytes | None] = field(default_factory=dict)
    is_simulated: bool = False

    def event_ms(self, wall_ms: int) -> int:
        """Return the event time of a record's own time."""
        return self.begin_ms + (wall_ms - self.wall_ms) * self.speed


@dataclass(frozen=True)
class Counted:
    """What the stored counts come to against the log, at one moment.

    Attributes:
        lost, double: Records that are in no count, and counts that no record stands behind.
        wrong: What is wrong, in words.
    """

    records: int
    lost: int
    double: int
    wrong: list[tuple[str, str]]


def counted(seen: Seen) -> Counted:
    """Hold the stored counts to a recount of the log up to the stored offsets."""
    cut, records = [], 0
    for number, part in enumerate(seen.broker.traces):
        offset = seen.store.hashes[seen.group.partitions[number]].get(OFFSET, b"")
        end = int(offset) if offset.isdigit() else 0
        rows = [row for row in part.rows if row.offset < end]
        cut.append(Part(rows))
        records += len(rows)
    there = replace(seen, broker=Log(cut))
    truth = truth_of(there)
    lost = double = 0
    for number, expected in truth.totals.items():
        found = _totals(seen.store.hashes[seen.group.partitions[number]])
        of_found = found.accepted + found.late + found.duplicates + found.rejected
        of_log = expected.accepted + expected.late + expected.duplicates + expected.rejected + expected.unsure
        lost += max(0, of_log - of_found)
        double += max(0, of_found - of_log)
    wrong = judge_counts(there, truth)
    return Counted(records, lost or int(bool(wrong) and not double), double, wrong)


def _totals(stored: Mapping[str, bytes]) -> oracle.Totals:
    meta = meta_of(stored)
    if meta is None:
        return oracle.Totals()
    return oracle.Totals(meta.accepted, meta.late, meta.duplicates, meta.rejected, meta.gaps)
