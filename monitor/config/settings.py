"""The settings of a worker: environment variables `ROLLBACK_BUDGET_*`, or a file; the environment wins."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import SettingsConfigDict

from monitor.config.bridge_settings import BridgeSettings
from monitor.config.command_keys import MIN_CHARS, KeysInvalid, key_of, keys_of
from monitor.config.kafka_settings import KafkaSettings
from monitor.config.masking import MASK, masked_url, parsed_url
from monitor.config.setting_values import (
    KafkaName,
    Listed,
    Networks,
    Pagers,
    QuietPagers,
    Url,
    Urls,
    http_url,
    refuse,
)
from monitor.core.storm import StormLimit

PREFIX: Final = "ROLLBACK_BUDGET_"
_NEEDS_URL: Final = (
    ("actuator_webhook_secret", "actuator_webhook_url"),
    ("actuator_webhook_verify_url", "actuator_webhook_url"),
    ("pager_webhook_secret", "pager_webhook_url"),
    ("alertmanager_token", "alertmanager_urls"),
    ("slack_token", "slack_channel"),
    ("slack_channel", "slack_token"),
    ("slack_mention", "slack_token"),
    ("flagd_http_token", "flagd_http_url"),
    ("flipt_token", "flipt_url"),
    ("gofeatureflag_token", "gofeatureflag_url"),
    ("gofeatureflag_url", "gofeatureflag_file"),
    ("unleash_token", "unleash_url"),
)
_CLOCK_MAP: Final = ("event_time_speed", "event_time_origin_ms", "wall_origin_ms")


class Settings(KafkaSettings, BridgeSettings):
    """Everything about a worker that is not a budget. Build it with `monitor.config.settings_source.load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # a variable that a compose file passes on without a value is not set
        enable_decoding=False,  # lists come with commas, not as JSON
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    traces_topic: KafkaName = Field("llm.traces.v1", description="Where trace events come from.")
    traces_partitions: int = Field(
        8, ge=1, le=10_000, description="Partitions of that topic where we create it."
    )
    group: KafkaName = Field("rollback-budget", description="The workers' Kafka consumer group.")
    worker_id: KafkaName = Field(
        default_factory=socket.gethostname,
        description="This worker's name, the same after a restart; by default the host's name.",
    )
    session_timeout_ms: int = Field(
        10_000,
        ge=6_000,
        le=1_800_000,
        description="Silence after which Kafka gives a worker's partitions away.",
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis or Valkey: redis://, rediss://, unix://; +cluster: a node of a cluster.",
    )
    flush_interval_ms: int = Field(
        1_000, ge=50, le=60_000, description="How often state is written to Redis."
    )
    lease_ttl_ms: int = Field(
        10_000,
        ge=1_000,
        le=600_000,
        description="How long the right to evaluate a release outlives its holder.",
    )
    breaker_max_rollbacks: int = Field(
        50,
        ge=0,
        le=100_000,
        description="Automatic rollbacks of all releases within `breaker_within_min`; beyond it people are paged "
        "instead. 0: no limit. The same for every worker.",
    )
    breaker_within_min: int = Field(
        60, ge=1, le=10_080, description="The minutes of event time in which they are counted."
    )
    seen_ids_max: int = Field(
        1_000_000, ge=1_000, le=1_000_000, description="Event ids a worker remembers to recognise duplicates."
    )
    budgets: Listed = Field([], description="Budget files or directories, with commas between.")
    start_from: Literal["window", "earliest", "latest"] = Field(
        "window",
        description="Where a new group begins: one budget window back, the oldest event, or the newest.",
    )
    cdevents: bool = Field(
        False, description="Publish pages and rollbacks as CDEvents too, on rollback.cdevents.v1."
    )
    cdevents_environment: str = Field(
        "production", min_length=1, max_length=128, description="The environment that CDEvents name."
    )
    cdevents_ticket_url: Url | None = Field(
        None,
        description="Where a page is followed up, with {page} and {release} in it; then a page is `reported` too.",
    )
    http_host: str = Field("127.0.0.1", min_length=1, description="Where the console and the probes listen.")
    http_port: int = Field(6066, ge=0, le=65_535, description="Their port; 0 takes a free one.")
    api_token: SecretStr | None = Field(
        None,
        description="Opens the console and the HTTP API for orders to whoever has it; unset: neither is there.",
    )
    event_time_speed: float = Field(
        1.0, gt=0, le=100_000, description="Demos: minutes of event time in a minute of record time."
    )
    event_time_origin_ms: int | None = Field(
        None, ge=0, description="Demos: the event time at `wall_origin_ms`."
    )
    wall_origin_ms: int | None = Field(
        None, ge=0, description="Demos: the record time at `event_time_origin_ms`."
    )
    flagd_file: Path | None = Field(
        None, description="The flag file that flagd watches; a rollback rewrites it."
    )
    flagd_http_url: SecretStr | None = Field(
        None, description="The JSON document that flagd's HTTP source reads; a rollback writes it there."
    )
    flagd_http_token: SecretStr | None = Field(
        None, description="Its bearer token, or the whole `Authorization` header; may read and write."
    )
    actuator_webhook_url: SecretStr | None = Field(None, description="Called to serve the baseline.")
    actuator_webhook_secret: SecretStr | None = Field(None, description="Signs those calls.")
    actuator_webhook_verify_url: SecretStr | None = Field(
        None, description="Where the flag's state is read back; without it the call's answer must hold it."
    )
    unleash_url: Url | None = Field(None, description="Unleash, such as https://unleash.example.org.")
    unleash_token: SecretStr | None = Field(None, description="Its Admin API token.")
    launchdarkly_url: Url = Field(
        "https://app.launchdarkly.com", description="LaunchDarkly; other regions have other addresses."
    )
    launchdarkly_token: SecretStr | None = Field(None, description="Its API access token; may change flags.")
    launchdarkly_context_kind: str = Field(
        "user", min_length=1, description="The context kind whose attributes the cohorts' dimensions are."
    )
    growthbook_url: Url = Field(
        "https://api.growthbook.io", description="GrowthBook's API; a self-hosted one has its own address."
    )
    growthbook_token: SecretStr | None = Field(None, description="Its secret key or personal access token.")
    flipt_url: Url | None = Field(None, description="Flipt 2, such as https://flipt.example.org.")
    flipt_token: SecretStr | None = Field(None, description="Its client token or JWT.")
    statsig_url: Url = Field("https://statsigapi.net", description="Statsig's Console API.")
    statsig_token: SecretStr | None = Field(None, description="Its Console API key.")
    posthog_url: Url = Field(
        "https://us.posthog.com", description="PostHog; the EU's and a self-hosted one have other addresses."
    )
    posthog_token: SecretStr | None = Field(
        None, description="Its personal API key; may write feature flags."
    )
    gofeatureflag_file: Path | None = Field(
        None, description="The flag file that GO Feature Flag polls, .yaml or .json; a rollback rewrites it."
    )
    gofeatureflag_url: Url | None = Field(None, description="The relay proxy that is then told to read it.")
    gofeatureflag_token: SecretStr | None = Field(None, description="Its admin key, where it asks for one.")
    pager_webhook_url: SecretStr | None = Field(None, description="Called to reach the commander.")
    pager_webhook_secret: SecretStr | None = Field(None, description="Signs those calls.")
    pagers: Pagers = Field(
        [], description="Which pagers are told; by default every one that is set up, else the log."
    )
    command_keys: SecretStr | None = Field(
        None, description="The commanders' keys, a line `author = key` each: orders are checked by them."
    )
    require_signed_commands: bool = Field(
        False, description="Obey only orders that are signed by one of those keys."
    )
    command_key: SecretStr | None = Field(
        None, description="Your own key: orders that you give on the command line are signed by it."
    )
    escalation_pagers: QuietPagers = Field(
        [], description="Which pagers hear of a page only when a budget's `escalation` names them."
    )
    page_link: Url | None = Field(
        None, description="Where pages lead: a URL in which {release} and {page_id} stand for the page's."
    )
    alertmanager_urls: Urls = Field(
        [],
        description="Alertmanager, such as http://alertmanager:9093; with commas the peers of one cluster.",
    )
    alertmanager_token: SecretStr | None = Field(None, description="A bearer token, for a proxy before it.")
    pagerduty_url: Url = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="Its Events API v2; EU accounts have their own.",
    )
    pagerduty_routing_key: SecretStr | None = Field(
        None, description="The key of a service's Events API v2 integration."
    )
    slack_url: Url = Field("https://slack.com/api", description="Slack's Web API.")
    slack_token: SecretStr | None = Field(
        None, description="A bot token with chat:write and channels:history (private: groups:history)."
    )
    slack_channel: str | None = Field(
        None, min_length=1, max_length=80, description="The channel's id, such as C0123456789."
    )
    slack_mention: str | None = Field(
        None, max_length=80, description="Whom a page notifies there, such as <!here> or <!subteam^S0123>."
    )
    apprise_urls: SecretStr | None = Field(
        None, description="Apprise URLs of all other services, with white space between."
    )
    webhook_allow_private: Networks = Field(
        False,
        description="Webhooks, flag and paging systems may be at private and loopback addresses, even without TLS: "
        "true, or the networks with commas between, such as 10.2.0.0/16. Metadata addresses are never called.",
    )
    watch_every_s: float = Field(
        10.0, ge=1, le=60, description="`watch`: seconds between two canary events of a partition."
    )
    watch_delay_s: float = Field(
        30.0, ge=1, le=600, description="`watch`: a canary that takes longer to be stored is paged."
    )
    watch_silence_s: float = Field(
        30.0,
        ge=1,
        le=600,
        description="`watch`: so long without a sign of any worker, or of Kafka, is paged.",
    )
    watch_blind_s: float = Field(
        300.0, ge=0, le=86_400, description="`watch`: a blindness that stands longer is paged once more."
    )
    watch_ping_url: SecretStr | None = Field(
        None, description="`watch`: asked for while all is well, for a dead-man's switch outside."
    )
    watch_ping_every_s: float = Field(30.0, ge=1, le=3_600, description="`watch`: seconds between two pings.")
    otlp_endpoint: str | None = Field(None, description="An OpenTelemetry collector, OTLP over HTTP.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is worth a line."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: for people on a terminal, JSON elsewhere."
    )

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        schemes = "redis", "rediss", "unix", "redis+cluster", "rediss+cluster"
        if parsed_url(value.get_secret_value(), schemes) is None:
            raise refuse(
                "write a URL such as redis://127.0.0.1:6379/0, rediss://..., redis+cluster://... or unix:///path"
            )
        return value

    @field_validator(
        "actuator_webhook_url", "actuator_webhook_verify_url", "pager_webhook_url", "watch_ping_url"
    )
    @classmethod
    def _webhook(cls, value: SecretStr | None) -> SecretStr | None:
        return value and SecretStr(http_url(value.get_secret_value()))

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str | None) -> str | None:
        return value and http_url(value)

    @field_validator("api_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_CHARS:
            raise refuse(f"too short to keep anybody out; use {MIN_CHARS} characters or more")
        return value

    @field_validator("command_keys", "command_key")
    @classmethod
    def _keys(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        try:
            if value is not None:
                (keys_of if info.field_name == "command_keys" else key_of)(value.get_secret_value())
        except KeysInvalid as problem:
            raise refuse(str(problem)) from None  # what it names is safe, what it comes from may not be
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Check what settings say about each other; all of it in one message, a line each."""
        problems = (
            *self._key_problems(),
            *self.access_problems(),
            *self._webhook_problems(),
            *self._clock_problems(),
        )
        if problems:
            raise PydanticCustomError("settings", "{message}", {"message": "\n".join(problems)})
        return self

    def _key_problems(self) -> list[str]:
        if self.require_signed_commands and self.command_keys is None:
            return ["require_signed_commands: no order could be obeyed without command_keys; set both"]
        return []

    def _webhook_problems(self) -> list[str]:
        return [
            f"{name}: has no effect without {url}; set both, or remove it"
            for name, url in _NEEDS_URL
            if getattr(self, name) is not None and not getattr(self, url)
        ]

    def _clock_problems(self) -> list[str]:
        missing = [name for name in _CLOCK_MAP if name not in self.model_fields_set]
        if 0 < len(missing) < len(_CLOCK_MAP):
            return [f"{name}: missing; set all three of {', '.join(_CLOCK_MAP)}, or none" for name in missing]
        return []

    @property
    def storm(self) -> StormLimit:
        """How many automatic rollbacks are no storm."""
        return StormLimit(self.breaker_max_rollbacks, self.breaker_within_min)

    def masked(self) -> dict[str, object]:
        """Return every setting by name as it may be printed: no password, no token, no signing secret."""
        return {name: _shown(name, getattr(self, name)) for name in type(self).model_fields}


def secret_names() -> tuple[str, ...]:
    """Return the settings that hold secrets; each may also come from a file named by `<NAME>_FILE`."""
    return tuple(
        name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
    )


def _shown(name: str, value: object) -> object:
    if isinstance(value, SecretStr):
        return (
            masked_url(value.get_secret_value(), path=name != "redis_url") if name.endswith("_url") else MASK
        )
    if (name == "otlp_endpoint" or name.endswith("_url")) and isinstance(value, str):
        return masked_url(value, path=False)
    if name.endswith("_urls") and isinstance(value, list):
        return [masked_url(url, path=False) for url in value]
    if isinstance(value, tuple):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path) else value
