"""What a server may still hold in memory when it is killed, and waiting until it does not."""

from __future__ import annotations

import time

import redis

_WAIT_S = 30


def until_logged(url: str) -> None:
    """Wait until Valkey has written all it answered: with `everysec` it may hold writes back for up to 2 s.

    It does so while an fsync is under way, so only a slow disk shows it. What was written outlives the process.
    """
    deadline = time.monotonic() + _WAIT_S
    with redis.Redis.from_url(url) as client:
        while client.info("persistence")["aof_buffer_length"] > 0:
            assert time.monotonic() < deadline, "Valkey did not write its append-only file"
            time.sleep(0.02)
