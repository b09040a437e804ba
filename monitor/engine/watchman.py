"""The watch on the monitor from outside: canaries, what is heard of the workers, and people told by its own path.

It shares no task, no state store and no record with the workers. Looking, judging, telling and pinging are tasks of
their own, so that a Kafka that hangs delays no judgement, and a pager that hangs delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from monitor.core.decision import EVERY_RELEASE
from monitor.core.moment import rfc3339
from monitor.core.vigil import Finding, Phase, Vigil, VigilLimits, WatchState, step
from monitor.engine.errors import PagerFailed
from monitor.engine.heartbeat import Forgetful, Heartbeat
from monitor.engine.ports import About, Clock, PageNotice, Pager

LOOK_S: Final = 1.0  # between two looks, and between two judgements
LOOK_DEADLINE_S: Final = 25.0  # for all that one look asks; each question has a shorter one of its own
TELL_S: Final = 90.0  # for one pager and one notice: longer than the pagers' own patience
RETRY_S: Final = 5.0  # before a pager that did not confirm is told again
PING_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Overheard:
    """What the monitor has said since it was asked last.

    Attributes:
        has_sign: A worker has given a sign of life.
        blind: (page id, milliseconds ago, summary) of each `monitor.blind`, in order.
        recovered: The page ids of each `monitor.recovered`.
        is_read: All that was said before the first call is read.
    """

    has_sign: bool = False
    blind: Sequence[tuple[str, int, str]] = ()
    recovered: Sequence[str] = ()
    is_read: bool = False


class Vantage(Protocol):
    """The log, as somebody sees it who is no worker. Every call is bounded, and raises `MonitorError`."""

    async def partitions(self) -> Sequence[int]:
        """Return the partitions of the traces topic."""

    async def send(self, partition: int, value: bytes) -> int:
        """Append a record to a partition of it; return its offset when it is acknowledged."""

    async def progress(self) -> Mapping[int, int]:
        """Return, per partition, the offset up to which the workers say they have stored it."""

    async def overhear(self) -> Overheard:
        """Return what the monitor has said since the last call."""


class Report(Protocol):
    """Where the watcher says what it does; it says little."""

    def info(self, event: str) -> object:
        """Write what is as it should be."""

    def error(self, event: str) -> object:
        """Write what is not."""


@dataclass(frozen=True, slots=True)
class Watched:
    """How one round ended: for a probe that asks once."""

    phase: Phase
    findings: tuple[Finding, ...]
    partitions: int
    slowest_ms: int | None


class Line:
    """The way to one pager: it is told the newest notice until it confirms, however long that takes."""

    def __init__(
        self,
        name: str,
        pager: Pager,
        report: Report,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name, self._pager, self._report, self._sleep = name, pager, report, sleep
        self._news = asyncio.Event()
        self._notice: PageNotice | None = None

    def say(self, notice: PageNotice) -> None:
        """Say this next; what was not told yet is overtaken by it."""
        self._notice = notice
        self._news.set()

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            await self._news.wait()
            notice = self._notice
            if notice is None or await self._is_told(notice):
                if self._notice is notice:
                    self._news.clear()
            else:
                await self._sleep(RETRY_S)

    async def _is_told(self, notice: PageNotice) -> bool:
        try:
            async with asyncio.timeout(TELL_S):
                await self._pager.notify(notice)
        except PagerFailed as failure:
            why = str(failure)
        except TimeoutError:
            why = f"no answer within {TELL_S:g} s"
        # An adapter's defect must neither end the watch nor keep the other pagers from being told.
        except Exception as error:  # noqa: BLE001
            why = f"{type(error).__name__}: {error}; please report it"
        else:
            self._report.info(f"{self._name} was told: {notice.state}: {notice.text}")
            return True
        self._report.error(f"{self._name} was not told that it is {notice.state} ({notice.text}): {why}")
        return False


@dataclass(frozen=True, slots=True)
class Outside:
    """What the watchman works with.

    Attributes:
        canary: Makes the record of a canary by a number that is its own.
        pagers: Who is told, by name.
        forgetful: Those of them whose system has to be told again and again.
        ping: Tells the dead-man's switch that all is well; None without one.
        name: Names its page: the same after a restart.
    """

    vantage: Vantage
    canary: Callable[[int], bytes]
    steady: Clock
    wall: Clock
    report: Report
    name: str
    pagers: Mapping[str, Pager] = field(default_factory=dict)
    forgetful: Sequence[Forgetful] = ()
    ping: Callable[[], Awaitable[None]] | None = None
    ping_every_s: float = 30.0
    look_s: float = LOOK_S


class Watchman:
    """Watches until it is cancelled, or until it knows."""

    def __init__(self, outside: Outside, limits: VigilLimits) -> None:
        self._outside = outside
        self._vigil = Vigil(limits, outside.steady.now_ms())
        self._lines = [Line(name, pager, outside.report) for name, pager in outside.pagers.items()]
        self._sent = 0
        self._is_failing = False
        self._open: PageNotice | None = None
        self.state = WatchState()

    async def run(self) -> None:
        """Watch, page and ping for ever."""

        def lost(why: str) -> None:
            self._outside.report.error(f"the open page is not said again: {why}")

        said_again = Heartbeat(
            self._outside.forgetful, lambda: [self._open] if self._open is not None else [], lost
        )
        async with said_again.beating(), asyncio.TaskGroup() as tasks:
            for work in (self._looking, self._judging, self._pinging, *(line.run for line in self._lines)):
                tasks.create_task(work())

    async def once(self) -> Watched:
        """Watch until it is known how it stands; nobody is paged and nothing is pinged."""
        while self.state.phase is Phase.STARTING:
            await self._look()
            self._judge()
            if self.state.phase is Phase.STARTING:
                await asyncio.sleep(self._outside.look_s / 4)
        return self.watched()

    def watched(self) -> Watched:
        """Return how it stands."""
        delays_ms = self._vigil.delays_ms
        slowest_ms = max(delays_ms.values(), default=None)
        return Watched(self.state.phase, self.state.findings, len(delays_ms), slowest_ms)

    async def _looking(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._outside.look_s)

    async def _look(self) -> None:
        """Look once; what fails, a defect of ours included, is remembered, and tried again at the next look."""
        why = ""
        try:
            async with asyncio.timeout(LOOK_DEADLINE_S):
                for end in await asyncio.gather(
                    self._canaries(), self._progress(), self._overhear(), return_exceptions=True
                ):
                    if isinstance(end, BaseException):
                        why = why or str(end) or type(end).__name__
        except TimeoutError:
            why = f"no answer within {LOOK_DEADLINE_S:g} s"
        if why:
            self._vigil.unanswered(why)
            if not self._is_failing:
                self._outside.report.error(f"a look at the log failed: {why}")
        else:
            self._vigil.answered(self._outside.steady.now_ms())
        self._is_failing = bool(why)

    async def _canaries(self) -> None:
        self._vigil.found(await self._outside.vantage.partitions())
        due = self._vigil.due(self._outside.steady.now_ms())
        ends = await asyncio.gather(*(self._canary(one) for one in due), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _canary(self, partition: int) -> None:
        self._sent += 1
        sent_ms = self._outside.steady.now_ms()
        offset = await self._outside.vantage.send(partition, self._outside.canary(self._sent))
        self._vigil.sent(partition, offset, sent_ms)

    async def _progress(self) -> None:
        progress = await self._outside.vantage.progress()
        self._vigil.stored(progress, self._outside.steady.now_ms())

    async def _overhear(self) -> None:
        said = await self._outside.vantage.overhear()
        now_ms = self._outside.steady.now_ms()
        if said.has_sign:
            self._vigil.heard(now_ms)
        for page_id, ago_ms, summary in said.blind:
            self._vigil.blind(page_id, now_ms - ago_ms, summary)
        for page_id in said.recovered:
            self._vigil.sees_again(page_id)
        if said.is_read:
            self._vigil.read()

    async def _judging(self) -> None:
        while True:
            self._judge()
            await asyncio.sleep(self._outside.look_s)

    def _judge(self) -> None:
        now_ms = self._outside.steady.now_ms()
        findings, is_well = self._vigil.findings(now_ms), self._vigil.is_well(now_ms)
        before = self.state.phase
        self.state = step(
            self.state, findings, is_well=is_well, at_ms=now_ms, eased_ms=self._vigil.limits.every_ms
        )
        if self.state.phase is before:
            return
        if self.state.phase is Phase.TROUBLE:
            self._tell_trouble(now_ms)
        else:
            self._tell_well(is_first=before is Phase.STARTING)

    def _tell_trouble(self, now_ms: int) -> None:
        wall_ms, findings = self._outside.wall.now_ms(), self.state.findings
        since_ms = wall_ms - (now_ms - min(one.since_ms for one in findings))
        text = "; ".join(one.text for one in findings) + ". Releases may go unwatched: hold promotions"
        notice = self._notice("opened", text, wall_ms, findings[0].trouble.value, rfc3339(since_ms))
        self._outside.report.error(text)
        self._open = notice
        for line in self._lines:
            line.say(notice)

    def _tell_well(self, *, is_first: bool) -> None:
        """Resolve the page; at the first time too, because a run before this one may have left it open."""
        opened, self._open = self._open, None
        slowest_ms = self.watched().slowest_ms or 0
        text = "the watch begins, and all is well" if is_first else "all is well again"
        text += f": the slowest canary event took {slowest_ms / 1000:.1f} s"
        self._outside.report.info(text)
        data = {} if opened is None else opened.event
        cause, since = str(data.get("cause", "none")), str(data.get("since", ""))
        wall_ms = self._outside.wall.now_ms()
        for line in self._lines:
            line.say(self._notice("resolved", text, wall_ms, cause, since or rfc3339(wall_ms), opened))

    def _notice(
        self, state: str, text: str, wall_ms: int, cause: str, since: str, opened: PageNotice | None = None
    ) -> PageNotice:
        page_id = sha256(f"watcher/{self._outside.name}".encode()).hexdigest()
        data: dict[str, object] = {
            "cause": cause,
            "since": since,
            "decided_at": rfc3339(wall_ms),
            "page_id": page_id,
            "summary": text,
        }
        return PageNotice(
            event_id=sha256(f"{page_id}/{state}/{wall_ms}".encode()).hexdigest(),
            page_id=page_id,
            state=state,
            release=EVERY_RELEASE,
            text=text,
            deadline_ms=None,
            event=data,
            about=About.BLIND,
            opened={} if opened is None else opened.event,
        )

    async def _pinging(self) -> None:
        """Ping while, and only while, all is well: somebody outside hears when it stops."""
        ping = self._outside.ping
        while ping is not None:
            if self.state.phase is not Phase.WELL:
                await asyncio.sleep(self._outside.look_s)
                continue
            try:
                async with asyncio.timeout(PING_S):
                    await ping()
            # Nobody to ping is no reason to stop watching: whoever waits for the ping hears of it by its absence.
            except Exception as error:  # noqa: BLE001
                self._outside.report.error(f"the dead-man's switch was not reached: {error!r}")
            await asyncio.sleep(self._outside.ping_every_s)
