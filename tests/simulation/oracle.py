"""The oracle: what is true of a log, by brute force, from the written contract alone.

It shares no code with the product and imports nothing but the standard library. It reads the records in the order
of their offsets, keeps every event, and counts with whole numbers and exact fractions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any

MINUTE_MS = 60_000
LATE_MS = 120_000
FUTURE_MS = 300_000
REPEAT_MS = 120_000
LABELS = ("task_success", "human_handoff")


class Unsure(Exception):
    """The contract leaves an event's fate to who read what when: producers of this test must not send such."""


@dataclass(frozen=True)
class Arrived:
    """One record of a partition; `at_ms` is its own time."""

    offset: int
    at_ms: int
    value: bytes | None


class Fate(Enum):
    """What has to become of a record; `UNSURE` is accepted or late."""

    ACCEPTED = "accepted"
    LATE = "late"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    UNSURE = "unsure"


@dataclass
class Totals:
    """What became of a partition's records."""

    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: int = 0
    gaps: int = 0
    others: int = 0
    unsure: int = 0

    def allows(self, found: Totals) -> bool:
        """Tell whether a count can be right: equal, but that what was unsure was accepted or late."""
        unsure = self.unsure
        return (
            (found.duplicates, found.rejected, found.gaps) == (self.duplicates, self.rejected, self.gaps)
            and found.accepted + found.late == self.accepted + self.late + unsure
            and 0 <= found.accepted - self.accepted <= unsure
            and 0 <= found.others - self.others <= unsure
        )


@dataclass
class Cell:
    """One minute of one release."""

    requests: int = 0
    errors: int = 0
    timeouts: int = 0
    known: int = 0
    hits: int = 0


@dataclass(frozen=True)
class Limit:
    """A budget as far as the oracle judges it.

    Attributes:
        pct: Percent of the baseline's success rate that may be lost.
        hold_min: For so many minutes in a row.
        literal_safety: Whether the first severe incident rolls back, whatever the baseline does.
        held_from_ms: Since when, for good, a commander holds rollbacks back.
    """

    release: str
    baseline: str
    pct: Fraction
    hold_min: int
    literal_safety: bool
    held_from_ms: int | None = None


@dataclass
class Truth:
    """What the log says.

    Attributes:
        letters: Partition and offset of every record that does not fit.
        incidents: Severe incidents per release.
        unsure: The cells of events of which the contract leaves open whether they are late.
        first_incident_ms: Record time of a release's first one.
    """

    totals: dict[int, Totals] = field(default_factory=dict)
    cells: dict[tuple[int, str], Cell] = field(default_factory=dict)
    letters: set[tuple[int, int]] = field(default_factory=set)
    incidents: dict[str, int] = field(default_factory=dict)
    unsure: set[tuple[int, str]] = field(default_factory=set)
    first_incident_ms: dict[str, int] = field(default_factory=dict)


def truth_of(
    partitions: Mapping[int, Sequence[Arrived]], watched: Iterable[str], *, is_strict: bool = True
) -> Truth:
    """Count everything.

    Args:
        watched: The releases that a budget names, as candidate or baseline.
        is_strict: Producers were to send nothing whose fate is open; otherwise it is set apart.

    Raises:
        Unsure: They did.
    """
    truth, names = Truth(), frozenset(watched)
    for number, records in partitions.items():
        _count(truth, number, records, names, is_strict)
    return truth


def _count(
    truth: Truth, number: int, records: Iterable[Arrived], watched: frozenset[str], is_strict: bool
) -> None:
    totals = truth.totals[number] = Totals()
    for record, fate, event in fates(records, totals):
        if event is None:
            truth.letters.add((number, record.offset))
            continue
        if fate is Fate.DUPLICATE:
            continue
        release, is_live = event["release"], event.get("traffic", "live") == "live"
        if is_live and release in watched and event.get("incident_severity") in ("high", "critical"):
            truth.incidents[release] = truth.incidents.get(release, 0) + 1
            first_ms = truth.first_incident_ms.get(release, record.at_ms)
            truth.first_incident_ms[release] = min(first_ms, record.at_ms)
        if fate is Fate.UNSURE:
            if is_strict:
                raise Unsure(f"partition {number}, offset {record.offset}: its minute may be closed, or not")
            if release in watched and is_live:
                truth.unsure.add((event["at"] // MINUTE_MS, release))
        elif fate is Fate.ACCEPTED:
            if release not in watched:
                totals.others += 1
            elif is_live:
                _add(truth.cells.setdefault((event["at"] // MINUTE_MS, release), Cell()), event)


def fates(
    records: Iterable[Arrived], totals: Totals, *, is_filled: bool = False
) -> Iterator[tuple[Arrived, Fate, Mapping[str, Any] | None]]:
    """Yield each record of a partition with what has to become of it, and its event; count it in the totals.

    Args:
        is_filled: All of it was written before anybody read: the time of its records closes no minute.
    """
    clock: int | None = None
    last_seen: dict[str, int] = {}
    expected: int | None = None
    for record in records:
        totals.gaps += 0 if expected is None else record.offset - expected
        expected = record.offset + 1
        event = parsed(record.value)
        if event is None or event["at"] > record.at_ms + FUTURE_MS:
            totals.rejected += 1
            yield record, Fate.REJECTED, None
            continue
        claimed = min(event["at"], record.at_ms)
        clock = claimed if clock is None else max(clock, claimed)
        before = last_seen.get(event["event_id"])
        last_seen[event["event_id"]] = clock
        if before is not None and before > clock - REPEAT_MS:
            totals.duplicates += 1
            yield record, Fate.DUPLICATE, event
        elif event["at"] < clock - LATE_MS:
            totals.late += 1
            yield record, Fate.LATE, event
        elif not is_filled and event["at"] // MINUTE_MS < (record.at_ms - LATE_MS) // MINUTE_MS:
            totals.unsure += 1
            yield record, Fate.UNSURE, event
        else:
            totals.accepted += 1
            yield record, Fate.ACCEPTED, event


def _add(cell: Cell, event: Mapping[str, object]) -> None:
    cell.requests += 1
    cell.errors += event.get("status") == "error"
    cell.timeouts += event.get("status") == "timeout"
    cell.known += event.get("task_success") is not None
    cell.hits += event.get("task_success") is True


def parsed(value: bytes | None) -> dict | None:
    """Return an event that fits the contract; None for one that does not, as far as this test sends such."""
    if value is None or len(value) > 65_536:
        return None
    try:
        event = json.loads(value.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or _depth(event) > 16:
        return None
    at, release, event_id = event.get("at"), event.get("release"), event.get("event_id")
    if not (isinstance(at, int) and not isinstance(at, bool) and 0 <= at < 1 << 53):
        return None
    if not all(isinstance(one, str) and 0 < len(one) <= 64 for one in (release, event_id)):
        return None
    if any(event.get(label) not in (None, True, False) for label in LABELS):
        return None
    return event


def _refuse(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(text)
    return value


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
    return deepest


def breaks(truth: Truth, limit: Limit, from_minute: int, to_minute: int) -> int | None:
    """Return the first minute at whose end the letter of the rule asks for a rollback; None where none does.

    Each of the newest `hold_min` minutes has labels of both arms and is beyond the limit. Equality is not beyond.

    Args:
        from_minute, to_minute: The minutes that were judged, [from, to).
    """
    firsts = [minute for minute, release in truth.cells if release == limit.release and minute >= from_minute]
    in_a_row = 0
    for minute in range(min(firsts, default=to_minute), to_minute):
        mine = truth.cells.get((minute, limit.release), Cell())
        theirs = truth.cells.get((minute, limit.baseline), Cell())
        in_a_row = in_a_row + 1 if _beyond(mine, theirs, limit.pct) else 0
        if in_a_row >= limit.hold_min:
            is_held = limit.held_from_ms is not None and (minute + 1) * MINUTE_MS > limit.held_from_ms
            return None if is_held else minute
    return None


def _beyond(mine: Cell, theirs: Cell, pct: Fraction) -> bool:
    if not mine.known or not theirs.known:
        return False
    floor = Fraction(theirs.hits, theirs.known) * (1 - pct / 100)
    return Fraction(mine.hits, mine.known) < floor


def must_roll_back(truth: Truth, limit: Limit, from_minute: int, to_minute: int) -> bool:
    """Tell whether a release had to be rolled back by what was judged."""
    first_ms = truth.first_incident_ms.get(limit.release)
    if limit.literal_safety and first_ms is not None:
        is_held = limit.held_from_ms is not None and limit.held_from_ms < first_ms
        if not is_held:
            return True
    return breaks(truth, limit, from_minute, to_minute) is not None


def request_id(release: str, arming: int) -> str:
    """Return the id that the request to roll back a release has from whoever makes it."""
    text = json.dumps(
        ["dev.rollbackbudget.rollback.requested.v1", release, arming],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()
