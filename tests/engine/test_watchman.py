"""The watchman over a log in memory: who is told what, and that nothing that hangs or breaks keeps it from telling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from monitor.core.decision import EVERY_RELEASE
from monitor.core.vigil import Phase, Trouble, VigilLimits
from monitor.engine.errors import LogUnreachable, PagerFailed
from monitor.engine.page_words import page_words
from monitor.engine.ports import About, PageNotice
from monitor.engine.watchman import Outside, Overheard, Watchman

LIMITS = VigilLimits(silence_ms=30_000, delay_ms=30_000, blind_ms=60_000, every_ms=10_000)
WAIT_S = 60.0  # of real time, for a machine that does much else
WALL_MS = 1_795_341_600_000


@dataclass
class World:
    """A log with two partitions and one worker; a second passes with every look."""

    now_ms_: int = 0
    offsets: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 0})
    worker_runs: bool = True
    kafka_runs: bool = True
    blind: list[tuple[str, int, str]] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)
    values: list[bytes] = field(default_factory=list)
    pings: list[int] = field(default_factory=list)
    ping_fails: bool = False
    said: list[str] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.now_ms_

    async def partitions(self) -> Sequence[int]:
        self.now_ms_ += 1_000
        self._answer()
        return list(self.offsets)

    def _answer(self) -> None:
        if not self.kafka_runs:
            raise LogUnreachable("no route to host")

    async def send(self, partition: int, value: bytes) -> int:
        self._answer()
        self.values.append(value)
        self.offsets[partition] += 1
        return self.offsets[partition] - 1

    async def progress(self) -> Mapping[int, int]:
        self._answer()
        if self.worker_runs:
            self.stored = dict(self.offsets)
        return self.stored

    async def overhear(self) -> Overheard:
        self._answer()
        blind, recovered = self.blind, self.recovered
        self.blind, self.recovered = [], []
        return Overheard(self.worker_runs, blind, recovered, is_read=True)

    async def ping(self) -> None:
        self.pings.append(self.now_ms_)
        if self.ping_fails:
            raise OSError("nobody is there")

    def info(self, event: str) -> None:
        self.said.append(event)

    def error(self, event: str) -> None:
        self.said.append(event)


class Phone:
    """A pager that fails so often, then confirms; or hangs."""

    def __init__(self, failures: Sequence[Exception] = (), *, hangs: bool = False) -> None:
        self.failures, self.hangs = list(failures), hangs
        self.heard: list[PageNotice] = []
        self.tries = 0

    async def notify(self, notice: PageNotice) -> None:
        self.tries += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.failures:
            raise self.failures.pop(0)
        self.heard.append(notice)

    @property
    def states(self) -> list[str]:
        return [one.state for one in self.heard]


@dataclass
class Watch:
    """A watchman at work."""

    world: World
    watchman: Watchman

    async def until(self, holds: Callable[[], bool]) -> None:
        """Go on until a condition holds."""
        task = asyncio.create_task(self.watchman.run())
        try:
            async with asyncio.timeout(WAIT_S):
                while not holds():
                    assert not task.done(), task
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def watch(world: World, monkeypatch: pytest.MonkeyPatch, **phones: Phone) -> Watch:
    monkeypatch.setattr("monitor.engine.watchman.RETRY_S", 0)
    outside = Outside(
        vantage=world,
        canary=lambda number: b"%d" % number,
        steady=world,
        wall=_Wall(),
        report=world,
        name="rollback-budget/w",
        pagers=phones,
        ping=world.ping,
        ping_every_s=0,
        look_s=0,
    )
    return Watch(world, Watchman(outside, LIMITS))


class _Wall:
    def now_ms(self) -> int:
        return WALL_MS


async def test_while_all_is_well_it_pings_and_pages_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    world, phone = World(), Phone()
    await watch(world, monkeypatch, phone=phone).until(lambda: len(world.pings) > 20)
    assert set(phone.states) <= {"resolved"}, "what a run before this one may have left open is closed"
    assert len(set(world.values)) == len(world.values)
    assert len(world.values) <= 2 * (world.now_ms_ // LIMITS.every_ms + 1)


Break = Callable[[World], None]


def no_worker(world: World) -> None:
    world.worker_runs = not world.worker_runs


def no_kafka(world: World) -> None:
    world.kafka_runs = not world.kafka_runs


def no_sight(world: World) -> None:
    if world.said.count("blind"):
        world.recovered.append("b1")
    else:
        world.said.append("blind")
        world.blind.append(("b1", 0, "the state store does not answer"))


@pytest.mark.parametrize(
    ("turn", "trouble", "most_ms"),
    [
        (no_worker, Trouble.SILENT, 45_000),
        (no_kafka, Trouble.KAFKA, 45_000),
        (no_sight, Trouble.BLIND, 62_000),
    ],
)
async def test_each_trouble_is_paged_within_its_time_stops_the_pings_and_is_resolved(
    turn: Break, trouble: Trouble, most_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, phone = World(), Phone()
    watching = watch(world, monkeypatch, phone=phone)
    broken_ms, pings = 0, -1

    def goes_on() -> bool:
        nonlocal broken_ms, pings
        if not broken_ms and len(world.pings) > 3:
            broken_ms = world.now_ms_
            turn(world)
        if "opened" in phone.states and pings < 0:
            assert world.now_ms_ - broken_ms <= most_ms
            pings = len(world.pings)
            turn(world)
        if pings >= 0 and watching.watchman.state.phase is Phase.TROUBLE:
            assert len(world.pings) == pings, "pinged while not all was well"
        return pings >= 0 and phone.states[-1] == "resolved" and len(world.pings) > pings

    await watching.until(goes_on)
    opened, resolved = phone.heard[-2:]
    assert (opened.state, opened.about, opened.release) == ("opened", About.BLIND, EVERY_RELEASE)
    assert opened.event["cause"] == trouble.value
    assert opened.page_id == resolved.page_id
    assert opened.event_id != resolved.event_id
    assert resolved.opened == opened.event
    assert page_words(opened).title.startswith("Nobody watches: ")


async def test_a_pager_that_fails_is_told_again_and_one_that_hangs_or_breaks_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(worker_runs=False)
    late = Phone(
        [PagerFailed("503", retryable=True), RuntimeError("a defect"), PagerFailed("no", retryable=False)]
    )
    stuck, prompt = Phone(hangs=True), Phone()
    watching = watch(world, monkeypatch, late=late, stuck=stuck, prompt=prompt)
    await watching.until(lambda: late.states == ["opened"] and prompt.states == ["opened"])
    assert (late.tries, stuck.tries, prompt.tries) == (4, 1, 1)
    assert any("a defect" in line and "please report it" in line for line in world.said)


async def test_what_was_not_told_in_time_is_overtaken_by_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world, phone = World(worker_runs=False), Phone([PagerFailed("503", retryable=True)] * 10_000)
    watching = watch(world, monkeypatch, phone=phone)

    def goes_on() -> bool:
        if watching.watchman.state.phase is Phase.TROUBLE and phone.tries:
            world.worker_runs = True
        if watching.watchman.state.phase is Phase.WELL:
            phone.failures.clear()
        return bool(phone.heard)

    await watching.until(goes_on)
    assert phone.states == ["resolved"]


async def test_a_switch_that_cannot_be_reached_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ping_fails=True)
    await watch(world, monkeypatch).until(lambda: len(world.pings) > 3)
    assert any("nobody is there" in line for line in world.said)


async def test_a_look_that_fails_is_said_once_and_not_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(kafka_runs=False)
    await watch(world, monkeypatch).until(lambda: world.now_ms_ > 100_000)
    assert sum("a look at the log failed" in line for line in world.said) == 1


@pytest.mark.parametrize(
    ("world", "phase", "troubles"),
    [
        (World(), Phase.WELL, []),
        (World(worker_runs=False), Phase.TROUBLE, [Trouble.SILENT]),
        (World(kafka_runs=False), Phase.TROUBLE, [Trouble.KAFKA, Trouble.SILENT]),
        (World(blind=[("b", 60_000, "stuck")]), Phase.TROUBLE, [Trouble.BLIND]),
    ],
    ids=["well", "silent", "kafka", "blind"],
)
async def test_asked_once_it_answers_when_it_knows_and_tells_nobody(
    world: World, phase: Phase, troubles: list[Trouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = Phone()
    async with asyncio.timeout(WAIT_S):
        found = await watch(world, monkeypatch, phone=phone).watchman.once()
    assert (found.phase, [one.trouble for one in found.findings]) == (phase, troubles)
    assert phone.heard == []
    assert world.pings == []
