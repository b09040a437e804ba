"""What `doctor` asks Kafka: is it there, are its topics as wanted, may we use them, what time is it, who works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, KafkaError

from monitor.adapters.kafka.client import bounded, silent_library, stop_client
from monitor.adapters.kafka.clock import BrokerClock
from monitor.adapters.kafka.log import KafkaLog
from monitor.adapters.kafka.rights import rights_of
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import inspect_topics, wait_for_kafka
from monitor.adapters.kafka.topics import (
    BUDGETS,
    CLOCK,
    COMMANDS,
    DEAD_LETTERS,
    DECISIONS,
    EVAL_DEBT,
    WantedTopic,
)
from monitor.engine.checkup import Finding, failed, ok, skipped, warning
from monitor.engine.errors import LogUnreachable

_ASK_S: Final = 15.0
_BROKER_S: Final = 8.0
_COORDINATOR_PAUSE_S: Final = 0.3
_SKEW_WARNING_MS: Final = 2_000
_SKEW_FAILED_MS: Final = 30_000  # what is half a minute behind is called blind
_MAY_NOT: Final = frozenset({30, 31})  # GROUP_ and CLUSTER_AUTHORIZATION_FAILED
_READ: Final = frozenset({BUDGETS, COMMANDS})
_WRITTEN: Final = frozenset({DECISIONS, EVAL_DEBT, DEAD_LETTERS, CLOCK})


def skew_finding(subject: str, offset_ms: float, unsure_ms: float) -> Finding:
    """Return what a server's clock says of ours.

    Args:
        offset_ms: The server's time minus ours, milliseconds.
        unsure_ms: Half of what the question took: so much may be the network's.
    """
    beyond_ms = abs(offset_ms) - unsure_ms
    way = "ahead of" if offset_ms > 0 else "behind"
    text = f"its clock is {abs(offset_ms) / 1000:.2f} s {way} ours (to {unsure_ms / 1000:.2f} s)"
    remedy = "run NTP (chrony, systemd-timesyncd) on both machines"
    if beyond_ms > _SKEW_FAILED_MS:
        return failed("clock", subject, text, remedy)
    return (
        warning("clock", subject, text, remedy)
        if beyond_ms > _SKEW_WARNING_MS
        else ok("clock", subject, text)
    )


class Asker:
    """How a cluster is asked: each question through a connection of its own, and bounded."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access

    def _grant(self, topic: str, operation: str) -> str:
        """Return the command that lets this user do something with a topic."""
        user = self._access.username or "ANONYMOUS"
        return (
            f"kafka-acls.sh --bootstrap-server {self._access.bootstrap} --add --allow-principal User:{user} "
            f"--operation {operation.capitalize()} --topic {topic}"
        )

    async def _in_group(self, check: str, group: str, start: str) -> Sequence[Finding]:
        """Tell how many are in a consumer group.

        Args:
            start: The command that puts somebody there.
        """
        with silent_library():
            answers = await self._asked(
                lambda admin: _group_as_it_is(admin, group), f"asking for the group {group}"
            )
        (row,) = (group for answer in answers for group in answer.groups)
        code, _, state, _, _, members = row[:6]
        if code in _MAY_NOT:
            text = "this user may not look at the group"
            grant = f"kafka-acls.sh --bootstrap-server {self._access.bootstrap} --add --operation Read"
            return [failed(check, group, text, f"{grant} --group {group} for this user")]
        if (
            code or not members
        ):  # a group that never was, or whose coordinator is being made, is an error of its own
            return [warning(check, group, f"nobody is in the group (state {state or 'unknown'})", start)]
        return [ok(check, group, f"{len(members)} in the group, state {state}")]

    async def _asked(self, ask: Any, what: str) -> Any:
        admin = AIOKafkaAdminClient(**self._access.client_options(), request_timeout_ms=int(_ASK_S * 1000))
        try:
            await bounded(admin.start(), _ASK_S, f"connecting to {self._access.bootstrap}")
            return await bounded(ask(admin), _ASK_S, what)
        except KafkaError as error:
            raise LogUnreachable(f"{what}: {error}") from error
        finally:
            await stop_client(admin)


async def _group_as_it_is(admin: Any, group: str) -> Any:
    """Return the group's description; the first group of a broker has to wait for its coordinator."""
    while True:
        try:
            return await admin.describe_consumer_groups([group])
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
            await asyncio.sleep(_COORDINATOR_PAUSE_S)


class KafkaCheckup(Asker):
    """What a worker needs."""

    def __init__(
        self,
        access: KafkaAccess,
        wanted: Sequence[WantedTopic],
        group: str,
        replication: int | None = None,
    ) -> None:
        super().__init__(access)
        self._wanted = wanted
        self._group, self._replication = group, replication
        self._traces = wanted[0].name

    async def broker(self) -> Sequence[Finding]:
        """Tell whether a broker answers; raises `LogUnreachable` where none does."""
        count = await wait_for_kafka(self._access, lambda _: None, _BROKER_S)
        return [
            ok("kafka", self._access.bootstrap, f"{count} broker{'s' if count > 1 else ''} answered"),
        ]

    async def topics(self) -> Sequence[Finding]:
        """Tell which topics are missing, or not as the product wants them."""
        missing, found = await inspect_topics(self._access, self._wanted, self._replication)
        findings = [
            failed(
                "topics",
                topic.name,
                "does not exist, or may not be seen by this user",
                "start a worker: it creates its topics, if its user may; or create it by hand with "
                f"--partitions {topic.partitions} --config cleanup.policy={topic.cleanup[0]} "
                "--config message.timestamp.type=LogAppendTime",
            )
            for topic in missing
        ]
        for one in found:
            make = failed if one.severity == "error" else warning
            findings.append(
                make("topics", one.topic, f"{one.setting} is {one.got}, want {one.want}", one.remedy)
            )
        odd = {one.subject for one in findings}
        well = [topic for topic in self._wanted if topic.name not in odd]
        return [
            *findings,
            *(
                [ok("topics", f"{len(well)} topics", "partitions, clean-up and retention are as wanted")]
                if well
                else []
            ),
        ]

    async def rights(self) -> Sequence[Finding]:
        """Tell which topics this user may not read or write as a worker has to."""
        names = [topic.name for topic in self._wanted]
        with silent_library():
            rights = await self._asked(lambda admin: rights_of(admin, names), "asking for this user's rights")
        known = {name: one for name, one in rights.items() if one is not None}
        findings = [one for name, given in known.items() for one in self._lacking(name, given)]
        unknown = sorted(set(names) - set(known))
        if unknown:
            text = f"the broker does not say what this user may do with {', '.join(unknown)}"
            findings.append(skipped("rights", "topics", text))
        return findings or [
            ok("rights", f"{len(known)} topics", "this user may read and write what it has to")
        ]

    def _lacking(self, topic: str, given: frozenset[str]) -> Sequence[Finding]:
        needed = {"describe"}
        needed |= {"read"} if topic not in _WRITTEN else set()
        needed |= {"write"} if topic not in _READ and topic != self._traces else set()
        found = [
            failed("rights", topic, f"this user may not {what}", self._grant(topic, what))
            for what in sorted(needed - given)
        ]
        spare = {"write"} if topic in _READ or topic == self._traces else set()
        return [
            *found,
            *(
                warning(
                    "rights",
                    topic,
                    f"this user may not {what}: a worker need not, `watch`, `rehearse` and people's orders do",
                    self._grant(topic, what),
                )
                for what in sorted(spare - given)
            ),
        ]

    async def workers(self) -> Sequence[Finding]:
        """Tell how many workers share the traces topic."""
        return await self._in_group("workers", self._group, "start `rollback-budget run`")

    async def clock(self) -> Sequence[Finding]:
        """Tell how far the broker's clock is from ours, by one record of a few bytes on the clock's topic."""
        log = KafkaLog(self._access, _ASK_S)
        try:
            with silent_library():
                await BrokerClock(log).probe()  # the first one connects
                before_s, wall_ms = time.monotonic(), time.time_ns() / 1e6
                reading = await BrokerClock(log).probe()
        finally:
            await log.close()
        half_ms = (reading.acknowledged_at_s - before_s) * 500
        return [skew_finding("kafka", reading.broker_ms - wall_ms - half_ms, half_ms)]
