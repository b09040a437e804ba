"""The commander's orders over HTTP: the same orders, by the same topic, with the answer that they got.

An order is put on the commands topic like one from the command line, and the ledger is watched for what became of
it: the first valid decision wins, and whoever was second is told which one stands. Without a token in the settings
there is no such door.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from monitor.adapters.http import Secret
from monitor.adapters.kafka.topics import COMMANDS
from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.moment import rfc3339
from monitor.engine.book import LedgerBook
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import Clock, Log
from monitor.engine.standing import Known, Standing, blindness, standings
from monitor.wire.cloudevent import of_decision, to_structured
from monitor.wire.commands import BadCommand, Order, command_value, read_command
from monitor.wire.json_text import load_object
from monitor.wire.rejection import Rejection

VERBS: Final = ("decide", "override", "acknowledge", "extend", "arm", "disarm", "assess")
BODY_MAX: Final = 16 * 1024  # bytes; the longest order has about 3,000 characters
WAIT_S: Final = 10.0
WAIT_MAX_S: Final = 60.0
CALLS_MAX: Final = 32  # orders that wait for their answer at once
LOOK_S: Final = 0.05
RECENT_MS: Final = 86_400_000  # what the console shows of what is over
RECENT_MAX: Final = 200  # encoding more would hold the loop for longer than 50 ms
REST_S: Final = 0.3  # one order may lead to several decisions, recorded one right after the other

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """A request as far as it matters here.

    Attributes:
        authorization: The header's value.
        body: At most `BODY_MAX + 1` bytes of it.
        query: Its parameters, the first value of each.
    """

    authorization: str | None
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: a status of HTTP and a JSON object."""

    status: int
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reach:
    """What the API works on, once the worker has it."""

    log: Log
    book: LedgerBook
    clock: Clock


class _Refused(Exception):
    """The call is answered with this reply and nothing else."""

    def __init__(self, status: int, error: str, **more: object) -> None:
        super().__init__(error)
        headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "5"}}.get(status, {})
        self.reply = Reply(status, {"error": error, **more}, headers)


class CommandApi:
    """Answers the calls.

    Args:
        token: Who knows it may give orders and see how releases stand.
        reach: Returns what to work on; None while the worker is starting.
    """

    def __init__(self, token: Secret, reach: Callable[[], Reach | None]) -> None:
        self._token = sha256(token.get_secret_value().encode()).digest()
        self._reach = reach
        self._waiting = 0
        self._known: Known = {}
        self._looking = asyncio.Lock()

    async def order(self, verb: str, call: Call) -> Reply:
        """Publish an order, and answer what became of it.

        Returns:
            200 obeyed, 409 refused, 202 on record and not answered in time; 400, 401, 404, 413, 503 with an `error`.
        """
        try:
            reach = self._let_in(call)
            wait_s, order = _wait_s(call.query), _order(verb, call.body)
            _check_release(order.release, reach.book)
            return await self._sent(reach, order, wait_s)
        except _Refused as refused:
            return refused.reply

    async def status(self, release: str | None, call: Call) -> Reply:
        """Answer how every release stands, or one of them: what `rollback-budget status` says.

        First come those with open pages, then those beyond a limit. `?recent=1` leaves out what nobody has to look at
        (not watched, no open page, nothing new for a day) and what is more than `RECENT_MAX`; `left_out` counts both.
        `blind` is what is on record of the monitor as a whole not seeing; null where nothing is.
        """
        try:
            reach = self._let_in(call)
            now_ms, entries = reach.clock.now_ms(), tuple(reach.book.entries())
            # Consoles ask every two seconds, and a thousand releases take a second: not one of the loop that decides.
            async with self._looking:
                found = await asyncio.to_thread(standings, entries, now_ms, self._known)
            since = rfc3339(now_ms - RECENT_MS) if "recent" in call.query else None
            shown = [one for one in found if release in (None, one.release) and _is_recent(one, since)]
            if release is not None and not shown:
                raise _Refused(404, f"{release} was never armed")
            shown.sort(
                key=lambda one: (not one.pages, not one.breaches, one.stage != "watching", one.release)
            )
            told = shown if since is None else shown[:RECENT_MAX]
            body = {
                "now": rfc3339(now_ms),
                "blind": blindness((entry.decision for entry in reach.book.of(EVERY_RELEASE)), EVERY_RELEASE),
                "left_out": len(found) - len(told) if release is None else 0,
                "releases": await asyncio.to_thread(lambda: [asdict(one) for one in told]),
            }
            return Reply(200, body)
        except _Refused as refused:
            return refused.reply

    def _let_in(self, call: Call) -> Reach:
        scheme, _, given = (call.authorization or "").partition(" ")
        is_known = hmac.compare_digest(sha256(given.strip().encode()).digest(), self._token)
        if scheme.lower() != "bearer" or not is_known:
            raise _Refused(401, "send the token of the setting api_token as `Authorization: Bearer <token>`")
        reach = self._reach()
        if reach is None:
            raise _Refused(503, "the worker is starting: it does not know the releases yet")
        return reach

    async def _sent(self, reach: Reach, order: Order, wait_s: float) -> Reply:
        if self._waiting >= CALLS_MAX:
            raise _Refused(503, f"{CALLS_MAX} orders wait for their answers already; nothing was sent")
        self._waiting += 1
        try:
            if not reach.book.answers(order.command_id):  # an order that is sent again has its answer
                await reach.log.append(COMMANDS, order.release, command_value(order))
            decisions = await _answered(reach.book, order.command_id, wait_s)
        except LogUnreachable as error:
            why = f"Kafka does not answer: {error}. The order may be on record: send it again under its command_id"
            raise _Refused(503, why, command_id=order.command_id) from error
        finally:
            self._waiting -= 1
        return _reply(order, decisions, reach.book)


def _is_recent(one: Standing, since: str | None) -> bool:
    """Tell whether a release belongs to what is going on; `since` is RFC 3339 in UTC, None: everything does."""
    news = any(str(row["at"]) >= since for row in one.last_decisions) if since else True
    return news or bool(one.pages) or one.stage == "watching"


def _wait_s(query: Mapping[str, str]) -> float:
    text = query.get("wait", str(WAIT_S))
    try:
        wait_s = float(text)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= WAIT_MAX_S:
        raise _Refused(400, f"wait: {text!r:.40} is no number of seconds from 0 to {WAIT_MAX_S:g}")
    return wait_s


def _order(verb: str, body: bytes) -> Order:
    """Return the order in a body; its verb is the path's, and an id is made up where it has none."""
    if len(body) > BODY_MAX:
        raise _Refused(413, f"the body is larger than {BODY_MAX} bytes; nothing was sent")
    given = load_object(body)
    if isinstance(given, Rejection):
        raise _Refused(400, f"the body is {given.reason}; it must be one JSON object in UTF-8")
    if given.get("command", verb) != verb:
        raise _Refused(400, f"the body's command is not {verb}: leave it out, the path says it")
    whole = {"command_id": str(uuid4()), **given, "command": verb}
    try:
        return read_command(json.dumps(whole).encode())
    except BadCommand as error:
        raise _Refused(400, "this order cannot be understood", problems=list(error.problems)) from error


def _check_release(release: str, book: LedgerBook) -> None:
    if book.arming(release) is None:
        raise _Refused(404, f"{release} was never armed; nothing was sent")


async def _answered(book: LedgerBook, command_id: str, wait_s: float) -> list[Decision]:
    """Wait for what an order leads to; empty where nothing did in time."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + wait_s
    while not book.answers(command_id) and loop.time() < ends_s:  # noqa: ASYNC110 - the book is fed by several
        await asyncio.sleep(LOOK_S)
    if book.answers(command_id):
        await asyncio.sleep(REST_S)
    return book.answers(command_id)


def _reply(order: Order, decisions: Sequence[Decision], book: LedgerBook) -> Reply:
    refused = next((one for one in decisions if one.type is Type.COMMAND_REFUSED), None)
    answer, status = ("none", 202) if not decisions else ("accepted", 200)
    body: dict[str, object] = {
        "command_id": order.command_id,
        "command": order.command,
        "release": order.release,
        "author": order.author,
    }
    if refused is not None:
        answer, status = "refused", 409
        first = book.get(str(refused.data.get("stands")))
        body["why"] = refused.data.get("summary")
        body["stands"] = None if first is None else _event(first.decision)
    decided = [_event(one) for one in decisions]
    return Reply(status, {**body, "answer": answer, "decisions": decided})


def _event(decision: Decision) -> dict[str, Any]:
    return to_structured(of_decision(decision))
