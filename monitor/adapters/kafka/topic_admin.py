"""The product's topics on a cluster: created where they are missing, checked where they are there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from monitor.adapters.kafka.client import bounded, silent_library, stop_client
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import FULL_REPLICATION, MAX_MESSAGE_BYTES, WantedTopic, in_sync
from monitor.engine.errors import LogUnreachable, TopicUnusable

_log = logging.getLogger(__name__)

_REQUEST_S: Final = 10.0
_TELLING_S: Final = 1.0  # within that a broker says no
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """What is not as it should be about an existing topic.

    Attributes:
        severity: `error` breaks a promise of the product; `warning` weakens one.
        remedy: What to type, or to do.
    """

    topic: str
    setting: str
    got: str
    want: str
    severity: Literal["error", "warning"]
    remedy: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.got}, want {self.want}; {self.remedy}"


async def wait_for_kafka(
    access: KafkaAccess,
    on_retry: Callable[[str], None] = _log.warning,
    deadline_s: float = 60.0,
) -> int:
    """Wait until a broker answers a metadata request; returns how many brokers there are.

    Args:
        on_retry: Told, before each further try, which address does not answer and why.

    Raises:
        LogUnreachable: Nobody answered within `deadline_s`.
    """
    deadline, pause_s, why = time.monotonic() + deadline_s, 0.25, ""
    while True:
        left_s = max(0.1, deadline - time.monotonic())
        try:
            with silent_library():
                async with _admin(access, min(_REQUEST_S, left_s)) as admin:
                    return await _broker_count(admin)
        except LogUnreachable as error:
            # The last try may be too short to be told why.
            why = str(error) if left_s >= _TELLING_S or not why else why
            left_s = deadline - time.monotonic()
            if left_s <= pause_s:
                raise LogUnreachable(
                    f"Kafka at {access.bootstrap} did not answer within {deadline_s:g} s ({why}); is the address "
                    "right, the broker up, and its advertised.listeners reachable from here?"
                ) from error
            ends = f", giving up in {left_s:.0f} s" if left_s < _DAY_S else ""
            on_retry(
                f"Kafka at {access.bootstrap} does not answer ({error}); next try in {pause_s:g} s{ends}"
            )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


async def ensure_topics(
    access: KafkaAccess,
    wanted: Sequence[WantedTopic],
    replication: int | None = None,
    deadline_s: float = 60.0,
) -> list[TopicFinding]:
    """Create the topics that are missing, wait until all can be used, and check those that were there.

    Args:
        replication: Of topics that are created; by default 3, or as many as there are brokers.

    Returns:
        What is not as wanted about existing topics, errors first. Nothing is ever changed about them.

    Raises:
        TopicUnusable: A topic could not be created.
        LogUnreachable: The brokers do not answer, or a topic did not get a leader in time.
    """
    async with _admin(access, _REQUEST_S) as admin:
        brokers = await _broker_count(admin)
        copies = replication or min(FULL_REPLICATION, brokers)
        present = await _described(admin, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in present]
        created = await _create(admin, missing, copies)
        await _wait_for_leaders(admin, [topic.name for topic in wanted], deadline_s)
        to_check = [topic for topic in wanted if topic.name not in created]
        return await _findings(access, admin, to_check, copies)


async def inspect_topics(
    access: KafkaAccess, wanted: Sequence[WantedTopic], replication: int | None = None
) -> tuple[list[WantedTopic], list[TopicFinding]]:
    """Return which of the topics are missing, and what is not as wanted about the others; nothing is changed.

    Raises:
        LogUnreachable: The brokers do not answer.
    """
    async with _admin(access, _REQUEST_S) as admin:
        copies = replication or min(FULL_REPLICATION, await _broker_count(admin))
        present = await _described(admin, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in present]
        there = [topic for topic in wanted if topic.name in present]
        return missing, await _findings(access, admin, there, copies)


async def _findings(
    access: KafkaAccess, admin: Any, topics: Sequence[WantedTopic], copies: int
) -> list[TopicFinding]:
    described = await _described(admin, [topic.name for topic in topics])
    settings = await _settings(admin, [topic.name for topic in topics])
    findings: list[TopicFinding] = []
    for topic in topics:
        findings += _check(access, topic, described[topic.name], settings[topic.name], copies)
    return sorted(findings, key=lambda finding: finding.severity != "error")


async def partition_count(access: KafkaAccess, topic: str) -> int:
    """Return how many partitions a topic has.

    Raises:
        LogUnreachable: No answer in time.
        TopicUnusable: There is no such topic.
    """
    async with _admin(access, _REQUEST_S) as admin:
        described = await _described(admin, [topic])
    if topic not in described:
        raise TopicUnusable(
            f"{topic} does not exist on {access.bootstrap}; create it, or let us create topics"
        )
    return len(described[topic])


@asynccontextmanager
async def _admin(access: KafkaAccess, deadline_s: float) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**access.client_options(), request_timeout_ms=int(deadline_s * 1000))
    try:
        await bounded(admin.start(), deadline_s, f"connecting to {access.bootstrap}")
        yield admin
    finally:
        await stop_client(admin)


async def _broker_count(admin: Any) -> int:
    cluster = await bounded(admin.describe_cluster(), _REQUEST_S, "asking for the brokers")
    return len(cluster["brokers"])


async def _described(admin: Any, names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the partitions of those of the topics that exist."""
    if not names:
        return {}
    topics = await bounded(admin.describe_topics(list(names)), _REQUEST_S, "asking for the topics")
    return {topic["topic"]: topic["partitions"] for topic in topics if topic["error_code"] == 0}


async def _create(admin: Any, missing: Sequence[WantedTopic], copies: int) -> set[str]:
    """Create topics; returns those that are ours, not those that another worker created meanwhile."""
    if not missing:
        return set()
    new = [
        NewTopic(topic.name, topic.partitions, copies, topic_configs=topic.settings(copies))
        for topic in missing
    ]
    answer = await bounded(admin.create_topics(new), _REQUEST_S, "creating topics")
    created = set()
    for name, code, *rest in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            created.add(name)
        elif error is not TopicAlreadyExistsError:
            detail = rest[0] if rest and rest[0] else error.__name__
            raise TopicUnusable(
                f"{name} could not be created with {copies} copies: {detail}; create it by hand with the settings "
                "of the documentation, or let this user create topics"
            )
    return created


async def _wait_for_leaders(admin: Any, names: Sequence[str], deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while True:
        described = await _described(admin, names)
        waiting = [
            name
            for name in names
            if not described.get(name) or any(partition["leader"] < 0 for partition in described[name])
        ]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise LogUnreachable(f"{', '.join(waiting)}: no leader after {deadline_s:g} s")
        await asyncio.sleep(0.05)


async def _settings(admin: Any, names: Sequence[str]) -> dict[str, Mapping[str, str] | None]:
    """Return every setting of each topic; None where we may not ask."""
    found: dict[str, Mapping[str, str] | None] = dict.fromkeys(names)
    if not names:
        return found
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answers = await bounded(admin.describe_configs(resources), _REQUEST_S, "asking for the topics' settings")
    for answer in answers:
        for code, _message, _kind, name, entries in answer.resources:
            if code == 0:
                found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _check(
    access: KafkaAccess,
    topic: WantedTopic,
    partitions: Sequence[Mapping[str, Any]],
    settings: Mapping[str, str] | None,
    copies: int,
) -> list[TopicFinding]:
    findings = _check_partitions(access, topic, partitions, copies)
    if settings is None:
        remedy = (
            "let this user describe the topic's configuration, or compare it with the documentation by hand"
        )
        return [
            *findings,
            TopicFinding(topic.name, "settings", "not readable", "readable", "warning", remedy),
        ]
    at_least = {
        "max.message.bytes": MAX_MESSAGE_BYTES,
        "min.insync.replicas": in_sync(min((len(part["replicas"]) for part in partitions), default=copies)),
    }
    if not topic.compacted:
        at_least["retention.ms"] = topic.least_retention_ms
    for name, least in at_least.items():
        got = settings.get(name, "unknown")
        if got.isdigit() and int(got) < least:  # -1 is "for ever"
            findings.append(_finding(access, topic, name, got, str(least), f"at least {least}", "warning"))
    wanted = topic.settings(copies)
    for name in ("cleanup.policy", "message.timestamp.type", "unclean.leader.election.enable"):
        got = settings.get(name, "unknown")
        allowed = topic.cleanup if name == "cleanup.policy" else (wanted[name],)
        if got not in (*allowed, "unknown"):
            severity = _severity(topic, name)
            findings.append(_finding(access, topic, name, got, wanted[name], wanted[name], severity))
    return findings


def _check_partitions(
    access: KafkaAccess, topic: WantedTopic, partitions: Sequence[Mapping[str, Any]], copies: int
) -> list[TopicFinding]:
    findings = []
    if len(partitions) < topic.partitions:
        remedy = (
            f"kafka-topics.sh --bootstrap-server {access.bootstrap} --alter --topic {topic.name} "
            f"--partitions {topic.partitions}, or set the wanted number to {len(partitions)}"
        )
        got, want = str(len(partitions)), f"at least {topic.partitions}"
        findings.append(TopicFinding(topic.name, "partitions", got, want, "warning", remedy))
    fewest = min((len(partition["replicas"]) for partition in partitions), default=copies)
    if fewest < copies:
        remedy = "add copies with kafka-reassign-partitions.sh: the loss of one broker would lose records"
        findings.append(
            TopicFinding(topic.name, "replication", str(fewest), f"at least {copies}", "warning", remedy)
        )
    return findings


def _severity(topic: WantedTopic, setting: str) -> Literal["error", "warning"]:
    """A wrong clean-up loses the ledger or keeps too little of a stream; both break promises."""
    if setting == "cleanup.policy" or (setting == "message.timestamp.type" and topic.stamped_by_broker):
        return "error"
    return "warning"


def _finding(
    access: KafkaAccess,
    topic: WantedTopic,
    setting: str,
    got: str,
    value: str,
    want: str,
    severity: Literal["error", "warning"],
) -> TopicFinding:
    remedy = (
        f"kafka-configs.sh --bootstrap-server {access.bootstrap} --alter --entity-type topics "
        f"--entity-name {topic.name} --add-config {setting}={value}"
    )
    return TopicFinding(topic.name, setting, got, want, severity, remedy)
