"""A server with a known hole in its scripting is named at the start and by `doctor`."""

from __future__ import annotations

import logging

import pytest

from monitor.adapters.redis.checkup import RedisCheckup
from monitor.adapters.redis.store import RedisStateStore, StoreFacts
from monitor.adapters.redis.versions import HOLE, known_hole


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        ("redis 7.0.15", "redis 7.2.11"),
        ("redis 7.2.10", "redis 7.2.11"),
        ("redis 7.4.5", "redis 7.4.6"),
        ("redis 7.6.0", "redis 8.0.4"),
        ("redis 8.2.1", "redis 8.2.2"),
        ("valkey 8.0.5", "valkey 8.0.6"),
        ("valkey 8.1.3", "valkey 8.1.4"),
    ],
)
def test_an_older_server_is_told_which_release_mends_it(version: str, remedy: str) -> None:
    assert remedy in (known_hole(version) or "")


@pytest.mark.parametrize(
    "version",
    [
        *("redis 7.2.11", "redis 7.4.10", "redis 8.2.2", "redis 8.4.0", "valkey 8.1.8", "valkey 9.1.4"),
        *("redis unknown", "redis 255.255.255", "dragonfly 1.2.3", "redis 7.4", ""),
    ],
)
def test_of_a_mended_or_an_unknown_one_nothing_is_said(version: str) -> None:
    assert known_hole(version) is None


async def test_a_worker_says_it_at_its_start(
    valkey: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def facts(_: RedisStateStore) -> StoreFacts:
        return StoreFacts("redis 7.4.5", "noeviction", ())

    monkeypatch.setattr(RedisStateStore, "facts", facts)
    store = RedisStateStore(valkey, deadline_s=60)
    with caplog.at_level(logging.WARNING):
        await store.check()
    await store.close()
    assert HOLE in caplog.text


def test_doctor_warns_of_it_and_of_no_other() -> None:
    checkup = RedisCheckup("redis://127.0.0.1:1")
    assert checkup._version("redis 7.4.5").health.value == "warning"
    assert checkup._version("valkey 9.1.4").health.value == "ok"
    assert checkup._version("redis 6.2.20").health.value == "failed"
