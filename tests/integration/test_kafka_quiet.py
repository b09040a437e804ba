"""A broker that is away fills no log: each of the library's messages comes once in a while, with a count."""

from __future__ import annotations

import logging

import pytest
from aiokafka.errors import UnknownMemberIdError

from monitor.adapters.kafka.client import OncePerPeriod, silent_library, tame_library_logs


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("aiokafka", logging.ERROR, __file__, 1, message, arguments, None)


def test_the_same_message_is_held_back_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    once = OncePerPeriod(period_s=30)
    assert once.filter(record("no node %s", 1))
    assert not once.filter(record("no node %s", 2))
    assert not once.filter(record("no node %s", 3))
    assert once.filter(record("something else"))
    now[0] += 30
    again = record("no node %s", 4)
    assert once.filter(again)
    assert again.getMessage() == "no node 4 (2 times more since)"
    now[0] += 30
    assert once.filter(quiet := record("no node %s", 5))
    assert quiet.getMessage() == "no node 5"


def test_taming_twice_is_taming_once() -> None:
    tame_library_logs()
    tame_library_logs()
    logger = logging.getLogger("aiokafka.conn")
    assert logger.level == logging.WARNING
    assert sum(isinstance(present, OncePerPeriod) for present in logger.filters) == 1


def test_a_probe_is_silent_and_leaves_the_levels_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("aiokafka.conn")
    level = logger.level
    with silent_library():
        logger.critical("not to be seen")
    assert logger.level == level
    assert [one for one in caplog.records if one.name == logger.name] == []


def test_what_kafka_answers_is_told_in_a_line_and_a_defect_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("tests.traceback")
    logger.addFilter(OncePerPeriod(period_s=0.0))
    for error in (UnknownMemberIdError("left"), KeyError("a defect")):
        try:
            raise error
        except Exception:  # as the library does it
            logger.exception("offsets of %s", "llm.traces.v1")
    of_kafka, of_us = (one for one in caplog.records if one.name == logger.name)
    assert of_kafka.getMessage() == "offsets of llm.traces.v1: UnknownMemberIdError('left')"
    assert of_kafka.exc_info is None
    assert of_us.exc_info is not None
