"""The twin of the Redis state store, fencing and all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from monitor.adapters.flush_limits import BATCH, CONDEMNED, OFFSET, TOKEN, check_drop, check_flush
from monitor.engine.ports import Claim, FlushAnswer, Partition


class MemoryStateStore:
    """`StateStore` in a dictionary. Workers that share the object fence one another as on the real server."""

    def __init__(self) -> None:
        self._hashes: dict[Partition, dict[str, bytes]] = {}
        self._claims = 0
        self._unwritten: Counter[Partition] = Counter()

    async def check(self) -> None:
        """Nothing to refuse: a dictionary evicts nothing."""

    async def claim(self, partition: Partition, owner: str) -> Claim:
        """Take the partition over: from now on every earlier token is fenced."""
        self._claims += 1  # one count over all partitions: unique also where a hash was lost
        token = f"{self._claims}:{owner}"
        stored = self._hashes.setdefault(partition, {})
        stored[TOKEN] = token.encode()
        fields = {name: value for name, value in stored.items() if name != TOKEN}
        self._unwritten[partition] += 1
        return Claim(partition, token, fields, self._unwritten[partition] - 1)

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        """Set the fields at once, if token and offset still are what the claim's owner believes."""
        check_flush(batch, expected_offset, fields)
        stored = self._hashes.get(claim.partition, {})
        if stored.get(TOKEN) != claim.token.encode():
            return FlushAnswer.FENCED
        if stored.get(BATCH) == batch.encode():
            return FlushAnswer.ALREADY_MINE
        if stored.get(OFFSET, b"0") != str(expected_offset).encode():
            return FlushAnswer.FENCED
        stored.update(fields)
        stored[BATCH] = batch.encode()
        self._unwritten[claim.partition] = 0
        return FlushAnswer.APPLIED

    async def read(self, partitions: Sequence[Partition], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return the named fields of each partition."""
        return [[self._hashes.get(partition, {}).get(name) for name in fields] for partition in partitions]

    async def drop(self, claim: Claim, fields: Sequence[str]) -> None:
        """Delete the named fields while the claim holds; a fenced caller deletes nothing."""
        check_drop(fields)
        stored = self._hashes.get(claim.partition, {})
        if stored.get(TOKEN) == claim.token.encode():
            for name in fields:
                stored.pop(name, None)

    async def reset(self, claim: Claim) -> None:
        """Forget everything but the token while the claim holds."""
        stored = self._hashes.get(claim.partition, {})
        if stored.get(TOKEN) == claim.token.encode():
            self._hashes[claim.partition] = {TOKEN: claim.token.encode()}

    async def condemn(self, partition: Partition, token: str) -> bool:
        """Strike the stored offset out while the token stands."""
        stored = self._hashes.get(partition, {})
        if stored.get(TOKEN) != token.encode():
            return False
        stored[OFFSET] = CONDEMNED.encode()
        return True

    async def close(self) -> None:
        """Nothing to give back; what is stored stays, as it would on a server."""

    def lose_everything(self) -> None:
        """Forget all state, as a server without persistence does at a restart: for tests and the demo."""
        self._hashes.clear()
