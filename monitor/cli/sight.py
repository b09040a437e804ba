"""What the monitor can see, as the stored state has it: progress of every partition, whether or not a worker answers.

One look has no memory: it tells live, late and blind by how far what is read lies behind, and a partition without
usable state as rebuilding. Why the workers cannot see, and since when, is in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.cli.output import on_one_line
from monitor.config.settings import Settings
from monitor.core.decision import EVERY_RELEASE
from monitor.core.sight import BLIND_MS, Cause, Facts, Sight, SightState, sign_of, step, worst
from monitor.engine.codec import META_FIELD, OFFSET_FIELD, read_meta
from monitor.engine.errors import StoreUnreachable, TopicUnusable
from monitor.engine.ports import LedgerEntry, Partition
from monitor.engine.seal import StateDamaged
from monitor.engine.standing import blindness

STORE_DEADLINE_S: Final = 5.0

Horizons = Mapping[Partition, int | None]
"""Event time up to which each partition is read; None where its state says nothing."""


@dataclass(frozen=True, slots=True)
class PartitionSight:
    """One partition; `behind_s` is real time, None where nothing is known."""

    partition: str
    sight: str
    cause: str | None
    behind_s: float | None


@dataclass(frozen=True, slots=True)
class Glance:
    """What one look finds, JSON-ready.

    Attributes:
        why: What the store answered where it could not be asked.
        said: What the workers have on record of it and is not over: `cause`, `since`, `summary`.
    """

    sight: str
    cause: str | None
    why: str | None
    said: dict[str, object] | None
    partitions: Sequence[PartitionSight]


async def stored_horizons(settings: Settings) -> Horizons:
    """Ask the store how far every partition is.

    Raises:
        StoreUnreachable, LogUnreachable: No answer in time.
    """
    from monitor.adapters.kafka.topic_admin import partition_count
    from monitor.adapters.redis.store import RedisStateStore
    from monitor.app import kafka_access

    count = await partition_count(kafka_access(settings), settings.traces_topic)
    partitions = [Partition(settings.traces_topic, number) for number in range(count)]
    store = RedisStateStore(settings.redis_url.get_secret_value(), deadline_s=STORE_DEADLINE_S)
    try:
        rows = await store.read(partitions, [META_FIELD, OFFSET_FIELD])
    finally:
        await store.close()
    return {one: _horizon_ms(*row) for one, row in zip(partitions, rows, strict=True)}


def _horizon_ms(packed: bytes | None, offset: bytes | None) -> int | None:
    try:
        meta = read_meta(packed, offset)
    except StateDamaged:
        return None
    return None if meta is None else meta.horizon_ms


async def glance(settings: Settings, entries: Iterable[LedgerEntry], now_ms: int) -> Glance:
    """Look once; a store that does not answer is an answer.

    Args:
        now_ms: Event time, epoch milliseconds.
    """
    said = blindness((entry.decision for entry in entries), EVERY_RELEASE)
    try:
        return seen(await stored_horizons(settings), now_ms, settings, said)
    except StoreUnreachable as error:
        return Glance(Sight.BLIND.value, Cause.REDIS.value, str(error), said, [])
    except TopicUnusable as error:
        return Glance(Sight.BLIND.value, None, str(error), said, [])


def seen(horizons: Horizons, now_ms: int, settings: Settings, said: dict[str, object] | None) -> Glance:
    """Return what the stored progress comes to."""
    blind_ms = BLIND_MS + 2 * max(0, settings.flush_interval_ms - 1_000)
    rows: list[PartitionSight] = []
    states: list[SightState] = []
    for partition, horizon_ms in sorted(horizons.items()):
        behind_ms = None if horizon_ms is None else max(0, now_ms - horizon_ms) / settings.event_time_speed
        facts = Facts(None if behind_ms is None else round(behind_ms), 0, is_lost=horizon_ms is None)
        state = step(SightState(Sight.LATE, 0), sign_of(facts, blind_ms=blind_ms), at_ms=0)
        states.append(state)
        behind_s = None if behind_ms is None else round(behind_ms / 1000, 1)
        rows.append(PartitionSight(f"{partition.topic}/{partition.number}", *_words(state), behind_s))
    whole = worst(states)
    return Glance(*(("late", None) if whole is None else _words(whole)), None, said, rows)


def _words(state: SightState) -> tuple[str, str | None]:
    return state.sight.value, None if state.cause is None else state.cause.value


def lines_of(found: Glance) -> list[tuple[str, str]]:
    """Return what people are told, each line with its style; nothing is green that is not live."""
    style = {"live": "green", "late": "yellow"}.get(found.sight, "bold red")
    cause = f" ({found.cause})" if found.cause not in (None, found.sight) else ""
    behind: list[Any] = [one.behind_s for one in found.partitions if one.behind_s is not None]
    read = (
        f": read up to {max(behind):.0f} s ago in the slowest of {len(found.partitions)} partitions"
        if behind
        else ""
    )
    lines = [(f"sight {found.sight.upper()}{cause}{read}", style)]
    if found.why is not None:
        lines.append((f"  {found.why}", style))
    if found.said is not None:
        lines.append((f"  {on_one_line(str(found.said['summary']))}", style))
    for one in found.partitions:
        if one.sight != Sight.LIVE:
            far = "nothing is known of it" if one.behind_s is None else f"{one.behind_s:.0f} s behind"
            lines.append((f"  {one.partition} {one.sight}: {far}", style))
    if found.sight in (Sight.REBUILDING, Sight.BLIND):
        lines.append(("  nothing below is newer than what was seen; nothing is decided meanwhile", style))
    return lines
