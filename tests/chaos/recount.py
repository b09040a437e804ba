"""A recount of a topic of millions, and how what is stored differs from it.

The truth is read from the broker's own segment files and judged by the oracle, with the standard library alone, one
process a partition: about 25 µs a record. It is made before any worker starts, so it knows nothing of what they do.
The log was filled before anybody read, so no minute is closed by the broker's time: every record has one fate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from monitor.adapters.flush_limits import OFFSET
from monitor.core.aggregate import Aggregate
from monitor.core.cohort import EVERY, OVERALL
from monitor.core.indicator import LABELS
from monitor.engine.codec import Meta, cell_key, decode_cell
from tests.chaos.segments import each_row
from tests.simulation import oracle
from tests.simulation.verdict import meta_of

SOME = 3  # differences of one kind that are told in words
_LATENCY, _COST = "latency", "cost"
_COLUMNS = (
    "requests",
    "errors",
    *(f"{label} {what}" for label in oracle.LABELS for what in ("known", "hits")),
)
_SUMS = ("latency µs", "cost µ$")

Key = tuple[int, str]
"""A minute since the epoch, and a release."""


@dataclass
class Counted:
    """What one partition holds.

    Attributes:
        end: The offset after its last record.
        cells: By minute and release, in the order of `_COLUMNS` and `_SUMS`.
        letters: Offsets of what does not fit.
    """

    end: int = 0
    totals: oracle.Totals = field(default_factory=oracle.Totals)
    cells: dict[Key, list[int]] = field(default_factory=dict)
    letters: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Difference:
    """What is stored against the recount.

    Attributes:
        lost, double: Requests and dead letters that are missing, and counts that nothing on the log stands behind.
        wrong: What is wrong, in words; empty where all is exact.
    """

    lost: int
    double: int
    wrong: list[str]


def recounted(data_dir: Path, topic: str, partitions: int, processes: int) -> dict[int, Counted]:
    """Count what a topic's segment files hold, partition by partition."""
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = pool.map(
            _partition, *zip(*((data_dir, topic, one) for one in range(partitions)), strict=True)
        )
        return dict(enumerate(found))


def _partition(data_dir: Path, topic: str, partition: int) -> Counted:
    rows = each_row(data_dir, topic, partition)
    return counted(oracle.Arrived(row.offset, row.at_ms, row.value) for row in rows)


def counted(records: Iterable[oracle.Arrived]) -> Counted:
    """Count the records of one partition, which all were there before anybody read."""
    found = Counted()
    for record, fate, event in oracle.fates(records, found.totals, is_filled=True):
        found.end = record.offset + 1
        if event is None:
            found.letters.add(record.offset)
        elif fate is oracle.Fate.ACCEPTED:
            key = event["at"] // oracle.MINUTE_MS, event["release"]
            _add(found.cells.setdefault(key, [0] * (len(_COLUMNS) + len(_SUMS))), event)
    return found


def _add(cell: list[int], event: Mapping[str, object]) -> None:
    """Add one request; how long a failed one took is in no sum of latencies."""
    has_failed = event.get("status") == "error"
    cell[0] += 1
    cell[1] += has_failed
    for at, label in enumerate(oracle.LABELS):
        cell[2 + 2 * at] += event.get(label) is not None
        cell[3 + 2 * at] += event.get(label) is True
    latency_ms, cost_usd = event.get("latency_ms"), event.get("cost_usd")
    if isinstance(latency_ms, int | float) and not has_failed:
        cell[-2] += round(latency_ms * 1_000)
    if isinstance(cost_usd, int | float):
        cell[-1] += round(cost_usd * 1_000_000)


def difference(
    truth: Mapping[int, Counted],
    stored: Mapping[int, Mapping[str, bytes]],
    letters: Iterable[tuple[int, int]],
) -> Difference:
    """Hold what is stored against the recount.

    Args:
        stored: Each partition's hash, as it is in the store.
        letters: Partition and offset of each dead letter; more than once is allowed, each at least once.
    """
    wrong = list(
        chain.from_iterable(_totals(number, one, stored.get(number, {})) for number, one in truth.items())
    )
    expected: dict[Key, list[int]] = {}
    for one in truth.values():
        for key, counts in one.cells.items():
            expected[key] = [a + b for a, b in zip(expected.get(key, [0] * len(counts)), counts, strict=True)]
    views = _views(stored.values()) or {OVERALL: {}}
    lost, double = 0, 0
    for view, found in views.items():
        less = more = 0
        differs = sorted(key for key in expected.keys() | found.keys() if found.get(key) != expected.get(key))
        for key in differs:
            missing = expected.get(key, [0])[0] - found.get(key, [0])[0]
            less, more = less + max(0, missing), more + max(0, -missing)
        names = _COLUMNS + _SUMS
        for minute, release in differs[:SOME]:
            pair = found.get((minute, release)), expected.get((minute, release))
            wrong.append(
                f"minute {minute} of {release} in {view or 'all'}: {pair[0]}, and it is {pair[1]} {names}"
            )
        if len(differs) > SOME:
            wrong.append(f"{len(differs)} cells of {view or 'all'} differ")
        lost, double = max(lost, less), max(double, more)
    missing_letters, false_letters = _letters(truth, letters)
    if missing_letters or false_letters:
        some = sorted(missing_letters)[:SOME], sorted(false_letters)[:SOME]
        wrong.append(
            f"dead letters: {len(missing_letters)} missing, as {some[0]}; {len(false_letters)} too many, as {some[1]}"
        )
    return Difference(lost + len(missing_letters), double + len(false_letters), wrong)


def _totals(number: int, expected: Counted, stored: Mapping[str, bytes]) -> Iterator[str]:
    meta: Meta | None = meta_of(stored)
    if meta is None:
        yield f"partition {number} has no state"
        return
    found = oracle.Totals(
        meta.accepted, meta.late, meta.duplicates, meta.rejected, meta.gaps, meta.other_releases
    )
    if found != expected.totals:
        yield f"partition {number}: {found}, and it is {expected.totals}"
    if int(stored[OFFSET]) != expected.end:
        yield f"partition {number} is stored up to {int(stored[OFFSET])}, and ends at {expected.end}"
    balance = found.accepted + found.late + found.duplicates + found.rejected + found.gaps
    if balance != int(stored[OFFSET]) - meta.base:
        yield f"partition {number}: totals of {balance} records, from {meta.base} to {int(stored[OFFSET])}"


def _views(hashes: Iterable[Mapping[str, bytes]]) -> dict[object, dict[Key, list[int]]]:
    """Return what every view of everybody adds up to: the overall one, and each that is broken down by cohorts."""
    merged: dict[object, dict[Key, Aggregate]] = {}
    for stored in hashes:
        for name, packed in stored.items():
            key = cell_key(name)
            if key is not None and not key.later and all(value == EVERY for _, value in key.view):
                cells = merged.setdefault(key.view, {})
                cells.setdefault((key.minute, key.release), Aggregate()).add_total(decode_cell(packed))
    return {
        view: {at: _columns(cell) for at, cell in cells.items() if cell.requests}
        for view, cells in merged.items()
    }


def _columns(cell: Aggregate) -> list[int]:
    cell.settle()
    found = [cell.requests, cell.errors]
    for label in oracle.LABELS:
        at = LABELS.index(label)
        found += [cell.known[at], cell.hits[at]]
    return [*found, cell.distribution(_LATENCY).total, cell.distribution(_COST).total]


def _letters(
    truth: Mapping[int, Counted], letters: Iterable[tuple[int, int]]
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    expected = {(number, offset) for number, one in truth.items() for offset in one.letters}
    found = set(letters)
    return expected - found, found - expected


def letters_of(data_dir: Path, topic: str, source: str, partitions: int = 1) -> Iterator[tuple[int, int]]:
    """Yield partition and offset of each dead letter about a topic, from the broker's own files."""
    for partition in range(partitions):
        for row in each_row(data_dir, topic, partition):
            said = json.loads(row.value or b"{}")
            if said["source_topic"] == source:
                yield said["source_partition"], said["source_offset"]
