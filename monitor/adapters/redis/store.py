"""The state of every source partition in Redis: one hash each, replaced by exactly one HSET at a time."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from monitor.adapters.flush_limits import BATCH, CONDEMNED, OFFSET, TOKEN, check_drop, check_flush
from monitor.adapters.redis.connection import (
    DEADLINE_S,
    SOCKET_TIMEOUT_S,
    answers,
    connect,
    info_of_all,
    policies_of_all,
    policy_of,
    script_text,
    shown,
)
from monitor.adapters.redis.keys import lease_key, partition_key
from monitor.adapters.redis.versions import known_hole
from monitor.engine.errors import StoreUnreachable, StoreUnusable
from monitor.engine.ports import MAX_FLUSH_FIELDS, Claim, FlushAnswer, Partition
from monitor.engine.stay import NAME_US, Stay, in_turns

_log = logging.getLogger(__name__)

_CLAIM_TRIES: Final = 5  # each lost race means that somebody else made progress
# Asked for at once: packing their names is 2 to 5 ms in which nobody else runs (measured).
READ_FIELDS: Final = 1_000
_NO_EVICTION: Final = "noeviction"
_CHECK_MS: Final = 1_000  # that a lease which was only tried lives at most
LOOK_S: Final = 10.0  # between two looks at a setting that anybody may change while everything runs


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What the server says about itself.

    Attributes:
        version: Name and version, as `valkey 9.1.2`.
        eviction: Its `maxmemory-policy`.
        warnings: What makes it weaker than it could be, each with the remedy.
    """

    version: str
    eviction: str
    warnings: tuple[str, ...]


class RedisStateStore:
    """`StateStore` on a Redis or Valkey server (7.0 or later), or on a cluster of them: a partition is one key.

    A token is `<epoch>:<owner>:<nonce>`. The epoch grows with every claim and is for people; the nonce makes
    the token unique, also after the server lost everything, so an older writer can never pass for the new one.
    """

    def __init__(
        self, url: str, *, socket_timeout_s: float = SOCKET_TIMEOUT_S, deadline_s: float = DEADLINE_S
    ) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            url: See `connection.connect`.
            deadline_s: Bound of any call with all its retries; keep it below a third of the group's session.
        """
        self._address = shown(url)
        self._deadline_s = deadline_s
        self._distrusted: str | None = None
        self._redis = connect(url, socket_timeout_s=socket_timeout_s)
        self._claim = self._redis.register_script(script_text("claim"))
        self._flush = self._redis.register_script(script_text("flush"))
        self._drop = self._redis.register_script(script_text("drop"))
        self._condemn = self._redis.register_script(script_text("condemn"))

    async def check(self) -> None:
        """Refuse a server that may evict keys, or our user; log its version and what is weaker than it could be.

        Raises:
            StoreUnusable: `maxmemory-policy` is not `noeviction`: state would vanish without an error. Or the user may
                not take leases, which would show when there is something to decide, and not before.
            StoreUnreachable: No answer.
        """
        facts = await self.facts()
        await self._try_out()
        if facts.eviction != _NO_EVICTION:
            raise StoreUnusable(self._evicts(facts.eviction))
        _log.info("state store %s is %s", self._address, facts.version)
        hole = known_hole(facts.version)
        for warning in (*facts.warnings, *([] if hole is None else [hole])):
            _log.warning("state store %s: %s", self._address, warning)

    async def _try_out(self) -> None:
        """Take a lease that is nobody's, and give it back: a worker's own comes with a release."""
        lease, owner = lease_key(f"check:{secrets.token_hex(8)}"), "check"
        take, give_back = (
            self._redis.register_script(script_text(one)) for one in ("lease_acquire", "lease_release")
        )
        # Where it takes no writes now: an outage, which starts nothing and ends nothing.
        with suppress(StoreUnreachable):
            async with answers(self._address, self._deadline_s):
                await take(keys=[lease], args=[owner, _CHECK_MS])
                await give_back(keys=[lease], args=[owner])

    @asynccontextmanager
    async def watched(self, every_s: float = LOOK_S) -> AsyncIterator[None]:
        """Keep looking, for as long as this is entered, whether the server may evict keys by now.

        While it may, it counts as away: what it has may be gone without an error, and whoever is told so waits, is
        blind after a while, and goes on when the policy is the right one again.
        """
        over = asyncio.Event()
        looking = asyncio.create_task(self._looking(every_s, over))
        try:
            yield
        finally:
            over.set()  # a look is short, and one that is cancelled may not hear of it (`wait_for` before Python 3.12)
            await asyncio.wait([looking], timeout=self._deadline_s + 1)
            looking.cancel()

    async def _looking(self, every_s: float, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                await self.look_at_policy()
            except (StoreUnreachable, StoreUnusable):
                pass  # every other call meets that too, and says so
            # A defect here must not end the looking: the next look is another try.
            except Exception:  # noqa: BLE001
                _log.exception("state store %s: its maxmemory-policy could not be looked at", self._address)
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await over.wait()

    async def look_at_policy(self) -> None:
        """Look once.

        Raises:
            StoreUnreachable, StoreUnusable: No answer, or none for us; what was found last stands.
        """
        async with answers(self._address, self._deadline_s):
            policies = await policies_of_all(self._redis)
        if not policies:
            return
        found = _evicting(policies)
        before, self._distrusted = self._distrusted, None if found is None else self._evicts(found)
        if self._distrusted is not None and before is None:
            _log.error("state store not relied on: %s", self._distrusted)
        elif self._distrusted is None and before is not None:
            _log.info("state store %s: maxmemory-policy is %s again", self._address, _NO_EVICTION)

    def _evicts(self, policy: str) -> str:
        return (
            f"{self._address}: maxmemory-policy is {policy}, which deletes state without an error; "
            f"it must be {_NO_EVICTION}: CONFIG SET maxmemory-policy {_NO_EVICTION}, and the same line in "
            "the server's configuration file"
        )

    def _trust(self) -> None:
        """Refuse to work with a server that may evict."""
        if self._distrusted is not None:
            raise StoreUnreachable(self._distrusted)

    async def facts(self) -> StoreFacts:
        """Ask the server what it is; needs INFO, and CONFIG GET only for one warning."""
        async with answers(self._address, self._deadline_s):
            nodes = await info_of_all(self._redis, "everything")
            truncated_load = await self._config("aof-load-truncated")
        info = nodes[0]
        version = (
            f"valkey {info['valkey_version']}"
            if "valkey_version" in info
            else f"redis {info['redis_version']}"
        )
        eviction = _evicting(map(policy_of, nodes)) or _NO_EVICTION
        return StoreFacts(version, eviction, _warnings(nodes, truncated_load))

    async def claim(self, partition: Partition, owner: str) -> Claim:
        """Take the partition over: a new token in one HSET, and all fields as they stood at that moment."""
        self._trust()
        key = partition_key(partition)
        async with answers(self._address, self._deadline_s):
            seen = _bytes(await self._redis.hget(key, TOKEN))
            for _ in range(_CLAIM_TRIES):
                token = _next_token(seen, owner)
                won, answer = await self._claim(keys=[key], args=[seen, token])
                if won:
                    break
                seen = _bytes(answer)
            else:
                raise StoreUnusable(
                    f"{self._address}: {key} changed hands {_CLAIM_TRIES} times while {owner} claimed it; "
                    "are two workers running under different names on the same partition?"
                )
        fields = await _fields(answer)
        return Claim(
            partition, token, fields, max(0, _epoch(token.encode()) - _epoch(fields.get(BATCH, b"")) - 1)
        )

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        """Set the fields in one HSET, if token and offset still are what the claim's owner believes.

        At the first start nothing is stored: the absent offset counts as 0, whatever the offset the partition
        begins at, and the first flush sets `offset` (and the engine's `base`) to what it read.
        """
        check_flush(batch, expected_offset, fields)
        self._trust()
        arguments: list[str | bytes] = [claim.token, batch, str(expected_offset), BATCH, batch]
        for name, value in fields.items():
            arguments += (name, value)
        async with answers(self._address, self._deadline_s):
            answer: bytes = await self._flush(keys=[partition_key(claim.partition)], args=arguments)
        return FlushAnswer(answer.decode())

    async def read(self, partitions: Sequence[Partition], fields: Sequence[str]) -> list[list[bytes | None]]:
        """Return the named fields of each partition; each partition's are of one moment."""
        self._trust()
        if not fields:
            return [[] for _ in partitions]
        rows: list[list[bytes | None]] = []
        at_once = max(1, READ_FIELDS // len(fields))
        for start in range(0, len(partitions), at_once):
            async with (
                answers(self._address, self._deadline_s),
                self._redis.pipeline(transaction=False) as pipe,
            ):
                for partition in partitions[start : start + at_once]:
                    pipe.hmget(partition_key(partition), list(fields))
                rows += await pipe.execute()
        return rows

    async def drop(self, claim: Claim, fields: Sequence[str]) -> None:
        """Delete the named fields while the claim holds; a fenced caller deletes nothing."""
        check_drop(fields)
        await self._delete(claim, fields)

    async def reset(self, claim: Claim) -> None:
        """Forget the fields found at the claim, the offset and the batch among the first."""
        first = [name for name in (OFFSET, BATCH) if name in claim.fields]
        await self._delete(claim, [*first, *(name for name in claim.fields if name not in first)])

    async def condemn(self, partition: Partition, token: str) -> bool:
        """Strike the stored offset out in one HSET while the token stands; doing it twice is harmless."""
        async with answers(self._address, self._deadline_s):
            answer: bytes = await self._condemn(keys=[partition_key(partition)], args=[token, CONDEMNED])
        return answer == b"applied"

    async def _delete(self, claim: Claim, fields: Sequence[str]) -> None:
        for start in range(0, len(fields), MAX_FLUSH_FIELDS):
            names = fields[start : start + MAX_FLUSH_FIELDS]
            async with answers(self._address, self._deadline_s):
                await self._drop(keys=[partition_key(claim.partition)], args=[claim.token, *names])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _config(self, name: str) -> str | None:
        """Return one setting of the server, or None where we may not ask (managed servers forbid CONFIG)."""
        try:
            found = await self._redis.config_get(name)
        except ResponseError:  # no permission, or no such command
            return None
        return found.get(name)


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _evicting(policies: Iterable[str]) -> str | None:
    """Return the first policy that deletes state; None where none does."""
    return next((one for one in policies if one != _NO_EVICTION), None)


def _next_token(seen: bytes, owner: str) -> str:
    return f"{_epoch(seen) + 1}:{owner}:{secrets.token_hex(8)}"


def _epoch(token: bytes) -> int:
    """Return a token's epoch, or that of a batch, which is named after its writer's; 0 of none."""
    epoch = token.split(b":", 1)[0]
    return int(epoch) if epoch.isdigit() else 0


async def _fields(flat: Sequence[bytes] | Mapping[bytes, bytes]) -> dict[str, bytes]:
    """Return the fields by name, without the token; a day of many cohorts has more of them than one stay can name."""
    found: dict[str, bytes] = {}
    await in_turns(_naming(flat.items() if isinstance(flat, Mapping) else _pairs(flat), found))
    found.pop(TOKEN, None)
    return found


def _naming(pairs: Iterable[tuple[bytes, bytes]], found: dict[str, bytes]) -> Iterator[None]:
    stay = Stay()
    for name, value in pairs:
        if stay.is_over_after(NAME_US):
            yield
        found[name.decode()] = value


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _warnings(nodes: Sequence[Mapping[str, object]], truncated_load: str | None) -> tuple[str, ...]:
    warnings = []
    if not all(node.get("aof_enabled") for node in nodes):
        warnings.append(
            "appendonly is off: a restart loses the state and it is read again from Kafka; "
            "CONFIG SET appendonly yes keeps it"
        )
    elif truncated_load == "yes":
        warnings.append(
            "aof-load-truncated is yes: a torn file is repaired by cutting it, which can bring half a batch "
            "back at the second restart; set it to no, the state is then read again from Kafka"
        )
    return tuple(warnings)
