"""A rollback that is NOT APPLIED: the person who is paged says that they are on it, and everybody sees that."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import Any

import pytest

from monitor.adapters import command_api
from monitor.adapters.kafka.topics import COMMANDS
from monitor.cli import main, sight
from monitor.core.decision import Decision, Type
from monitor.engine.act_events import follow_up_id, identity, not_applied
from monitor.engine.page_words import page_words
from tests.adapters.test_command_api import Worker, api, call
from tests.cli.ledger_world import LedgerWorld
from tests.cli.test_status import horizons
from tests.cli.verbs import at_ledger, give, now_is
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

CASE = next(case for case in CASES if case.name == "latency_hold")
RELEASE = "assistant-8"
NOW = START_MS + 45 * 60_000
WHY = "unleash: the token may not change flag 'chat'"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> LedgerWorld:
    """A release whose page is still to be answered."""
    now_is(monkeypatch, NOW)
    monkeypatch.setattr(sight, "stored_horizons", horizons({0: 2}))
    return at_ledger(monkeypatch, LedgerWorld(CASE, until_min=45))


def failed(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> Decision:
    """Order the rollback, and let its flag not be turned; returns that it was not."""
    assert give(capsys, "decide", RELEASE, "rollback", "--reason", "users complain")[0] == 0
    (request,) = (
        one.decision for one in world.on_record().entries() if one.decision.type is Type.ROLLBACK_REQUESTED
    )
    return world.fail_rollback(request, WHY)


def page_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the only open page that `status` knows."""
    code, out, _ = give(capsys, "status", RELEASE, "--output", "json")
    assert code == 0
    (page,) = json.loads(out)["releases"][0]["pages"]
    return dict(page)


def test_the_command_of_the_page_and_of_status_says_who_is_on_it(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    record = failed(world, capsys)
    request = next(
        one.decision for one in world.on_record().entries() if one.decision.type is Type.ROLLBACK_REQUESTED
    )
    event = {"type": "dev.rollbackbudget.rollback.requested.v1", "id": request.decision_id}
    paged = page_words(not_applied({**event, "data": request.data}, record.decision_id, WHY)).commands
    before = page_of(capsys)
    assert before["summary"] == f"rollback NOT APPLIED: {WHY}"
    assert before["commands"][0] == paged[0][1]
    assert give(capsys, *shlex.split(paged[0][1])[1:]) == (
        0,
        f"accepted\n  page.acknowledged: dana has seen it; users may still get {RELEASE} until the flag is turned\n",
        "",
    )
    after = page_of(capsys)
    assert (before["acknowledged_by"], after["acknowledged_by"]) == (None, "dana")
    assert [line.split()[1] for line in after["commands"]] == ["explain", "status"]
    assert main(["status", RELEASE]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"not delivered yet, seen by dana: rollback NOT APPLIED: {WHY}" in text
    assert "no deadline: it never acts by itself" in text
    assert give(capsys, *shlex.split(after["commands"][0])[1:])[0] == 0


def test_the_only_page_needs_no_name_and_a_strangers_is_refused(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    failed(world, capsys)
    assert give(capsys, "acknowledge", RELEASE, "--page", "f" * 64)[:2] == (
        1,
        "refused\n  command.refused: acknowledge by dana is refused: no single open page is meant; name its page id "
        "or objective\n",
    )
    assert give(capsys, "acknowledge", RELEASE, "--author", "sam")[0] == 0
    assert page_of(capsys)["acknowledged_by"] == "sam"


def test_a_flag_that_is_turned_after_all_ends_the_page(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    record = failed(world, capsys)
    request_id = str(record.data["request_id"])
    turned = {
        "actuator": "unleash",
        "flag": "chat",
        "changed": True,
        "before": {},
        "after": {},
        "seconds": 1.0,
    }
    applied = Decision(
        Type.ROLLBACK_APPLIED,
        follow_up_id(Type.ROLLBACK_APPLIED, request_id),
        RELEASE,
        record.at_ms + 1,
        {**identity(record.data), **turned, "reason": "commander", "request_id": request_id},
    )
    asyncio.run(world.record([applied]))
    assert json.loads(give(capsys, "status", RELEASE, "--output", "json")[1])["releases"][0]["pages"] == []
    code, out, _ = give(capsys, "acknowledge", RELEASE)
    assert code == 1
    assert "a rollback was already requested" in out


def test_an_order_on_the_topic_is_answered_alike(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    record = failed(world, capsys)
    order = {
        "command": "acknowledge",
        "command_id": "c-1",
        "release": RELEASE,
        "author": "lee",
        "page_id": record.decision_id,
    }
    asyncio.run(world.append(COMMANDS, RELEASE, json.dumps(order).encode()))
    assert page_of(capsys)["acknowledged_by"] == "lee"


async def test_an_order_over_http_is_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_api, "REST_S", 0.0)
    worker = await asyncio.to_thread(Worker)
    order = {"release": RELEASE, "author": "kim", "reason": "users complain"}
    said = await api(worker).order("decide", call({**order, "decision": "rollback"}))
    assert said.status == 200
    (request,) = (
        one.decision for one in worker.book.entries() if one.decision.type is Type.ROLLBACK_REQUESTED
    )
    record = await asyncio.to_thread(worker.fail_rollback, request, WHY)
    said = await api(worker).order("acknowledge", call({**order, "page_id": record.decision_id}))
    assert said.status == 200
    assert f'"request_id": "{request.decision_id}"' in json.dumps(said.body["decisions"])
    shown = await api(worker).status(RELEASE, call())
    assert '"acknowledged_by": "kim"' in json.dumps(shown.body)
