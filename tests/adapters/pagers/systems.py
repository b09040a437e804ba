"""Paging systems on loopback, built from what their vendors publish, and a front that fails as real ones do.

A system is a function from a request to an answer with a memory; `Front` serves it over real HTTP and can get in the
way: before the system has heard anything, or after it has done everything and only the answer gets lost.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
from aiohttp import web
from jsonschema import Draft202012Validator, FormatChecker

from tests.adapters.in_process import Answer, Dropped, InProcess, Late, Lost
from tests.adapters.receiver import FakeTime


class Asked(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Said(NamedTuple):
    """One answer."""

    status: int
    body: Any = None
    headers: dict[str, str] | None = None


Handler = Callable[[Asked], "Said | Awaitable[Said]"]

SLOW = "no answer in time, and applied 30 s later"  # where time is modelled only
FAULTS = (
    "500",
    "500 after applying",
    "no answer after applying",
    "no answer",
    "wrong answer",
    "429",
    "reset",
)


@dataclass
class Front:
    """Serves a system; each of `faults` spoils one request, in turn."""

    system: Handler
    faults: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    spoils: Callable[[Asked], bool] = lambda _: True
    url: str = ""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    late: Late[Asked] = field(default_factory=Late)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method, request.path, dict(request.query), dict(request.headers), await request.read()
        )
        try:
            return _response(await self.respond(asked))
        except Lost:
            await self.over.wait()
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
        return _response(Said(500, {"error": "internal"}))

    async def respond(self, asked: Asked) -> Said:
        """Answer one request, or spoil it.

        Raises:
            Lost, Dropped: There is no answer.
        """
        self.asked.append(asked)
        await self.catch_up(self.late.clock())
        fault = self.faults.pop(0) if self.faults and self.spoils(asked) else None
        if fault in (None, "500 after applying", "no answer after applying"):
            said = await self._applied(asked)
            if fault is None:
                return said
        if fault == SLOW:
            self.late.add(asked)
        if fault == SLOW or fault.startswith("no answer"):
            raise Lost
        if fault == "reset":
            raise Dropped
        if fault == "429":
            return Said(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"})
        if fault == "wrong answer":
            return Said(200, Html("<html><body>Please log in</body></html>"))
        return Said(500, {"error": "internal"})

    async def _applied(self, asked: Asked) -> Said:
        answer = self.system(asked)
        return answer if isinstance(answer, Said) else await answer

    async def catch_up(self, now_s: float) -> None:
        """Apply what was asked long ago and took its time."""
        for asked in self.late.due(now_s):
            await self._applied(asked)


class Html(str):
    """A body that is no JSON."""


def _response(said: Said) -> web.Response:
    if isinstance(said.body, Html):
        return web.Response(text=said.body, status=said.status, content_type="text/html")
    if said.body is None:
        return web.Response(status=said.status, headers=said.headers)
    return web.json_response(said.body, status=said.status, headers=said.headers)


def without_network(front: Front, time: FakeTime, attempt_s: float) -> InProcess:
    """Return the way to a front in this process; its clock is that time."""
    front.late.clock = lambda: time.seconds

    async def respond(request: httpx.Request, body: bytes) -> Answer:
        url, said_by_us = request.url, request.headers.items()
        # Both spellings: over a connection the server's library brings the names it knows into the second one.
        named = {form: value for name, value in said_by_us for form in (name.lower(), name.title())}
        said = await front.respond(Asked(request.method, url.path, dict(url.params), named, body))
        text = said.body if isinstance(said.body, Html) else json.dumps(said.body)
        return Answer(said.status, said.headers or {}, b"" if said.body is None else text.encode())

    return InProcess(respond, time, attempt_s)


@asynccontextmanager
async def serving(front: Front, *, listening: bool = True) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Serve a front on a free port; yields what makes it listen, where it does not from the start.

    A bound port that nobody listens on refuses connections, and nobody else can take it.
    """
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    front.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    listens = False

    async def listen() -> None:
        nonlocal listens
        if not listens:
            listens = True
            await web.SockSite(runner, bound).start()

    try:
        if listening:
            await listen()
        yield listen
    finally:
        front.over.set()
        await runner.cleanup()
        bound.close()


_POSTABLE_ALERTS = Draft202012Validator(
    {  # definitions postableAlerts, postableAlert, alert and labelSet of the API's description, version 2
        "type": "array",
        "items": {
            "type": "object",
            "required": ["labels"],
            "properties": {
                "labels": {"$ref": "#/$defs/labelSet", "minProperties": 1},
                "annotations": {"$ref": "#/$defs/labelSet"},
                "startsAt": {"type": "string", "format": "date-time"},
                "endsAt": {"type": "string", "format": "date-time"},
                "generatorURL": {"type": "string", "format": "uri"},
            },
            "additionalProperties": False,
        },
        "$defs": {
            "labelSet": {
                "type": "object",
                "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
                "additionalProperties": {"type": "string"},
            }
        },
    },
    format_checker=FormatChecker(),
)


@dataclass
class Alertmanager:
    """`POST` and `GET /api/v2/alerts`, with its way of joining what it is told twice about an alert."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __call__(self, asked: Asked) -> Said:
        if asked.path != "/api/v2/alerts":
            return Said(404, {"code": 404, "message": "path not found"})
        if asked.method == "GET":
            return Said(200, self.active())
        problems = [error.message for error in _POSTABLE_ALERTS.iter_errors(asked.json)]
        if problems:
            return Said(400, {"code": 601, "message": problems[0]})
        for alert in asked.json:
            starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
            if ends < starts:
                return Said(400, "start time must be before end time")
            self._put(json.dumps(alert["labels"], sort_keys=True), {**alert, "from": starts, "to": ends})
        return Said(200)

    def _put(self, key: str, alert: dict[str, Any]) -> None:
        old, now = self.alerts.get(key), self.now()
        if old is not None and (
            old["from"] < alert["to"] < old["to"] or old["from"] < alert["from"] < old["to"]
        ):
            alert["from"] = min(old["from"], alert["from"])
            # An end that still lies ahead is no end: the later of the two holds.
            if alert["to"] > now and old["to"] > alert["to"]:
                alert["to"] = old["to"]
        self.alerts[key] = alert

    def active(self) -> list[dict[str, Any]]:
        """Return the alerts that are not over."""
        now = self.now()
        return [
            {key: value for key, value in alert.items() if key not in ("from", "to")}
            for alert in self.alerts.values()
            if alert["to"] > now
        ]

    def pass_time(self, span: timedelta) -> None:
        """Let time pass on this machine alone."""
        before = self.now
        self.now = lambda: before() + span


@dataclass
class PagerDuty:
    """`POST /v2/enqueue` of the Events API v2; an incident is what its key was last told."""

    routing_key: str
    incidents: dict[str, str] = field(default_factory=dict)
    notified: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Said:
        errors = self._problems(asked)
        if errors:
            return Said(
                400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
            )
        event, key = asked.json, asked.json["dedup_key"]
        self.events.append(event)
        was = self.incidents.get(key)
        if event["event_action"] == "trigger":
            if was in (None, "resolved"):
                self.notified.append(key)
                self.incidents[key] = "open"
        elif was in ("open", "acknowledged"):
            self.incidents[key] = {"acknowledge": "acknowledged", "resolve": "resolved"}[
                event["event_action"]
            ]
        return Said(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def _problems(self, asked: Asked) -> list[str]:
        event, errors = asked.json, []
        if len(asked.body) > 512_000:
            errors.append("the event is too large")
        if event.get("routing_key") != self.routing_key:
            errors.append("'routing_key' is invalid")
        if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            errors.append("'event_action' is invalid")
        if len(event.get("dedup_key", "")) not in range(1, 256):
            errors.append("length of 'dedup_key' is invalid")
        if event.get("event_action") == "trigger":
            payload = event.get("payload", {})
            errors += [
                f"'{name}' is missing" for name in ("summary", "source", "severity") if not payload.get(name)
            ]
            if len(payload.get("summary", "")) > 1024:
                errors.append("'summary' is too long")
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                errors.append("'severity' is invalid")
        return errors


@dataclass
class Slack:
    """`chat.postMessage`, `chat.update` and `conversations.history` of one channel."""

    token: str
    channel: str = "C0123456789"
    scopes: frozenset[str] = frozenset({"chat:write", "channels:history"})
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Said:
        method = asked.path.removeprefix("/api/")
        needed = "channels:history" if method == "conversations.history" else "chat:write"
        if asked.headers.get("Authorization") != f"Bearer {self.token}":
            return _not_ok("invalid_auth")
        if needed not in self.scopes:
            return Said(200, {"ok": False, "error": "missing_scope", "needed": needed})
        if method == "conversations.history":
            return self._history(asked.query)
        message = asked.json
        if message["channel"] != self.channel:
            return _not_ok("channel_not_found")
        if len(message.get("blocks", ())) > 50 or any(
            len(block["text"]["text"]) > 3000 for block in message.get("blocks", ())
        ):
            return _not_ok("invalid_blocks")
        if method == "chat.postMessage":
            message = {**message, "ts": f"{1_795_000_000 + len(self.messages)}.000100"}
            self.messages.append(message)
        else:
            (old,) = (one for one in self.messages if one["ts"] == message["ts"])
            old.update(message)
        return Said(200, {"ok": True, "channel": self.channel, "ts": message["ts"]})

    def _history(self, query: dict[str, str]) -> Said:
        oldest = float(query.get("oldest", "0"))
        shown = [
            {
                key: value
                for key, value in one.items()
                if key != "metadata" or query.get("include_all_metadata")
            }
            for one in reversed(self.messages)
            if float(one["ts"]) > oldest and (not one.get("thread_ts") or one.get("reply_broadcast"))
        ]
        return Said(200, {"ok": True, "messages": shown[: int(query.get("limit", "100"))]})


def _not_ok(error: str) -> Said:
    return Said(200, {"ok": False, "error": error})
