"""Topics are created as the contract says, and what is wrong with existing ones is said with its remedy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from monitor.adapters.kafka.security import KafkaAccess
from monitor.adapters.kafka.topic_admin import ensure_topics, wait_for_kafka
from monitor.adapters.kafka.topics import CLOCK, LEDGER, TRACES, WantedTopic, product_topics
from monitor.config.tls import TlsFiles
from monitor.engine.errors import LogUnreachable, TopicUnusable

DAY_MS = 86_400_000


async def create(access: KafkaAccess, name: str, partitions: int, **settings: str) -> None:
    admin = AIOKafkaAdminClient(**access.client_options())
    await admin.start()
    named = {key.replace("_", "."): value for key, value in settings.items()}
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=named)])
    await admin.close()


async def test_every_topic_of_the_product_is_created_as_wanted(access: KafkaAccess, unique: str) -> None:
    """Creating says nothing, and so does looking at them afterwards."""
    wanted = product_topics(traces=unique, trace_partitions=4)
    assert await ensure_topics(access, wanted) == []
    assert await ensure_topics(access, wanted) == []


async def test_two_workers_may_create_them_at_once(access: KafkaAccess, unique: str) -> None:
    wanted = [WantedTopic(f"{unique}-{number}", 2) for number in range(6)]
    found = await asyncio.gather(*(ensure_topics(access, wanted) for _ in range(3)))
    assert found == [[], [], []]


@pytest.mark.parametrize(
    ("topic", "policy", "partitions"),
    [
        (topic.name, "compact" if topic.compacted else "delete", topic.partitions)
        for topic in product_topics()
    ],
)
def test_the_contract_says_which_topics_are_compacted(topic: str, policy: str, partitions: int) -> None:
    compacted = {"rollback.ledger.v1", "rollback.history.v1", "rollback.budgets.v1"}
    assert (policy == "compact") == (topic in compacted)
    assert partitions == (8 if topic == TRACES else partitions)
    assert 1 <= partitions <= 8


def test_every_topic_is_stamped_by_the_broker_and_outputs_are_kept_a_week() -> None:
    for topic in product_topics():
        settings = topic.settings(3)
        assert settings["message.timestamp.type"] == "LogAppendTime"
        assert settings["min.insync.replicas"] == "2"
        assert settings["unclean.leader.election.enable"] == "false"
        if topic.name.split(".")[1] in ("decisions", "requests", "pages", "eval-debt", "commands"):
            assert int(settings["retention.ms"]) >= 7 * DAY_MS
    assert product_topics()[0].settings(1)["min.insync.replicas"] == "1"


@pytest.mark.parametrize(
    ("wanted", "settings", "setting", "severity", "remedy"),
    [
        (
            WantedTopic(LEDGER, 1, compacted=True),
            {"cleanup_policy": "delete"},
            "cleanup.policy",
            "error",
            "--add-config cleanup.policy=compact",
        ),
        (
            WantedTopic(TRACES, 1),
            {"message_timestamp_type": "CreateTime"},
            "message.timestamp.type",
            "warning",
            "--add-config message.timestamp.type=LogAppendTime",
        ),
        (
            WantedTopic(CLOCK, 1, stamped_by_broker=True),
            {"message_timestamp_type": "CreateTime"},
            "message.timestamp.type",
            "error",
            "--add-config message.timestamp.type=LogAppendTime",
        ),
        (
            WantedTopic("t", 1),
            {"retention_ms": str(DAY_MS)},
            "retention.ms",
            "warning",
            "retention.ms=604800000",
        ),
        (
            WantedTopic("t", 1),
            {"max_message_bytes": "1000"},
            "max.message.bytes",
            "warning",
            "--add-config max.message.bytes=1048576",
        ),
        (WantedTopic("t", 5), {}, "partitions", "warning", "--partitions 5"),
        (
            WantedTopic("t", 1),
            {"unclean_leader_election_enable": "true"},
            "unclean.leader.election.enable",
            "warning",
            "unclean.leader.election.enable=false",
        ),
    ],
)
async def test_what_is_wrong_with_a_topic_is_named_with_its_remedy(
    access: KafkaAccess,
    unique: str,
    wanted: WantedTopic,
    settings: dict[str, str],
    setting: str,
    severity: str,
    remedy: str,
) -> None:
    name = f"{unique}-{wanted.name}"
    base = {
        "message_timestamp_type": "LogAppendTime",
        "cleanup_policy": "compact" if wanted.compacted else "delete",
    }
    await create(access, name, 1, **{**base, **settings})
    like = WantedTopic(
        name, wanted.partitions, compacted=wanted.compacted, stamped_by_broker=wanted.stamped_by_broker
    )
    (finding,) = await ensure_topics(access, [like])
    assert (finding.topic, finding.setting, finding.severity) == (name, setting, severity)
    assert remedy in finding.remedy
    assert finding.got != finding.want
    assert name in str(finding)


async def test_errors_come_before_warnings_and_nothing_is_changed(access: KafkaAccess, unique: str) -> None:
    await create(access, unique, 1, message_timestamp_type="CreateTime", cleanup_policy="compact")
    for _ in range(2):
        findings = await ensure_topics(access, [WantedTopic(unique, 1)])
        assert [finding.severity for finding in findings] == ["error", "warning"]


async def test_keeping_for_ever_is_long_enough(access: KafkaAccess, unique: str) -> None:
    await create(access, unique, 1, message_timestamp_type="LogAppendTime", retention_ms="-1")
    assert await ensure_topics(access, [WantedTopic(unique, 1)]) == []


async def test_a_topic_that_cannot_be_created_says_why(access: KafkaAccess, unique: str) -> None:
    with pytest.raises(TopicUnusable, match="could not be created with 5 copies"):
        await ensure_topics(access, [WantedTopic(unique, 1)], replication=5)


async def test_a_broker_that_answers_is_counted(access: KafkaAccess) -> None:
    assert await wait_for_kafka(access) >= 1


async def test_a_missing_broker_is_named_at_each_try_and_at_the_end(
    capfd: pytest.CaptureFixture[str],
) -> None:
    address = "127.0.0.1:1"  # nobody is there
    said: list[str] = []
    twice = asyncio.Event()

    def tell(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            twice.set()

    waiting = asyncio.create_task(wait_for_kafka(KafkaAccess(address), tell, deadline_s=600))
    await asyncio.wait_for(twice.wait(), 120)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert all(address in text and "next try" in text for text in said)
    with pytest.raises(LogUnreachable, match=r"advertised\.listeners") as unreachable:
        await wait_for_kafka(KafkaAccess(address), said.append, deadline_s=0)
    assert address in str(unreachable.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"bootstrap": " "}, "empty"),
        ({"security_protocol": "TLS"}, "no security protocol"),
        ({"security_protocol": "SASL_SSL"}, "no SASL mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "user name"),
        ({"security_protocol": "SSL", "username": "u"}, "did you mean SASL_SSL"),
        ({"username": "u"}, "did you mean SASL_PLAINTEXT"),
    ],
)
def test_an_impossible_access_is_refused(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        KafkaAccess(**{"bootstrap": "b:1", **wrong})  # type: ignore[arg-type]


def test_the_password_is_in_no_text_and_in_the_options() -> None:
    access = KafkaAccess("a:1, b:2", "SASL_PLAINTEXT", "SCRAM-SHA-512", "me", "hush")
    assert "hush" not in repr(access)
    assert access.client_options() == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "hush",
    }


def test_tls_checks_the_brokers_name(tmp_path: Path) -> None:
    context = KafkaAccess("b:1", "SSL").client_options()["ssl_context"]
    assert context.check_hostname
    with pytest.raises(ValueError, match="PEM"):
        KafkaAccess("b:1", "SSL", tls=TlsFiles(tmp_path / "missing.pem")).client_options()
