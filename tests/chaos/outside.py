"""The flag system and the paging system at the workers' other end: real HTTP, counted, and bad on demand."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

BAD_FLAGS = ("500", "429", "applied, then time-out", "slow", "wrong answer")
BAD_PAGERS = ("500", "429", "told, then 500")
TIMEOUT_S = 7.0  # longer than an attempt of the product's webhooks, which is 5 s
SLOW_S = 3.0


@dataclass(frozen=True)
class Told:
    """What people were told, by the id of its event."""

    event_id: str
    state: str


@dataclass
class Flags:
    """Which variation each flag serves, and every change of it: a desired state is set, never toggled.

    Attributes:
        changes: Flag, variation before, variation after, decision.
        bad: Share of the calls that are answered badly.
    """

    rng: Random
    serving: dict[str, str] = field(default_factory=dict)
    changes: list[tuple[str, str, str, str]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    bad: float = 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve the actuator's webhook: POST is an order, GET reads the flag back."""
        if request.method != "POST":
            return web.json_response({"serving": self.serving.get(request.query.get("flag", ""), "")})
        event: dict[str, Any] = json.loads(await request.text())
        how = self.rng.choice(BAD_FLAGS) if self.rng.random() < self.bad else "well"
        self.answers[how] += 1
        if how in ("500", "429"):
            return web.json_response({}, status=int(how))
        if how == "slow":
            await asyncio.sleep(SLOW_S)
        before = self._serve(event["data"]["flag"], event["data"]["serve"], event["id"])
        if how == "applied, then time-out":
            await asyncio.sleep(TIMEOUT_S)
        if how == "wrong answer":
            return web.Response(text="<html>a proxy's login page</html>", content_type="text/html")
        serving = self.serving[event["data"]["flag"]]
        return web.json_response({"serving": serving, "changed": before != serving})

    def _serve(self, key: str, variation: str, decision_id: str) -> str:
        before = self.serving.get(key, "")
        if before != variation:
            self.serving[key] = variation
            self.changes.append((key, before, variation, decision_id))
        return before


@dataclass
class People:
    """Who is paged: repeats are dropped by the event's id, as paging systems drop them by theirs."""

    rng: Random
    told: dict[str, Told] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    bad: float = 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve the pager's webhook."""
        body = json.loads(await request.text())
        how = self.rng.choice(BAD_PAGERS) if self.rng.random() < self.bad else "well"
        self.answers[how] += 1
        if how in ("500", "429"):
            return web.json_response({}, status=int(how))
        self.told.setdefault(body["event_id"], Told(body["event_id"], body["state"]))
        return web.json_response({}, status=500 if how == "told, then 500" else 200)
