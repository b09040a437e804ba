"""`rollback-budget doctor` against a real Kafka and a real Valkey: well, and with one thing broken after the other."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from monitor.adapters.kafka.checkup import KafkaCheckup
from monitor.adapters.kafka.client import stop_client
from monitor.adapters.kafka.topic_admin import ensure_topics
from monitor.adapters.kafka.topics import WantedTopic
from monitor.adapters.redis.checkup import RedisCheckup
from monitor.cli import main
from monitor.engine.checkup import Finding, Health
from tests.integration.stage import Stage, staged

BUDGET = """\
release: {name}-v2
baseline: {name}-v1
window: 24h
owner: answers-team
on_call: ada
rollback_budget: {{quality: {{task_success_delta_pct: -2, max_duration_min: 20}}}}
flag: {{actuator: flagd-file, key: chat, baseline_variation: old, candidate_variation: new}}
"""
FLAG = {"state": "ENABLED", "variants": {"old": "old", "new": "new"}, "defaultVariant": "new"}


@pytest.fixture
async def stage(kafka: str, tmp_path: Path, unique: str) -> AsyncIterator[Stage]:
    async with staged(kafka, tmp_path, unique, partitions=2) as stage:
        yield stage


def set_up(stage: Stage, monkeypatch: pytest.MonkeyPatch, **more: object) -> None:
    for name in [name for name in os.environ if name.startswith("ROLLBACK_BUDGET_")]:
        monkeypatch.delenv(name)
    stage.budget("v2", BUDGET.format(name=stage.name))
    (stage.folder / "flags.json").write_text(json.dumps({"flags": {"chat": FLAG}}))
    settings = {
        "kafka_bootstrap": stage.access.bootstrap,
        "kafka_replication": 1,
        "redis_url": stage.valkey.url,
        "traces_topic": stage.traces,
        "traces_partitions": stage.partitions,
        "group": stage.name,
        "budgets": stage.budgets,
        "flagd_file": stage.folder / "flags.json",
        **more,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"ROLLBACK_BUDGET_{name.upper()}", str(value))


async def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, str]]]:
    code = await asyncio.to_thread(main, ["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


def healths(findings: list[dict[str, str]], check: str) -> dict[str, str]:
    return {one["subject"]: one["health"] for one in findings if one["check"] == check}


async def test_a_whole_installation_is_well_and_a_broken_one_is_told_piece_by_piece(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(stage, monkeypatch)
    code, findings = await doctor(capsys)
    broken = [one for one in findings if one["health"] == "failed"]
    assert not broken, broken
    assert code == 0
    assert {one["check"] for one in findings} == {
        "settings", "budgets", "kafka", "topics", "rights", "workers", "clock", "redis", "flags", "pagers", "bridge"
    }  # fmt: skip
    assert healths(findings, "bridge") == {"-": "skipped"}
    assert healths(findings, "pagers") == {"log": "warning"}
    assert healths(findings, "workers") == {stage.name: "warning"}
    assert set(healths(findings, "clock")) == {"kafka", "redis"}
    assert set(healths(findings, "rights").values()) == {"ok"}

    # Everything at once: a topic that is not there, a replica, a pager without its secret, a flag that is none.
    set_up(stage, monkeypatch, traces_topic=f"{stage.name}-nowhere", pagers="slack")
    (stage.folder / "flags.json").write_text(json.dumps({"flags": {}}))
    async with Redis.from_url(stage.valkey.url) as redis:
        await redis.replicaof("127.0.0.1", 1)  # nobody is there
        await redis.config_set("maxmemory-policy", "allkeys-lru")
    code, findings = await doctor(capsys)
    assert code == 1
    assert healths(findings, "topics")[f"{stage.name}-nowhere"] == "failed"
    told = healths(findings, "redis")
    assert (told["writes"], told["role"], told["eviction"]) == ("failed", "failed", "failed")
    assert healths(findings, "flags") == {"flagd-file chat": "failed"}
    assert healths(findings, "pagers") == {"slack": "failed"}
    assert all(one["remedy"] for one in findings if one["health"] in ("failed", "warning"))
    assert healths(findings, "kafka") == {stage.access.bootstrap: "ok"}


async def test_a_bridge_is_well_when_its_topics_are_there_and_of_one_size(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spans, logs, group = (f"{stage.name}-{what}" for what in ("spans", "logs", "bridge"))
    bridge = {"bridge_spans_topic": spans, "bridge_logs_topic": logs, "bridge_group": group}
    set_up(stage, monkeypatch, **bridge)
    code, findings = await doctor(capsys)
    assert code == 1
    assert healths(findings, "bridge") == {
        "otel-genai.v1": "ok", spans: "failed", "rights": "ok", group: "warning"
    }  # fmt: skip
    assert all(one["remedy"] for one in findings if one["health"] in ("failed", "warning"))
    await ensure_topics(stage.access, [WantedTopic(spans, 2)], 1)
    code, findings = await doctor(capsys)
    assert (code, healths(findings, "bridge")[logs]) == (0, "warning")
    await ensure_topics(stage.access, [WantedTopic(logs, 3)], 1)
    code, findings = await doctor(capsys)
    assert (code, healths(findings, "bridge")[spans]) == (0, "warning")


async def test_a_topic_with_the_wrong_clean_up_fails_and_says_what_to_type(stage: Stage) -> None:
    name = f"{stage.name}-ledger"
    admin = AIOKafkaAdminClient(**stage.access.client_options())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"cleanup.policy": "delete"})])
    finally:
        await stop_client(admin)
    kafka = KafkaCheckup(stage.access, [WantedTopic(name, 1, compacted=True)], stage.name, 1)

    found: Mapping[Any, Finding] = {(one.subject, one.health): one for one in await kafka.topics()}
    wrong = found[name, Health.FAILED]
    assert "cleanup.policy is delete, want compact" in wrong.text
    assert f"--entity-name {name} --add-config cleanup.policy=compact" in wrong.remedy


async def test_a_probe_leaves_no_key_behind(stage: Stage) -> None:
    redis = RedisCheckup(stage.valkey.url)
    found = [*await redis.server(), *await redis.writes()]
    assert {one.health for one in found} <= {Health.OK, Health.WARNING}
    async with Redis.from_url(stage.valkey.url) as client:
        assert await client.keys("rb:doctor:*") == []


async def test_the_checklist_asks_the_same_installation_and_says_what_it_could_not_see(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was ever armed here, and no worker runs: what the ledger says is known, that it is seen is not."""
    set_up(stage, monkeypatch)
    (file,) = stage.budgets.iterdir()
    asked = ["checklist", "--budget", str(file), "--rate", "100/s", "--share", "5%", "--output", "json"]

    async def states() -> dict[str, str]:
        assert await asyncio.to_thread(main, asked) == 0
        return {one["id"]: one["state"] for one in json.loads(capsys.readouterr().out)["items"]}

    seen = await states()
    ready = {"budget_loads", "flag_answers", "last_rollback_verified", "eval_debt_paid", "breaker_closed"}
    assert {name: seen[name] for name in ready} == dict.fromkeys(ready, "ready")
    assert (seen["rehearsed"], seen["pager_answers"]) == ("gap", "gap")
    assert seen["monitor_live"] != "ready"
    assert await asyncio.to_thread(main, [*asked, "--fail-on", "gap"]) == 3
    capsys.readouterr()

    monkeypatch.setenv("ROLLBACK_BUDGET_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    away = await states()
    assert {name for name in away if away[name] == "unknown" and seen[name] != "unknown"} >= {
        "rehearsed", "last_rollback_verified", "eval_debt_paid", "breaker_closed"
    }  # fmt: skip
    assert (away["budget_loads"], away["flag_answers"]) == ("ready", "ready")
