"""The monitor where nobody is let in unasked: TLS, SASL, client certificates, the rights of docs/securing.md."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from monitor.adapters.embedded.server import HOST
from monitor.adapters.kafka.security import access_of
from monitor.adapters.kafka.topic_admin import wait_for_kafka
from monitor.adapters.kafka.topics import TRACES
from monitor.adapters.redis.keys import ACL_COMMANDS, ACL_PATTERN
from monitor.adapters.redis.store import RedisStateStore
from monitor.cli import main
from monitor.config.settings_source import load_settings
from monitor.core.decision import Type
from monitor.engine.errors import LogUnreachable, StoreUnreachable
from tests.certificates import KEY_PASSWORD, USER, Certificates, certificates
from tests.integration.secured import (
    PASSWORD,
    SecuredKafka,
    tls_before,
)
from tests.integration.stage import Stage, listening, staged
from tests.integration.traffic import Arm, encode, requests

BUDGET = """\
release: {release}
baseline: {release}-base
window: 24h
rollback_budget:
  safety:
    high_severity_incidents_increase: 0
    action: immediate_rollback
decision:
  tier_a_breach: auto_rollback
  tier_b_breach: incident_commander_decision_within_15m
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def broker(made: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with SecuredKafka(tmp_path_factory.mktemp("secured"), made) as broker:
        yield broker


@pytest.fixture
async def stage(broker: SecuredKafka, tmp_path: Path, unique: str) -> AsyncIterator[Stage]:
    """Return a stage whose tests come in unasked, while the monitor has the rights of the docs."""
    async with staged(broker.bootstrap, tmp_path, unique, partitions=2) as stage:
        for words in documented("kafka-acls.sh"):
            await broker.allow(renamed(words, stage))
        stage.budget("b", BUDGET.format(release=stage.release("chat")))
        yield stage


def documented(command: str) -> list[list[str]]:
    """Return the words behind a command, each time that docs/securing.md has it."""
    lines = (Path(__file__).parents[2] / "docs" / "securing.md").read_text(encoding="utf-8").splitlines()
    return [line.split()[1:] for line in lines if line.startswith(command)]


def renamed(words: list[str], stage: Stage) -> list[str]:
    """Return them with the names that topics and groups have here."""
    names = {TRACES: stage.traces, "rollback-budget": stage.name}
    return [names.get(word, word) for word in words]


def login(broker: SecuredKafka, made: Certificates, mechanism: str) -> dict[str, object]:
    return {
        "kafka_bootstrap": broker.sasl, "kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": mechanism,
        "kafka_username": USER, "kafka_password": PASSWORD, "kafka_ca_file": made.ca,
    }  # fmt: skip


def shown(broker: SecuredKafka, made: Certificates) -> dict[str, object]:
    return {
        "kafka_bootstrap": broker.mutual, "kafka_security_protocol": "SSL", "kafka_ca_file": made.ca,
        "kafka_cert_file": made.cert, "kafka_key_file": made.locked_key, "kafka_key_password": KEY_PASSWORD,
    }  # fmt: skip


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "certificate"])
async def test_an_incident_is_acted_upon_over_a_secured_cluster_and_a_secured_store(
    way: str, stage: Stage, broker: SecuredKafka, made: Certificates
) -> None:
    access = shown(broker, made) if way == "certificate" else login(broker, made, way)
    release = stage.release("chat")
    arms = [Arm(release, 30, incident_at_min=3), Arm(f"{release}-base", 30)]
    start_ms = time.time_ns() // 1_000_000 - 600_000
    events = [encode(one) for one in requests(arms, seed=1, start_ms=start_ms, minutes=7)]
    async with tls_before(stage.valkey.port, made) as port, listening(stage) as heard:
        await let_in(stage, "worker", "open-sesame")
        files = f"ssl_ca_certs={made.ca}&ssl_certfile={made.cert}&ssl_keyfile={made.key}"
        store = f"rediss://worker:open-sesame@{HOST}:{port}/0?{files}"
        worker = stage.worker("w", budgets=stage.budgets, redis_url=store, **access)
        await worker.ready()
        await stage.produce((number % 2, value) for number, value in enumerate(events))
        # Which of them depends on whether the baseline was seen before.
        await heard.until(
            lambda all_: bool(
                all_.of(Type.ROLLBACK_REQUESTED, release) or all_.entry(Type.PAGE_DELIVERED, release)
            ),
            "a rollback, or a page that was delivered",
        )
        await stage.consumed(len(events))
        assert "open-sesame" not in worker.log
        assert PASSWORD not in worker.log
        worker.close()


async def let_in(stage: Stage, user: str, password: str) -> None:
    """Make a user of the store."""
    store: Any
    async with Redis.from_url(stage.valkey.url) as store:
        ((_, _, state, _, *rights),) = documented("ACL ")
        assert rights == [f"~{ACL_PATTERN}", "-@all", *ACL_COMMANDS.split()]
        await store.execute_command("ACL", "SETUSER", user, state, f">{password}", *rights)


async def test_a_store_that_knows_nobody_without_a_certificate_is_named(
    stage: Stage, made: Certificates
) -> None:
    async with tls_before(stage.valkey.port, made) as port:
        bare = f"rediss://{HOST}:{port}/0"
        for url, why in (
            (f"{bare}?ssl_ca_certs={made.ca}", "certificate required|closed|reset"),
            (bare, "certificate verify failed"),
            (bare.replace("rediss", "redis"), "closed|reset|no answer"),
        ):
            store = RedisStateStore(url, deadline_s=2)
            with pytest.raises(StoreUnreachable, match=f"(?i){why}"):
                await store.check()
            await store.close()


def given(monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, object]) -> None:
    """Have these settings, and no others."""
    for name in [name for name in os.environ if name.startswith("ROLLBACK_BUDGET_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        if value is not None:
            monkeypatch.setenv(f"ROLLBACK_BUDGET_{name.upper()}", str(value))


async def findings(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    access: dict[str, object],
) -> dict[str, list[str]]:
    """Return what the doctor says of Kafka, by health."""
    asked = {
        "redis_url": stage.valkey.url, "traces_topic": stage.traces, "traces_partitions": 2, "group": stage.name,
        "kafka_replication": 1, **access,
    }  # fmt: skip
    given(monkeypatch, asked)
    await asyncio.to_thread(main, ["doctor", "--json"])
    said: dict[str, list[str]] = {}
    for one in json.loads(capsys.readouterr().out)["findings"]:
        said.setdefault(one["health"], []).append(f"{one['check']} {one['subject']}: {one['text']}")
    return said


async def test_the_doctor_is_content_with_the_rights_of_the_docs_and_names_one_that_lacks(
    stage: Stage,
    broker: SecuredKafka,
    made: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    access = login(broker, made, "SCRAM-SHA-512")
    said = await findings(stage, monkeypatch, capsys, access)
    assert "failed" not in said, said["failed"]
    (spare,) = (one for one in said["warning"] if one.startswith("rights"))
    assert "a worker need not" in spare  # write trace events
    other = await findings(stage, monkeypatch, capsys, {**access, "group": "of-somebody-else"})
    assert any("of-somebody-else" in one for one in other.get("failed", [])), other


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_every_way_to_log_in_opens_the_door(
    mechanism: str, broker: SecuredKafka, made: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, login(broker, made, mechanism))
    assert await wait_for_kafka(access_of(load_settings())) == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"kafka_password": "wrong"}, "invalid credentials.*kafka_password"),
        ({"kafka_username": "nobody"}, "invalid credentials.*kafka_username"),
        ({"kafka_ca_file": None}, "certificate verify failed.*kafka_ca_file"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ca_file": None}, "kafka_security_protocol"),
        ({"kafka_bootstrap": "PLAINTEXT"}, "is it TLS that this port speaks|is this the port for"),
        ({"kafka_bootstrap": "certificates"}, "ask for a certificate"),
    ],
)
async def test_whoever_is_not_let_in_is_told_why(
    wrong: dict[str, object],
    why: str,
    broker: SecuredKafka,
    made: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors: dict[object, object] = {"PLAINTEXT": broker.bootstrap, "certificates": broker.mutual}
    settings = {**login(broker, made, "SCRAM-SHA-512"), **wrong}
    settings["kafka_bootstrap"] = doors.get(settings["kafka_bootstrap"], settings["kafka_bootstrap"])
    given(monkeypatch, settings)
    with pytest.raises(LogUnreachable, match=f"(?s){why}"):
        await wait_for_kafka(access_of(load_settings()), on_retry=lambda _: None, deadline_s=5)
