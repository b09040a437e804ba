"""All that `doctor` asks, from the settings and the budgets: nothing of it is waited for in turn.

Loaded by the verb when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.adapters.flags.checkup import flag_checks
from monitor.adapters.kafka.bridge_checkup import BridgeCheckup
from monitor.adapters.kafka.checkup import KafkaCheckup, skew_finding
from monitor.adapters.kafka.security import access_of
from monitor.adapters.kafka.topics import product_topics
from monitor.adapters.pagers.checkup import PagersCheckup
from monitor.adapters.redis.checkup import RedisCheckup
from monitor.config.bridge_settings import BridgeSettings
from monitor.config.files import check_budgets
from monitor.config.mapping_file import MappingInvalid, load_mapping
from monitor.config.problem import Severity
from monitor.config.settings import Settings
from monitor.config.settings_source import SettingsInvalid, read_settings
from monitor.core.budget import Budget
from monitor.engine.checkup import Check, Finding, examine, failed, ok, skipped, warning

_KAFKA_REMEDY = (
    "is kafka_bootstrap right, are the brokers up, and their advertised.listeners reachable from here?"
)
_REDIS_REMEDY = "is redis_url right, and the server up?"


async def all_findings() -> list[Finding]:
    """Return everything that was found; what the settings leave unasked is said to be skipped."""
    try:
        loaded = read_settings()
    except SettingsInvalid as invalid:
        remedy = "correct it; `rollback-budget settings` shows what is in force"
        said = [failed("settings", one.path_in_file, str(one), remedy) for one in invalid.problems]
        return [*said, skipped("everything else", "-", "asked once the settings can be used")]
    settings = loaded.settings
    found = [warning("settings", "-", text, "remove or rename it") for text in loaded.strangers]
    found = found or [ok("settings", "-", "all of them can be used, secrets and their files included")]
    told, budgets = _budgets(settings)
    return [*found, *told, *_mapping(settings), *await examine(_checks(settings, budgets))]


def _budgets(settings: Settings) -> tuple[list[Finding], list[Budget]]:
    if not settings.budgets:
        text = "no budget files are configured: workers watch what is published on rollback.budgets.v1 alone"
        remedy = "set budgets to files or a directory, or publish budgets"
        return [warning("budgets", "-", text, remedy)], []
    told: list[Finding] = []
    budgets: list[Budget] = []
    for report in check_budgets(settings.budgets):
        worst = [one for one in report.problems if one.severity is Severity.ERROR]
        if report.budget is None:
            remedy = f"rollback-budget validate {report.file}"
            told.append(failed("budgets", report.file, "; ".join(map(str, worst)), remedy))
            continue
        budgets.append(report.budget)
        if report.problems:
            text = "; ".join(f"{one.path_in_file}: {one.message}" for one in report.problems)
            told.append(warning("budgets", report.file, text, f"rollback-budget validate {report.file}"))
        else:
            told.append(
                ok("budgets", report.file, f"{report.budget.release} against {report.budget.baseline}")
            )
    return told, budgets


def _checks(settings: Settings, budgets: Sequence[Budget]) -> list[Check]:
    return [
        *_kafka(settings),
        _bridge(settings),
        *_redis(settings),
        *flag_checks(settings, budgets),
        *pager_checks(settings),
    ]


def _kafka(settings: Settings) -> list[Check]:
    wanted = product_topics(
        traces=settings.traces_topic,
        trace_partitions=settings.traces_partitions,
        cdevents=settings.cdevents,
    )
    kafka = KafkaCheckup(access_of(settings), wanted, settings.group, settings.kafka_replication)
    where = settings.kafka_bootstrap
    return [
        Check("kafka", where, kafka.broker, _KAFKA_REMEDY),
        Check("topics", where, kafka.topics, _KAFKA_REMEDY),
        Check("rights", where, kafka.rights, _KAFKA_REMEDY),
        Check("workers", settings.group, kafka.workers, _KAFKA_REMEDY),
        Check("clock", "kafka", kafka.clock, _KAFKA_REMEDY),
    ]


def _has_bridge(settings: Settings) -> bool:
    """Whether somebody has set a bridge up; with its defaults alone, the collector's topic says so."""
    return not settings.model_fields_set.isdisjoint(BridgeSettings.model_fields)


def _mapping(settings: Settings) -> list[Finding]:
    if not _has_bridge(settings):
        return []
    try:
        mapping = load_mapping(settings.bridge_mapping)
    except MappingInvalid as invalid:
        remedy = "correct it, or set bridge_mapping to one that is shipped: docs/otlp.md"
        return [failed("bridge", settings.bridge_mapping, "; ".join(map(str, invalid.problems)), remedy)]
    return [ok("bridge", settings.bridge_mapping, f"{mapping.name} maps {len(mapping.fields)} fields")]


def _bridge(settings: Settings) -> Check:
    bridge = BridgeCheckup(
        access_of(settings),
        settings.bridge_spans_topic,
        settings.bridge_logs_topic,
        settings.traces_topic,
        settings.bridge_group,
        is_wanted=_has_bridge(settings),
    )
    return Check("bridge", settings.bridge_group, bridge.ask, _KAFKA_REMEDY)


def _redis(settings: Settings) -> list[Check]:
    redis = RedisCheckup(settings.redis_url.get_secret_value())

    async def clock() -> Sequence[Finding]:
        return [skew_finding("redis", *await redis.clock())]

    return [
        Check("redis", "server", redis.server, _REDIS_REMEDY),
        Check("redis", "writes", redis.writes, _REDIS_REMEDY),
        Check("clock", "redis", clock, _REDIS_REMEDY),
    ]


def pager_checks(settings: Settings) -> list[Check]:
    """Return a question to every pager that would be told."""
    pagers = PagersCheckup(settings)

    def check(name: str) -> Check:
        async def ask() -> Sequence[Finding]:
            return await pagers.ask(name)

        return Check("pagers", name, ask, "is the paging system's address right?")

    return [check(name) for name in pagers.names()]
