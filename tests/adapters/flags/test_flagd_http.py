"""flagd's HTTP source: what is written where it is served, on which condition, and what flagd's users then get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy

import httpx
import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from pydantic import SecretStr

from monitor.adapters.flags import flagd_http
from monitor.adapters.flags.driver import ApiActuator
from monitor.adapters.flags.settings import Manner
from monitor.adapters.http import Limits
from monitor.config.settings import Settings
from monitor.engine.errors import ActuatorFailed
from tests.adapters.flags.servers.base import TOKEN, Asked, Fault, Said, running
from tests.adapters.flags.servers.flagd_http import PATH, FlagdHttpServer, definition
from tests.adapters.orders import order
from tests.adapters.receiver import FakeTime

USERS = [f"user-{number}" for number in range(200)]


@asynccontextmanager
async def source(
    server: FlagdHttpServer, *, token: str | None = TOKEN, path: str = PATH
) -> AsyncIterator[ApiActuator]:
    """Run the server that flagd reads, and give the actuator that writes there."""
    async with running(server):
        settings = Settings(
            flagd_http_url=SecretStr(server.url + path),
            flagd_http_token=None if token is None else SecretStr(token),
            webhook_allow_private=True,
        )
        plain = httpx.AsyncHTTPTransport(verify=False)
        actuator = flagd_http.build(settings, Manner(Limits(), FakeTime().timing(), plain))
        assert isinstance(actuator, ApiActuator)
        yield actuator
        await actuator.close()


class Flagd:
    """flagd's HTTP source and evaluator: it polls, keeps the ETag, and takes over what is not a 304."""

    def __init__(self, url: str) -> None:
        self._url, self._etag, self._evaluator = url, "", FlagdCore()

    async def poll(self) -> int:
        """Read the document as flagd does; returns the status."""
        headers = {"accept": "application/json", "authorization": f"Bearer {TOKEN}"}
        if self._etag:
            headers["if-none-match"] = self._etag
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            answer = await client.get(self._url, headers=headers)
        if answer.status_code == 200:
            self._etag = answer.headers["etag"]
            self._evaluator.set_flags(answer.text)
        return answer.status_code

    def served(self) -> set[str]:
        """Return what the users get, and check that their evaluations name the decision where there is one."""
        answers = [
            self._evaluator.resolve_string_value("chat-model", "code default", EvaluationContext(user))
            for user in USERS
        ]
        return {one.value for one in answers}

    def decision(self) -> object:
        """Return the decision that an evaluation brings with it."""
        said = self._evaluator.resolve_string_value("chat-model", "", EvaluationContext("user-1"))
        return said.flag_metadata.get("rollbackDecisionId")


async def test_users_of_a_flagd_that_polls_get_nothing_but_the_baseline_after_its_next_poll() -> None:
    server = FlagdHttpServer()
    async with source(server) as actuator:
        flagd = Flagd(server.url + PATH)
        assert await flagd.poll() == 200
        assert await flagd.poll() == 304
        before = flagd.served()
        await actuator.serve_baseline(order())
        assert await flagd.poll() == 200
        assert await flagd.poll() == 304
    assert before == {"model-v40", "model-v41", "model-v42"}
    assert (flagd.served(), flagd.decision()) == ({"model-v41"}, "d1")


async def test_everything_else_in_the_document_stays_as_it_was_and_where_it_was() -> None:
    server = FlagdHttpServer()
    async with source(server) as actuator:
        await actuator.serve_baseline(order())
    written, was = server.document, definition()
    assert list(written) == list(was)
    assert list(written["flags"]) == list(was["flags"])
    assert written["flags"]["größe"] == was["flags"]["größe"]
    assert written["metadata"] == {**was["metadata"], "rollbackDecisionId": "d1"}
    put = next(one for one in server.asked if one.method == "PUT")
    assert put.headers["content-type"] == "application/json"


async def test_what_somebody_else_has_just_saved_is_not_undone() -> None:
    """The write fails, since the document is another by now; the next one has both changes."""

    class Busy(FlagdHttpServer):
        def answer(self, asked: Asked, *, half: bool = False) -> Said:
            if asked.method == "PUT" and "new" not in self.document["flags"]:
                self.document["flags"]["new"] = deepcopy(self.document["flags"]["größe"])
            return super().answer(asked, half=half)

    server = Busy()
    async with source(server) as actuator:
        await actuator.serve_baseline(order())
    assert set(server.document["flags"]) == {"chat-model", "größe", "new"}
    assert server.served() == {"v41"}


async def test_orders_for_many_flags_of_the_document_are_not_in_each_others_way() -> None:
    server = FlagdHttpServer()
    names = [f"chat-{number}" for number in range(12)]
    for name in names:
        server.document["flags"][name] = deepcopy(server.document["flags"]["chat-model"])
    async with source(server) as actuator:
        await asyncio.gather(*(actuator.serve_baseline(order(flag_key=name)) for name in names))
    assert {server.document["flags"][name]["defaultVariant"] for name in names} == {"v41"}
    assert len(server.changes) == len(names)
    assert sum(server.is_change(one) for one in server.asked) == len(names)


@pytest.mark.parametrize(("weak", "says"), [("W/", "only a weak ETag"), (None, "no ETag")])
async def test_a_source_that_cannot_keep_two_writers_apart_is_refused_beforehand(
    weak: str | None, says: str
) -> None:
    server = FlagdHttpServer()
    server.weak = weak or ""
    if weak is None:
        server.reads = [Said(200, definition())] * 2
    async with source(server) as actuator:
        for attempt in (actuator.probe, actuator.serve_baseline):
            with pytest.raises(ActuatorFailed, match=f"{says}, so a rollback could undo") as failed:
                await attempt(order())
            assert not failed.value.retryable
    assert server.changes == []


@pytest.mark.parametrize(
    ("token", "sent"),
    [
        (None, None),
        ("abc", "Bearer abc"),
        ("Bearer abc", "Bearer abc"),
        ("Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNz"),
    ],
)
async def test_a_token_may_be_the_whole_header_as_flagds_own_is(token: str | None, sent: str | None) -> None:
    server = FlagdHttpServer()
    async with source(server, token=token) as actuator:
        with pytest.raises(ActuatorFailed, match="check the setting flagd_http_token") as failed:
            await actuator.probe(order())
    assert server.asked[0].headers.get("authorization") == sent
    assert token is None or token.split()[-1] not in str(failed.value)


async def test_the_addresss_query_is_sent_as_it_stands_and_shown_nowhere() -> None:
    server = FlagdHttpServer()
    async with source(server, path=f"{PATH}?sig=a%2Bb%3D") as actuator:
        effect = await actuator.serve_baseline(order())
        with pytest.raises(ActuatorFailed) as failed:
            await actuator.probe(order(flag_key="absent"))
    assert {dict(one.query).get("sig") for one in server.asked} == {"a+b="}
    assert "sig" not in f"{failed.value}{effect.before}{effect.after}"


async def test_no_document_and_a_document_that_takes_no_changes_are_said_with_what_to_do() -> None:
    server = FlagdHttpServer()
    async with source(server, path="/elsewhere.json") as actuator:
        with pytest.raises(
            ActuatorFailed, match="no document is there; check the setting flagd_http_url"
        ) as at:
            await actuator.serve_baseline(order())
    assert not at.value.retryable

    class ReadOnly(FlagdHttpServer):
        def answer(self, asked: Asked, *, half: bool = False) -> Said:
            return super().answer(asked) if asked.method == "GET" else Said(405, None)

    async with source(ReadOnly()) as actuator:
        with pytest.raises(ActuatorFailed, match="nothing can be changed at this address") as at:
            await actuator.serve_baseline(order())
    assert not at.value.retryable


async def test_a_document_in_another_language_is_no_flag_definition() -> None:
    server = FlagdHttpServer()
    server.reads = [Said(200, "flags: {}", {"etag": '"1"'})]
    async with source(server) as actuator:
        with pytest.raises(ActuatorFailed, match="no flag definition; check the setting flagd_http_url"):
            await actuator.probe(order())


async def test_a_read_asks_no_cache_on_the_way() -> None:
    server = FlagdHttpServer()
    server.faults = [Fault.ERROR_AFTER]
    async with source(server) as actuator:
        await actuator.serve_baseline(order())
    assert {one.headers.get("cache-control") for one in server.asked if one.method == "GET"} == {"no-cache"}
    assert json.dumps(server.changes) == '["document"]'
