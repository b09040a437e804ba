"""The recorded traffic of the golden files: synthetic, from seeds, with arithmetic that is the same everywhere.

Each case is two releases that serve side by side for about an hour, and one thing that goes wrong, or nothing.
Latencies follow a curve with a long tail; its numbers only have to look like a service's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

START_MS = 1_793_610_000_000  # 2026-11-02T09:00:00Z
MINUTE_MS = 60_000
BASELINE, CANDIDATE = "assistant-7", "assistant-8"
TENANTS = ("acme", "globex", "initech")
WORKFLOWS = ("claims", "invoices")

Event = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """How one release serves.

    Attributes:
        per_min: Requests a minute.
        success, handoff, error: Probabilities.
        slowness: Factor of every latency.
    """

    per_min: int = 30
    success: float = 0.93
    handoff: float = 0.05
    error: float = 0.004
    slowness: float = 1.0


@dataclass(frozen=True)
class Story:
    """What happens in one case.

    Attributes:
        broken: How the candidate serves from minute `breaks_at` on: everybody, or `sick` alone, one of the tenants.
        incidents: (release, minute) of each high-severity incident.
    """

    seed: int
    minutes: int = 70
    baseline: Service = Service()
    candidate: Service = Service()
    broken: Service | None = None
    breaks_at: int = 0
    sick: str | None = None
    tenants: tuple[str, ...] = TENANTS
    incidents: tuple[tuple[str, int], ...] = ()
    extra: Callable[[list[Event]], list[bytes]] | None = field(default=None, compare=False)


def events_of(story: Story) -> list[Event]:
    """Return the events of a story, in the order of their times."""
    rng = Random(story.seed)
    events = [
        event
        for minute in range(story.minutes)
        for release in (BASELINE, CANDIDATE)
        for event in _minute(rng, story, release, minute)
    ]
    events.sort(key=lambda event: (event["at"], event["event_id"]))
    return events


def _minute(rng: Random, story: Story, release: str, minute: int) -> Iterator[Event]:
    service = story.baseline if release == BASELINE else story.candidate
    broken = story.broken if release == CANDIDATE and minute >= story.breaks_at else None
    if broken is not None and story.sick is None:
        service = broken
    for number in range(service.per_min):
        event = _event(
            rng, story, service, broken, release, f"{release[-1]}-{minute:03d}-{number:03d}", minute
        )
        if number == 0 and (release, minute) in story.incidents:
            event |= {"incident_severity": "critical", "failure_class": "unsafe_advice"}
        yield event


def _event(
    rng: Random, story: Story, service: Service, broken: Service | None, release: str, name: str, minute: int
) -> Event:
    event: Event = {
        "event_id": name,
        "at": START_MS + minute * MINUTE_MS + int(rng.random() * MINUTE_MS),
        "release": release,
        "trace_id": f"trace-{name}",
        "cohort": {
            "tenant": story.tenants[int(rng.random() * len(story.tenants))],
            "workflow": WORKFLOWS[int(rng.random() * len(WORKFLOWS))],
        },
        "latency_ms": int(service.slowness * (400 + 2_600 * rng.random() ** 4)),
    }
    if broken is not None and event["cohort"]["tenant"] == story.sick:
        service = broken
    failed, unsolved, handed = (rng.random() for _ in range(3))
    if failed < service.error:
        del event["latency_ms"]
        return event | {"status": "error"}
    return event | {"task_success": unsolved < service.success, "human_handoff": handed < service.handoff}


def line_of(event: Event) -> bytes:
    """Return an event as one line, without its end."""
    return json.dumps(event, separators=(",", ":")).encode()


def lines_of(story: Story) -> list[bytes]:
    """Return a story's lines, without their ends."""
    events = events_of(story)
    return [line_of(event) for event in events] if story.extra is None else story.extra(events)


def shuffled(lines: list[bytes], seed: int, within_ms: int = 100_000) -> list[bytes]:
    """Return the lines as a network with delays of up to `within_ms` would deliver them."""
    rng = Random(seed)
    arrivals = [(json.loads(line)["at"] + rng.random() * within_ms, line) for line in lines]
    return [line for _, line in sorted(arrivals)]


def hostile_lines() -> dict[str, list[bytes]]:
    """Return lines that do not fit, by the reason they are rejected for."""
    good = {"event_id": "x", "at": START_MS, "release": CANDIDATE}
    return {
        "empty": [b"", b"\r"],
        "too_large": [line_of(good | {"note": "x" * 70_000}), b"x" * 200_000],
        "not_utf8": [b'{"event_id":"x\xff"}', b"\xff\xfe{\x00}\x00"],
        "too_deep": [b'{"a":' * 17 + b"1" + b"}" * 17, b"[" * 60_000],
        "nan": [b'{"latency_ms":NaN}', b'{"latency_ms":1e999}', b'{"a":[-Infinity]}'],
        "not_json": [b"not json", b'{"event_id":"x"', b"\x00", b"<html>502 Bad Gateway</html>", b"   "],
        "lone_surrogate": [rb'{"event_id":"\ud83d"}'],
        "not_an_object": [b"[]", b"null", b"42", b'"text"'],
        "missing_field:event_id": [line_of({"at": START_MS, "release": CANDIDATE})],
        "missing_field:release": [line_of({"event_id": "x", "at": START_MS})],
        "missing_field:at": [line_of({"event_id": "x", "release": CANDIDATE})],
        "not_a_time:at": [line_of(good | {"at": "2026-11-02 09:00"}), line_of(good | {"at": "yesterday"})],
        "out_of_range:at": [line_of(good | {"at": -1})],
        "out_of_range:latency_ms": [line_of(good | {"latency_ms": -1}), line_of(good | {"latency_ms": 9e9})],
        "wrong_type:task_success": [
            line_of(good | {"task_success": 1}),
            line_of(good | {"task_success": "yes"}),
        ],
        "wrong_type:cohort": [line_of(good | {"cohort": "acme"})],
        "unknown_value:status": [line_of(good | {"status": "OK"})],
        "unknown_value:traffic": [line_of(good | {"traffic": "prod"})],
        "too_long:event_id": [line_of(good | {"event_id": "x" * 65})],
        "too_short:release": [line_of(good | {"release": ""})],
        "too_many_keys:outcomes": [line_of(good | {"outcomes": {f"o{n}": True for n in range(17)}})],
    }


def _with_hostile_lines(events: list[Event]) -> list[bytes]:
    """Mix in what does not fit, what came twice, what came late, and what is about another release."""
    lines = [line_of(event) for event in events]
    strangers = [line for lines_ in hostile_lines().values() for line in lines_]
    strangers += [line_of(events[500] | {"event_id": f"late-{number}"}) for number in range(7)]
    strangers += [
        line_of(
            events[500]
            | {"event_id": f"other-{number}", "release": "summariser-2", "at": events[2_000]["at"]}
        )
        for number in range(5)
    ]
    strangers += [line_of(events[2_000])] * 3
    mixed = list(lines)
    for number, stranger in enumerate(strangers):
        mixed.insert(2_010 + 2 * number, stranger)
    return mixed


_SLOW = Service(slowness=1.45)

STORIES: dict[str, Story] = {
    "task_success": Story(1, candidate=Service(), broken=Service(success=0.70, handoff=0.055), breaks_at=20),
    "latency_silence": Story(2, minutes=90, candidate=_SLOW),
    "incident_clean": Story(3, minutes=30, incidents=((CANDIDATE, 12), (CANDIDATE, 14))),
    "incident_normal": Story(
        4,
        minutes=60,
        incidents=(
            *((BASELINE, minute) for minute in (1, 4, 7, 10, 16, 28)),
            *((CANDIDATE, minute) for minute in (14, *range(31, 60))),
        ),
    ),
    "healthy": Story(5, minutes=90, candidate=Service(success=0.94, slowness=0.97)),
    "masked_tenant": Story(
        7,
        minutes=60,
        baseline=Service(per_min=64),
        candidate=Service(per_min=64),
        broken=Service(per_min=64, success=0.5, handoff=0.06),
        breaks_at=15,
        sick="hooli",
        tenants=(*TENANTS, "hooli", "soylent", "stark", "umbrella", "wonka"),
    ),
    "inconclusive": Story(6, minutes=40, baseline=Service(per_min=8), candidate=Service(per_min=2)),
}
STORIES["hostile"] = replace(STORIES["task_success"], extra=_with_hostile_lines)
