"""A vendor's flag system on loopback, as far as its published API says: state, token, faults, and what it serves.

A contract server is written from the vendor's published schema, never from our adapter: it refuses what the vendor
refuses, and `served` evaluates the flag as the vendor's SDKs would, for everybody there is.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import httpx
from aiohttp import web

from tests.adapters.in_process import Answer, Dropped, InProcess, Late, Lost
from tests.adapters.receiver import FakeTime, loopback

TOKEN = "token-of-the-tests"
NOW_MS = 1_750_000_000_000  # the time of all vendors' clocks
Json = Any


class Fault(Enum):
    """What goes wrong with one call that would change something."""

    ERROR = "500, nothing applied"
    ERROR_AFTER = "500, but applied"
    LOST_AFTER = "applied, and no answer ever"
    LOST_BEFORE = "no answer, nothing applied"
    SLOW = "no answer in time, and applied 30 s later"
    DROPPED_AFTER = "applied, and the connection is closed"
    LIED = "200, nothing applied"
    LIMITED = "429 with the vendor's own words about when to come back"
    PARTIAL = "half of it applied, then 500"
    CONFLICT = "somebody else saved first"
    APPROVAL = "a person must approve"
    FORBIDDEN = "the token may read, not write"


_APPLIED = frozenset({Fault.ERROR_AFTER, Fault.LOST_AFTER, Fault.DROPPED_AFTER, Fault.PARTIAL})


_SILENT = frozenset({Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.SLOW})


@dataclass(frozen=True)
class Asked:
    """One request, as the server got it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)


def asked_of(
    method: str, raw_path: str, query: Mapping[str, str], headers: Mapping[str, str], text: str
) -> Asked:
    """Return a request as every way of asking brings it."""
    named = {name.lower(): value for name, value in headers.items()}
    return Asked(method, raw_path.partition("?")[0], dict(query), named, json.loads(text) if text else None)


class FlagServer(ABC):
    """One vendor's server: what differs is how it is asked, what it holds, and how it says no."""

    conflict = Said(409, {"message": "conflict"})
    approval: Said | None = None  # None: no approvals stand before a direct change there
    limited = Said(429, {"message": "rate limit"}, {"retry-after": "7"})

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.faults: list[Fault | None] = []  # of the next changes, None: nothing goes wrong
        self.reads: list[Said] = []  # answers to the next reads instead of the true ones
        self.spoil: Callable[[Json], Json] | None = None  # what becomes of every true answer to a read
        self.changes: list[str] = []  # what changed, in order: a thing named twice changed twice
        self.released = asyncio.Event()
        self.late = Late[Asked]()

    @abstractmethod
    def is_authorised(self, asked: Asked) -> bool:
        """Tell whether the token is there, in the vendor's way."""

    @abstractmethod
    def is_change(self, asked: Asked) -> bool:
        """Tell whether a request would change something."""

    @abstractmethod
    def answer(self, asked: Asked, *, half: bool = False) -> Said:
        """Answer, and do what is asked; only the first half of it where that is the fault."""

    @abstractmethod
    def served(self, **context: str) -> set[str]:
        """Return every variation that users with these attributes can get now; `off` where a flag is off."""

    def spoilt(self, body: Json, become: object) -> Json:
        """Return a true answer in which what this server describes became something else: every object of a list."""
        return _each_listed(body, become)

    @abstractmethod
    def configuration(self) -> Json:
        """Return a copy of all that a person can set of the flag; counters of versions are none of it."""

    @abstractmethod
    def ramp(self) -> None:
        """Give the candidate to somebody, as a person would in the vendor's own console."""

    def without_individuals(self) -> None:  # noqa: B027 - most systems have nothing of the kind
        """Take away what comes before every rule and would stand in a cohort's way."""

    def changed(self, what: str) -> None:
        """Keep that a thing is another than before."""
        self.changes.append(what)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request over HTTP."""
        asked = asked_of(
            request.method, request.raw_path, request.query, request.headers, await request.text()
        )
        try:
            return _response(self.respond(asked))
        except Dropped:
            assert request.transport is not None
            request.transport.close()
        except Lost:
            await self.released.wait()
        return _response(Said(504))

    def respond(self, asked: Asked) -> Said:
        """Answer one request, with the next fault where it is one that changes something.

        Raises:
            Lost, Dropped: There is no answer.
        """
        self.asked.append(asked)
        self.catch_up(self.late.clock())
        if not self.is_authorised(asked):
            return Said(401, {"message": f"unknown token {TOKEN[:3]}"})
        if self.is_change(asked):
            return self._faulty(self.faults.pop(0), asked) if self.faults else self.answer(asked)
        said = self.reads.pop(0) if self.reads else self.answer(asked)
        return said if self.spoil is None else Said(said.status, self.spoil(said.body), said.headers)

    def catch_up(self, now_s: float) -> None:
        """Apply what was asked long ago and took its time."""
        for asked in self.late.due(now_s):
            self.answer(asked)

    def _faulty(self, fault: Fault | None, asked: Asked) -> Said:
        if fault is None:
            return self.answer(asked)
        if fault in _APPLIED:
            self.answer(asked, half=fault is Fault.PARTIAL)
        if fault is Fault.SLOW:
            self.late.add(asked)
        if fault in _SILENT:
            raise Lost
        if fault is Fault.DROPPED_AFTER:
            raise Dropped
        said = {
            Fault.ERROR: Said(500, {"message": "internal error"}),
            Fault.PARTIAL: Said(500, {"message": "internal error"}),
            Fault.ERROR_AFTER: Said(502, {"message": "bad gateway"}),
            Fault.LIED: Said(200, {}),
            Fault.LIMITED: self.limited,
            Fault.CONFLICT: self.conflict,
            Fault.APPROVAL: self.approval,
            Fault.FORBIDDEN: Said(403, {"message": "you may not do that"}),
        }[fault]
        assert said is not None, "there is no such answer"
        return said


def _each_listed(node: Json, become: object) -> Json:
    if isinstance(node, dict):
        return {key: _each_listed(below, become) for key, below in node.items()}
    if isinstance(node, list):
        return [become if isinstance(below, dict) else below for below in node]
    return node


def _response(said: Said) -> web.Response:
    return web.json_response(said.body, status=said.status, headers=dict(said.headers))


@asynccontextmanager
async def running(server: FlagServer) -> AsyncIterator[FlagServer]:
    """Run a server on a free loopback port."""
    async with loopback(server.handle, max_bytes=8 * 1024 * 1024) as url:
        server.url = url
        try:
            yield server
        finally:
            server.released.set()  # whoever is still waiting for its answer


def without_network(server: FlagServer, time: FakeTime, attempt_s: float) -> InProcess:
    """Return the way to a server in this process; its clock is that time."""
    server.late.clock = lambda: time.seconds

    async def respond(request: httpx.Request, body: bytes) -> Answer:
        path = request.url.raw_path.decode()
        said = server.respond(
            asked_of(request.method, path, request.url.params, request.headers, body.decode())
        )
        return Answer(said.status, said.headers, json.dumps(said.body).encode())

    return InProcess(respond, time, attempt_s)
