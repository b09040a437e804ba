"""Seeded traffic for the tests that run workers, and an independent recount of what must be in the store.

The recount knows the contract and the standard library only: it shares no line with what it checks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

MINUTE_MS = 60_000
TENANTS = 12
_LATENESS_MS = 2 * MINUTE_MS


@dataclass(frozen=True)
class Arm:
    """One release's requests.

    Attributes:
        per_min: Requests a minute, evenly spread with a jitter.
        success: Share of done tasks; `worse_success` from minute `worse_from` on.
        latency_ms: Median latency; `worse_latency_ms` from minute `worse_from` on.
        worse_tenant: Of which tenant alone the success is worse; None = of all.
        incident_at_min: When its one high-severity incident happens; None = never.
    """

    release: str
    per_min: int
    success: float = 0.9
    latency_ms: float = 800.0
    worse_from: int = 1 << 30
    worse_success: float | None = None
    worse_latency_ms: float | None = None
    worse_tenant: str | None = None
    incident_at_min: int | None = None


def requests(arms: Sequence[Arm], *, seed: int, start_ms: int, minutes: int) -> list[dict[str, object]]:
    """Return the events of all arms in the order of their times; the same seed is the same traffic, under any name."""
    events: list[dict[str, object]] = []
    for place, arm in enumerate(arms):
        draw = Random(f"{seed}/{place}")
        for minute in range(minutes):
            for number in range(arm.per_min):
                at_ms = (
                    start_ms + minute * MINUTE_MS + int((number + draw.random()) * MINUTE_MS / arm.per_min)
                )
                events.append(_request(arm, draw, minute, number, at_ms))
    events.sort(key=lambda event: (event["at"], event["event_id"]))
    return events


def _request(arm: Arm, draw: Random, minute: int, number: int, at_ms: int) -> dict[str, object]:
    tenant = f"tenant-{number % TENANTS:02d}"
    is_worse = minute >= arm.worse_from and arm.worse_tenant in (None, tenant)
    success = arm.worse_success if is_worse and arm.worse_success is not None else arm.success
    median = arm.worse_latency_ms if is_worse and arm.worse_latency_ms is not None else arm.latency_ms
    event: dict[str, object] = {
        "event_id": f"{arm.release}-{minute}-{number}",
        "at": at_ms,
        "release": arm.release,
        "trace_id": f"t-{arm.release}-{minute}-{number}",
        "status": draw.choices(("ok", "error", "timeout"), (0.97, 0.02, 0.01))[0],
        "cohort": {"workflow": draw.choice(("chat", "code")), "tenant": tenant},
        "task_success": draw.random() < success,
        "latency_ms": round(median * draw.lognormvariate(0.0, 0.5), 3),
    }
    if minute == arm.incident_at_min and number == arm.per_min // 2:
        event |= {"incident_severity": "high", "failure_class": "unsafe_advice"}
    return event


def encode(event: dict[str, object]) -> bytes:
    """Return one event as a record's value."""
    return json.dumps(event, separators=(",", ":")).encode()


@dataclass
class Tally:
    """What records must come to, by the contract.

    Attributes:
        cells: Per (minute, release): `requests`, `errors`, `timeouts`, `incidents`, `measured`, `successes`.
    """

    accepted: int = 0
    late: int = 0
    duplicates: int = 0
    rejected: int = 0
    cells: dict[tuple[int, str], Counter[str]] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """All records."""
        return self.accepted + self.late + self.duplicates + self.rejected


def recount(partitions: Iterable[Iterable[bytes | None]], rejected: frozenset[bytes | None]) -> Tally:
    """Count the records of each partition, in their order, by the contract's words.

    Args:
        rejected: The values that do not fit the contract, known to whoever made them.
    """
    tally = Tally()
    for records in partitions:
        clock_ms, seen = -(1 << 62), set[str]()
        for value in records:
            if value in rejected or value is None:
                tally.rejected += 1
                continue
            event = json.loads(value)
            clock_ms = max(clock_ms, event["at"])
            if event["event_id"] in seen:
                tally.duplicates += 1
                continue
            seen.add(event["event_id"])
            if event["at"] < clock_ms - _LATENESS_MS:
                tally.late += 1
                continue
            tally.accepted += 1
            key = (event["at"] // MINUTE_MS, event["release"])
            tally.cells.setdefault(key, Counter()).update(_counts(event))
    return tally


def _counts(event: dict[str, object]) -> Counter[str]:
    return +Counter(
        requests=1,
        errors=int(event.get("status") == "error"),
        timeouts=int(event.get("status") == "timeout"),
        incidents=int(event.get("incident_severity") in ("high", "critical")),
        measured=int(event.get("task_success") is not None),
        successes=int(event.get("task_success") is True),
    )


def spread(values: Sequence[bytes], partitions: int) -> Iterator[tuple[int, bytes]]:
    """Yield (partition, value) round-robin; a value equal to the one before it goes where that one went."""
    number = -1
    previous: bytes | None = None
    for value in values:
        if value != previous:
            number += 1
        previous = value
        yield number % partitions, value
