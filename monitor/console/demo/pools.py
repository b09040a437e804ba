"""The real rows the demo draws from, as committed beside this module (`data/README.md` says whose they are)."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the recorded half hour: when it came, counted from the first one, and how large it was."""

    at_ms: int
    workflow: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one measured request took; a failed one took no time that means anything."""

    failed: bool
    first_token_ms: int = 0
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class Session:
    """How one measured session of an agent ended, and what its model calls cost."""

    success: bool
    handoff: bool
    tool_calls: int
    tool_errors: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Pools:
    """Everything that is drawn from.

    Attributes:
        arrivals: In the order of their times.
        period_ms: After this span the arrivals begin again: the last one's time and one mean gap.
        timings: Rows by (workflow, source); a source is a provider's name or a load multiplier.
        solved, unsolved: Sessions by their outcome; drawn together they are the source as it was measured.
    """

    arrivals: tuple[Arrival, ...]
    period_ms: int
    timings: Mapping[tuple[str, str], tuple[Timing, ...]]
    solved: tuple[Session, ...]
    unsolved: tuple[Session, ...]

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Return all sessions."""
        return self.solved + self.unsolved


def data_folder() -> Traversable:
    """Return the folder of the fixtures inside the package."""
    return files(__package__ or "monitor.console.demo") / "data"


def load_pools() -> Pools:
    """Read the fixtures of the package."""
    arrivals = tuple(_arrivals())
    span_ms = arrivals[-1].at_ms
    sessions = tuple(_sessions())
    timings: dict[tuple[str, str], list[Timing]] = {}
    for source, timing in (*_chat(), *_code()):
        timings.setdefault(source, []).append(timing)
    return Pools(
        arrivals=arrivals,
        period_ms=span_ms + span_ms // (len(arrivals) - 1),
        timings={source: tuple(rows) for source, rows in timings.items()},
        solved=tuple(session for session in sessions if session.success),
        unsolved=tuple(session for session in sessions if not session.success),
    )


def _arrivals() -> Iterator[Arrival]:
    for row in _rows("arrivals.csv.gz"):
        yield Arrival(int(row["at_ms"]), row["workflow"], int(row["tokens_in"]), int(row["tokens_out"]))


def _chat() -> Iterator[tuple[tuple[str, str], Timing]]:
    for row in _rows("chat_latency.csv.gz"):
        failed = row["status"] == "error"
        timing = Timing(True) if failed else Timing(False, int(row["first_token_ms"]), int(row["latency_ms"]))
        yield ("chat", row["provider"]), timing


def _code() -> Iterator[tuple[tuple[str, str], Timing]]:
    for row in _rows("code_latency.csv.gz"):
        yield ("code", row["load"]), Timing(False, int(row["first_token_ms"]), int(row["latency_ms"]))


def _sessions() -> Iterator[Session]:
    for row in _rows("sessions.csv.gz"):
        yield Session(
            success=row["success"] == "1",
            handoff=row["handoff"] == "1",
            tool_calls=int(row["tool_calls"]),
            tool_errors=int(row["tool_errors"]),
            cost_usd=float(row["cost_usd"]),
        )


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = gzip.decompress((data_folder() / name).read_bytes()).decode("ascii")
    return iter(csv.DictReader(io.StringIO(text)))
