"""One way to talk to Redis: few retries, bounded waits, and errors that say what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from monitor.engine.errors import StoreUnreachable, StoreUnusable

# Retries are safe because every script answers a repeated call as it answered the first; the library's own
# default of 10 would hide an outage for longer than a session of the consumer group lasts.
_RETRIES: Final = 3
_BACKOFF_BASE_S: Final = 0.02
_BACKOFF_CAP_S: Final = 0.25
# Refusals that pass: disk full or failing (MISCONF), too few replicas, a script that still runs. The client has no
# classes for them.
_PASSING: Final = ("MISCONF", "NOREPLICAS", "BUSY ", "CLUSTERDOWN")
_CLUSTER: Final = "+cluster"
SOCKET_TIMEOUT_S: Final = 1.0
DEADLINE_S: Final = 3.0


def connect(url: str, *, socket_timeout_s: float = SOCKET_TIMEOUT_S) -> Redis | RedisCluster:
    """Return a client; nothing is sent yet.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://` for one server, or a proxy that looks like one.
            `redis+cluster://` or `rediss+cluster://` for a cluster: any of its nodes, which tells the others.
    """
    retry = Retry(ExponentialBackoff(cap=_BACKOFF_CAP_S, base=_BACKOFF_BASE_S), _RETRIES)
    if not is_cluster(url):
        return Redis.from_url(
            url,
            socket_timeout=socket_timeout_s,
            socket_connect_timeout=socket_timeout_s,
            retry=retry,
            health_check_interval=15,
            decode_responses=False,
        )
    return RedisCluster.from_url(
        url.replace(_CLUSTER, "", 1),
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=socket_timeout_s,
        retry=retry,
        health_check_interval=15,
        decode_responses=False,
        # After so many redirections the library drops all connections in the middle of a command; one that was
        # told where a slot is does not have to ask for all of them.
        reinitialize_steps=0,
    )


def deadline_within(session_ms: int) -> float:
    """Return the bound of a call with all its retries: below a third of the group's session, however short that is.

    A worker that waits for its store must not lose its partitions by that.
    """
    return min(DEADLINE_S, session_ms * 0.95 / 3_000)


def is_cluster(url: str) -> bool:
    """Tell whether an address is a cluster's."""
    return urlsplit(url).scheme.endswith(_CLUSTER)


async def info_of_all(client: Redis | RedisCluster, section: str) -> list[dict[str, Any]]:
    """Return what the server says about itself, or each node of a cluster."""
    if isinstance(client, Redis):
        return [await client.info(section)]
    await client.initialize()  # asks which nodes there are
    return [await client.info(section, target_nodes=node) for node in client.get_nodes()]


async def policies_of_all(client: Redis | RedisCluster) -> list[str]:
    """Return what each node that answers does when its memory is full; of one that is away nothing is known."""
    if isinstance(client, Redis):
        return [policy_of(await client.info("memory"))]
    await client.initialize()
    asked = (client.info("memory", target_nodes=node) for node in client.get_nodes())
    answers_of_all = await asyncio.gather(*asked, return_exceptions=True)
    found = [one for one in answers_of_all if not isinstance(one, BaseException)]
    return [policy_of(one) for one in found]


def policy_of(info: Mapping[str, Any]) -> str:
    """Return what a node does when its memory is full, as its INFO says."""
    return str(info.get("maxmemory_policy", "unknown"))


def shown(url: str) -> str:
    """Return the address without user and password, for messages."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def script_text(name: str) -> str:
    """Return one of the product's Lua scripts."""
    return files("monitor.adapters.redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@asynccontextmanager
async def answers(address: str, deadline_s: float = DEADLINE_S) -> AsyncIterator[None]:
    """Bound everything inside by one deadline, and name what went wrong.

    Raises:
        StoreUnreachable: No answer, or one that may be another soon (still loading its data, out of memory, disk
            full, read-only): nothing was written, and trying again is right.
        StoreUnusable: It answered and refused for good (no permission, wrong password).
    """
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except AuthenticationError as error:
        raise StoreUnusable(f"{address}: {error}; check user and password of the address") from error
    except (
        RedisConnectionError,
        RedisTimeoutError,
        TimeoutError,
        BusyLoadingError,
        MasterDownError,
    ) as error:
        cause = str(error) or f"no answer within {deadline_s:g} s"
        raise StoreUnreachable(f"{address}: {cause}; is the server up and the address right?") from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise StoreUnreachable(f"{address}: the server takes no writes: {error}") from error
    except ResponseError as error:
        if str(error).startswith(_PASSING):
            raise StoreUnreachable(f"{address}: the server takes no writes: {error}") from error
        raise StoreUnusable(f"{address}: the server refused: {error}") from error
    # A cluster without one of its slots, or without any node.
    except (RedisError, RedisClusterException) as error:
        raise StoreUnreachable(f"{address}: {error}") from error
