"""The modelled Redis: one hash per partition, its append-only file, and how one process reaches it.

Commands are what the scripts in `monitor/adapters/redis/lua` do, one write each. The file is a list of writes in
the order they were made; a crash forgets its newest ones, wherever among them it was torn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from monitor.adapters.flush_limits import BATCH, CONDEMNED, OFFSET, TOKEN, check_drop, check_flush
from monitor.engine.errors import StoreUnreachable
from monitor.engine.ports import Claim, FlushAnswer, Partition
from tests.simulation.network import Cut, Link, Network

KEPT_WRITES = 200  # of the file: no crash loses more


@dataclass(frozen=True, slots=True)
class Write:
    """One write in the file: fields set, fields deleted (value None), or a whole key gone (`fields` None)."""

    key: Partition
    fields: Mapping[str, bytes | None] | None


Hashes = dict[Partition, dict[str, bytes]]


class Server:
    """What the server holds in memory and in its file.

    Attributes:
        applied: Every flush that was applied: partition, token, the token that was right, from, to.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.link = Link()
        self.hashes: Hashes = {}
        self._durable: Hashes = {}
        self._file: list[Write] = []
        self._leases: dict[str, tuple[str, float]] = {}
        self.applied: list[tuple[Partition, str, str, int, int]] = []
        self.losses = 0
        self.skew_s = 0.0

    def now_s(self) -> float:
        """Return the server's own clock, which may jump."""
        return self.network.loop.time() + self.skew_s

    # Commands -----------------------------------------------------------------------------------------------------

    def write(self, key: Partition, fields: Mapping[str, bytes | None]) -> None:
        """Set and delete fields of one key by one write."""
        self._do(self.hashes, Write(key, dict(fields)))
        self._file.append(Write(key, dict(fields)))
        if len(self._file) > 2 * KEPT_WRITES:
            for write in self._file[:KEPT_WRITES]:
                self._do(self._durable, write)
            del self._file[:KEPT_WRITES]

    def claim(self, key: Partition, owner: str) -> tuple[str, dict[str, bytes]]:
        stored = self.hashes.get(key, {}).get(TOKEN, b"")
        epoch = stored.split(b":", 1)[0]
        number = int(epoch) + 1 if epoch.isdigit() else 1
        token = f"{number}:{owner}:{self.network.rng.getrandbits(48):012x}"
        self.write(key, {TOKEN: token.encode()})
        return token, {name: value for name, value in self.hashes[key].items() if name != TOKEN}

    def flush(
        self, key: Partition, token: str, batch: str, expected: int, fields: Mapping[str, bytes]
    ) -> str:
        stored = self.hashes.get(key, {})
        if stored.get(TOKEN) != token.encode():
            return "fenced"
        if stored.get(BATCH) == batch.encode():
            return "already_mine"
        if stored.get(OFFSET, b"0") != str(expected).encode():
            return "fenced"
        self.apply(key, token, batch, fields)
        return "applied"

    def apply(self, key: Partition, token: str, batch: str, fields: Mapping[str, bytes]) -> None:
        """Do a flush's one write, and note who did it, and who should have."""
        stored = self.hashes.get(key, {})
        right, offset = stored.get(TOKEN, b"").decode(), stored.get(OFFSET, b"0")
        begun = int(offset) if offset.isdigit() else -1
        self.write(key, {**fields, BATCH: batch.encode()})
        self.applied.append((key, token, right, begun, int(fields[OFFSET])))

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        now_s = self.now_s()
        holder, until_s = self._leases.get(name, (owner, 0.0))
        if holder != owner and now_s < until_s:
            self._leases[name] = holder, min(until_s, now_s + ttl_ms / 1000)
            return False
        self._leases[name] = owner, now_s + ttl_ms / 1000
        return True

    def give_back(self, name: str, owner: str) -> None:
        if self._leases.get(name, ("", 0.0))[0] == owner:
            del self._leases[name]

    # Faults -------------------------------------------------------------------------------------------------------

    def crash(self, lost: int) -> int:
        """Start again from the file without its newest writes; return how many were lost."""
        lost = min(lost, len(self._file))
        if lost:
            del self._file[-lost:]
        self.hashes = {key: dict(fields) for key, fields in self._durable.items()}
        for write in self._file:
            self._do(self.hashes, write)
        self._leases.clear()
        self.losses += lost > 0
        return lost

    def flush_all(self) -> None:
        self.hashes.clear()
        self._durable.clear()
        self._file.clear()
        self._leases.clear()
        self.losses += 1

    @staticmethod
    def _do(hashes: Hashes, write: Write) -> None:
        if write.fields is None:
            hashes.pop(write.key, None)
            return
        stored = hashes.setdefault(write.key, {})
        for name, value in write.fields.items():
            if value is None:
                stored.pop(name, None)
            else:
                stored[name] = value
        if not stored:
            del hashes[write.key]


class StoreClient:
    """`StateStore` and `Lease` for one process."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def check(self) -> None:
        """It evicts nothing."""

    async def claim(self, partition: Partition, owner: str) -> Claim:
        token, fields = await self._call("claim", lambda: self.server.claim(partition, owner))
        return Claim(partition, token, fields)

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        check_flush(batch, expected_offset, fields)
        answer = await self._call(
            "flush",
            lambda: self.server.flush(claim.partition, claim.token, batch, expected_offset, fields),
        )
        return FlushAnswer(answer)

    async def read(self, partitions: Sequence[Partition], fields: Sequence[str]) -> list[list[bytes | None]]:
        rows: list[list[bytes | None]] = await self._call(
            "read",
            lambda: [
                [self.server.hashes.get(partition, {}).get(name) for name in fields]
                for partition in partitions
            ],
        )
        return rows

    async def drop(self, claim: Claim, fields: Sequence[str]) -> None:
        check_drop(fields)
        await self._call("drop", lambda: self._delete(claim, fields))

    async def reset(self, claim: Claim) -> None:
        """Offset and batch go first, the rest by a second command: a crash may come in between."""
        first = [name for name in (OFFSET, BATCH) if name in claim.fields]
        rest = sorted(name for name in claim.fields if name not in first)
        for names in (first, rest):
            if names:
                await self._call("reset", partial(self._delete, claim, names))

    async def condemn(self, partition: Partition, token: str) -> bool:
        return bool(await self._call("condemn", lambda: self._condemn(partition, token)))

    def _condemn(self, partition: Partition, token: str) -> bool:
        if self.server.hashes.get(partition, {}).get(TOKEN) != token.encode():
            return False
        self.server.write(partition, {OFFSET: CONDEMNED.encode()})
        return True

    def _delete(self, claim: Claim, names: Sequence[str]) -> None:
        if self.server.hashes.get(claim.partition, {}).get(TOKEN) == claim.token.encode():
            self.server.write(claim.partition, dict.fromkeys(names))

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> bool:
        return bool(await self._call("lease", lambda: self.server.lease(name, owner, ttl_ms)))

    async def release(self, name: str, owner: str) -> None:
        await self._call("lease", lambda: self.server.give_back(name, owner))

    async def close(self) -> None:
        """Nothing to give back."""

    async def _call(self, name: str, command: Callable[[], Any]) -> Any:
        network, link = self.server.network, self.server.link
        await network.point(f"before {name}")
        try:
            await network.there(link, name)
            answer = command()
            await network.point(f"after {name}")
            await network.back(link, name)
        except Cut as cut:
            raise StoreUnreachable(str(cut)) from cut
        return answer
