"""The commander's verbs: one signed order each, and what became of it, in words and as an exit code."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
from typing import Any

import pytest

from monitor.adapters.kafka.readers import command_of
from monitor.adapters.kafka.topics import COMMANDS
from monitor.cli import orders
from monitor.engine.book import Command
from monitor.engine.page_commands import for_open_page
from monitor.wire.signing import Signatures
from tests.cli.ledger_world import LedgerWorld
from tests.cli.verbs import P, at_ledger, give, now_is
from tests.golden.cases import CASES
from tests.golden.traffic import START_MS

CASE = next(case for case in CASES if case.name == "latency_hold")
OBJECTIVE = "latency.p95_delta_pct"
NOW = START_MS + 45 * 60_000  # a page has been open for some minutes then


@pytest.fixture(autouse=True)
def event_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now is minute 45 of the recording."""
    now_is(monkeypatch, NOW)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> LedgerWorld:
    """A release with an open page for its latency."""
    return at_ledger(monkeypatch, LedgerWorld(CASE, until_min=45))


def page_id(world: LedgerWorld) -> str:
    (page,) = (page for page in world.evaluator.commander.pages.values() if page.is_open)
    return page.page_id


def test_rollback_is_an_order_that_is_carried_out_at_once(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = give(capsys, "decide", "assistant-8", "rollback", "--reason", "users complain")
    assert (code, err) == (0, "")
    assert out.startswith("accepted\n  rollback.requested: roll back: ordered by dana: users complain\n")
    assert "  page.resolved: assistant-8 is rolled back\n" in out
    (command,) = world.commands
    assert (command.kind, command.decision, command.author, command.at_ms) == (
        "decide",
        "rollback",
        "dana",
        NOW,
    )


@pytest.mark.parametrize("which", ["the only page", "--page", "--objective"])
def test_continue_holds_that_objective_back(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    named = {
        "the only page": [],
        "--page": ["--page", page_id(world)],
        "--objective": ["--objective", OBJECTIVE],
    }
    order = ("decide", "assistant-8", "continue", "--reason", "cold cache", "--until", "2h", *named[which])
    code, out, _ = give(capsys, *order)
    assert code == 0
    assert re.match(
        rf"accepted\n  override\.created: dana holds back {re.escape(OBJECTIVE)} until 2026-11-02T11:4\d:\d\d\.\d+Z: "
        r"cold cache\n  page\.resolved: ",
        out,
    )


def test_override_holds_the_release_back_until_a_moment(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    until = ("--until", "2026-11-02T12:00:00+01:00")
    code, out, _ = give(
        capsys, "override", "assistant-8", *until, "--reason", "provider outage", "--limit", "-5.5"
    )
    assert code == 0
    assert (
        "override.created: dana holds back every objective until 2026-11-02T11:00:00.000Z: provider outage"
        in out
    )
    (command,) = world.commands
    assert (command.limit, command.objective) == (-5.5, None)


def test_acknowledge_says_that_it_was_seen(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = give(capsys, "acknowledge", "assistant-8", "--author", "sam")
    assert (code, out) == (0, "accepted\n  page.acknowledged: sam has seen it; the deadline stays\n")


def test_disarm_ends_the_watch(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = give(capsys, "disarm", "assistant-8", "--reason", "over")
    assert code == 0
    assert "arming.ended: assistant-8 is disarmed by dana" in out


def test_a_refusal_is_1_and_says_why(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = give(capsys, "arm", "assistant-8", "--reason", "again")
    assert code == 1
    assert out == "refused\n  command.refused: arm by dana is refused: the release is armed already\n"


def test_machines_get_the_answer_as_json(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    order = ("decide", "assistant-8", "rollback", "--reason", "x", "--output", "json")
    code, out, _ = give(capsys, *order)
    said: dict[str, Any] = json.loads(out)
    assert code == 0
    assert said["command_id"] == world.commands[0].command_id
    assert (said["command"], said["release"], said["author"], said["answer"]) == (
        "decide",
        "assistant-8",
        "dana",
        "accepted",
    )
    assert said["decisions"][0]["type"] == "dev.rollbackbudget.rollback.requested.v1"
    assert give(capsys, *order)[0] == 1  # the second one is refused, with an id of its own
    assert world.commands[1].command_id != world.commands[0].command_id


def test_an_order_is_not_sent_to_a_release_that_nobody_knows(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the finger in an emergency must not end in waiting for an answer."""
    code, _, err = give(capsys, "decide", "assistant-9", "rollback", "--reason", "x")
    assert (code, world.commands) == (1, [])
    assert err == (
        "rollback-budget: assistant-9 was never armed: did you mean assistant-8? Nothing was sent; --no-wait sends "
        "it all the same\n"
    )


def test_without_waiting_it_is_only_sent(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    world.is_down = True
    code, out, _ = give(capsys, "decide", "elsewhere-1", "rollback", "--reason", "x", "--no-wait")
    (command,) = world.commands
    assert (code, out) == (0, f"sent: decide for elsewhere-1 (command {command.command_id})\n")


def test_ctrl_c_ends_the_waiting_and_says_that_the_order_stands(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a commander believes to have taken a rollback back."""

    async def interrupted(*_: object) -> orders.Answer:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(30)
        raise AssertionError("nobody was interrupted")

    monkeypatch.setattr(orders, "_answer", interrupted)
    code, out, err = give(capsys, "decide", "assistant-8", "rollback", "--reason", "x")
    (command,) = world.commands
    assert (code, out) == (130, "")
    assert f"the order is on record (command {command.command_id}) and counts all the same" in err


def test_no_answer_in_time_is_1_and_says_that_the_order_stands(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world.is_down = True
    code, out, err = give(capsys, "disarm", "assistant-8", "--reason", "x", "--wait", "0.1")
    assert (code, out) == (1, "")
    assert err.startswith("no answer within 0.1 s. The order is on record (command ")
    assert "See `rollback-budget status assistant-8`" in err


WRONG = {
    "no reason": (["arm", "assistant-8"], "--reason"),
    "an empty reason": (
        ["arm", "assistant-8", "--reason", ""],
        "reason: string should have at least 1 character",
    ),
    "an unknown decision": (["decide", "assistant-8", "wait", "--reason", "x"], "wait"),
    "until with rollback": (
        ["decide", "assistant-8", "rollback", "--reason", "x", "--until", "1h"],
        "until belongs to `continue`",
    ),
    "page and objective": (
        ["decide", "assistant-8", "continue", "--reason", "x", "--page", "p", "--objective", "o"],
        "--page, --objective: give one of the two",
    ),
    "no end": (["override", "assistant-8", "--reason", "x"], "--until"),
    "no duration": (
        ["override", "assistant-8", "--reason", "x", "--until", "30"],
        '--until: "30" is no duration; write a number with its unit, such as "24h", "90m" or "60s"; or an RFC 3339',
    ),
    "seconds": (
        ["override", "assistant-8", "--reason", "x", "--until", "90s"],
        "is not a whole number of minutes",
    ),
    "the past": (
        ["override", "assistant-8", "--reason", "x", "--until", "2026-11-02T09:00:00Z"],
        "--until: 2026-11-02T09:00:00Z has passed already; now it is 2026-11-02T09:4",
    ),
    "no time": (
        ["override", "assistant-8", "--reason", "x", "--until", "0m"],
        "--until: 0m has passed already",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_understood_is_2_and_nothing_is_sent(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    arguments, expected = WRONG[name]
    code, out, err = give(capsys, *arguments)
    assert (code, out, world.commands) == (2, "", [])
    assert expected in err


def test_without_a_login_name_the_author_is_asked_for(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.delenv("USER")
    monkeypatch.setattr("getpass.getuser", nobody)
    code, _, err = give(capsys, "arm", "assistant-8", "--reason", "x")
    assert code == 2
    assert "--author: nobody is logged in by name here; say who orders it" in err


@pytest.mark.parametrize(
    "order",
    [
        ["decide", "m", "rollback", "--reason", "x"],
        ["override", "m", "--until", "1h", "--reason", "x", "--no-wait"],
        ["status"],
    ],
    ids=lambda order: order[0],
)
def test_kafka_away_is_one_clear_message_and_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, order: list[str]
) -> None:
    monkeypatch.setenv(f"{P}KAFKA_BOOTSTRAP", "127.0.0.1:1")
    code, out, err = give(capsys, *order)
    assert (code, out) == (1, "")
    assert err.startswith(
        f"rollback-budget: Kafka does not answer (it is 127.0.0.1:1 by {P}KAFKA_BOOTSTRAP): "
    )
    assert len(err.splitlines()) == 1


def test_the_breaker_is_closed_by_an_order_of_no_release(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    give(capsys, "decide", "assistant-8", "rollback", "--reason", "an order is not counted")
    code, out, err = give(capsys, "close-breaker", "--reason", "the provider is well again")
    assert (code, err) == (0, "")
    assert out.startswith(
        "accepted\n  breaker.closed: dana closed the breaker: 0 automatic rollbacks no longer count"
    )
    assert [(one.kind, one.release) for one in world.commands][-1] == ("close_breaker", "*")


def test_extend_takes_more_time(world: LedgerWorld, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = give(capsys, "extend", "assistant-8", "--by", "5m", "--reason", "looking")
    assert code == 0
    assert re.match(r"accepted\n  page\.extended: dana takes 5 min more to decide, until .*: looking\n", out)
    code, out, _ = give(capsys, "extend", "assistant-8", "--by", "1h", "--reason", "looking")
    assert code == 1
    assert "min are left of" in out


@pytest.mark.parametrize("by", ["5", "0m", "soon", "90s"])
def test_more_time_is_a_duration(capsys: pytest.CaptureFixture[str], by: str) -> None:
    code, _, err = give(capsys, "extend", "assistant-8", "--by", by, "--reason", "looking")
    assert code == 2
    assert err.startswith("rollback-budget: --by: ")


def test_the_command_that_a_page_shows_works_as_it_stands(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Copied from the page into a shell, by somebody who never saw the product."""
    page = page_id(world)
    lines = dict(for_open_page("assistant-8", page, page, "breach", is_seen=False, has_deadline=True))
    for what in ("I am on it", "Five minutes more", "Go on with it"):
        code, out, err = give(capsys, *shlex.split(lines[what])[1:])
        assert (code, err) == (0, ""), out
    assert [command.kind for command in world.commands] == ["acknowledge", "extend", "decide"]


def test_an_order_is_signed_where_there_is_a_key(
    world: LedgerWorld, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "0123456789abcdef" * 4
    monkeypatch.setenv(f"{P}COMMAND_KEY", key)
    code, out, _ = give(capsys, "acknowledge", "assistant-8", "--output", "json")
    assert (code, json.loads(out)["signed"]) == (0, True)
    (record,) = [one for part in world.records(COMMANDS) for one in part]
    strict = Signatures({"dana": key.encode()}, is_required=True)
    read = command_of(record, record.at_ms, strict)
    assert isinstance(read, Command)
    assert (read.signed, read.fault) == (True, None)
    assert key not in out
