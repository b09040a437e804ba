"""The demo's short form over real servers and real workers: judged by the topics and the flag file, not the screen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.embedded.valkey import EmbeddedValkey
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.security import KafkaAccess
from monitor.console.demo.flagfile import FlagFile
from monitor.console.demo.sightings import LEDGER, OUTPUTS, PAGE_OPENED, PAGES, REQUESTS, Sighting, sighting
from monitor.console.demo.stories import BASELINE, FLAG_KEY
from monitor.engine.ports import Record
from tests.integration.workers import eventually

# Beside the workers of other tests: a show's minutes are seconds of a clock on the wall, of which it uses a part.
SHOW_S = 900.0
ENOUGH_S = 120.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "monitor", "demo", "--short", *arguments]


@dataclass(frozen=True)
class Shown:
    """A finished show."""

    code: int
    summary: dict[str, object]
    said: tuple[Sighting, ...]
    flag: FlagFile
    lines: str

    def of(self, topic: str, release: str) -> list[Sighting]:
        return [entry for entry in self.said if entry.topic == topic and entry.release.startswith(release)]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """One show on servers of its own, which outlive it, so that its topics can be read afterwards."""
    servers, folder = tmp_path_factory.mktemp("servers"), tmp_path_factory.mktemp("show") / "demo"
    with EmbeddedKafka(servers / "kafka") as kafka, EmbeddedValkey(servers / "valkey") as valkey:
        addresses = {
            "ROLLBACK_BUDGET_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "ROLLBACK_BUDGET_REDIS_URL": valkey.url,
        }
        done = subprocess.run(
            command("--no-embedded", "--folder", str(folder), "--output", "json"),
            env={**os.environ, **addresses},
            capture_output=True,
            text=True,
            timeout=SHOW_S,
            check=False,
        )
        assert done.stdout, done.stderr
        yield Shown(
            code=done.returncode,
            summary=json.loads(done.stdout),
            said=asyncio.run(read(kafka.bootstrap)),
            flag=FlagFile(folder / "flags.json", FLAG_KEY),
            lines=done.stderr,
        )


async def read(bootstrap: str) -> tuple[Sighting, ...]:
    """Return everything that stands in the output topics."""
    log = KafkaLog(KafkaAccess(bootstrap))
    found: list[Record] = []
    for topic in OUTPUTS:
        follower = log.follow(topic)
        await follower.start()
        found += await follower.read_to_end()
        await follower.stop()
    await log.close()
    said = (sighting(one.topic, (one.key or "").encode(), one.headers, one.value) for one in found)
    return tuple(entry for entry in said if entry is not None)


def test_all_four_stories_end_as_promised(shown: Shown) -> None:
    assert shown.summary["as_promised"] is True, shown.lines
    assert shown.code == 0


def test_the_first_breach_is_visible_within_a_minute_of_traffic(shown: Shown) -> None:
    seconds = shown.summary["first_breach_seconds"]
    assert isinstance(seconds, float)
    assert seconds <= 60


def test_nothing_was_said_against_the_healthy_release(shown: Shown) -> None:
    assert shown.of(REQUESTS, "chat-v42") == []
    assert [entry for entry in shown.of(PAGES, "chat-v42") if entry.event_type == PAGE_OPENED] == []


@pytest.mark.parametrize(
    ("release", "objective", "reasons", "tier"),
    [
        ("chat-v43", "latency.p95_delta_pct", {"commander_silent"}, "B"),
        ("chat-v44", "safety.high_severity_incidents_increase", {"immediate"}, "A"),
        ("chat-v45", "quality.task_success_delta_pct", {"breach"}, "A"),
    ],
)
def test_each_harmful_release_was_asked_to_be_rolled_back_once(
    shown: Shown, release: str, objective: str, reasons: set[str], tier: str
) -> None:
    requests = {entry.event_id: entry for entry in shown.of(REQUESTS, release)}
    assert len(requests) == 1
    ((request_id, request),) = requests.items()
    assert (request.text("objective"), request.text("tier")) == (objective, tier)
    assert request.text("reason") in reasons
    assert request_id in {entry.event_id for entry in shown.of(LEDGER, release)}


def test_the_slow_release_was_paged_with_a_deadline(shown: Shown) -> None:
    opened = [entry for entry in shown.of(PAGES, "chat-v43") if entry.event_type == PAGE_OPENED]
    assert opened
    assert opened[0].moment_ms("deadline")


def test_the_flag_serves_the_baseline(shown: Shown) -> None:
    assert shown.flag.read().share_pct(BASELINE) == 100


def test_ctrl_c_ends_everything_and_leaves_nothing(tmp_path: Path) -> None:
    """From embedded parts: interrupted in the middle, it takes its servers, workers and folder with it."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    show = subprocess.Popen(
        command(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert show.stdout is not None
        seen = next(line for line in show.stdout if "story 1/4" in line)
        assert "arming" in seen
        show.send_signal(signal.SIGINT)
        rest, _ = show.communicate(timeout=ENOUGH_S)
    finally:
        show.kill()
        show.wait()
    assert show.returncode == 1
    assert "ended before the last story" in rest
    assert list(tmp_path.iterdir()) == []

    async def nothing_runs() -> bool:
        return not running_with(str(tmp_path))

    asyncio.run(eventually(nothing_runs, "the guards of its servers are gone as well", ENOUGH_S))


def running_with(words: str) -> list[str]:
    """Return the processes of this machine that have these words on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if words in line:
            found.append(line)
    return found
