"""Shared by the tests against a real Kafka: access, fresh topics, and a broker of one's own to kill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pytest

from monitor.adapters.embedded.kafka import EmbeddedKafka
from monitor.adapters.kafka.client import tame_library_logs
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic

MakeTopic = Callable[[int], Awaitable[str]]


@pytest.fixture(autouse=True)
def tame_logs() -> None:
    """As the product does: a broker that is away fills no report."""
    tame_library_logs()


@pytest.fixture
def access(kafka: str) -> KafkaAccess:
    return KafkaAccess(kafka)


@pytest.fixture
def make_topic(access: KafkaAccess, unique: str) -> MakeTopic:
    """Makes the test's topic with so many partitions."""

    async def make(partitions: int) -> str:
        await ensure_topics(access, [WantedTopic(unique, partitions)])
        return unique

    return make


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("own-kafka")) as broker:
        yield broker
