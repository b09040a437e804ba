"""What the real server does to us: lost replies, no memory, no permission, a crash, no server at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.redis.connection import connect, shown
from monitor.adapters.redis.keys import ACL_COMMANDS, ACL_PATTERN
from monitor.adapters.redis.lease import RedisLease
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.errors import StoreUnreachable, StoreUnusable
from monitor.engine.ports import FlushAnswer, Partition
from tests.crashes import until_logged

PARTITION = Partition("t", 0)


def patient(url: str) -> RedisStateStore:
    """Return a store that a machine which stops the server for seconds does not take for an outage."""
    return RedisStateStore(url, socket_timeout_s=20, deadline_s=60)


async def until(holds: Callable[[], bool]) -> None:
    """Return when it does; a look takes a moment, and its moment is not ours to choose."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - told by a log line alone
            await asyncio.sleep(0.01)


class SwallowingProxy:
    """Passes everything on, but keeps the replies back while `swallow` is set: the command is done, unseen."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.swallow = 0
        self.swallowed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._requests(reader, to_writer))
                pumps.create_task(self._replies(to_reader, writer))
        except* OSError:
            pass  # the client gave the connection up, as it should
        finally:
            to_writer.close()
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.swallow:
                self.swallow -= 1
                self.swallowed += 1
                writer.close()  # the client sees the connection end instead of the reply
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[SwallowingProxy, str]]:
    port = urlsplit(url).port
    assert port is not None
    proxy = SwallowingProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield proxy, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        server.close()


async def test_a_flush_whose_reply_was_lost_is_not_taken_for_a_lost_partition(
    own_valkey: EmbeddedValkey,
) -> None:
    async with proxied(own_valkey.url) as (proxy, url):
        store = patient(url)
        claim = await store.claim(PARTITION, "w1")
        first = await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"10"})
        assert first is FlushAnswer.APPLIED
        proxy.swallow = 1
        answer = await store.flush(claim, batch="b2", expected_offset=10, fields={"offset": b"20"})
        assert proxy.swallowed == 1
        assert answer is FlushAnswer.ALREADY_MINE
        assert await store.read([PARTITION], ["offset", "batch"]) == [[b"20", b"b2"]]
        await store.close()


async def test_a_claim_whose_reply_was_lost_holds_one_valid_token(own_valkey: EmbeddedValkey) -> None:
    async with proxied(own_valkey.url) as (proxy, url):
        store = patient(url)
        await store.claim(PARTITION, "w0")
        real_claim = store._claim  # the seam between the look and the script

        async def lose_the_reply(**arguments: object) -> object:
            proxy.swallow = 1
            return await real_claim(**arguments)  # type: ignore[arg-type]

        store._claim = lose_the_reply  # type: ignore[assignment]
        claim = await store.claim(PARTITION, "w1")
        assert proxy.swallowed == 1
        assert claim.token.startswith("2:w1:")
        answer = await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1"})
        assert answer is FlushAnswer.APPLIED
        await store.close()


async def test_a_server_that_evicts_is_refused_with_the_remedy(own_valkey: EmbeddedValkey) -> None:
    client = connect(own_valkey.url, socket_timeout_s=20)
    await client.config_set("maxmemory-policy", "allkeys-lru")
    store = patient(own_valkey.url)
    with pytest.raises(StoreUnusable, match="CONFIG SET maxmemory-policy noeviction") as refused:
        await store.check()
    assert "allkeys-lru" in str(refused.value)
    await store.close()
    await client.aclose()


async def test_a_server_that_may_evict_by_now_counts_as_away_until_it_may_not(
    own_valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Changed while everything runs: what it has may be gone without an error, so nothing is built on it."""
    client, store = connect(own_valkey.url), RedisStateStore(own_valkey.url, deadline_s=20)
    claim = await store.claim(PARTITION, "w1")
    await client.config_set("maxmemory-policy", "allkeys-lru")
    async with store.watched(every_s=0.01):
        await until(lambda: "not relied on" in caplog.text)
        for call in (
            store.claim(PARTITION, "w1"),
            store.read([PARTITION], ["offset"]),
            store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1"}),
        ):
            with pytest.raises(StoreUnreachable, match="CONFIG SET maxmemory-policy noeviction"):
                await call
        caplog.set_level(logging.INFO)
        await client.config_set("maxmemory-policy", "noeviction")
        await until(lambda: "noeviction again" in caplog.text)
        answer = await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1"})
        assert answer is FlushAnswer.APPLIED
    await store.close()
    await client.aclose()


async def test_a_look_that_gets_no_answer_ends_neither_the_looking_nor_the_trust(
    own_valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    client, store = connect(own_valkey.url), RedisStateStore(own_valkey.url, deadline_s=20)
    await client.config_set("maxmemory-policy", "allkeys-lru")
    own_valkey.kill()
    async with store.watched(every_s=0.01):
        with pytest.raises(StoreUnreachable):
            await store.look_at_policy()
        assert "not relied on" not in caplog.text
        own_valkey.start()  # without what was set
        assert await store.read([PARTITION], ["offset"]) == [[None]]
    await store.close()
    await client.aclose()


@pytest.mark.parametrize(
    ("setting", "value", "warning"),
    [
        ("appendonly", "no", "appendonly is off"),
        ("aof-load-truncated", "yes", "aof-load-truncated is yes"),
    ],
)
async def test_what_is_weaker_than_it_could_be_is_said(
    own_valkey: EmbeddedValkey, setting: str, value: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(own_valkey.url, socket_timeout_s=20)
    await client.config_set(setting, value)
    store = patient(own_valkey.url)
    with caplog.at_level(logging.INFO):
        await store.check()
    assert warning in caplog.text
    assert "valkey 9." in caplog.text
    await store.close()
    await client.aclose()


async def let_in(client: Any, commands: str) -> None:
    """Have a user who may do just that."""
    rights = ["on", ">pw", f"~{ACL_PATTERN}", "-@all", *commands.split()]
    await client.execute_command("ACL", "SETUSER", "worker", "reset", *rights)


@pytest.mark.parametrize("lacking", ["get", "set", "del", "evalsha", "info"])
async def test_a_right_that_lacks_is_named_before_anything_is_judged(
    lacking: str, own_valkey: EmbeddedValkey
) -> None:
    client = connect(own_valkey.url, socket_timeout_s=20)
    await let_in(client, " ".join(one for one in ACL_COMMANDS.split() if one != f"+{lacking}"))
    store = patient(own_valkey.url.replace("redis://", "redis://worker:pw@"))
    with pytest.raises(StoreUnusable, match=f"'{lacking}'"):
        await store.check()
    await store.close()
    await client.aclose()


async def test_a_store_that_takes_no_writes_for_now_is_no_reason_not_to_start(
    own_valkey: EmbeddedValkey,
) -> None:
    client = connect(own_valkey.url, socket_timeout_s=20)
    await client.execute_command("CLIENT", "PAUSE", "600000", "WRITE")
    store = RedisStateStore(own_valkey.url, deadline_s=1)
    await store.check()
    await client.execute_command("CLIENT", "UNPAUSE")
    await store.close()
    await client.aclose()


async def test_a_worker_without_any_right_to_config_can_check_and_write(own_valkey: EmbeddedValkey) -> None:
    """The rights that the documentation asks for are enough."""
    client = connect(own_valkey.url, socket_timeout_s=20)
    await let_in(client, ACL_COMMANDS)
    store = patient(own_valkey.url.replace("redis://", "redis://worker:pw@"))
    await store.check()
    claim = await store.claim(PARTITION, "w1")
    answer = await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1"})
    assert answer is FlushAnswer.APPLIED
    await store.drop(claim, ["a"])
    await store.close()
    await client.aclose()


async def test_a_wrong_password_is_no_outage(own_valkey: EmbeddedValkey) -> None:
    client = connect(own_valkey.url, socket_timeout_s=20)
    await client.config_set("requirepass", "right")
    store = patient(own_valkey.url.replace("redis://", "redis://:wrong@"))
    with pytest.raises(StoreUnusable, match="password") as refused:
        await store.check()
    assert "wrong@" not in str(refused.value)
    await store.close()
    await client.aclose()


async def test_a_full_server_refuses_the_whole_batch_and_takes_it_later(own_valkey: EmbeddedValkey) -> None:
    """Memory that is full passes: it is an outage, waited for and told of, and no reason for a worker to end."""
    client = connect(own_valkey.url, socket_timeout_s=20)
    store = patient(own_valkey.url)
    claim = await store.claim(PARTITION, "w1")
    await client.config_set("maxmemory", "1")
    fields = {"offset": b"1", "a": b"1"}
    with pytest.raises(StoreUnreachable, match=r"takes no writes.*maxmemory"):
        await store.flush(claim, batch="b1", expected_offset=0, fields=fields)
    await client.config_set("maxmemory", "0")
    assert await store.read([PARTITION], ["offset", "a", "batch"]) == [[None, None, None]]
    answer = await store.flush(claim, batch="b1", expected_offset=0, fields=fields)
    assert answer is FlushAnswer.APPLIED
    await store.close()
    await client.aclose()


async def test_a_server_that_takes_no_writes_for_now_is_away(own_valkey: EmbeddedValkey) -> None:
    """Read-only after a failover, and with fewer replicas than it wants: both pass."""
    client = connect(own_valkey.url, socket_timeout_s=20)
    store = patient(own_valkey.url)
    claim = await store.claim(PARTITION, "w1")
    fields = {"offset": b"1"}
    await client.config_set("min-replicas-to-write", "1")
    with pytest.raises(StoreUnreachable, match="takes no writes"):
        await store.flush(claim, batch="b1", expected_offset=0, fields=fields)
    await client.config_set("min-replicas-to-write", "0")
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnreachable):
        await store.flush(claim, batch="b1", expected_offset=0, fields=fields)
    await client.execute_command("REPLICAOF", "NO", "ONE")
    answer = await store.flush(claim, batch="b1", expected_offset=0, fields=fields)
    assert answer is FlushAnswer.APPLIED
    await store.close()
    await client.aclose()


async def test_a_crash_keeps_state_and_token_together(own_valkey: EmbeddedValkey) -> None:
    store = patient(own_valkey.url)
    claim = await store.claim(PARTITION, "w1")
    await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1", "a": b"1"})
    until_logged(own_valkey.url)
    own_valkey.kill()
    own_valkey.start()
    assert await store.read([PARTITION], ["offset", "batch", "a"]) == [[b"1", b"b1", b"1"]]
    answer = await store.flush(claim, batch="b2", expected_offset=1, fields={"offset": b"2"})
    assert answer is FlushAnswer.APPLIED
    await store.close()


async def test_a_server_that_lost_everything_fences_the_writer(own_valkey: EmbeddedValkey) -> None:
    """The writer must learn of the loss: its next flush builds on an offset that is gone."""
    client = connect(own_valkey.url, socket_timeout_s=20)
    store = patient(own_valkey.url)
    claim = await store.claim(PARTITION, "w1")
    await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"10"})
    await client.flushall()
    answer = await store.flush(claim, batch="b2", expected_offset=10, fields={"offset": b"20"})
    assert answer is FlushAnswer.FENCED
    again = await store.claim(PARTITION, "w1")
    assert dict(again.fields) == {}
    assert again.token != claim.token
    await store.close()
    await client.aclose()


async def test_no_server_is_named_without_its_password() -> None:
    url = "redis://user:secret@127.0.0.1:1/0"  # nobody is there
    store, lease = RedisStateStore(url), RedisLease(url)
    for call in (store.check(), store.claim(PARTITION, "w"), lease.acquire("n", "w", 1000)):
        with pytest.raises(StoreUnreachable) as unreachable:
            await call
        assert "127.0.0.1" in str(unreachable.value)
        assert "secret" not in str(unreachable.value)
    await store.close()
    await lease.close()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://user:pw@host:6380/2", "redis://host:6380/2"),
        ("rediss://:pw@host", "rediss://host"),
        ("redis://host/0", "redis://host/0"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, text: str) -> None:
    assert shown(url) == text


async def test_cancelled_calls_never_cross_replies_and_leave_no_connection_behind(
    own_valkey: EmbeddedValkey,
) -> None:
    """A cancelled command must not leave its reply for the next caller of the connection."""
    rng, beside = Random(17), 8
    store = patient(own_valkey.url)
    claim = await store.claim(PARTITION, "w1")
    fields = {f"f{number}": str(number).encode() for number in range(50)}
    await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1", **fields})

    async def ask() -> None:
        number = rng.randrange(50)
        assert await store.read([PARTITION], [f"f{number}"]) == [[str(number).encode()]]

    for _ in range(150):
        calls = [asyncio.create_task(ask()) for _ in range(beside)]
        for _ in range(rng.randrange(8)):
            await asyncio.sleep(0)
        for call in rng.sample(calls, beside // 2):
            call.cancel()
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            assert answer is None or isinstance(answer, asyncio.CancelledError), answer
    assert isinstance(store._redis, Redis)
    pool = store._redis.connection_pool
    assert len(pool._available_connections) + len(pool._in_use_connections) <= beside + 1
    assert not pool._in_use_connections
    await store.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_where_nobody_listens_it_is_an_outage(scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:1"
    store, lease = RedisStateStore(url), RedisLease(url)
    with pytest.raises(StoreUnreachable, match="127"):
        await store.claim(PARTITION, "w1")
    with pytest.raises(StoreUnreachable, match="127"):
        await lease.acquire("a release", "w1", 1_000)
    await store.close()
    await lease.close()


async def test_one_server_that_is_called_a_cluster_is_said(own_valkey: EmbeddedValkey) -> None:
    store = patient(own_valkey.url.replace("redis://", "redis+cluster://").removesuffix("/0"))
    with pytest.raises((StoreUnusable, StoreUnreachable), match=r"[Cc]luster"):
        await store.check()
    await store.close()
