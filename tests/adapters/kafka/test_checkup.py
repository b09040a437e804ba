"""What a user may not do with the topics is told topic by topic, with the command that allows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from monitor.adapters.kafka import checkup
from monitor.adapters.kafka.checkup import KafkaCheckup
from monitor.adapters.kafka.rights import _rights
from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topics import BUDGETS, DECISIONS, LEDGER, TRACES, product_topics
from monitor.engine.checkup import Health

ALL = frozenset({"read", "write", "describe"})
NAMES = [topic.name for topic in product_topics()]


class Told(KafkaCheckup):
    async def _asked(self, ask: Callable[[Any], Awaitable[Any]], what: str) -> Any:
        return await ask(None)


async def told(given: Mapping[str, frozenset[str] | None], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    async def rights_of(_: Any, topics: list[str]) -> Mapping[str, frozenset[str] | None]:
        return {name: given.get(name, ALL) for name in topics}

    monkeypatch.setattr(checkup, "rights_of", rights_of)
    found = await Told(KafkaAccess("kafka:9092"), product_topics(), "group").rights()
    return {f"{one.subject} {one.health.value}": one for one in found}


@pytest.mark.parametrize(
    ("topic", "given", "health", "words"),
    [
        (LEDGER, {"read", "describe"}, "failed", "--operation Write --topic rollback.ledger.v1"),
        (DECISIONS, {"read", "describe"}, "failed", "--operation Write"),
        (TRACES, {"write", "describe"}, "failed", "--operation Read"),
        (TRACES, {"read", "describe"}, "warning", "--operation Write"),
        (BUDGETS, {"read", "describe"}, "warning", "--operation Write"),
    ],
)
async def test_a_lacking_right_is_told_with_its_remedy(
    topic: str, given: set[str], health: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await told({topic: frozenset(given)}, monkeypatch)
    assert list(found) == [f"{topic} {health}"]
    assert words in found[f"{topic} {health}"].remedy


async def test_all_rights_are_one_line_and_no_word_is_no_right(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.health for one in (await told({}, monkeypatch)).values()] == [Health.OK]
    found = await told(dict.fromkeys(NAMES), monkeypatch)
    assert [one.health for one in found.values()] == [Health.SKIPPED]


def test_the_brokers_bits_are_read() -> None:
    assert _rights(0, 1 << 3 | 1 << 8) == frozenset({"read", "describe"})
    assert _rights(29, 0) == frozenset()
    assert _rights(3, 0) is None
    assert _rights(0, -(2**31)) is None
