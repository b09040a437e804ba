"""Settings: the environment wins over the file, every problem names its variable, and no secret is ever printed."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from monitor.config.masking import MASK, masked_url
from monitor.config.settings import Settings, secret_names
from monitor.config.settings_source import SettingsInvalid, load_settings, read_settings, variable_of
from tests.certificates import certificates

P = "ROLLBACK_BUDGET_"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith(P):
            monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(P + name, value)


def problems() -> str:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    return str(caught.value)


def test_the_defaults_are_one_machine() -> None:
    settings = load_settings()
    assert (settings.kafka_bootstrap, settings.http_host, settings.http_port) == (
        "127.0.0.1:9092",
        "127.0.0.1",
        6066,
    )
    assert (settings.traces_topic, settings.group) == ("llm.traces.v1", "rollback-budget")
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.worker_id == socket.gethostname()
    assert (settings.kafka_replication, settings.start_from, settings.seen_ids_max) == (
        None,
        "window",
        1_000_000,
    )
    assert (settings.event_time_speed, settings.event_time_origin_ms, settings.wall_origin_ms) == (
        1.0,
        None,
        None,
    )


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("group: from-file\nhttp_port: 7000\nbudgets: [a.yaml, b]\n", encoding="utf-8")
    given(monkeypatch, SETTINGS_FILE=str(file), HTTP_PORT="8000", KAFKA_CA_FILE="")
    loaded = read_settings()
    assert (loaded.settings.group, loaded.settings.http_port) == ("from-file", 8000)
    assert loaded.settings.budgets == ["a.yaml", "b"]
    assert loaded.origins == {"group": str(file), "budgets": str(file), "http_port": f"{P}HTTP_PORT"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "s.yaml",
            "http_port: 7000\nbudgets: [a]\nevent_time_speed: 60\nevent_time_origin_ms: 5\nwall_origin_ms: 6\n",
        ),
        (
            "s.toml",
            'http_port = 7000\nbudgets = ["a"]\nevent_time_speed = 60\nevent_time_origin_ms = 5\nwall_origin_ms = 6\n',
        ),
        (
            "s.json",
            json.dumps(
                {
                    "http_port": 7000,
                    "budgets": ["a"],
                    "event_time_speed": 60,
                    "event_time_origin_ms": 5,
                    "wall_origin_ms": 6,
                }
            ),
        ),
    ],
)
def test_a_settings_file_is_yaml_toml_or_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    given(monkeypatch, SETTINGS_FILE=str(tmp_path / name))
    settings = load_settings()
    assert (settings.http_port, settings.budgets) == (7000, ["a"])
    assert (settings.event_time_speed, settings.event_time_origin_ms, settings.wall_origin_ms) == (60.0, 5, 6)


def test_lists_come_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, BUDGETS="budgets/, more/chat.yaml ,", KAFKA_BOOTSTRAP="a:1, [::1]:9092")
    settings = load_settings()
    assert settings.budgets == ["budgets/", "more/chat.yaml"]
    assert settings.kafka_bootstrap == "a:1,[::1]:9092"


KEY = "0123456789abcdef" * 4
KEPT_LONG = ("api_token", "command_key")  # what is short can be guessed


@pytest.mark.parametrize(
    ("given_keys", "says"),
    [
        ({"COMMAND_KEYS": "ada = planted"}, "line 1: the key of ada has 7 characters; use 32 or more"),
        ({"COMMAND_KEYS": f"# all\nada={KEY}\nada={KEY}"}, "line 3: ada has a key already"),
        ({"COMMAND_KEYS": f"planted{KEY}"}, "line 1: write `author = key`"),
        ({"COMMAND_KEYS": "# nobody"}, "no key in it"),
        ({"COMMAND_KEY": "planted"}, "the key has 7 characters"),
        ({"API_TOKEN": "planted"}, "too short to keep anybody out"),
        ({"REQUIRE_SIGNED_COMMANDS": "true"}, "no order could be obeyed without command_keys"),
    ],
)
def test_keys_that_keep_nobody_out(
    monkeypatch: pytest.MonkeyPatch, given_keys: dict[str, str], says: str
) -> None:
    given(monkeypatch, **given_keys)
    said = problems()
    assert says in said
    assert "planted" not in said


def test_every_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = certificates(tmp_path / "tls", key_password="s3cret")
    for name in secret_names():
        url = "redis://h\n" if name == "redis_url" else "http://h/x\n"
        said = (
            f"ada = {KEY}\n" if name == "command_keys" else f"{KEY}\n" if name in KEPT_LONG else "s3cret\r\n"
        )
        (tmp_path / name).write_text(url if name.endswith("_url") else said, encoding="utf-8")
        monkeypatch.setenv(f"{variable_of(name)}_FILE", str(tmp_path / name))
    given(
        monkeypatch,
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_MECHANISM="PLAIN",
        KAFKA_USERNAME="monitor",
        KAFKA_CERT_FILE=str(made.cert),
        KAFKA_KEY_FILE=str(made.locked_key),
        ALERTMANAGER_URLS="http://alertmanager:9093",
        FLIPT_URL="http://flipt:8080",
        GOFEATUREFLAG_FILE="flags.yaml",
        GOFEATUREFLAG_URL="http://relay:1031",
        UNLEASH_URL="http://unleash:4242",
        SLACK_CHANNEL="C0123456789",
    )
    settings = load_settings()
    assert settings.kafka_password is not None
    assert settings.kafka_password.get_secret_value() == "s3cret"
    assert settings.redis_url.get_secret_value() == "redis://h"
    assert set(secret_names()) == {
        "kafka_password",
        "kafka_key_password",
        "redis_url",
        "actuator_webhook_url",
        "actuator_webhook_verify_url",
        "actuator_webhook_secret",
        "flagd_http_url",
        "flagd_http_token",
        "flipt_token",
        "gofeatureflag_token",
        "growthbook_token",
        "launchdarkly_token",
        "posthog_token",
        "statsig_token",
        "unleash_token",
        "pager_webhook_url",
        "pager_webhook_secret",
        "alertmanager_token",
        "pagerduty_routing_key",
        "slack_token",
        "apprise_urls",
        "watch_ping_url",
        "api_token",
        "command_key",
        "command_keys",
    }


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HTTP_PORT": "abc"}, 'HTTP_PORT: got "abc"; write a whole number'),
        ({"HTTP_PORT": "70000"}, "HTTP_PORT: got"),
        ({"HTTP_PORT": "tcp://10.0.0.1:80"}, "HTTP_PORT: got"),
        ({"KAFKA_WAIT_S": "soon"}, 'KAFKA_WAIT_S: got "soon"; write a number'),
        ({"KAFKA_BOOTSTRAP": "kafka"}, "KAFKA_BOOTSTRAP: "),
        ({"KAFKA_BOOTSTRAP": "kafka:0"}, "write host:port"),
        ({"KAFKA_SECURITY_PROTOCOL": "ssl"}, "use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        ({"LOG_LEVEL": "loud"}, 'LOG_LEVEL: got "loud"; use debug, info, warning or error'),
        ({"WORKER_ID": "worker one"}, "WORKER_ID: "),
        ({"TRACES_TOPIC": ".."}, "TRACES_TOPIC: "),
        ({"SEEN_IDS_MAX": "2000000"}, "SEEN_IDS_MAX: "),
        ({"REDIS_URL": "http://h"}, "REDIS_URL: write a URL such as redis://"),
        ({"REDIS_URL": "redis://h:abc"}, "REDIS_URL: write a URL such as redis://"),
        ({"PAGER_WEBHOOK_URL": "ftp://h"}, "PAGER_WEBHOOK_URL: write a URL that begins with http://"),
        ({"OTLP_ENDPOINT": "collector:4318"}, "OTLP_ENDPOINT: "),
        ({"PAGER_WEBHOOK_SECRET": "x"}, "PAGER_WEBHOOK_SECRET: has no effect without pager_webhook_url"),
        ({"UNLEASH_TOKEN": "x"}, "UNLEASH_TOKEN: has no effect without unleash_url"),
        ({"FLAGD_HTTP_TOKEN": "x"}, "FLAGD_HTTP_TOKEN: has no effect without flagd_http_url"),
        ({"FLIPT_TOKEN": "x"}, "FLIPT_TOKEN: has no effect without flipt_url"),
        ({"GOFEATUREFLAG_TOKEN": "x"}, "GOFEATUREFLAG_TOKEN: has no effect without gofeatureflag_url"),
        ({"LAUNCHDARKLY_URL": "app.launchdarkly.com"}, "http:// or https://"),
        ({"SLACK_TOKEN": "x"}, "SLACK_TOKEN: has no effect without slack_channel"),
        ({"SLACK_CHANNEL": "C1"}, "SLACK_CHANNEL: has no effect without slack_token"),
        ({"ALERTMANAGER_TOKEN": "x"}, "ALERTMANAGER_TOKEN: has no effect without alertmanager_urls"),
        ({"PAGERS": "log,pigeon"}, "pigeon"),
        ({"ALERTMANAGER_URLS": "alertmanager:9093"}, "http:// or https://"),
        ({"ACTUATOR_WEBHOOK_VERIFY_URL": "http://h"}, "actuator_webhook_url"),
        ({"KAFKA_USERNAME": "x"}, "KAFKA_USERNAME: has no effect with PLAINTEXT"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_PASSWORD: missing; SASL_SSL needs it"),
        ({"KAFKA_CA_FILE": "ca.pem"}, "KAFKA_CA_FILE: has no effect with PLAINTEXT; use SSL or SASL_SSL"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CA_FILE": "/no/such/file"},
            "KAFKA_CA_FILE: /no/such/file: [Errno 2] No such file or directory; it must be a PEM file",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CERT_FILE": "/no/such/file"},
            "KAFKA_CERT_FILE: /no/such/file: [Errno 2] No such file or directory; it takes a certificate, its key",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_KEY_FILE": "key.pem"},
            "KAFKA_KEY_FILE: has no effect without kafka_cert_file",
        ),
        ({"EVENT_TIME_SPEED": "60"}, "EVENT_TIME_ORIGIN_MS: missing; set all three"),
        ({"WALL_ORIGIN_MS": "60", "EVENT_TIME_ORIGIN_MS": "5"}, "EVENT_TIME_SPEED: missing; set all three"),
        ({"EVENT_TIME_SPEED": "0"}, "EVENT_TIME_SPEED: "),
        (
            {"KAFKA_PASSWORD_FILE": "/no/such/file"},
            "KAFKA_PASSWORD_FILE: /no/such/file cannot be read: No such file",
        ),
        (
            {"REDIS_URL": "redis://h", "REDIS_URL_FILE": "f"},
            "REDIS_URL_FILE: ROLLBACK_BUDGET_REDIS_URL is set too",
        ),
        ({"SETTINGS_FILE": "/no/such/file"}, "SETTINGS_FILE: /no/such/file cannot be read"),
    ],
)
def test_a_problem_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    given(monkeypatch, **variables)
    assert said in problems()


def test_all_problems_come_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("http_prot: 5\ngroup: no\nstart_from: now\n", encoding="utf-8")
    given(monkeypatch, SETTINGS_FILE=str(file), LOG_LEVEL="loud", KAFKA_PASSWORD_FILE="/no/such/file")
    lines = problems().splitlines()
    assert lines == [
        f'{file}:2: group: no is not safely a string: some YAML readers take it for true or false; quote it: "no"',
        f"environment: {P}KAFKA_PASSWORD_FILE: /no/such/file cannot be read: No such file or directory",
        f'{file}:3: start_from: got "now"; use window, earliest or latest',
        f'environment: {P}LOG_LEVEL: got "loud"; use debug, info, warning or error',
        f"{file}:1: http_prot: unknown setting; did you mean http_port?",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.yaml", b"a: &x 1\n"),
        ("s.yaml", b"[1]"),
        ("s.yaml", b"\xff"),
        ("s.toml", b"a = "),
        ("s.toml", b"\xff"),
        ("s.json", b"{"),
    ],
)
def test_a_broken_settings_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    given(monkeypatch, SETTINGS_FILE=str(tmp_path / name))
    assert str(tmp_path / name) in problems()


SECRETS: dict[str, str] = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_USERNAME": "monitor",
    "KAFKA_PASSWORD": "planted-1",
    "REDIS_URL": "rediss://user:planted-2@cache:6380/1?password=planted-3",
    "ACTUATOR_WEBHOOK_URL": "https://planted-4@flags.example.com/hook/planted-5?token=planted-6#planted-7",
    "ACTUATOR_WEBHOOK_SECRET": "planted-8",
    "PAGER_WEBHOOK_URL": "https://chat.example.com/services/planted-9",
    "PAGER_WEBHOOK_SECRET": "planted-10",
    "OTLP_ENDPOINT": "https://tenant:planted-11@collector.example.com/v1",
}


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **SECRETS)
    settings = load_settings()
    shown: dict[str, Any] = settings.masked()
    assert "planted" not in json.dumps(shown)
    assert shown["redis_url"] == f"rediss://user:{MASK}@cache:6380/1?{MASK}"
    assert shown["pager_webhook_url"] == f"https://chat.example.com/{MASK}"
    assert shown["kafka_password"] == MASK
    assert set(shown) == set(Settings.model_fields)


def test_no_secret_is_in_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("redis_url: mysql://planted\nkafka_password: [planted]\n", encoding="utf-8")
    given(monkeypatch, SETTINGS_FILE=str(file), PAGER_WEBHOOK_URL="gopher://planted")
    assert "planted" not in problems()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:pw@h", f"redis://:{MASK}@h"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://[bad", MASK),
    ],
)
def test_a_url_is_masked_where_it_lets_one_in(url: str, shown: str) -> None:
    assert masked_url(url, path=False) == shown


def test_variables_that_are_no_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an error: Kubernetes sets such variables for a service of our name."""
    given(monkeypatch, HTTP_PROT="7000", SERVICE_HOST="10.0.0.1")
    strangers = read_settings().strangers
    assert strangers[0] == f"{P}HTTP_PROT is no setting; did you mean {P}HTTP_PORT?"
    assert strangers[1].startswith(f"{P}SERVICE_HOST is no setting")
