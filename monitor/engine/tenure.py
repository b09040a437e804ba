"""Which releases an instance may evaluate: leases, asked for again only when a good part of their life is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from monitor.engine.ports import Lease


class Tenure:
    """The leases of one instance.

    Asking the server for every release at every step would be most of a step's time, and an incident must not wait
    for it. What makes a double owner harmless is the decision id, so nothing but work is lost by a late answer.

    Args:
        ttl_ms: How long a lease outlives its last renewal.
        steady: Seconds of a clock that never jumps.
    """

    def __init__(
        self, lease: Lease, owner: str, ttl_ms: int, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._lease = lease
        self._owner = owner
        self._ttl_ms = ttl_ms
        self.steady = steady
        self._renewed_s: dict[str, float] = {}
        self._terms: dict[str, int] = {}

    def term(self, release: str) -> int:
        """Return a number that is another one where somebody else may have held the lease in between."""
        return self._terms.get(release, 0)

    async def holds(self, release: str) -> bool:
        """Tell whether the release is ours to evaluate now; raises `StoreUnreachable` where that is not known."""
        now_s = self.steady()
        renewed_s = self._renewed_s.get(release)
        if renewed_s is not None and (now_s - renewed_s) * 3_000 < self._ttl_ms:
            return True
        if await self._lease.acquire(f"release:{release}", self._owner, self._ttl_ms):
            if renewed_s is None or (now_s - renewed_s) * 1_000 >= self._ttl_ms:
                self._terms[release] = self.term(release) + 1
            self._renewed_s[release] = now_s
            return True
        self._renewed_s.pop(release, None)
        return False

    async def give_back(self, release: str) -> None:
        """Let somebody else evaluate the release at once."""
        self._renewed_s.pop(release, None)
        await self._lease.release(f"release:{release}", self._owner)

    async def takes_turn(self, what: str, ttl_ms: int) -> bool:
        """Take the right to do something that one instance at a time does; False while another does it.

        Raises:
            StoreUnreachable: That is not known.
        """
        return await self._lease.acquire(f"turn:{what}", self._owner, ttl_ms)

    async def end_turn(self, what: str) -> None:
        """Let another instance do it at once."""
        await self._lease.release(f"turn:{what}", self._owner)
