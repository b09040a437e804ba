"""The watcher's own composition root: a process beside the workers that shares neither their store nor their host.

An import contract keeps Redis, Faust and the workers' root out of it: what breaks them must not break it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from monitor.adapters.closing import close_all
from monitor.adapters.deadman import DeadMansSwitch
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import access_of
from monitor.adapters.kafka.vantage import KafkaVantage
from monitor.adapters.pagers import ClosingPager, forgetful, pagers_for
from monitor.adapters.telemetry.logs import configure_logs
from monitor.adapters.timebase import SteadyClock, Timebase, WallClock, timebase_from
from monitor.config.settings import Settings
from monitor.core.vigil import VigilLimits
from monitor.engine.watchman import Outside, Watched, Watchman
from monitor.wire.canary import canary


def run_watcher(settings: Settings) -> None:
    """Watch until SIGTERM or SIGINT.

    Raises:
        MonitorError: A pager or the URL to ping can never work; nothing is waited for before this is said.
    """
    _configure(settings)
    pagers = pagers_for(settings)
    asyncio.run(_run(settings, pagers, _switch(settings)))


def probe(settings: Settings) -> Watched:
    """Watch until it is known how it stands; pages nobody and pings nothing."""
    _configure(settings)
    return asyncio.run(_probe(settings))


def limits_of(settings: Settings) -> VigilLimits:
    """Return from when on something is trouble."""
    return VigilLimits(
        silence_ms=round(settings.watch_silence_s * 1000),
        delay_ms=round(settings.watch_delay_s * 1000),
        blind_ms=round(settings.watch_blind_s * 1000),
        every_ms=round(settings.watch_every_s * 1000),
    )


def _configure(settings: Settings) -> None:
    as_json = None if settings.log_format == "auto" else settings.log_format == "json"
    configure_logs(settings.log_level, as_json=as_json)
    tame_library_logs()


def _switch(settings: Settings) -> DeadMansSwitch | None:
    url = settings.watch_ping_url
    if url is None:
        return None
    return DeadMansSwitch(url.get_secret_value(), allow_private=settings.webhook_allow_private)


async def _run(settings: Settings, pagers: Mapping[str, ClosingPager], switch: DeadMansSwitch | None) -> None:
    log, stop, loop = structlog.get_logger("monitor"), asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with _vantage(settings) as vantage:
            outside = _outside(settings, vantage, pagers, switch)
            watching = asyncio.create_task(Watchman(outside, limits_of(settings)).run())
            stopping = asyncio.create_task(stop.wait())
            log.info(f"watching {settings.group} on {settings.kafka_bootstrap}; pages to {', '.join(pagers)}")
            await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching  # raises what has ended it, where that was not we
    finally:
        await close_all([*pagers.values(), switch])


async def _probe(settings: Settings) -> Watched:
    async with _vantage(settings) as vantage:
        return await Watchman(_outside(settings, vantage, {}, None), limits_of(settings)).once()


@asynccontextmanager
async def _vantage(settings: Settings) -> AsyncIterator[KafkaVantage]:
    vantage = KafkaVantage(access_of(settings), settings.traces_topic, settings.group)
    try:
        yield vantage
    finally:
        await vantage.close()


def _outside(
    settings: Settings,
    vantage: KafkaVantage,
    pagers: Mapping[str, ClosingPager],
    switch: DeadMansSwitch | None,
) -> Outside:
    event_clock, run = WallClock(timebase_from(settings)), os.urandom(8).hex()
    return Outside(
        vantage=vantage,
        canary=lambda number: canary(f"canary-{run}-{number}", event_clock.now_ms()),
        steady=SteadyClock(),
        wall=WallClock(Timebase()),
        report=structlog.get_logger("monitor.watch"),
        name=f"{settings.group}/{settings.worker_id}",
        pagers=pagers,
        forgetful=forgetful(pagers),
        ping=None if switch is None else switch.ping,
        ping_every_s=settings.watch_ping_every_s,
    )
