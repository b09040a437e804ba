"""Orders over HTTP: by the same topic as all others, only with the token, and told which decision stands."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import faust
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from monitor.adapters import command_api
from monitor.adapters.command_api import BODY_MAX, CALLS_MAX, VERBS, Call, CommandApi, Reach
from monitor.adapters.faust_app.api_pages import add_api, add_files
from monitor.adapters.kafka.ledger import ledger_entry
from monitor.console.web import console_files
from monitor.engine.book import LedgerBook
from monitor.engine.errors import LogUnreachable
from monitor.engine.ports import LedgerEntry, Stamp
from tests.cli.ledger_world import LedgerWorld
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

CASE = next(case for case in CASES if case.name == "latency_hold")
RELEASE = "assistant-8"
TOKEN = "t" * 40
BEARER = f"Bearer {TOKEN}"


class Worker(LedgerWorld):
    """The ledger's world, with a book that follows it, as every worker has one."""

    def __init__(self) -> None:
        self.book = LedgerBook()
        self.is_away = False
        super().__init__(CASE, until_min=45)

    async def append(
        self, topic: str, key: str | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Stamp:
        if self.is_away:
            raise LogUnreachable("rollback.commands.v1: not acknowledged")
        stamp = await super().append(topic, key, value, headers)
        for record in self.ledger_records():
            entry = ledger_entry(record)
            assert isinstance(entry, LedgerEntry)
            self.book.note(entry)
        return stamp

    def now_ms(self) -> int:
        return START_MS + 45 * 60_000

    def page_id(self) -> str:
        (page,) = (one for one in self.evaluator.commander.pages.values() if one.is_open)
        return page.page_id


@pytest.fixture(scope="module")
def grown() -> Worker:
    """A release with an open page, for the tests that change nothing: making one takes a second."""
    return Worker()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(command_api, "REST_S", 0.0)
    return Worker()


def api(worker: Worker | None) -> CommandApi:
    reach = None if worker is None else Reach(worker, worker.book, worker)
    return CommandApi(SecretStr(TOKEN), lambda: reach)


def call(body: Any = None, *, token: str | None = BEARER, **query: str) -> Call:
    return Call(token, b"" if body is None else json.dumps(body).encode(), query)


def order(**more: object) -> dict[str, object]:
    return {"release": RELEASE, "author": "dana", "reason": "looked at it", **more}


async def test_an_order_is_on_the_topic_and_its_decisions_are_the_answer(worker: Worker) -> None:
    said = await api(worker).order("decide", call(order(decision="rollback", command_id="c-1")))
    assert (said.status, said.body["answer"], said.body["command_id"]) == (200, "accepted", "c-1")
    decisions = said.body["decisions"]
    assert isinstance(decisions, list)
    assert decisions[0]["type"] == "dev.rollbackbudget.rollback.requested.v1"
    (command,) = worker.commands
    assert (command.kind, command.author, command.decision) == ("decide", "dana", "rollback")


async def test_the_first_decision_wins_and_the_second_is_told_which(worker: Worker) -> None:
    asked = api(worker)
    page = worker.page_id()
    first = await asked.order("decide", call(order(decision="continue", page_id=page)))
    second = await asked.order("decide", call(order(decision="rollback", page_id=page, author="eve")))
    assert (first.status, second.status) == (200, 409)
    stands = second.body["stands"]
    assert isinstance(stands, dict)
    assert stands["type"] == "dev.rollbackbudget.page.resolved.v1"
    assert "dana holds back" in str(second.body["why"])


async def test_an_order_that_is_sent_again_has_the_same_answer_and_changes_nothing(worker: Worker) -> None:
    again = order(decision="rollback", command_id="c-1")
    first = await api(worker).order("decide", call(again))
    second = await api(worker).order("decide", call(again))
    assert first == second
    assert len(worker.commands) == 1


@pytest.mark.parametrize(
    ("verb", "body", "kind"),
    [
        ("override", {"until": "2099-01-01T00:00:00Z"}, "override.created"),
        ("acknowledge", {}, "page.acknowledged"),
        ("extend", {"by_min": 5}, "page.extended"),
        ("assess", {"stage": "canary"}, "release.assessed"),
        ("disarm", {}, "arming.ended"),
    ],
)
async def test_each_verb_is_an_order(worker: Worker, verb: str, body: dict[str, object], kind: str) -> None:
    said = await api(worker).order(verb, call(order(**body)))
    decisions = said.body["decisions"]
    assert isinstance(decisions, list)
    assert (said.status, decisions[0]["type"]) == (200, f"dev.rollbackbudget.{kind}.v1")


async def test_nobody_answers_in_time(worker: Worker) -> None:
    worker.is_down = True
    said = await api(worker).order("acknowledge", call(order(), wait="0.05"))
    assert (said.status, said.body["answer"], said.body["decisions"]) == (202, "none", [])
    assert len(worker.commands) == 1


@pytest.mark.parametrize(
    ("verb", "body", "status", "says"),
    [
        ("decide", order(decision="perhaps"), 400, "decision: input should be 'rollback' or 'continue'"),
        ("decide", order(decision="rollback", reason=""), 400, "reason"),
        ("decide", order(decision="rollback", colour="red"), 400, "colour"),
        ("decide", order(command="arm", decision="rollback"), 400, "the path says it"),
        ("decide", order(decision="rollback", release="model-0"), 404, "never armed"),
        ("decide", [], 400, "not_an_object"),
        ("extend", order(by_min=0), 400, "by_min"),
    ],
)
async def test_what_is_no_order_is_not_sent(
    grown: Worker, verb: str, body: object, status: int, says: str
) -> None:
    said = await api(grown).order(verb, call(body))
    assert (said.status, grown.commands) == (status, [])
    assert says in json.dumps(said.body)


@pytest.mark.parametrize("token", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
async def test_without_the_token_nothing_is_done_and_nothing_is_shown(
    grown: Worker, token: str | None
) -> None:
    for said in (
        await api(grown).order("decide", call(order(decision="rollback"), token=token)),
        await api(grown).status(None, call(token=token)),
    ):
        assert (said.status, said.headers) == (401, {"www-authenticate": "Bearer"})
        assert RELEASE not in json.dumps(said.body)
        assert TOKEN not in json.dumps(said.body)
    assert grown.commands == []


@pytest.mark.parametrize("wait", ["-1", "61", "long", "nan"])
async def test_a_wait_that_is_none(grown: Worker, wait: str) -> None:
    said = await api(grown).order("acknowledge", call(order(), wait=wait))
    assert (said.status, grown.commands) == (400, [])


async def test_kafka_is_away_or_the_worker_is_starting(worker: Worker) -> None:
    worker.is_away = True
    for said in (
        await api(worker).order("acknowledge", call(order(command_id="c-1"))),
        await api(None).order("acknowledge", call(order())),
        await api(None).status(None, call()),
    ):
        assert (said.status, said.headers) == (503, {"retry-after": "5"})


async def test_so_many_wait_and_no_more(worker: Worker) -> None:
    worker.is_down = True
    asked = api(worker)
    waiting = [
        asyncio.create_task(asked.order("acknowledge", call(order(), wait="60"))) for _ in range(CALLS_MAX)
    ]
    await asyncio.sleep(0)
    said = await asked.order("acknowledge", call(order()))
    assert said.status == 503
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    said = await asked.order("acknowledge", call(order(), wait="0"))
    assert said.status == 202


async def test_how_releases_stand(grown: Worker) -> None:
    said = await api(grown).status(None, call())
    releases = said.body["releases"]
    assert isinstance(releases, list)
    (one,) = releases
    assert (one["release"], one["stage"], len(one["pages"])) == (RELEASE, "watching", 1)
    assert (await api(grown).status(RELEASE, call())).body["releases"] == releases
    assert (await api(grown).status("model-0", call())).status == 404


async def test_a_page_says_in_its_own_words_what_a_commander_asks(grown: Worker) -> None:
    said = await api(grown).status(RELEASE, call())
    releases: Any = said.body["releases"]
    (page,) = releases[0]["pages"]
    assert said.body["blind"] is None
    assert (page["whom"], page["is_question"]) == ("everybody", True)
    assert page["at_deadline"] == "without an answer the release is held as it is"
    assert page["began"].endswith("min by then")
    assert "95 % sure that the difference lies between" in page["sure"]


async def test_what_is_over_for_a_day_is_left_out_where_only_news_are_asked_for(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = api(worker)
    await asked.order("decide", call(order(decision="rollback")))
    day = 86_400_000 + 60_000
    later = worker.now_ms() + day
    assert [len((await asked.status(None, call(recent="1"))).body["releases"])] == [1]  # type: ignore[arg-type]  # the body is JSON
    monkeypatch.setattr(worker, "now_ms", lambda: later)
    news = (await asked.status(None, call(recent="1"))).body
    assert (news["releases"], news["left_out"]) == ([], 1)
    assert (await asked.status(RELEASE, call())).status == 200


async def test_no_console_asks_for_more_than_the_loop_can_bear(
    grown: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_api, "RECENT_MAX", 0)
    news = (await api(grown).status(None, call(recent="1"))).body
    everything = (await api(grown).status(None, call())).body
    assert (news["releases"], news["left_out"]) == ([], 1)
    assert (len(everything["releases"]), everything["left_out"]) == (1, 0)  # type: ignore[arg-type]  # the body is JSON


async def test_the_console_reads_what_the_api_tells(grown: Worker, worker: Worker) -> None:
    said = await api(worker).order("decide", call(order(decision="rollback")))
    rolled: Any = (await api(worker).status(RELEASE, call())).body["releases"]
    open_: Any = (await api(grown).status(RELEASE, call())).body["releases"]
    script = "".join(file.body.decode() for path, file in console_files().items() if path.endswith(".js"))
    for name, told in (
        ("page", open_[0]["pages"][0]),
        ("one", {**open_[0], "release": None}),
        ("release", open_[0]),
        ("breach", open_[0]["breaches"][0]),
        ("back", rolled[0]["rollback"]),
        ("row", rolled[0]["last_decisions"][0]),
        ("body", {**said.body, "error": "", "problems": [], "why": "", "stands": {}}),
    ):
        read = set(re.findall(rf"(?<![.\w]){name}\.(\w+)\b(?!\()", script)) - {
            "hidden",
            "row",
            "value",
            "text",
            "card",
        }
        assert read, name
        assert read <= set(told), name


# By the worker's web part ----------------------------------------------------------------------------------------


@pytest.fixture
async def client(worker: Worker) -> AsyncIterator[TestClient[Any, Any]]:
    app = faust.App("api-test", broker="memory://", autodiscover=False)
    add_api(app, api(worker))
    add_files(app, console_files())
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    web: Any = app.web  # of the aiohttp driver, which alone has an application
    async with TestClient(TestServer(web.web_app, host="127.0.0.1", port=port)) as made:
        yield made


async def test_over_the_wire(client: TestClient[Any, Any], worker: Worker) -> None:
    headers = {"authorization": BEARER}
    async with client.get("/v1/status") as answer:
        assert answer.status == 401
    async with client.get(f"/v1/status/{RELEASE}", headers=headers) as answer:
        assert (answer.status, (await answer.json())["releases"][0]["release"]) == (200, RELEASE)
    async with client.post("/v1/acknowledge?wait=5", headers=headers, json=order()) as answer:
        assert (answer.status, (await answer.json())["answer"]) == (200, "accepted")
    async with client.get("/v1/decide", headers=headers) as answer:
        assert answer.status == 405
    large = order(decision="rollback", reason="x" * BODY_MAX)
    async with client.post("/v1/decide", headers=headers, json=large) as answer:
        assert answer.status == 413
    assert [one.kind for one in worker.commands] == ["acknowledge"]


async def test_the_console_is_there_and_no_answer_is_kept(client: TestClient[Any, Any]) -> None:
    for path, (headers, body) in console_files().items():
        async with client.get(path) as answer:
            assert (answer.status, await answer.read()) == (200, body)
            assert {name: answer.headers[name] for name in headers} == headers
    async with client.get("/v1/status", headers={"authorization": BEARER}) as answer:
        assert answer.headers["cache-control"] == "no-store"


async def test_every_verb_has_its_page(client: TestClient[Any, Any]) -> None:
    for verb in VERBS:
        async with client.post(f"/v1/{verb}", json={}) as answer:
            assert answer.status == 401
