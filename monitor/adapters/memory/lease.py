"""The twin of the Redis lease."""

from __future__ import annotations

import time
from collections.abc import Callable


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class MemoryLease:
    """`Lease` in a dictionary; instances that share the object exclude one another."""

    def __init__(self, now_ms: Callable[[], int] = _monotonic_ms) -> None:
        """Begin without any lease. `now_ms`: milliseconds of any clock that does not go back."""
        self._now_ms = now_ms
        self._held: dict[str, tuple[str, int]] = {}

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew the lease for `ttl_ms`; False while somebody else holds it."""
        holder, until_ms = self._held.get(name, (owner, 0))
        if holder != owner and self._now_ms() < until_ms:
            # Nobody renews for longer: a clock that went back keeps no lease of one who is gone.
            self._held[name] = holder, min(until_ms, self._now_ms() + ttl_ms)
            return False
        self._held[name] = (owner, self._now_ms() + ttl_ms)
        return True

    async def release(self, name: str, owner: str) -> None:
        """Give the lease back, if it is still ours."""
        if self._held.get(name, ("", 0))[0] == owner:
            del self._held[name]

    async def close(self) -> None:
        """Nothing to give back."""
