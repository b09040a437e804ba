"""Holds what the product did against what the oracle says, promise by promise; and against the same log in peace.

The numbers are those of the invariants in the reliability notes: I1 counts, I2 balance, I3 fencing, and so on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any, Protocol

from monitor.adapters.flush_limits import OFFSET
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.topics import DEAD_LETTERS, DECISIONS, EVAL_DEBT, LEDGER, PAGES, REQUESTS
from monitor.core.aggregate import Aggregate
from monitor.core.budget import Budget
from monitor.core.cohort import EVERY
from monitor.core.decision import AFTER_ROLLBACK, Decision
from monitor.engine.codec import META_FIELD, Meta, cell_key, decode_cell, decode_meta
from monitor.engine.ports import Partition
from monitor.engine.replay import Replay
from monitor.engine.seal import StateDamaged
from monitor.wire.cloudevent import from_binary, to_structured
from tests.simulation import oracle
from tests.simulation.traffic import BASELINE, MINUTE_MS, Story
from tests.simulation.world import BEGIN_MS, HOLD_MIN, LIMIT_PCT

REQUESTED = "dev.rollbackbudget.rollback.requested.v1"
BESIDE_MIN = (
    6  # an incident is judged up to three minutes ahead of the ticks: what they would have said is open
)
_OF_THE_MONITOR = ("monitor.blind", "monitor.recovered")  # said of a worker, not of a release: on no record
_OF_A_TURNED_FLAG = tuple(
    one.value for one in AFTER_ROLLBACK
)  # a replay turns none, so there is nothing to prove
_COMPARED = ("breach.started", "breach.cleared", "page.opened", "evaldebt.created")


class World(Protocol):
    """A world as it is judged: simulated, or of real servers and processes, looked at from outside.

    Attributes:
        is_simulated: Then its producers send nothing of which the contract leaves open whether it is late.
        broker: `traces`, a list of partitions with their `rows`; `flat(topic)`, the records of a control topic.
        store: `hashes` by partition; `applied`, who wrote what, where that is known.
        corrupted: The fields that a fault damaged, and what they were damaged to.
    """

    is_simulated: bool
    violations: list[tuple[str, str]]
    held_ms: dict[str, int]
    corrupted: dict[tuple[Partition, str], bytes | None]
    broker: Any
    store: Any
    group: Any
    flags: Any
    people: Any

    @property
    def stories(self) -> Sequence[Story]: ...
    @property
    def budgets(self) -> tuple[Budget, ...]: ...
    @property
    def minute(self) -> int: ...
    def event_ms(self, wall_ms: int, /) -> int: ...


Broken = list[tuple[str, str]]


def judge(world: World) -> Broken:
    """Return which promises were broken, and how; to be asked of a world at rest."""
    limits, truth = limits_of(world), truth_of(world)
    return [
        *world.violations,
        *judge_counts(world, truth),
        *_letters(world, truth),
        *_fencing(world),
        *_decisions(world, truth, limits),
        *_effects(world, truth, limits),
        *_ledger(world),
        *_like_replay(world, truth),
    ]


def judge_counts(world: World, truth: oracle.Truth) -> Broken:
    """Return what is wrong about the counts alone; the log is to end where the stored offsets do."""
    return [*_counts(world, truth), *_cells(world, truth)]


def limits_of(world: World) -> list[oracle.Limit]:
    """Return the budgets as the oracle judges them."""
    return [
        oracle.Limit(
            story.release,
            BASELINE,
            Fraction(LIMIT_PCT),
            HOLD_MIN,
            literal_safety=True,
            held_from_ms=world.held_ms.get(story.release),
        )
        for story in world.stories
    ]


def truth_of(world: World) -> oracle.Truth:
    """Return what the log of a world says."""
    records = {
        number: [oracle.Arrived(row.offset, world.event_ms(row.timestamp), row.value) for row in log.rows]
        for number, log in enumerate(world.broker.traces)
    }
    watched = [BASELINE, *(story.release for story in world.stories)]
    return oracle.truth_of(records, watched, is_strict=world.is_simulated)


def _counts(world: World, truth: oracle.Truth) -> Iterator[tuple[str, str]]:
    for number, expected in truth.totals.items():
        stored = world.store.hashes.get(world.group.partitions[number], {})
        meta = meta_of(stored)
        if meta is None:
            yield "I1 every record counted once", f"partition {number} has no state"
            continue
        found = oracle.Totals(
            meta.accepted, meta.late, meta.duplicates, meta.rejected, meta.gaps, meta.other_releases
        )
        rows = world.broker.traces[number].rows
        trailing = int(stored[OFFSET]) - (rows[-1].offset + 1 if rows else 0)
        if not expected.allows(found) or trailing:
            yield "I1 every record counted once", f"partition {number}: {found}, and it is {expected}"
        balance = found.accepted + found.late + found.duplicates + found.rejected + found.gaps
        if balance != int(stored[OFFSET]) - meta.base:
            yield "I2 offset and totals move together", f"partition {number}: {balance} records"


def meta_of(stored: Mapping[str, bytes]) -> Meta | None:
    """Return what a partition's state says beside its cells; None where there is no state, or none to be used."""
    if META_FIELD not in stored or not stored.get(OFFSET, b"").isdigit():
        return None
    try:
        return decode_meta(stored[META_FIELD])
    except StateDamaged:
        return None


def _cells(world: World, truth: oracle.Truth) -> Iterator[tuple[str, str]]:
    merged: dict[tuple[int, str], Aggregate] = {}
    for stored in world.store.hashes.values():
        for name, packed in stored.items():
            key = cell_key(name)
            if key is not None and all(value == EVERY for _, value in key.view):
                cell = _cell(packed)
                if cell is not None:
                    merged.setdefault((key.minute, key.release), Aggregate()).add_total(cell)
    found = {
        key: oracle.Cell(cell.requests, cell.errors, cell.timeouts, cell.known[0], cell.hits[0])
        for key, cell in merged.items()
        if cell.requests
    }
    unread = _still_damaged(world) | truth.unsure
    for at in sorted((found.keys() | truth.cells.keys()) - unread):
        if found.get(at) != truth.cells.get(at):
            minute = at[0] - BEGIN_MS // MINUTE_MS
            yield (
                "I1 every record counted once",
                f"minute {minute} of {at[1]}: {found.get(at)}, and it is {truth.cells.get(at)}",
            )
    incidents: Counter[str] = Counter()
    for (_, release), cell in merged.items():
        incidents[release] += cell.incidents
    if +incidents != Counter(truth.incidents) and not unread:
        yield "I1 every incident counted once", f"{dict(+incidents)}, and it is {truth.incidents}"


def _cell(packed: bytes) -> Aggregate | None:
    try:
        return decode_cell(packed)
    except StateDamaged:
        return None


def _still_damaged(world: World) -> set[tuple[int, str]]:
    """Return the cells that a fault damaged and that nobody has read since: whoever does will notice."""
    keys = (
        cell_key(name)
        for (partition, name), value in world.corrupted.items()
        if world.store.hashes.get(partition, {}).get(name) == value
    )
    return {(key.minute, key.release) for key in keys if key is not None}


def _letters(world: World, truth: oracle.Truth) -> Iterator[tuple[str, str]]:
    found = set()
    for record in world.broker.flat(DEAD_LETTERS):
        data = json.loads(record.value or b"{}")
        found.add((data["source_partition"], data["source_offset"]))
    if found != truth.letters:
        yield (
            "I14 what does not fit is a dead letter",
            f"missing {truth.letters - found}, too many {found - truth.letters}",
        )


def _fencing(world: World) -> Iterator[tuple[str, str]]:
    for partition, token, right, begun, ended in world.store.applied:
        if token != right:
            yield (
                "I3 one writer at a time",
                f"partition {partition.number}, {begun} to {ended}: written by {token}, owned by {right}",
            )


def published(world: World) -> Iterator[Mapping[str, Any]]:
    for topic in (DECISIONS, REQUESTS, PAGES, EVAL_DEBT):
        for record in world.broker.flat(topic):
            yield to_structured(from_binary(record.value, list(record.headers)))


def _armed_from(world: World, release: str) -> int | None:
    """Return the minute from which a release is judged, as its arming says; None for the first there is."""
    for record in world.broker.flat(LEDGER):
        event = json.loads(record.value or b"{}")["event"]
        if event["type"].endswith("arming.created.v1") and event["data"]["release"] == release:
            from_minute = event["data"]["from_minute"]
            return None if from_minute is None else int(from_minute)
    return None


def _must(world: World, truth: oracle.Truth, limit: oracle.Limit) -> bool:
    begin, from_minute = BEGIN_MS // MINUTE_MS, _armed_from(world, limit.release)
    to_minute = begin + world.minute - 2
    return oracle.must_roll_back(truth, limit, begin if from_minute is None else from_minute - 1, to_minute)


def _unsure(world: World, truth: oracle.Truth) -> set[str]:
    """Return the releases with events whose fate the contract leaves open; what the baseline has is everybody's."""
    releases = {release for _, release in truth.unsure}
    return {story.release for story in world.stories} if BASELINE in releases else releases


def _decisions(world: World, truth: oracle.Truth, limits: list[oracle.Limit]) -> Iterator[tuple[str, str]]:
    due = {limit.release for limit in limits if _must(world, truth, limit)}
    requests = [event for event in published(world) if event["type"] == REQUESTED]
    asked = {str(event["data"]["release"]) for event in requests}
    unsure = _unsure(world, truth)
    due, asked = due - unsure, asked - unsure
    for release in sorted(due - asked):
        yield "I5 no missed breach", f"{release} had to be rolled back and was not"
    for release in sorted(asked - due):
        yield "I8 no false decision", f"{release} was rolled back and had nothing wrong"
    ids = {str(event["id"]) for event in requests if event["data"]["release"] in asked}
    expected = {oracle.request_id(release, 1) for release in asked}
    if ids != expected:
        yield "I6 one decision, one id", f"requests have the ids {sorted(ids)}, not {sorted(expected)}"


def _effects(world: World, truth: oracle.Truth, limits: list[oracle.Limit]) -> Iterator[tuple[str, str]]:
    changes = Counter(key for key, *_ in world.flags.changes)
    for limit in limits:
        if limit.release in _unsure(world, truth):
            continue
        key = f"flag-{limit.release}"
        is_due = _must(world, truth, limit)
        serving = world.flags.serving[key]
        if serving != ("old" if is_due else "new") or changes[key] != int(is_due):
            yield (
                "I7 one effect per decision",
                f"{key} serves {serving} after {changes[key]} changes, and is {'' if is_due else 'not '}to turn",
            )
    told = {notice.event_id for notice in world.people.told.values()}
    for event in published(world):
        if event["type"].endswith("page.opened.v1") and event["id"] not in told:
            yield "I7 one effect per decision", f"nobody was told of page {event['id']}"


def _ledger(world: World) -> Iterator[tuple[str, str]]:
    """What is published is on record, and what is on record is published: exactly one of each after compaction."""
    recorded: dict[str, bool] = {}
    for record in world.broker.flat(LEDGER):
        is_done = json.loads(record.value or b"{}")["published"]
        recorded[str(record.key)] = is_done or recorded.get(str(record.key), False)
    told: dict[str, set[str]] = {}
    for event in published(world):
        if _name(event) not in _OF_THE_MONITOR:
            told.setdefault(str(event["id"]), set()).add(str(event["type"]))
    for one in sorted(told.keys() - recorded.keys()):
        yield "I17 record, then act", f"{told[one]} {one} is published and not on record"
    for one in sorted(one for one, is_done in recorded.items() if not is_done):
        yield "I17 record, then act", f"{one} is on record and was never published"
    for one, kinds in told.items():
        if len(kinds) > 1:
            yield "I6 one decision, one id", f"{one} names {sorted(kinds)}"


def _like_replay(world: World, truth: oracle.Truth) -> Iterator[tuple[str, str]]:
    """The same log, read in peace, gives the same decisions: none is missed, none is false, none has another id."""
    replay = Replay(world.budgets, decode, partitions=len(world.broker.traces))
    rows = sorted(
        (row.timestamp, number, row.offset, row.value)
        for number, log in enumerate(world.broker.traces)
        for row in log.rows
    )
    peaceful: list[Decision] = []
    for stamp, number, _, value in rows:
        peaceful += replay.feed(value, partition=number, record_ms=world.event_ms(stamp))
    peaceful += replay.finish()
    mine = {one.decision_id: (one.type.value, one.release, one.at_ms) for one in peaceful}
    theirs = {
        str(event["id"]): (_name(event), str(event["data"]["release"]), _at_ms(event))
        for event in published(world)
        if event["data"].get("reason") not in _OF_A_TURNED_FLAG
    }
    unsure = _unsure(world, truth)
    for label, some, others in (("missed", mine, theirs), ("made up", theirs, mine)):
        for decision_id, (kind, release, at_ms) in some.items():
            if kind not in _COMPARED or decision_id in others or release in unsure:
                continue
            if _is_sure(world, release, at_ms):
                minute = (at_ms - BEGIN_MS) / MINUTE_MS
                yield "I8 as without faults", f"{label}: {kind} of {release} at minute {minute:.1f}"


def _is_sure(world: World, release: str, at_ms: int) -> bool:
    """Tell whether a decision is far from the end of the log and from any incident, and the release armed in time."""
    end_ms = BEGIN_MS + (world.minute - 4) * MINUTE_MS
    story = next(one for one in world.stories if one.release == release)
    near = any(abs(at_ms - BEGIN_MS - at * MINUTE_MS) < BESIDE_MIN * MINUTE_MS for at in story.incidents)
    if story.held_at is not None:
        return False  # a replay of the traces knows of no commander
    return at_ms < end_ms and not near and _armed_from(world, release) is None


def _name(event: Mapping[str, Any]) -> str:
    return str(event["type"]).removeprefix("dev.rollbackbudget.").removesuffix(".v1")


def _at_ms(event: Mapping[str, Any]) -> int:
    return int(datetime.fromisoformat(str(event["time"])).timestamp() * 1000)
