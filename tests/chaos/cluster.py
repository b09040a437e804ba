"""A cluster of six Valkeys: three primaries, each with a replica that takes over when it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from monitor.adapters.embedded.server import HOST
from monitor.adapters.embedded.valkey import EmbeddedValkey

SIZE = 6
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_500
DEAF_MS = 600_000  # for so long a node that hears nothing does not notice
_FORM_S = 60.0
_LOOK_S = 0.1


class ClusterNode(EmbeddedValkey):
    """One of them."""

    ports = 2

    def _run(self, *ports: int) -> None:
        self._bus_port = ports[1]
        super()._run(ports[0])

    def _options(self, port: int) -> list[str]:
        settings = {
            "cluster-enabled": "yes",
            "cluster-port": str(self._bus_port),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-replica-validity-factor": "0",  # whoever is left takes over, however far it is behind
            "enable-debug-command": "local",  # to lose what comes in from the others
        }
        return [
            *super()._options(port),
            *(word for name, value in settings.items() for word in (f"--{name}", value)),
        ]

    @property
    def meeting(self) -> tuple[str, int, int]:
        """Where others meet it."""
        return HOST, self.port, self._bus_port

    @property
    def id(self) -> str:
        """What the others know it by."""
        return self.ask("CLUSTER", "MYID").decode()

    def owns(self, slot: int) -> bool:
        """Tell whether it serves a slot."""
        own = next(line for line in self.ask("CLUSTER", "NODES").decode().splitlines() if "myself" in line)
        ranges = (word.split("-") for word in own.split()[8:] if not word.startswith("["))
        return any(int(ends[0]) <= slot <= int(ends[-1]) for ends in ranges)

    def ask(self, *words: str | int) -> bytes:
        """Ask this node itself, in plain words."""
        with Redis(HOST, self.port, socket_timeout=5) as client:
            client.response_callbacks.clear()
            answer = client.execute_command(*words)
            return answer if isinstance(answer, bytes) else str(answer).encode()

    def hear_nothing(self) -> None:
        """Lose all that comes in from the other nodes, and not notice: what is cut off, and serves who is with it."""
        self.ask("CONFIG", "SET", "cluster-node-timeout", DEAF_MS)
        self.ask("DEBUG", "DROP-CLUSTER-PACKET-FILTER", "-2")

    def hear_again(self) -> None:
        """Hear the other nodes again."""
        self.ask("DEBUG", "DROP-CLUSTER-PACKET-FILTER", "-1")
        self.ask("CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MS)

    def facts(self, *words: str) -> dict[str, str]:
        """Ask it for lines of names and values."""
        lines = (line.partition(":") for line in self.ask(*words).decode().splitlines())
        return {name: value for name, _, value in lines}


class Cluster:
    """Six nodes. `start` blocks for seconds: from a coroutine call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [ClusterNode(folder / f"node-{number}") for number in range(SIZE)]

    @property
    def url(self) -> str:
        """The address for clients: one of them, which tells the others."""
        return f"redis+cluster://{HOST}:{self.nodes[0].port}"

    def start(self) -> None:
        """Start all, and make one cluster of them."""
        for node in self.nodes:
            node.start()
        first, half = self.nodes[0], SIZE // 2
        for node in self.nodes[1:]:
            first.ask("CLUSTER", "MEET", *node.meeting)
        for number, node in enumerate(self.nodes[:half]):
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // half, (number + 1) * SLOTS // half - 1)
        ids = [node.id for node in self.nodes]
        self._until(lambda: all(self._knows(node, SIZE) for node in self.nodes), "that they know each other")
        for number, node in enumerate(self.nodes[half:]):
            node.ask("CLUSTER", "REPLICATE", ids[number])
        self._until(self.is_whole, "a cluster with its replicas")

    def stop(self) -> None:
        """Stop all."""
        for node in self.nodes:
            node.stop()

    def is_whole(self) -> bool:
        """Tell whether every slot is served, and every primary has its replica in step."""
        try:
            states = [node.facts("CLUSTER", "INFO") for node in self.nodes]
            roles = [node.facts("INFO", "replication") for node in self.nodes]
        except (RedisError, OSError):
            return False
        primaries = [role for role in roles if role["role"] == "master"]
        in_step = [role for role in primaries if "state=online" in role.get("slave0", "")]
        return all(state["cluster_state"] == "ok" for state in states) and len(in_step) == SIZE // 2

    def primaries(self) -> list[ClusterNode]:
        """Return the nodes that are primaries just now, as far as they answer."""
        found = []
        for node in self.nodes:
            with suppress(RedisError, OSError):
                if node.facts("INFO", "replication")["role"] == "master":
                    found.append(node)
        return found

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """Return the node that follows a primary."""
        return next(
            node
            for node in self.nodes
            if (found := node.facts("INFO", "replication"))["role"] == "slave"
            and found["master_port"] == str(primary.port)
        )

    def _knows(self, node: ClusterNode, count: int) -> bool:
        return int(node.facts("CLUSTER", "INFO")["cluster_known_nodes"]) == count

    def _until(self, holds: Any, what: str) -> None:
        deadline = time.monotonic() + _FORM_S
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {_FORM_S:g} s: {what}")
            time.sleep(_LOOK_S)

    async def whole(self) -> None:
        """Return when it is whole again."""
        await asyncio.to_thread(self._until, self.is_whole, "a whole cluster")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """Reach it as a test does."""
        client = RedisCluster(HOST, self.nodes[0].port, socket_timeout=5)
        try:
            yield client
        finally:
            await client.aclose()
