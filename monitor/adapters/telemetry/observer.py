"""The engine's observer: counts in metrics, writes to the log, decides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import structlog

from monitor.adapters.telemetry.catalog import BY_NAME
from monitor.adapters.telemetry.metrics import Metrics
from monitor.adapters.telemetry.spans import Spans
from monitor.core.decision import Decision, Reason, Type
from monitor.core.sight import Cause, Sight, SightState
from monitor.core.storm import BreakerStanding
from monitor.core.window import BUCKET_MS, LATENESS_MS
from monitor.engine.observer import Observer, Sighting
from monitor.engine.ports import Clock, DeadLetter, FlushAnswer, Partition

_QUIET_S = 30.0  # between two lines about the same outage


class TelemetryObserver(Observer):
    """`Observer` on metrics and structured logs."""

    def __init__(self, metrics: Metrics, spans: Spans, clock: Clock, speed: float = 1.0) -> None:
        """Take the parts.

        Args:
            clock: The time now, as event time.
            speed: How much faster event time runs than real time.
        """
        self._metrics, self._spans = metrics, spans
        self._clock, self._speed = clock, speed
        self._log = structlog.get_logger("monitor")
        self._said: dict[str, float] = {}
        self._seen: tuple[Sight, Cause | None] | None = None
        self._was_open = False

    @contextmanager
    def batch(self, partition: Partition, records: int) -> Iterator[None]:
        """Around decoding, folding and storing one batch."""
        began = time.perf_counter()
        with self._spans.ingest_batch(partition.topic, partition.number, records):
            yield
        self._metrics.observe("batch_duration", time.perf_counter() - began)

    def tick(self, release: str, at_ms: int) -> AbstractContextManager[object]:
        """Around the evaluation of one minute of one release."""
        return self._spans.tick(release, at_ms)

    def deciding(self, decision: Decision) -> AbstractContextManager[object]:
        """Around recording and publishing one decision."""
        return self._spans.decision(decision.type.value, decision.decision_id, decision.release)

    def partition_claimed(self, partition: Partition, offset: int) -> None:
        """A partition is ours from this offset on."""
        self._log.info("partition claimed", topic=partition.topic, partition=partition.number, offset=offset)

    def partition_lost(self, partition: Partition, why: str) -> None:
        """A partition went to somebody else while we took it over."""
        self._log.info("partition lost", topic=partition.topic, partition=partition.number, why=why)

    def state_damaged(self, partition: Partition, why: str) -> None:
        """A partition's state did not add up; it is rebuilt from the log."""
        self._log.error(
            "state damaged: rebuilding", topic=partition.topic, partition=partition.number, why=why
        )

    def suspected(self, partition: Partition, deaths: int) -> None:
        """So many owners of a partition came to no write: perhaps a record of it kills whoever decodes it."""
        self._log.warning(
            "claimed again and again, and never written: its records are tried by a process of their own first",
            topic=partition.topic,
            partition=partition.number,
            claims=deaths,
        )

    def set_aside(self, partition: Partition, offset: int) -> None:
        """A record kills its decoder: it becomes a dead letter that nobody decodes."""
        self._log.error(
            "set aside: this record kills its decoder; please report it, with the record",
            topic=partition.topic,
            partition=partition.number,
            offset=offset,
        )

    def folded(self, partition: Partition, records: int) -> None:
        """Records were folded."""
        self._metrics.observe("batch_events", records)

    def counted(self, *, accepted: int, late: int, duplicate: int, rejected: int) -> None:
        """The totals grew by this much."""
        for result, amount in (
            ("accepted", accepted), ("late", late), ("duplicate", duplicate), ("rejected", rejected),
        ):  # fmt: skip
            if amount:
                self._metrics.count("events", amount, result=result)

    def rejected(self, letters: Sequence[DeadLetter]) -> None:
        """Records became dead letters."""
        for letter in letters:
            self._metrics.count("dead_letters", reason=letter.reason.partition(":")[0])

    def flushed(self, partition: Partition, answer: FlushAnswer, *, is_bare: bool) -> None:
        """The store answered a write; one that is bare had no room for the exemplars of watched values."""
        self._metrics.count("flushes", answer=answer.value)
        if answer is FlushAnswer.FENCED:
            self._log.warning("fenced", topic=partition.topic, partition=partition.number)
        if is_bare:
            self._log.warning(
                "exemplars of watched values left out: their texts are too long for a write; counts are complete",
                topic=partition.topic,
                partition=partition.number,
            )

    def store_away(self, why: str) -> None:
        """The store did not answer; reading waits for it."""
        self._metrics.count("flushes", answer="failed")
        self._once("state store away", why)

    def log_away(self, why: str) -> None:
        """The log did not answer; the watermark waits for it."""
        self._once("Kafka away", why)

    def ticked(self, ticks: int, seconds: float, watermark_ms: int | None, now_ms: int, held: int) -> None:
        """A step of the control plane is done; the watermark stands here."""
        if ticks:
            self._metrics.count("ticks", ticks, result="decided")
            self._metrics.observe("tick_duration", seconds / ticks)
        if watermark_ms is not None:
            self._metrics.set("watermark_lag", max(0, now_ms - watermark_ms) / 1000)
        self._metrics.set("lease_held", held)
        self._metrics.set("heartbeat_timestamp", time.time())

    def decided(self, decision: Decision) -> None:
        """A decision is on record."""
        self._metrics.count("decisions", type=decision.type.value)
        self._metrics.observe("decision_delay", self._delay_s(decision))
        if decision.type is Type.PAGE_OPENED and decision.data.get("reason") == Reason.ROLLBACK_STORM.value:
            self._metrics.count("rollbacks_withheld")
        self._log.info(
            "decision",
            type=decision.type.value,
            release=decision.release,
            id=decision.decision_id,
            objective=decision.data.get("objective"),
            reason=decision.data.get("reason"),
            summary=decision.data.get("summary"),
        )

    def _delay_s(self, decision: Decision) -> float:
        """Return for how long a decision had been possible; a tick is, once late events are in."""
        at_a_tick = decision.at_ms % BUCKET_MS == 0  # incidents, orders and outages have moments of their own
        possible_ms = decision.at_ms + (LATENESS_MS if at_a_tick else 0)
        return max(0, self._clock.now_ms() - possible_ms) / 1000 / self._speed

    def breaker(self, standing: BreakerStanding) -> None:
        """How the rollback-storm breaker stands at the newest tick."""
        self._metrics.set("breaker_open", standing.is_open)
        self._metrics.set("automatic_rollbacks", standing.rollbacks)
        if standing.is_open != self._was_open:
            self._was_open = standing.is_open
            (self._log.warning if standing.is_open else self._log.info)("breaker", now=standing.words)

    def capped(self, release: str, what: str) -> None:
        """A release has more cohorts or strata than are judged by themselves."""
        self._metrics.count("caps")
        self._log.warning("cap reached", release=release, what=what)

    def refused(self, what: str, why: str) -> None:
        """A budget or command from a topic could not be used; what was in force stays in force."""
        self._log.error("not used: what was in force stays in force", what=what, why=why)

    def forgotten(self, release: str) -> None:
        """The ledger has a release as armed and no budget in force names it, so that nobody watches it."""
        self._log.error(
            "armed, and watched by nobody: load its budget again, or remove it for good", release=release
        )

    def halted(self, release: str, defect: Exception) -> None:
        """A defect of ours stopped the judgement of a release; the others go on."""
        self._metrics.count("ticks", result="failed")
        self._log.error(
            "a defect of the monitor: nothing more is decided about this release; please report it",
            release=release,
            exc_info=defect,
        )

    def sighted(self, sighting: Sighting) -> None:
        """A look at what the monitor can see of every partition."""
        states = [seen.state for seen in sighting.partitions.values()]
        everything = states if sighting.overall is None else [*states, sighting.overall]
        causes = {one.cause for one in everything if one.is_blind(sighting.at_ms)}
        for cause in Cause:
            self._metrics.set("blind", cause in causes, cause=cause.value)
        for sight in Sight:
            self._metrics.set("partitions", sum(one.sight is sight for one in states), sight=sight.value)
            ages_ms = (one.age_ms(sighting.at_ms) for one in everything if one.sight is sight)
            self._metrics.set("sight_age", max(ages_ms, default=0) / 1000, sight=sight.value)
        for state in BY_NAME["armed_releases"].labels["state"]:
            self._metrics.set("armed_releases", sighting.releases.get(state, 0), state=state)
        for mode in BY_NAME["watched_releases"].labels["mode"]:
            self._metrics.set("watched_releases", sighting.modes.get(mode, 0), mode=mode)
        self._metrics.set("open_pages", sighting.open_pages)
        self._metrics.set("consumer_lag", sighting.unread)
        self._metrics.set("partitions_owned", sighting.owned)
        self._say(sighting.overall)

    def _say(self, overall: SightState | None) -> None:
        """Write a line where what is seen of everything has changed."""
        if overall is None or (overall.sight, overall.cause) == self._seen:
            return
        self._seen = overall.sight, overall.cause
        is_well = overall.sight in (Sight.LIVE, Sight.LATE)
        cause = None if overall.cause is None else overall.cause.value
        (self._log.info if is_well else self._log.warning)("sight", now=overall.sight.value, cause=cause)

    def _once(self, event: str, why: str) -> None:
        now = time.monotonic()
        if now - self._said.get(event, -_QUIET_S) >= _QUIET_S:
            self._said[event] = now
            self._log.warning(event, why=why)
