"""Builds the demo's stage: folder, servers, workers, topics, flag, traffic; and takes all of it down again."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from rich.console import Console

from monitor.adapters.demo.topics import OutputsReader, TracesProducer
from monitor.adapters.demo.workers import Worker, WorkerCrew
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess
from monitor.config.budget_file import load_budget
from monitor.config.settings import PREFIX, Settings
from monitor.config.settings_source import load_settings
from monitor.console.demo.audience import Lines, LiveScreen
from monitor.console.demo.clock import EventClock, ending_now
from monitor.console.demo.flagfile import FlagFile
from monitor.console.demo.pools import load_pools
from monitor.console.demo.show import STEP_S, Result, Stage, play
from monitor.console.demo.sightings import OUTPUTS, Sighting, sighting
from monitor.console.demo.stories import BASELINE, FLAG_KEY, FULL, SHORT, budget_text, renamed
from monitor.console.demo.traffic import Traffic
from monitor.core.errors import MonitorError

SPEED: Final = 60
WORKERS: Final = 2
PARTITIONS: Final = 4
STARTUP_MIN: Final = 20
"""Event minutes that pass while the workers come up: the clock runs from their start on."""


class FolderInUse(MonitorError):
    """The folder for the demo is not empty; the message names it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person at the command line chose."""

    stay: bool
    short: bool
    embedded: bool
    on_screen: bool
    keep: bool
    folder: Path | None
    seed: int


@dataclass(frozen=True, slots=True)
class _Servers:
    """Where Kafka and Redis are, as settings by name."""

    access: KafkaAccess
    settings: Mapping[str, str]


async def give(choice: Choice, console: Console) -> Result:
    """Build the stage, play the show, take everything down, and return how it ended."""
    tame_library_logs()
    with _folder(choice, console) as folder:
        return await _give_in(folder, choice, console)


async def _give_in(folder: Path, choice: Choice, console: Console) -> Result:
    run_id = f"demo-{secrets.token_hex(3)}"
    plan = SHORT if choice.short else FULL
    if not choice.embedded:
        plan = renamed(plan, f"-{run_id}")
    traces_topic = "llm.traces.v1" if choice.embedded else f"llm.traces.{run_id}"
    pace = _Wall()
    async with AsyncExitStack() as stack:
        stack.enter_context(_ended_by_signals(pace))
        servers = await stack.enter_async_context(_servers(folder, choice, console))
        clock = ending_now(pace.now_ms(), expected_min=STARTUP_MIN + plan.expected_min, speed=SPEED)
        flag = FlagFile(folder / "flags.json", FLAG_KEY)
        flag.serve(BASELINE)
        settings = {**servers.settings, **_settings(clock, flag, traces_topic, run_id)}
        _write_settings(folder / "settings.env", settings)
        console.print(f"the demo's folder is {folder}; starting {WORKERS} workers")
        crew = await stack.enter_async_context(_crew(folder, settings))
        decide = f"Decide yourself: {crew.url}/console, any name, token {settings['api_token']}"
        console.print(decide, soft_wrap=True)
        broker = await stack.enter_async_context(_broker(servers.access, traces_topic, clock.wall_origin_ms))
        seen_on: LiveScreen | Lines = LiveScreen(Console()) if choice.on_screen else Lines(console)
        stack.enter_context(seen_on)
        stage = Stage(
            clock=clock,
            pace=pace,
            broker=broker,
            workers=crew,
            audience=seen_on,
            flag=flag,
            traffic=Traffic(load_pools(), choice.seed),
            budgets={
                story.release: (text, load_budget(text, f"{story.name}.yaml"))
                for story in plan.stories
                for text in (budget_text(plan, story),)
            },
            run_id=run_id,
            footer=decide,
        )
        result = await play(plan, stage, stay=choice.stay)
    if result.told and not result.as_promised:
        console.print(f"Not everything ended as promised; the workers' logs are kept in {folder}")
        (folder / "keep").touch()
    return result


@contextmanager
def _folder(choice: Choice, console: Console) -> Iterator[Path]:
    """Give a folder; one that we made is removed afterwards, unless somebody may want to look into it."""
    if choice.folder is not None:
        choice.folder.mkdir(parents=True, exist_ok=True)
        if any(choice.folder.iterdir()):
            raise FolderInUse(f"{choice.folder}: is not empty; name a new folder, or empty this one")
        yield choice.folder.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="rollback-demo-"))
    try:
        yield folder
    except MonitorError:
        console.print(f"The logs are kept in {folder}")
        (folder / "keep").touch()
        raise
    finally:
        if not choice.keep and not (folder / "keep").exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_by_signals(pace: _Wall) -> Iterator[None]:
    """End the show on Ctrl-C or SIGTERM after the current step; whoever is more impatient ends everything at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def end() -> None:
        if pace.is_running and not pace.is_asked:
            pace.is_asked = True
        elif task is not None:
            task.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _servers(folder: Path, choice: Choice, console: Console) -> AsyncIterator[_Servers]:
    if not choice.embedded:
        yield _configured(load_settings())
        return
    from monitor.adapters.embedded.kafka import EmbeddedKafka
    from monitor.adapters.embedded.valkey import EmbeddedValkey

    kafka = EmbeddedKafka(folder / "kafka", on_step=console.print)
    valkey = EmbeddedValkey(folder / "valkey", on_step=console.print)
    try:
        await asyncio.gather(asyncio.to_thread(kafka.start), asyncio.to_thread(valkey.start))
        settings = {"kafka_bootstrap": kafka.bootstrap, "redis_url": valkey.url}
        yield _Servers(KafkaAccess(kafka.bootstrap), settings)
    finally:
        await asyncio.gather(asyncio.to_thread(kafka.stop), asyncio.to_thread(valkey.stop))


def _configured(settings: Settings) -> _Servers:
    """Return the servers that the person's own settings name."""
    named = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name in Settings.model_fields
        if name.startswith("kafka_") or name == "redis_url"
        if (value := getattr(settings, name)) is not None
    }
    from monitor.app import kafka_access

    return _Servers(kafka_access(settings), named)


def _settings(clock: EventClock, flag: FlagFile, traces_topic: str, run_id: str) -> dict[str, str]:
    """Return what every worker of the show is told besides the servers."""
    return {
        "group": f"rollback-budget-{run_id}",
        "traces_topic": traces_topic,
        "traces_partitions": str(PARTITIONS),
        "flagd_file": str(flag.path),
        "event_time_speed": str(clock.speed),
        "event_time_origin_ms": str(clock.origin_ms),
        "wall_origin_ms": str(clock.wall_origin_ms),
        "log_format": "json",
        "api_token": secrets.token_hex(16),  # of this show alone; its workers listen on this machine only
    }


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}


def _write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Write the settings as a shell reads them, for the commander in another terminal; readable by us alone."""
    lines = (f"export {name}='{value}'\n" for name, value in _variables(settings).items())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.writelines(lines)


@asynccontextmanager
async def _crew(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[WorkerCrew]:
    # None of the person's own settings: the demo must not page anybody, nor turn any flag but its own.
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    # What they write beside their logs goes with the folder too.
    environment = {**others, **_variables(settings), "TMPDIR": str(folder)}
    crew = WorkerCrew([Worker(f"worker-{number}", folder, environment) for number in range(1, WORKERS + 1)])
    try:
        await crew.start()
        yield crew
    finally:
        await crew.stop()


@asynccontextmanager
async def _broker(access: KafkaAccess, traces_topic: str, since_ms: int) -> AsyncIterator[_Broker]:
    producer = TracesProducer(access, traces_topic=traces_topic)
    reader = OutputsReader(access, OUTPUTS, since_ms=since_ms)
    try:
        await producer.start()
        await reader.start()
        yield _Broker(producer, reader)
    finally:
        await asyncio.gather(producer.stop(), reader.stop())


@dataclass(frozen=True, slots=True)
class _Broker:
    """The two ends of Kafka as the show wants them."""

    producer: TracesProducer
    reader: OutputsReader

    async def send(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Write trace events."""
        await self.producer.send(events)

    async def arm(self, release: str, budget: str | None) -> None:
        """Publish a budget, or take it back."""
        await self.producer.arm(release, budget)

    def heard(self) -> tuple[Sighting, ...]:
        """Return what the monitor said since the last call."""
        # Topics are read side by side: the records' own times put what was said into its order again.
        said = (
            sighting(
                record.topic,
                None if record.key is None else record.key.encode(),
                record.headers,
                record.value,
                record.at_ms,
            )
            for record in sorted(self.reader.drain(), key=lambda record: record.at_ms)
        )
        return tuple(entry for entry in said if entry is not None)


class _Wall:
    """The real wall, one step after the other."""

    def __init__(self) -> None:
        self.is_running = False
        self.is_asked = False
        self._next_s = 0.0

    def now_ms(self) -> int:
        """Return epoch milliseconds."""
        return time.time_ns() // 1_000_000

    async def step(self) -> bool:
        """Wait for the next step; False once somebody asked to end."""
        self.is_running = True
        now_s = asyncio.get_running_loop().time()
        self._next_s = max(self._next_s + STEP_S, now_s)  # after a stall go on from now, not in a hurry
        await asyncio.sleep(self._next_s - now_s)
        return not self.is_asked
