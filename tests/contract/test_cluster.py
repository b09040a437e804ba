"""What a cluster asks for beyond what one server does."""

from __future__ import annotations

import pytest
from redis.asyncio.cluster import RedisCluster

from monitor.adapters.redis.connection import connect, info_of_all
from monitor.adapters.redis.keys import ACL_CLUSTER_COMMANDS, ACL_COMMANDS
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.errors import StoreUnusable
from monitor.engine.ports import FlushAnswer, Partition

RIGHTS = f"{ACL_COMMANDS} {ACL_CLUSTER_COMMANDS}"


async def test_the_rights_that_the_docs_ask_for_are_enough_and_partitions_need_not_share_a_slot(
    cluster: str, unique: str
) -> None:
    client = connect(cluster, socket_timeout_s=20)
    assert isinstance(client, RedisCluster)
    await client.execute_command("ACL SETUSER", "worker", "on", ">pw", "~rb:*", "-@all", *RIGHTS.split())
    store = RedisStateStore(cluster.replace("://", "://worker:pw@"), deadline_s=60, socket_timeout_s=20)
    await store.check()
    partitions = [Partition(unique, number) for number in range(8)]
    for partition in partitions:
        claim = await store.claim(partition, "w1")
        answer = await store.flush(claim, batch="b1", expected_offset=0, fields={"offset": b"1"})
        assert answer is FlushAnswer.APPLIED
    assert await store.read(partitions, ["offset"]) == [[b"1"]] * 8
    await store.close()
    await client.aclose()


async def test_one_node_that_may_evict_is_enough_to_be_refused(cluster: str) -> None:
    client = connect(cluster, socket_timeout_s=20)
    assert [node["cluster_enabled"] for node in await info_of_all(client, "cluster")] == [1]
    store = RedisStateStore(cluster, deadline_s=60, socket_timeout_s=20)
    try:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreUnusable, match="noeviction"):
            await store.check()
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
        await store.close()
        await client.aclose()
