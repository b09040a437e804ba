"""One real broker, or three that replicate each other: started, killed, stopped, and read from their files."""

from __future__ import annotations

import base64
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.process import free_port
from tests.chaos.clocks import COMPILER, ShiftedClock
from tests.chaos.segments import Row, rows_of

_HOST = "127.0.0.1"
_TOGETHER = """\
node.id={number}
controller.quorum.voters={voters}
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
default.replication.factor=3
"""


class Node(EmbeddedKafka):
    """One broker of several; its settings stand behind those of a single one, and the last of a name counts."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(folder, heap_mb=256)
        self.number, self.folder, self.more = number, folder.resolve(), ""
        self.clock: ShiftedClock | None = None  # where there is a compiler
        self._ports = free_port(_HOST), free_port(_HOST)

    @property
    def vote(self) -> str:
        """What the others know it by."""
        return f"{self.number}@{_HOST}:{self._ports[1]}"

    def prepare(self) -> None:
        """Write its settings and format its folder."""
        self.folder.mkdir(parents=True)
        self._prepare()
        port, controller_port = self._ports
        self._write_properties(port, controller_port)
        self._format_once()

    def _prepare(self) -> None:
        super()._prepare()
        if self.clock is None and shutil.which(COMPILER):
            self.clock = ShiftedClock(self.folder)

    def _java_command(self, heap_mb: int, *options: str) -> list[str]:
        command = super()._java_command(heap_mb, *options)
        return command if self.clock is None else self.clock.command(command)

    def _write_properties(self, port: int, controller_port: int) -> None:
        super()._write_properties(port, controller_port)
        with (self.folder / "server.properties").open("a") as file:
            file.write(self.more)


class Brokers:
    """One broker or three. `start` blocks for seconds: from a coroutine call it in a thread."""

    def __init__(self, folder: Path, count: int) -> None:
        self.nodes = [Node(folder / f"kafka-{number}", number) for number in range(1, count + 1)]

    @property
    def bootstrap(self) -> str:
        """The addresses clients begin with."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        """Start all of them, at the same time: one alone has no majority, and answers nothing."""
        if len(self.nodes) > 1 and not self.nodes[0].folder.exists():
            self._join()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.start(), self.nodes))

    def stop(self) -> None:
        """Stop all of them."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.stop(), self.nodes))

    def _join(self) -> None:
        """Make one cluster of them: the first is formatted, the others get its id and one of their own."""
        voters = ",".join(node.vote for node in self.nodes)
        for node in self.nodes:
            node.more = _TOGETHER.format(number=node.number, voters=voters)
        first, *others = self.nodes
        first.prepare()
        for node in others:
            shutil.copytree(first.folder / "topics", node.folder / "topics")
            path = node.folder / "topics" / "meta.properties"
            own = {"node.id": str(node.number), "directory.id": _some_id()}
            lines = [line.partition("=") for line in path.read_text().splitlines() if "=" in line]
            path.write_text("".join(f"{name}={own.get(name, value)}\n" for name, _, value in lines))

    def rows(self, topic: str) -> dict[int, list[Row]]:
        """Return a topic's records: of each partition the longest copy there is."""
        found: dict[int, list[Row]] = {}
        for node in self.nodes:
            for number, rows in rows_of(node.folder / "topics", topic).items():
                if len(rows) >= len(found.get(number, [])):
                    found[number] = rows
        return found

    def size(self, topic: str) -> int:
        """Return how many bytes a topic's records take: it grows with each of them."""
        logs = (log for node in self.nodes for log in (node.folder / "topics").glob(f"{topic}-*/*.log"))
        return sum(log.stat().st_size for log in logs)


def _some_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
