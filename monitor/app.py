"""The composition root: the one file that knows every part. It builds, wires and hands over; it decides nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import structlog

from monitor.adapters.closing import close_all
from monitor.adapters.collector import spare_what_is_here
from monitor.adapters.command_api import CommandApi, Reach
from monitor.adapters.faust_app.host import Effects, HostOptions, serve
from monitor.adapters.flags import ACTUATORS, ActuatorUnusable, actuator_for
from monitor.adapters.flags.checkup import tell_unusable
from monitor.adapters.kafka.clock import BrokerClock
from monitor.adapters.kafka.consumer import TraceConsumer
from monitor.adapters.kafka.control_topics import followers_of, readers_of
from monitor.adapters.kafka.decode import decode
from monitor.adapters.kafka.history import KafkaHistory
from monitor.adapters.kafka.ledger import KafkaLedger
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.outputs import KafkaOutputs
from monitor.adapters.kafka.security import KafkaAccess, access_of
from monitor.adapters.kafka.source import KafkaSource, LogTime
from monitor.adapters.kafka.topic_admin import ensure_topics, partition_count, wait_for_kafka
from monitor.adapters.kafka.topics import COMMANDS, LEDGER, product_topics
from monitor.adapters.kafka.trial import ChildTrial
from monitor.adapters.loop_guard import guarded_loop
from monitor.adapters.pagers import ClosingPager, forgetful, pagers_for
from monitor.adapters.probes import Probes
from monitor.adapters.redis.connection import deadline_within
from monitor.adapters.redis.lease import RedisLease
from monitor.adapters.redis.store import RedisStateStore
from monitor.adapters.telemetry.logs import configure_logs
from monitor.adapters.telemetry.observer import TelemetryObserver
from monitor.adapters.telemetry.setup import CONTENT_TYPE, Telemetry, configure
from monitor.adapters.telemetry.spans import TRACE, trace_of
from monitor.adapters.timebase import SteadyClock, Timebase, WallClock, timebase_from
from monitor.config.canonical import canonical, from_canonical
from monitor.config.files import load_budgets
from monitor.config.settings import Settings
from monitor.console.web import console_files
from monitor.core.budget import Budget
from monitor.core.moment import rfc3339
from monitor.core.rehearsal import is_rehearsal
from monitor.core.window import tick_ms
from monitor.engine.act import Act, Outcome
from monitor.engine.book import BudgetBook
from monitor.engine.checkup import Finding
from monitor.engine.control import Control
from monitor.engine.effect_ledger import EffectLedger
from monitor.engine.errors import PagerFailed, StoreUnreachable, TopicUnusable
from monitor.engine.feed import Feed, FeedOptions
from monitor.engine.heartbeat import Heartbeat, open_pages
from monitor.engine.history import History
from monitor.engine.lookout import lookout_over
from monitor.engine.ports import Actuator, Partition
from monitor.engine.supervise import Instance, Planner
from monitor.engine.tenure import Tenure
from monitor.wire.cdevents import Place
from monitor.wire.cloudevent import NotACloudEvent, from_binary, of_decision, to_structured

_FOR_EVER_S = 10 * 365 * 86_400.0
_STORE_PAUSE_S = 2.0
_EFFECTS_DUE_MS = 24 * 3_600_000  # a rollback older than this is not begun by a restart


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found out before the worker starts."""

    partitions: tuple[Partition, ...]
    budgets: tuple[Budget, ...]


def run_worker(settings: Settings) -> None:
    """Run a worker until a signal.

    Raises:
        MonitorError: Budgets, topics or servers cannot be used; the message says what to do.
        SystemExit: With the host's exit code.
    """
    as_json = None if settings.log_format == "auto" else settings.log_format == "json"
    configure_logs(settings.log_level, as_json=as_json)
    budgets = load_budgets(settings.budgets) if settings.budgets else ()
    pagers = pagers_for(settings, with_quiet=True)  # what cannot page is said before anything is waited for
    prepared = asyncio.run(_prepare(settings, budgets))
    telemetry = configure(
        service_version=version("rollback-budget-monitor"),
        otlp_endpoint=settings.otlp_endpoint,
        instance_id=settings.worker_id,
    )
    worker = Worker(settings, prepared, telemetry, pagers)
    options = HostOptions(
        group=settings.group,
        worker_id=settings.worker_id,
        http_host=settings.http_host,
        http_port=settings.http_port,
        session_timeout_ms=settings.session_timeout_ms,
        log_level=settings.log_level,
    )
    doors = (worker.api(), console_files())
    serve(kafka_access(settings), worker, worker.effects(), worker.probes(), options, *doors)


def kafka_access(settings: Settings) -> KafkaAccess:
    """Return how to reach Kafka."""
    return access_of(settings)


async def _prepare(settings: Settings, budgets: Sequence[Budget]) -> Prepared:
    """Wait for the servers, create and check the topics, check the store; say what is being waited for."""
    log = structlog.get_logger("monitor")
    access = kafka_access(settings)
    await wait_for_kafka(access, log.warning, settings.kafka_wait_s or _FOR_EVER_S)
    wanted = product_topics(
        traces=settings.traces_topic,
        trace_partitions=settings.traces_partitions,
        cdevents=settings.cdevents,
    )
    findings = await ensure_topics(access, wanted, settings.kafka_replication)
    for finding in findings:
        log.warning(str(finding))
    broken = [str(finding) for finding in findings if finding.severity == "error"]
    if broken:
        raise TopicUnusable("\n".join(broken))
    await _wait_for_store(settings, log)
    count = await partition_count(access, settings.traces_topic)
    return Prepared(
        tuple(Partition(settings.traces_topic, number) for number in range(count)), tuple(budgets)
    )


async def _wait_for_store(settings: Settings, log: Any) -> None:
    waited_s, limit_s = 0.0, settings.kafka_wait_s or math.inf
    store = RedisStateStore(settings.redis_url.get_secret_value())
    try:
        while True:
            try:
                await store.check()
                return
            except StoreUnreachable as error:
                if waited_s >= limit_s:
                    raise
                log.warning(f"{error}; next try in {_STORE_PAUSE_S:g} s")
            await asyncio.sleep(_STORE_PAUSE_S)
            waited_s += _STORE_PAUSE_S
    finally:
        await store.close()


class Worker:
    """Everything one worker is made of. Built before the event loop runs; connects when started."""

    def __init__(
        self,
        settings: Settings,
        prepared: Prepared,
        telemetry: Telemetry,
        pagers: Mapping[str, ClosingPager],
    ) -> None:
        self._settings, self._pagers = settings, pagers
        self._prepared = prepared
        self._telemetry = telemetry
        self._built: _Parts | None = None

    @property
    def _parts(self) -> _Parts:
        # Connections belong to the event loop that made them, so they are made when the host calls.
        if self._built is None:
            self._built = _build(self._settings, self._prepared, self._telemetry, self._pagers)
        return self._built

    async def prepare(self) -> None:
        """Read the control topics and join the group."""
        await self._parts.instance.prepare()
        await self._parts.consumer.start()
        # What is here now stays: looking at it again is 100 ms each time (measured), and an incident waits for it.
        spare_what_is_here()

    async def run(self) -> None:
        """Run the tasks; beside them, ask once for the flags that a rollback would turn: today, and not on the day."""
        flags = asyncio.create_task(tell_unusable(self._settings, self._prepared.budgets, self._tell_of_flag))
        try:
            async with guarded_loop(), self._parts.heartbeat.beating(), self._parts.store.watched():
                await self._parts.instance.run()
        finally:
            flags.cancel()
            await asyncio.wait([flags])

    @staticmethod
    def _tell_of_flag(found: Finding) -> None:
        about = {"flag": found.subject, "why": found.text, "remedy": found.remedy}
        structlog.get_logger("monitor").error("a rollback could not turn this flag", **about)

    async def stop(self) -> None:
        """Flush, and end the tasks."""
        await self._parts.instance.stop()

    async def close(self) -> None:
        """Give connections back."""
        await self._parts.consumer.stop()
        await self._parts.store.close()
        await self._parts.lease.close()
        await self._parts.log.close()
        await close_all([*self._pagers.values(), *self._parts.actuators.values()])
        await asyncio.to_thread(self._telemetry.shutdown)  # exporting waits for a collector that may be gone

    def effects(self) -> Effects:
        """Return what the host's agents call."""

        async def on_request(event: Mapping[str, Any]) -> bool:
            return await self._effect("rollback", event, self._parts.act.on_request)

        async def on_page(event: Mapping[str, Any]) -> bool:
            return await self._effect("page", event, self._parts.act.on_page)

        return Effects(on_request, on_page, self._unfinished, _event)

    def _unfinished(self) -> list[Mapping[str, Any]]:
        entries = self._parts.control.book.without_effect(self._parts.clock.now_ms() - _EFFECTS_DUE_MS)
        return [to_structured(of_decision(entry.decision)) for entry in entries]

    async def _effect(
        self, effect: str, event: Mapping[str, Any], act: Callable[[Mapping[str, Any]], Awaitable[Outcome]]
    ) -> bool:
        """Carry an effect out, counted and traced; False where it has to be tried again."""
        metrics, began_s = self._telemetry.metrics, time.monotonic()
        release = str(event.get("subject", ""))
        with self._telemetry.spans.effect(effect, str(event.get("id", "")), release, event.get(TRACE, ())):
            try:
                outcome = await act(event)
            except PagerFailed:
                metrics.count("effects", effect=effect, result=Outcome.TRY_LATER.value)
                raise
        if outcome is not Outcome.IGNORED:
            metrics.count("effects", effect=effect, result=outcome.value)
            metrics.observe("effect_duration", time.monotonic() - began_s, effect=effect)
        return outcome is not Outcome.TRY_LATER

    def probes(self) -> Probes:
        """Return what the web part answers."""
        return Probes(
            is_alive=lambda: self._built is None or self._built.instance.is_alive,
            is_ready=lambda: self._built is not None and self._built.instance.is_ready,
            status=self._status,
            metrics=lambda: (self._telemetry.render_prometheus(), CONTENT_TYPE),
        )

    def api(self) -> CommandApi | None:
        """Return what takes orders over HTTP; None where no token opens it."""
        token = self._settings.api_token
        return None if token is None else CommandApi(token, self._reach)

    def _reach(self) -> Reach | None:
        parts = self._built
        return (
            Reach(parts.log, parts.control.book, parts.clock) if parts and parts.instance.is_ready else None
        )

    def _status(self) -> Mapping[str, object]:
        if self._built is None:
            return {"ready": False, "state": "starting"}
        parts = self._built
        watermark = parts.control.watermark
        return {
            "ready": parts.instance.is_ready,
            "partitions": [one.number for one in sorted(parts.feed.ingests)],
            **parts.instance.sight(),
            "watermark": None if watermark is None else rfc3339(tick_ms(watermark)),
            "breaker": asdict(parts.control.breaker.standing(watermark)),
            "evaluates": {
                release: live.evaluator.progress.stage.value for release, live in parts.control.live.items()
            },
        }


def _event(value: bytes | None, headers: list[tuple[str, bytes]]) -> Mapping[str, Any] | None:
    try:
        return {**to_structured(from_binary(value, headers)), TRACE: trace_of(headers)}
    except NotACloudEvent as error:
        structlog.get_logger("monitor").error("not one of our events", why=str(error))
        return None


@dataclass(frozen=True, slots=True)
class _Parts:
    log: KafkaLog
    store: RedisStateStore
    lease: RedisLease
    consumer: TraceConsumer
    feed: Feed
    control: Control
    instance: Instance
    act: Act
    actuators: Mapping[str, Actuator]
    clock: WallClock
    heartbeat: Heartbeat


def _build(
    settings: Settings, prepared: Prepared, telemetry: Telemetry, pagers: Mapping[str, ClosingPager]
) -> _Parts:
    access, timebase = kafka_access(settings), timebase_of(settings)
    clock = WallClock(timebase)
    observer = TelemetryObserver(telemetry.metrics, telemetry.spans, clock, timebase.speed)
    redis_url = settings.redis_url.get_secret_value()
    within_s = deadline_within(settings.session_timeout_ms)
    log, store = KafkaLog(access), RedisStateStore(redis_url, deadline_s=within_s)
    lease = RedisLease(redis_url, deadline_s=within_s)
    place = Place(settings.cdevents_environment, settings.cdevents_ticket_url) if settings.cdevents else None
    ledger, outputs = KafkaLedger(log), KafkaOutputs(log, place)
    consumer = _consumer(settings, access)
    tenure = Tenure(lease, settings.worker_id, settings.lease_ttl_ms)
    control = Control(
        store=store,
        tenure=tenure,
        ledger=ledger,
        outputs=outputs,
        clock=clock,
        observer=observer,
        budgets=BudgetBook(prepared.budgets),
        encode_budget=canonical,
        decode_budget=from_canonical,
        partitions=lambda: prepared.partitions,
        history=History(KafkaHistory(log)),
        storm=settings.storm,
    )
    feed = Feed(
        source=KafkaSource(consumer, settings.start_from, WallClock(Timebase())),
        store=store,
        outputs=outputs,
        decode=decode,
        plan=Planner(control),
        event_time=timebase.event_ms,
        clock=SteadyClock(),
        broker_clock=LogTime(BrokerClock(log)),
        observer=observer,
        options=_feed_options(settings, len(prepared.partitions)),
        hearing=control.hearing,
        trial=ChildTrial(),
    )
    instance = Instance(
        feed=feed,
        control=control,
        followers=followers_of(log),
        readers=readers_of(settings, timebase.event_ms),
        fresh_commands=lambda: log.follow(COMMANDS),
        fresh_ledger=lambda: log.follow(LEDGER),
        observer=observer,
        clock=clock,
        lookout=lookout_over(control, feed, ledger, outputs, tenure, observer),
    )
    control.read_commands = instance.read_commands
    control.admission.read_ledger = instance.read_ledger
    actuators, effects = _actuators(settings), EffectLedger(control, ledger, outputs, clock)
    act = Act(actuators, pagers, effects, clock=clock, quiet=settings.escalation_pagers)
    beat = _heartbeat(pagers, control)
    return _Parts(log, store, lease, consumer, feed, control, instance, act, actuators, clock, beat)


def _consumer(settings: Settings, access: KafkaAccess) -> TraceConsumer:
    member = settings.group, settings.worker_id, settings.session_timeout_ms
    return TraceConsumer(access, settings.traces_topic, *member)


def _feed_options(settings: Settings, partitions: int) -> FeedOptions:
    return FeedOptions(settings.worker_id, settings.flush_interval_ms, settings.seen_ids_max, partitions)


def _heartbeat(pagers: Mapping[str, ClosingPager], control: Control) -> Heartbeat:
    log = structlog.get_logger("monitor")
    return Heartbeat(
        forgetful(pagers),
        lambda: open_pages(control.book, [one for one in control.live if not is_rehearsal(one)]),
        lambda why: log.error("open pages are not said again", why=why),
    )


def timebase_of(settings: Settings) -> Timebase:
    """Return how record time becomes event time."""
    return timebase_from(settings)


def _actuators(settings: Settings) -> dict[str, Actuator]:
    """Return every actuator whose settings are there, by the name budgets use."""
    found: dict[str, Actuator] = {}
    for kind in ACTUATORS:
        try:
            found[kind] = actuator_for(kind, settings)
        except ActuatorUnusable as error:
            structlog.get_logger("monitor").debug("actuator not set up", why=str(error))
    return found
