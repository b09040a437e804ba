"""Commands: what a person may order, and how a wrong order is told what is wrong with it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.wire.commands import (
    Acknowledge,
    Arm,
    BadCommand,
    Decide,
    Disarm,
    HoldBack,
    command_value,
    read_command,
)

BASE = {"command_id": "c-1", "release": "model-v42", "author": "dana", "reason": "the index is down"}


def sent(**fields: object) -> bytes:
    return json.dumps({**BASE, **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"command": "decide", "decision": "rollback"}, Decide),
        (
            {"command": "decide", "decision": "continue", "until": "2026-11-22T12:00:00Z", "page_id": "p"},
            Decide,
        ),
        ({"command": "override", "until": 1_795_348_800_000, "limit": 25.0}, HoldBack),
        ({"command": "override", "until": 1_795_348_800_000, "objective": "latency.p95_delta_pct"}, HoldBack),
        ({"command": "acknowledge", "page_id": "p"}, Acknowledge),
        ({"command": "arm"}, Arm),
        ({"command": "disarm"}, Disarm),
    ],
)
def test_an_order_is_read_and_written(fields: dict[str, object], kind: type) -> None:
    command = read_command(sent(**fields))
    assert type(command) is kind
    assert (command.release, command.author, command.reason) == ("model-v42", "dana", "the index is down")
    assert read_command(command_value(command)) == command


def test_until_is_epoch_milliseconds_however_it_was_written() -> None:
    command = read_command(sent(command="override", until="2026-11-22T13:00:00+01:00"))
    assert isinstance(command, HoldBack)
    assert command.until == 1_795_348_800_000


def test_the_breaker_is_of_every_release() -> None:
    command = read_command(sent(command="close_breaker", release="*"))
    assert read_command(command_value(command)) == command
    with pytest.raises(BadCommand, match=r"release: input should be '\*', got 'model-v42'"):
        read_command(sent(command="close_breaker"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, r"command: empty; it must be one JSON object"),
        (b"{", r"command: not_json"),
        (b"[" * 60_000, r"command: too_deep"),
        (sent(), r"command: unable to extract tag"),
        (
            sent(command="pause"),
            r"(?s)command: .*'pause'.*'decide', 'override', 'acknowledge', 'extend', 'arm', 'disarm'",
        ),
        (sent(command="arm", reason=""), r"reason: string should have at least 1 character, got ''"),
        (sent(command="arm", author=7), r"author: input should be a valid string, got 7"),
        (sent(command="arm", untill=1), r"untill: extra inputs are not permitted, got 1"),
        (sent(command="override"), r"until: field required"),
        (
            sent(command="override", until="tomorrow"),
            r"until: no RFC 3339 moment with an offset, got 'tomorrow'",
        ),
        (sent(command="override", until=1, limit="5"), r"limit: input should be a valid number, got '5'"),
        (
            sent(command="decide", decision="wait"),
            r"decision: input should be 'rollback' or 'continue', got 'wait'",
        ),
        (sent(command="decide", decision="rollback", until=1), r"until belongs to `continue`"),
        (
            sent(command="decide", decision="rollback", reason="x" * 1_001),
            r"reason: string should have at most 1000",
        ),
    ],
)
def test_a_wrong_order_says_what_is_wrong(value: bytes | None, text: str) -> None:
    with pytest.raises(BadCommand, match=text):
        read_command(value)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(BadCommand) as caught:
        read_command(sent(command="override", author="", until=-1, objectiv="x"))
    assert len(caught.value.problems) == 3


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_bytes_break_the_reader(value: bytes) -> None:
    with pytest.raises(BadCommand):
        read_command(value)
