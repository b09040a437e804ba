"""No secret comes out again: each one that the settings hold is planted, and every output is searched for it.

The systems behind repeat whatever they are sent, as proxies and debug pages do: URL, headers and body.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from monitor.adapters.flags import ACTUATORS, actuator_for
from monitor.adapters.kafka import topic_admin
from monitor.adapters.pagers import PAGERS, pager_for
from monitor.adapters.telemetry.logs import configure_logs
from monitor.adapters.telemetry.setup import configure
from monitor.cli import main, orders, sight
from monitor.config.settings import PREFIX, Settings, secret_names
from monitor.core.budget import RollbackBy
from monitor.core.decision import Type
from monitor.core.errors import MonitorError
from monitor.engine.errors import ActuatorFailed, PagerFailed
from tests.adapters.notices import notice
from tests.adapters.orders import order
from tests.certificates import certificates
from tests.cli.ledger_world import LedgerWorld
from tests.golden.cases import CASES

pytestmark = pytest.mark.usefixtures("own_logging")

MARK = "Q0FOQVJZ"  # base64 of a canary: part of every secret here
_SCOPES = {
    "flipt": "production/default",
    "growthbook": "production",
    "launchdarkly": "chat/production",
    "posthog": "1",
    "unleash": "default/production",
}


def planted(name: str) -> str:
    """A value that the setting takes, with the mark in it."""
    if name == "redis_url":
        return f"redis://user:{MARK}@127.0.0.1:6379/0"
    if name == "apprise_urls":
        return f"json://user:{MARK}@127.0.0.1:9/"
    if name.endswith("_url"):
        return f"https://93.184.215.14/{MARK}?key={MARK}"
    if name == "command_keys":
        return f"ada = {MARK * 4}\nbob = {MARK * 5}"
    if name.endswith("_secret"):
        return f"whsec_{MARK * 5}"
    return MARK * 4  # as long as a routing key


def variables(tmp_path: Path) -> dict[str, str]:
    made = certificates(tmp_path / "tls", planted("kafka_key_password"))
    return {
        **{name: planted(name) for name in secret_names()},
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_username": "worker",
        "kafka_cert_file": str(made.cert),
        "kafka_key_file": str(made.locked_key),
        "alertmanager_urls": "https://93.184.215.14",
        "unleash_url": "https://93.184.215.14",
        "flipt_url": "https://93.184.215.14",
        "gofeatureflag_url": "https://93.184.215.14",
        "gofeatureflag_file": str(tmp_path / "flags.yaml"),
        "flagd_file": str(tmp_path / "flags.json"),
        "slack_channel": "C0123456789",
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(**variables(tmp_path))  # type: ignore[arg-type]  # as environment variables are: text


class Stream(httpx.AsyncByteStream):
    """A body, as a connection brings it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class Parrot(httpx.AsyncBaseTransport):
    """Refuses every request and says all of it back."""

    def __init__(self, **_: Any) -> None:
        """Open nothing."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        sent = f"{request.url} {request.headers.raw!r} {(await request.aread()).decode()}"
        _heard.append(sent)
        said = {"message": sent, "error": sent, "errors": [sent], "status": "invalid"}
        headers = {"x-said": "no", "content-type": "application/json"}
        return httpx.Response(403, stream=Stream(json.dumps(said).encode()), headers=headers)


_heard: list[str] = []


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the systems behind were sent."""
    _heard.clear()
    monkeypatch.setattr("monitor.adapters.http.JudgedTransport", Parrot)
    return _heard


def test_every_secret_is_planted(settings: Settings) -> None:
    assert len(secret_names()) >= 18
    for name in secret_names():
        assert MARK in getattr(settings, name).get_secret_value(), name


def test_settings_show_none(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables(tmp_path).items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    for output in ("text", "json"):
        assert main(["settings", "--output", output]) == 0
    monkeypatch.setenv(f"{PREFIX}TRACES_PARTITIONS", MARK)  # a refusal of one setting shows no other
    monkeypatch.setenv(f"{PREFIX}ACTUATOR_WEBHOOK_URL", f"ftp://{MARK}@host/{MARK}")
    monkeypatch.delenv(f"{PREFIX}TRACES_PARTITIONS")
    assert main(["settings"]) == 2
    shown = "".join(capsys.readouterr())
    assert "unleash_token" in shown
    assert MARK not in shown + repr(settings) + str(settings) + str(settings.masked())


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Every secret is in the environment, as a worker's or a commander's is; nobody answers at these addresses."""
    nowhere = {"kafka_bootstrap": "127.0.0.1:1", "redis_url": f"redis://user:{MARK}@127.0.0.1:1/0"}
    given = {**variables(tmp_path), **nowhere}
    for name, value in given.items():
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    return Settings(**given)  # type: ignore[arg-type]  # as environment variables are: text


def test_status_shows_none(
    configured: Settings,
    heard: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor does the store that cannot be asked, nor what a flag system has said back of a rollback not applied."""

    async def one(*_: object) -> int:
        return 1

    async def refused() -> str:
        actuator: Any = actuator_for("unleash", configured)
        try:
            await actuator.serve_baseline(order(scope=_SCOPES["unleash"]))
        except ActuatorFailed as failure:
            return str(failure)
        finally:
            await actuator.close()
        raise AssertionError("the parrot refuses everything")

    world = LedgerWorld(next(case for case in CASES if case.name == "task_success"), until_min=60)
    record = world.on_record()
    (request,) = (one.decision for one in record.entries() if one.decision.type is Type.ROLLBACK_REQUESTED)
    world.fail_rollback(request, asyncio.run(refused()))
    assert MARK in "".join(heard)
    monkeypatch.setattr(orders, "kafka_log", lambda _settings: world)
    monkeypatch.setattr(topic_admin, "partition_count", one)
    monkeypatch.setattr(sight, "STORE_DEADLINE_S", 0.2)
    for output in ("text", "json"):
        assert main(["status", "--output", output]) == 0
        shown = " ".join("".join(capsys.readouterr()).split())
        assert "NOT APPLIED: https://93.184.215.14: answered 403" in shown
        assert "127.0.0.1:1" in shown, "the store is named, and not by its login"
        assert MARK not in shown


def test_status_without_kafka_shows_none(configured: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    said = "".join(capsys.readouterr())
    assert "Kafka does not answer" in said
    assert MARK not in said


@pytest.mark.parametrize("kind", sorted(ACTUATORS))
async def test_no_flag_system_gives_one_away(kind: str, settings: Settings, heard: list[str]) -> None:
    actuator: Any = actuator_for(kind, settings)
    by = RollbackBy.ROLLOUT_ZERO if kind == "statsig" else RollbackBy.SERVE_VARIATION
    log = io.StringIO()
    configure_logs("debug", stream=log)
    with pytest.raises(ActuatorFailed) as failed:
        await actuator.serve_baseline(order(scope=_SCOPES.get(kind), rollback_by=by))
    structlog.get_logger("monitor").error("not applied", why=str(failed.value), exc_info=failed.value)
    logging.getLogger("any.library").error("%s", failed.value)
    if hasattr(actuator, "close"):
        await actuator.close()
    assert "not applied" in log.getvalue()
    assert MARK not in f"{failed.value} {failed.value!r} {actuator!r} {log.getvalue()}"
    if not kind.endswith(("-file", "flagd")):
        assert MARK in "".join(heard), "the token was sent, so it could have come back"


@pytest.mark.parametrize("kind", sorted(set(PAGERS) - {"apprise", "log"}))
async def test_no_paging_system_gives_one_away(kind: str, settings: Settings, heard: list[str]) -> None:
    pager = pager_for(kind, settings)
    log = io.StringIO()
    configure_logs("debug", stream=log)
    with pytest.raises(PagerFailed) as failed:
        await pager.notify(notice())
    structlog.get_logger("monitor").error("not told", why=str(failed.value), exc_info=failed.value)
    await pager.close()
    assert "not told" in log.getvalue()
    assert MARK not in f"{failed.value} {failed.value!r} {pager!r} {log.getvalue()}"
    assert MARK in "".join(heard), "the token was sent, so it could have come back"


async def test_apprise_shows_none(settings: Settings) -> None:
    pager = pager_for("apprise", settings)
    assert MARK not in repr(pager)
    with pytest.raises(MonitorError) as refused:
        pager_for("apprise", settings.model_copy(update={"apprise_urls": settings.pagerduty_routing_key}))
    assert MARK not in f"{refused.value} {refused.value!r}"


async def test_metrics_show_none(settings: Settings, heard: list[str]) -> None:
    telemetry = configure(service_version="0", otlp_endpoint=None, instance_id=settings.worker_id)
    telemetry.metrics.count("effects", effect="rollback", result="refused")
    assert MARK not in telemetry.render_prometheus().decode()
    telemetry.shutdown()
