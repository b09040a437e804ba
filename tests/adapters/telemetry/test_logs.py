"""The log: one stream, one form, and no secret in it."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.adapters.telemetry.logs import MASK, configure_logs, redacted

CANARY = "CANARY-8f3a"

pytestmark = pytest.mark.usefixtures("own_logging")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines of a JSON log."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_our_logs_and_the_libraries_are_the_same_json_lines() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    structlog.get_logger("monitor.x").info("flushed", partition=3)
    logging.getLogger("somebody.else").warning("%d retries", 4, extra={"topic": "t"})
    ours, theirs = lines(out)
    assert (ours["event"], ours["partition"], ours["level"], ours["logger"]) == (
        "flushed",
        3,
        "info",
        "monitor.x",
    )
    assert (theirs["event"], theirs["topic"], theirs["level"]) == ("4 retries", "t", "warning")
    assert ours.keys() >= {"timestamp"}
    assert theirs.keys() >= {"timestamp"}


def test_a_terminal_gets_text_for_people() -> None:
    out = _Terminal()
    configure_logs(stream=out)
    structlog.get_logger("monitor.x").info("flushed", partition=3)
    assert "flushed" in out.getvalue()
    with pytest.raises(ValueError, match="Expecting value"):
        lines(out)


def test_a_terminal_obeys_nothing_that_is_logged() -> None:
    out = io.StringIO()
    configure_logs(stream=out, as_json=False)
    evil = "\x1b[2J\x1b]0;x\x07\x9b31m\u202e"
    logging.getLogger("somebody.else").warning("it said %s", evil)
    try:
        raise ValueError(evil)
    except ValueError:
        structlog.get_logger("monitor.x").exception("broke", tenant=evil)
    said = out.getvalue()
    assert "it said" in said
    for obeyed in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e"):
        assert obeyed not in said


@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_logged_without_the_values_of_its_variables(as_json: bool) -> None:
    out = io.StringIO()
    configure_logs(stream=out, as_json=as_json)
    token = CANARY
    try:
        raise ValueError(f"bad key whsec_{token}")
    except ValueError:
        structlog.get_logger("monitor.x").exception("failed")
    assert "ValueError: bad key" in out.getvalue()
    assert CANARY not in out.getvalue().replace("whsec_{token}", "")


@pytest.mark.parametrize(
    "key",
    [
        "secret", "webhook_secret", "client_secret", "password", "sasl_plain_password", "PASSWD", "passphrase",
        "token", "access_token", "Authorization", "api_key", "apiKey", "API-KEY", "aws_credentials", "cookie",
        "Set-Cookie", "private_key", "signing_key", "webhook-signature",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_masked_by_the_name_of_their_key_at_any_depth(key: str, as_json: bool) -> None:
    out = io.StringIO()
    configure_logs(stream=out, as_json=as_json)
    log = structlog.get_logger("monitor.x")
    log.info("settings", **{key: CANARY})
    log.info("settings", inner=[{"deeper": {key: CANARY}}])
    logging.getLogger("somebody").warning("x", extra={key.replace("-", "_"): CANARY})
    assert CANARY not in out.getvalue()
    assert out.getvalue().count(MASK) == 3


@pytest.mark.parametrize(
    "key", ["tokens_in", "tokens_out", "tokens_per_request", "release", "author", "keyed_by"]
)
def test_what_only_sounds_like_a_secret_stays_readable(key: str) -> None:
    assert redacted({key: "17"}) == {key: "17"}


def test_passwords_in_urls_and_webhook_keys_in_texts_are_masked() -> None:
    shown = redacted(f"redis://user:{CANARY}@host:6379/0 and whsec_{CANARY.replace('-', '')}")
    assert shown == f"redis://{MASK}@host:6379/0 and {MASK}"


@given(
    st.recursive(
        st.text(max_size=5) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=20,
    )
)
@settings(max_examples=100)
def test_redaction_never_fails_and_changes_nothing_twice(value: object) -> None:
    once = redacted(value)
    assert redacted(once) == once


def test_depth_is_bounded() -> None:
    deep: object = "end"
    for _ in range(100):
        deep = [deep]
    assert "<list>" in str(redacted(deep))


def test_levels_hold_for_ours_and_libraries_speak_from_warning_on() -> None:
    out = io.StringIO()
    configure_logs("debug", stream=out)
    structlog.get_logger("monitor.x").debug("ours")
    logging.getLogger("aiokafka.consumer").info("chatter")
    logging.getLogger("aiokafka.consumer").warning("trouble")
    assert [line["event"] for line in lines(out)] == ["ours", "trouble"]
    configure_logs("error", stream=out)
    structlog.get_logger("monitor.x").warning("not now")
    assert len(lines(out)) == 2


def test_an_unknown_level_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="allowed are debug, info, warning, error"):
        configure_logs("loud")
