"""What `doctor` asks Redis or Valkey: is it there, does it take writes, could it lose state, what time is it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from monitor.adapters.redis.connection import answers, connect, info_of_all, is_cluster, shown
from monitor.adapters.redis.store import RedisStateStore
from monitor.adapters.redis.versions import known_hole
from monitor.engine.checkup import Finding, failed, ok, warning
from monitor.engine.errors import StoreUnusable

ASK_S: Final = 5.0
_PROBE_S: Final = 30  # a probe's key outlives a doctor that was killed by no more
_LEAST_MAJOR: Final = 7


class RedisCheckup:
    """The questions, each through connections of its own."""

    def __init__(self, url: str) -> None:
        self._url, self._where = url, shown(url)

    async def server(self) -> Sequence[Finding]:
        """Tell version, eviction, persistence and role.

        Raises:
            StoreUnreachable: No answer.
            StoreUnusable: It refuses: a wrong password, no right to ask.
        """
        store = RedisStateStore(self._url, deadline_s=ASK_S)
        try:
            facts = await store.facts()
        finally:
            await store.close()
        info = await self._info()
        findings = [self._version(facts.version), self._eviction(facts.eviction), self._role(info)]
        for text in facts.warnings:
            what, _, remedy = text.partition("; ")
            findings.append(warning("redis", "persistence", what, remedy or "see the message"))
        if not facts.warnings:
            findings.append(ok("redis", "persistence", "an append-only file is kept"))
        return findings

    async def writes(self) -> Sequence[Finding]:
        """Write a key of our own that ends by itself, read it and delete it."""
        client, key, value = connect(self._url), f"rb:doctor:{secrets.token_hex(8)}", b"1"
        try:
            async with answers(self._where, ASK_S):
                await client.set(key, value, ex=_PROBE_S)
                read = await client.get(key)
                await client.delete(key)
        except StoreUnusable as error:
            remedy = "name the primary in redis_url, no replica; look at its memory, its disk and the user's rights"
            return [failed("redis", "writes", str(error), remedy)]
        finally:
            await client.aclose()
        if read != value:
            return [
                failed("redis", "writes", "what was written is not read back", "use one server, no proxy")
            ]
        return [ok("redis", "writes", "a key was written, read and deleted")]

    async def clock(self) -> tuple[float, float]:
        """Return the server's time minus ours, and how unsure that is, in milliseconds."""
        client = connect(self._url)
        try:
            async with answers(self._where, ASK_S):
                await client.ping()  # connects
                before_s, wall_ms = time.monotonic(), time.time_ns() / 1e6
                seconds, micros = await client.time()
                half_ms = (time.monotonic() - before_s) * 500
        finally:
            await client.aclose()
        return seconds * 1000 + micros / 1000 - wall_ms - half_ms, half_ms

    async def _info(self) -> list[dict[str, Any]]:
        client = connect(self._url)
        try:
            async with answers(self._where, ASK_S):
                return await info_of_all(client, "replication")
        finally:
            await client.aclose()

    def _version(self, version: str) -> Finding:
        major = version.rsplit(maxsplit=1)[-1].partition(".")[0]
        if major.isdigit() and int(major) < _LEAST_MAJOR:
            return failed("redis", self._where, f"it is {version}", "use Redis 7.0, Valkey 7.2 or later")
        if (hole := known_hole(version)) is not None:
            what, _, remedy = hole.partition("; ")
            return warning("redis", self._where, f"it is {what}", remedy)
        return ok("redis", self._where, f"it is {version}")

    def _eviction(self, policy: str) -> Finding:
        if policy == "noeviction":
            return ok("redis", "eviction", "maxmemory-policy is noeviction")
        return failed(
            "redis",
            "eviction",
            f"maxmemory-policy is {policy}, which deletes state without an error",
            "CONFIG SET maxmemory-policy noeviction, and the same line in the server's configuration file",
        )

    def _role(self, nodes: list[dict[str, Any]]) -> Finding:
        if is_cluster(self._url):
            primaries = sum(node.get("role") == "master" for node in nodes)
            return ok(
                "redis", "role", f"a cluster of {primaries} primaries with {len(nodes) - primaries} replicas"
            )
        (info,) = nodes
        if info.get("role") != "master":
            return failed(
                "redis",
                "role",
                f"it is a replica of {info.get('master_host')}:{info.get('master_port')}",
                "name the primary in redis_url: a replica takes no writes, and loses what it is given",
            )
        count = info.get("connected_slaves", 0)
        return ok("redis", "role", f"primary with {count} replica{'' if count == 1 else 's'}")
