"""Leases in Redis: who evaluates a release, until when."""

from __future__ import annotations

from monitor.adapters.redis.connection import (
    DEADLINE_S,
    SOCKET_TIMEOUT_S,
    answers,
    connect,
    script_text,
    shown,
)
from monitor.adapters.redis.keys import lease_key


class RedisLease:
    """`Lease` on one Redis or Valkey server: expiry is the server's clock, the owner is compared on each call."""

    def __init__(
        self, url: str, *, socket_timeout_s: float = SOCKET_TIMEOUT_S, deadline_s: float = DEADLINE_S
    ) -> None:
        """Prepare the client; nothing is sent yet. `url`: see `connection.connect`."""
        self._address = shown(url)
        self._deadline_s = deadline_s
        self._redis = connect(url, socket_timeout_s=socket_timeout_s)
        self._acquire = self._redis.register_script(script_text("lease_acquire"))
        self._release = self._redis.register_script(script_text("lease_release"))

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew the lease for `ttl_ms`; False while somebody else holds it.

        Raises:
            StoreUnreachable: No answer: the caller must act as if it does not hold the lease.
        """
        async with answers(self._address, self._deadline_s):
            return bool(await self._acquire(keys=[lease_key(name)], args=[owner, ttl_ms]))

    async def release(self, name: str, owner: str) -> None:
        """Give the lease back, if it is still ours."""
        async with answers(self._address, self._deadline_s):
            await self._release(keys=[lease_key(name)], args=[owner])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
