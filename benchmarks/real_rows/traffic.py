"""Recorded traffic from measured rows: when real requests came, and for each of them one real row, drawn with a seed.

Every request is one line as the product reads it. Which release serves it and which row it gets are drawn apart
and independently of each other; the rows of both releases are the whole of what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_rows.rows import Rows
from monitor.console.demo.pools import Pools

BASELINE: Final = "baseline"
CANDIDATE: Final = "candidate"
SHARE: Final = 0.10
"""The candidate's part of the requests."""
MINUTE_MS: Final = 60_000
START_MS: Final = 1_790_000_040_000
"""Event time of the first minute; a whole one."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests came, milliseconds since the first one, and after how long they begin again."""

    at_ms: NDArray[np.int64]
    period_ms: int

    @property
    def per_min(self) -> float:
        """Requests a minute, on average."""
        return len(self.at_ms) * MINUTE_MS / self.period_ms

    def looped(self, minutes: int) -> NDArray[np.int64]:
        """Return the arrivals of so many minutes, played again and again."""
        span_ms = minutes * MINUTE_MS
        rounds = -(-span_ms // self.period_ms)
        starts = np.arange(rounds, dtype=np.int64) * self.period_ms
        every = (starts[:, None] + self.at_ms[None, :]).ravel()
        return every[every < span_ms]


@dataclass(frozen=True, slots=True)
class Spell:
    """Minutes [start, end) in which the candidate is bad; before and after it is what the baseline is."""

    start: int
    end: int

    @property
    def minutes(self) -> int:
        """How long it lasts."""
        return self.end - self.start


def arrivals_of(pools: Pools) -> Arrivals:
    """Return the arrivals that come with this project."""
    return Arrivals(np.array([one.at_ms for one in pools.arrivals], dtype=np.int64), pools.period_ms)


def recording(
    arrivals: Arrivals,
    baseline: Rows,
    candidate: Rows,
    *,
    minutes: int,
    seed: int,
    spell: Spell | None = None,
) -> Iterator[bytes]:
    """Yield one line per request, in the order of their times.

    Args:
        seed: The same seed gives the same bytes.
        spell: When the candidate's own rows are served; None = always.
    """
    rng = np.random.default_rng(seed)
    at_ms = arrivals.looped(minutes)
    is_candidate = rng.random(len(at_ms)) < SHARE
    drawn = rng.random(len(at_ms))
    is_bad = is_candidate
    if spell is not None:
        is_bad = is_candidate & (at_ms >= spell.start * MINUTE_MS) & (at_ms < spell.end * MINUTE_MS)
    rests = (rests_of(BASELINE, baseline), rests_of(CANDIDATE, baseline), rests_of(CANDIDATE, candidate))
    which = is_candidate.astype(np.int64) + is_bad
    columns = zip(at_ms.tolist(), which.tolist(), drawn.tolist(), strict=True)
    for number, (at, kind, draw) in enumerate(columns):
        rest = rests[kind]
        head = b'{"event_id":"e%d","trace_id":"t%08x","at":%d,' % (number, number, START_MS + at)
        yield head + rest[int(draw * len(rest))]


def rests_of(release: str, rows: Rows) -> list[bytes]:
    """Return each row as what stands behind id and time in a line."""
    return [json.dumps({"release": release, **row}, separators=(",", ":"))[1:].encode() for row in rows]
