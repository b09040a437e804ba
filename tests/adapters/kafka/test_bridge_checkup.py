"""What a bridge lacks is told topic by topic; who has none is asked nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.adapters.kafka import bridge_checkup
from monitor.adapters.kafka.bridge_checkup import BridgeCheckup
from monitor.adapters.kafka.security import KafkaAccess
from monitor.engine.errors import LogUnreachable

ALL = frozenset({"read", "write", "describe"})
BOTH = {"otlp_spans": 4, "otlp_logs": 4}


class Told(BridgeCheckup):
    """Asks a cluster of so many partitions, with one bridge in its group."""

    counts: Mapping[str, int] | None = BOTH

    async def _asked(self, ask: Callable[[Any], Awaitable[Any]], what: str) -> Any:
        if self.counts is None:
            raise LogUnreachable("connecting: no answer")
        if "group" in what:
            row = (0, "bridges", "Stable", "consumer", "range", ["one"])
            return [SimpleNamespace(groups=[row])]
        return self.counts if "collector" in what else await ask(None)


async def told(
    monkeypatch: pytest.MonkeyPatch,
    counts: Mapping[str, int] | None = BOTH,
    given: Mapping[str, frozenset[str] | None] | None = None,
    *,
    is_wanted: bool = True,
) -> dict[str, Any]:
    async def rights_of(_: Any, topics: list[str]) -> Mapping[str, frozenset[str] | None]:
        return {name: (given or {}).get(name, ALL) for name in topics}

    monkeypatch.setattr(bridge_checkup, "rights_of", rights_of)
    names = "otlp_spans", "otlp_logs", "llm.traces.v1", "bridges"
    checkup = Told(KafkaAccess("kafka:9092"), *names, is_wanted=is_wanted)
    checkup.counts = counts
    return {f"{one.subject} {one.health.value}": one for one in await checkup.ask()}


@pytest.mark.parametrize(
    ("counts", "finding", "words"),
    [
        ({"otlp_logs": 4}, "otlp_spans failed", "the bridge does not start"),
        ({"otlp_spans": 4}, "otlp_logs warning", "spans alone are read"),
        ({"otlp_spans": 4, "otlp_logs": 2}, "otlp_spans warning", "only one bridge can run"),
        (BOTH, "otlp_spans ok", "4 partitions, as otlp_logs"),
    ],
)
async def test_topics_are_told_with_what_they_mean_for_a_bridge(
    counts: dict[str, int], finding: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await told(monkeypatch, counts)
    assert list(found) == [finding, "rights ok", "bridges ok"]
    assert words in found[finding].text
    assert bool(found[finding].remedy) == ("ok" not in finding)


@pytest.mark.parametrize(
    ("topic", "given", "words"),
    [
        ("otlp_spans", {"write", "describe"}, "--operation Read --topic otlp_spans"),
        ("otlp_logs", {"write", "describe"}, "--operation Read --topic otlp_logs"),
        ("llm.traces.v1", {"read", "describe"}, "--operation Write --topic llm.traces.v1"),
    ],
)
async def test_a_lacking_right_is_told_with_its_remedy(
    topic: str, given: set[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await told(monkeypatch, given={topic: frozenset(given)})
    assert words in found[f"{topic} failed"].remedy
    assert "rights ok" not in found


async def test_no_word_of_the_broker_is_no_right(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await told(monkeypatch, given=dict.fromkeys((*BOTH, "llm.traces.v1")))
    assert "rights skipped" in found


@pytest.mark.parametrize("counts", [{}, {"otlp_logs": 4}, None], ids=["nothing", "logs alone", "away"])
async def test_where_nobody_set_a_bridge_up_and_nobody_writes_for_one_it_is_skipped(
    counts: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(await told(monkeypatch, counts, is_wanted=False)) == ["- skipped"]


async def test_a_topic_of_the_collector_is_reason_enough_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "rights ok" in await told(monkeypatch, is_wanted=False)


async def test_kafka_that_is_away_is_a_failure_of_a_bridge_that_is_set_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(LogUnreachable):
        await told(monkeypatch, None)
