"""What producers send: healthy and harmful releases, repeats, latecomers, events from the future, and poison."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

BASELINE = "model-1"
STRANGER = "model-nobody-watches"
MINUTE_MS = 60_000

POISON: tuple[bytes | None, ...] = (
    None,
    b"",
    b"\xff\xfe\x00",
    b"not json",
    b"[]",
    b'{"event_id": "p", "at": NaN, "release": "model-2"}',
    b'{"event_id": "p", "at": 1, "release": 7}',
    b'{"event_id": "", "at": 1, "release": "model-2"}',
    b'{"at": 1, "release": "model-2"}',
    b'{"event_id": "p", "at": 1' + b"0" * 400 + b', "release": "model-2"}',
    b'{"event_id": "p", "at": 1, "release": "model-2", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"event_id": "p", "at": 1, "release": "model-2", "latency_ms": 1e999}',
    b'{"event_id": "p", "at": 1, "release": "model-2", "task_success": "yes"}',
    b"x" * 70_000,
)


@dataclass(frozen=True)
class Story:
    """What happens to one candidate, in minutes since the traffic began.

    Attributes:
        bad: Stretches of minutes [from, to) in which too few requests succeed.
        incidents: Minutes in which one severe incident happens.
        held_at: The minute in which a commander holds every rollback of it back; None where nobody does.
    """

    release: str
    bad: tuple[tuple[int, int], ...] = ()
    incidents: tuple[int, ...] = ()
    held_at: int | None = None

    def is_bad(self, minute: int) -> bool:
        return any(start <= minute < end for start, end in self.bad)


def stories(rng: Random, minutes: int) -> list[Story]:
    """Draw what happens to three candidates: one breaks, one has an incident or a burst, one may be held back."""
    start = rng.randrange(2, max(3, minutes - 8))
    burst = rng.randrange(4, max(5, minutes - 4))
    breaks = Story("model-2", bad=((start, start + rng.choice((4, 5, 8))),))
    has_incident = rng.random() < 0.5
    incident = Story("model-3", incidents=(rng.randrange(5, minutes),))
    short = Story("model-3", bad=((burst, burst + 2),))
    if rng.random() < 0.5:  # at least two minutes before the rule would ask for a rollback
        last = Story("model-4", bad=((burst, burst + 6),), held_at=burst + rng.randrange(-2, 3))
    else:
        last = Story("model-4", bad=((burst, burst + 3),))
    return [breaks, incident if has_incident else short, last]


@dataclass
class Producer:
    """Writes the events of one stretch of event time at a time.

    Attributes:
        per_min: Requests of each release a minute.
        delay_ms: How old a request may be when it is sent; most are much younger.
    """

    rng: Random
    stories: list[Story]
    begin_ms: int
    partitions: int
    hostile: float = 0.04
    per_min: int = 10
    delay_ms: int = 100_000
    numbers: int = 0
    clocks: dict[int, int] = field(default_factory=dict)
    coming: dict[int, int] = field(default_factory=dict)
    recent: dict[int, deque[tuple[int, bytes]]] = field(default_factory=dict)
    told: set[tuple[str, int]] = field(default_factory=set)
    quotas: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def events(self, now_ms: int, span_ms: int) -> list[tuple[int, bytes | None]]:
        """Return what arrives in the stretch that ends now: a partition and a value each."""
        out: list[tuple[int, bytes | None]] = []
        rng = self.rng
        for release in [BASELINE, *(story.release for story in self.stories)]:
            expected = self.per_min * span_ms / MINUTE_MS
            for _ in range(int(expected + rng.random())):
                out.append(self._request(release, now_ms))
        minute = (now_ms - self.begin_ms) // MINUTE_MS
        for story in self.stories:
            for at in story.incidents:
                if at <= minute and (story.release, at) not in self.told:
                    self.told.add((story.release, at))
                    out.append(self._request(story.release, now_ms, incident_severity="critical"))
        if rng.random() < self.hostile:
            out.append(self._odd(now_ms))
        rng.shuffle(out)
        for number, clock_ms in self.coming.items():  # only now: within a stretch any of them may come first
            self.clocks[number] = max(self.clocks.get(number, 0), clock_ms)
        return out

    def _request(self, release: str, now_ms: int, **more: Any) -> tuple[int, bytes]:
        at_ms = now_ms - int(self.rng.random() ** 4 * self.delay_ms)
        return self._event(release, at_ms, now_ms, **more)

    def _event(self, release: str, at_ms: int, now_ms: int, **more: Any) -> tuple[int, bytes]:
        self.numbers += 1
        number = int(self.rng.random() * self.partitions)
        fields = {
            "event_id": f"e{self.numbers}",
            "at": at_ms,
            "release": release,
            "task_success": self._succeeds(release, at_ms),
            "latency_ms": 200 + int(self.rng.random() * 800),
            **more,
        }
        value = json.dumps(fields).encode()
        self._sent(number, value, at_ms, now_ms)
        return number, value

    def _sent(self, number: int, value: bytes, at_ms: int, now_ms: int) -> None:
        self.coming[number] = max(self.coming.get(number, 0), min(at_ms, now_ms))
        self.recent.setdefault(number, deque(maxlen=60)).append((at_ms, value))

    def _succeeds(self, release: str, at_ms: int) -> bool:
        """Of every ten requests of a minute a fixed number succeeds, so that no minute is bad by chance."""
        minute = (at_ms - self.begin_ms) // MINUTE_MS
        story = next((one for one in self.stories if one.release == release), None)
        quota = self.quotas.get((release, minute))
        if not quota:
            failures = 6 if story is not None and story.is_bad(minute) else self.rng.randrange(2)
            quota = self.quotas[release, minute] = [0] * failures + [1] * (10 - failures)
            self.rng.shuffle(quota)
        return bool(quota.pop())

    def _odd(self, now_ms: int) -> tuple[int, bytes | None]:
        rng = self.rng
        kind = rng.choice(
            ("poison", "poison", "repeat", "repeat", "late", "future", "ahead", "stranger", "shadow")
        )
        number = int(rng.random() * self.partitions)
        some = rng.choice(self.stories).release
        if kind == "repeat" and self.recent.get(number):
            at_ms, value = rng.choice(self.recent[number])
            sure = now_ms - at_ms < 100_000 or at_ms < self.clocks.get(number, 0) - 120_001
            return number, value if sure else rng.choice(POISON)
        if kind == "late" and number in self.clocks:
            self.numbers += 1
            at_ms = self.clocks[number] - 120_001 - rng.randrange(300_000)
            return number, self._plain(some, at_ms)
        if kind == "future":
            return number, self._plain(some, now_ms + 300_000 + 1_000 + rng.randrange(10**9))
        if kind == "ahead":
            at_ms = now_ms + rng.randrange(200_000)
            value = self._plain(some, at_ms)
            self._sent(number, value, at_ms, now_ms)
            return number, value
        if kind in ("stranger", "shadow"):
            release, traffic = (STRANGER, "live") if kind == "stranger" else (some, "shadow")
            value = self._plain(release, now_ms, traffic)
            self._sent(number, value, now_ms, now_ms)
            return number, value
        return number, rng.choice(POISON)

    def _plain(self, release: str, at_ms: int, traffic: str = "live") -> bytes:
        self.numbers += 1
        fields = {"event_id": f"o{self.numbers}", "at": at_ms, "release": release, "traffic": traffic}
        return json.dumps(fields).encode()
