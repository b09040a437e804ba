"""Bugs, planted one at a time: a simulator that does not find them would not find the real ones.

Each is a mistake that others have made, put in at the place where this design could make it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.adapters.flush_limits import BATCH, OFFSET
from monitor.engine import ingest
from monitor.engine.codec import META_FIELD
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from monitor.engine.ports import Claim, FlushAnswer, Partition, RollbackOrder
from tests.simulation.broker import Row
from tests.simulation.effects import ActuatorClient
from tests.simulation.group import SourceClient
from tests.simulation.store import Server, StoreClient
from tests.simulation.world import SPEED, Make, World

HEAD = (OFFSET, META_FIELD)
TTL_S = 3_600.0
AS_IT_IS = Make()


@dataclass(frozen=True)
class Bug:
    """A mistake, as what the clients are made of or as a patch of the product for one world."""

    name: str
    make: Make = AS_IT_IS
    patch: Callable[[World], AbstractContextManager[object]] = lambda _: nullcontext()


class OffsetFirst(StoreClient):
    """Writes how far it is, and what it counted by a second command."""

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        head = {name: fields[name] for name in HEAD}
        answer = await super().flush(claim, batch=batch, expected_offset=expected_offset, fields=head)
        if answer is FlushAnswer.APPLIED:
            data = {name: value for name, value in fields.items() if name not in HEAD}
            await self._call("data", lambda: self.server.write(claim.partition, data))
        return answer


class DataFirst(StoreClient):
    """Writes what it counted, and how far it is by a second command."""

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        data = {name: value for name, value in fields.items() if name not in HEAD}
        await self._call("data", lambda: self._set(claim, data))
        head = {name: fields[name] for name in HEAD}
        return await super().flush(claim, batch=batch, expected_offset=expected_offset, fields=head)

    def _set(self, claim: Claim, data: Mapping[str, bytes]) -> None:
        if self.server.hashes.get(claim.partition, {}).get("token") == claim.token.encode():
            self.server.write(claim.partition, data)


class BlindRetry(StoreClient):
    """A client library that sends what was not answered again by itself, and looks at nothing."""

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        try:
            return await super().flush(claim, batch=batch, expected_offset=expected_offset, fields=fields)
        except StoreUnreachable:
            loop, server = self.server.network.loop, self.server
            loop.later(loop.world, 1.5, lambda: server.apply(claim.partition, claim.token, batch, fields))
            raise


class NoCompare(StoreClient):
    """Sets without comparing token and offset."""

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        await self._call("flush", lambda: self.server.apply(claim.partition, claim.token, batch, fields))
        return FlushAnswer.APPLIED


class TwoCommands(StoreClient):
    """One script with two writes: whole in memory, and two lines in the file."""

    async def flush(
        self, claim: Claim, *, batch: str, expected_offset: int, fields: Mapping[str, bytes]
    ) -> FlushAnswer:
        def script() -> str:
            server, key = self.server, claim.partition
            stored = server.hashes.get(key, {})
            data = {name: value for name, value in fields.items() if name not in HEAD}
            is_mine = stored.get("token") == claim.token.encode()
            is_next = stored.get(OFFSET, b"0") == str(expected_offset).encode()
            if data and is_mine and is_next and stored.get(BATCH) != batch.encode():
                server.write(key, data)
            return server.flush(
                key, claim.token, batch, expected_offset, {name: fields[name] for name in HEAD}
            )

        return FlushAnswer(await self._call("flush", script))


class TimeToLive(StoreClient):
    """Lets the server drop cells by its own clock."""

    async def _call(self, name: str, command: Callable[[], Any]) -> Any:
        def expired_first() -> Any:
            written: dict[tuple[Partition, str], float] = self.server.__dict__.setdefault("written", {})
            now_s = self.server.now_s()
            for key, fields in self.server.hashes.items():
                for field in fields:
                    if field[:1] in "cl" and "|" in field:
                        written.setdefault((key, field), now_s)
            gone = [at for at, since_s in written.items() if now_s - since_s > TTL_S]
            for key, field in gone:
                del written[key, field]
                self.server.write(key, {field: None})
            return command()

        return await super()._call(name, expired_first)


class Evicting(StoreClient):
    """A key for every minute on a server that evicts what it likes when memory is short."""

    async def _call(self, name: str, command: Callable[[], Any]) -> Any:
        rng = self.server.network.rng
        cells = [
            (key, field)
            for key, fields in self.server.hashes.items()
            for field in fields
            if field[:2] == "c|"
        ]
        if cells and rng.random() < 0.002:
            key, field = rng.choice(sorted(cells))
            self.server.write(key, {field: None})
        return await super()._call(name, command)


class CommitIsTruth(SourceClient):
    """Commits what it hands out, and begins where the group says."""

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Partition, Sequence[Row]]:
        found = await super().getmany(timeout_ms=timeout_ms, max_records=max_records)
        for partition, rows in found.items():
            self._group.committed[partition] = rows[-1].offset + 1
        return found

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        await super().seek_and_resume(partition, self._group.committed.get(partition, offset))


class SwallowedSeek(SourceClient):
    """A rebalance listener whose error is logged and forgotten: reading begins at the end."""

    async def seek_and_resume(self, partition: Partition, offset: int) -> None:
        try:
            await super().seek_and_resume(partition, offset)
        except LogUnreachable:
            if partition in self._owned:
                self._positions[partition] = self._group.broker.traces[partition.number].end


class Toggle(ActuatorClient):
    """Turns the flag over instead of setting it."""

    def turn(self, order: RollbackOrder) -> tuple[str, str]:
        other = "new" if self.flags.serving[order.flag_key] == "old" else "old"
        return self.flags.serve(order.flag_key, other, order.decision_id)


@contextmanager
def _timed_ids(world: World) -> Iterator[None]:
    """Ids carry the moment at which somebody made them."""
    from monitor.core import ids

    original = ids.canonical_json
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "canonical_json", lambda value: original([value, int(world.loop.time())]))
        yield


class IdsByMachineTime:
    """Remembers ids for two minutes of event time, as the machine's clock counts them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._seen_s: dict[str, float] = {}

    def is_repeat(self, event_id: str, clock_ms: int) -> bool:
        now_s = self._loop.time()
        before_s = self._seen_s.get(event_id)
        self._seen_s[event_id] = now_s
        return before_s is not None and now_s - before_s < 120 / SPEED


@contextmanager
def _repeats_by_time(world: World) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "SeenIds", lambda _max: IdsByMachineTime(world.loop))
        yield


def _store(made: type[StoreClient]) -> Make:
    def make(server: Server) -> StoreClient:
        return made(server)

    return Make(store=make)


def _source(made: type[SourceClient]) -> Make:
    def make(*args: Any) -> SourceClient:
        return made(*args)

    return Make(source=make)


BUGS = (
    Bug("offset before data", _store(OffsetFirst)),
    Bug("data without offset", _store(DataFirst)),
    Bug("blind retry", _store(BlindRetry)),
    Bug("no compare-and-set", _store(NoCompare)),
    Bug("the group's commit as truth", _source(CommitIsTruth)),
    Bug("a time to live on windows", _store(TimeToLive)),
    Bug("a seek's failure swallowed", _source(SwallowedSeek)),
    Bug("eviction", _store(Evicting)),
    Bug("a script of two commands", _store(TwoCommands)),
    Bug("toggle instead of set", Make(actuator=Toggle)),
    Bug("an id with a moment in it", patch=_timed_ids),
    Bug("repeats by machine time", patch=_repeats_by_time),
)
