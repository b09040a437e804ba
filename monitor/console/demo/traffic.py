"""The demo's traffic: real arrivals, each with a measured timing and a measured session drawn for it.

Every draw comes from a generator seeded by the request's number, so a request is the same request whenever and by
whichever release it is served; only the harm of the release that serves it changes what happens to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, TypeVar

from monitor.console.demo.pools import Arrival, Pools, Session, Timing

_Row = TypeVar("_Row")

UNITS: Final = 5_000
"""Users of the demo (synthetic); each is served by the flag's choice for it."""
TENANTS: Final = ("north", "south", "west")
"""Tenants of the demo (synthetic): no source has any."""

HEALTHY_TIMING: Final = {"chat": "perplexity", "code": "100"}
"""Where a sound release's timings come from: a hosted provider, and a vLLM server under a calm load."""
SLOW_TIMING: Final = {"chat": "replicate", "code": "1000"}
"""The latency harm: the slowest measured provider, and the same vLLM server under ten times the load."""
LOST_SHARE: Final = 0.5
"""The success harm: so many of the sessions that would have been solved are unsolved ones instead."""


class Harm(Enum):
    """What a release does to the requests it serves."""

    NONE = "none"
    LATENCY = "latency"
    INCIDENT = "incident"  # one request, named by the script; nothing else changes
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Request:
    """One request before it is served.

    Attributes:
        number: Counts from 0 through the whole show, over all rounds of the recorded half hour.
        at_ms: Event time since the start of the show.
    """

    number: int
    at_ms: int
    arrival: Arrival
    unit_id: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Served:
    """What happened to a request."""

    timing: Timing
    session: Session

    @property
    def success(self) -> bool:
        """Tell whether the task was done: a failed call does nothing."""
        return self.session.success and not self.timing.failed


class Traffic:
    """Requests without end, in the order of their times."""

    def __init__(self, pools: Pools, seed: int) -> None:
        self._pools, self._seed = pools, seed
        self._number = 0
        self._upcoming = self._request(0)

    def until(self, at_ms: int) -> Iterator[Request]:
        """Yield the requests not yet yielded whose time is at most `at_ms`, milliseconds since the start."""
        while self._upcoming.at_ms <= at_ms:
            request = self._upcoming
            self._number += 1
            self._upcoming = self._request(self._number)
            yield request

    def serve(self, request: Request, harm: Harm) -> Served:
        """Return what happens to a request under a release with this harm."""
        return serve(self._pools, self._generator(request.number, "served"), request.arrival.workflow, harm)

    def _request(self, number: int) -> Request:
        arrivals = self._pools.arrivals
        round_number, index = divmod(number, len(arrivals))
        unit = self._generator(number, "unit").randrange(UNITS)
        return Request(
            number=number,
            at_ms=round_number * self._pools.period_ms + arrivals[index].at_ms,
            arrival=arrivals[index],
            unit_id=f"user-{unit:04d}",
            tenant=TENANTS[unit % len(TENANTS)],
        )

    def _generator(self, number: int, purpose: str) -> Random:
        return Random(f"{self._seed}:{number}:{purpose}")  # noqa: S311 - a seeded stream, no secret


def serve(pools: Pools, draw: Random, workflow: str, harm: Harm) -> Served:
    """Draw one timing and one session; the same numbers are drawn whatever the harm is."""
    sources = SLOW_TIMING if harm is Harm.LATENCY else HEALTHY_TIMING
    timing = _pick(pools.timings[workflow, sources[workflow]], draw.random())
    session = _pick(pools.sessions, draw.random())
    lost, instead = draw.random(), draw.random()
    if harm is Harm.SUCCESS and session.success and lost < LOST_SHARE:
        session = _pick(pools.unsolved, instead)
    return Served(timing, session)


def _pick(rows: tuple[_Row, ...], at: float) -> _Row:
    return rows[int(at * len(rows))]


def trace_event(
    request: Request, served: Served, *, run_id: str, at_ms: int, release: str, severity: str | None = None
) -> dict[str, object]:
    """Return the request as a trace event of the contract, section 1.

    Args:
        run_id: Names this show, so that the ids of two shows on one broker never meet.
        at_ms: Epoch milliseconds, event time.
        severity: `incident_severity`, where the request is an incident.
    """
    event: dict[str, object] = {
        "event_id": f"{run_id}-{request.number}",
        "at": at_ms,
        "release": release,
        "status": "error" if served.timing.failed else "ok",
        "trace_id": f"{run_id}-{request.number:08x}",
        "unit_id": request.unit_id,
        "cohort": {"workflow": request.arrival.workflow, "tenant": request.tenant},
        "task_success": served.success,
        "human_handoff": served.session.handoff,
        "cost_usd": served.session.cost_usd,
        "tokens_in": request.arrival.tokens_in,
        "tokens_out": request.arrival.tokens_out,
    }
    if served.session.tool_calls:
        event["tool_success"] = served.session.tool_errors == 0
    if not served.timing.failed:
        decode_ms = max(0, served.timing.latency_ms - served.timing.first_token_ms)
        event["latency_ms"] = served.timing.latency_ms
        event["stage_ms"] = {"first_token": served.timing.first_token_ms, "decode": decode_ms}
    if severity is not None:
        event["incident_severity"] = severity
        event["failure_class"] = "unsafe_advice"
    return event
