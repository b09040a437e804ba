"""A pager is checked without anybody being paged: only what changes nothing is asked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from monitor.adapters.pagers import PAGERS
from monitor.adapters.pagers.checkup import PagersCheckup
from monitor.config.settings import Settings
from monitor.engine.checkup import Health
from tests.adapters.receiver import SECRET, Reply, answer, receiver

KEY = SecretStr("k" * 32)
OK, WARNING, FAILED = Health.OK, Health.WARNING, Health.FAILED


def settings_of(kind: str, url: str) -> dict[str, Any]:
    settings: dict[str, dict[str, Any]] = {
        "alertmanager": {"alertmanager_urls": [url]},
        "apprise": {"apprise_urls": SecretStr("json://127.0.0.1:1/x")},
        "log": {"pagers": ["log"]},
        "pagerduty": {"pagerduty_routing_key": KEY, "pagerduty_url": url},
        "slack": {"slack_token": SecretStr("xoxb-planted"), "slack_channel": "C1", "slack_url": url},
        "webhook": {"pager_webhook_url": SecretStr(url), "pager_webhook_secret": SecretStr(SECRET)},
    }
    return settings[kind]


@pytest.mark.parametrize(
    ("kind", "reply", "health", "asked"),
    [
        ("alertmanager", answer(200), OK, "GET"),
        ("alertmanager", answer(503), FAILED, "GET"),
        ("pagerduty", answer(405), OK, "GET"),
        ("pagerduty", answer(502), FAILED, "GET"),
        ("slack", answer(200, {"ok": True, "user": "bot"}), OK, "POST"),
        ("slack", answer(200, {"ok": False, "error": "invalid_auth"}), FAILED, "POST"),
        ("webhook", answer(404), OK, "GET"),
        ("apprise", answer(200), OK, None),
        ("log", answer(200), WARNING, None),
    ],
)
async def test_an_answer_is_read_and_nobody_is_told_anything(
    kind: str, reply: Reply, health: Health, asked: str | None
) -> None:
    async with receiver() as system:
        system.then = reply
        pagers = PagersCheckup(Settings(webhook_allow_private=True, **settings_of(kind, system.url)))
        assert pagers.names() == [kind]
        (found,) = await pagers.ask(kind)
    assert (found.subject, found.health) == (kind, health)
    assert bool(found.remedy) is (health is not OK)
    assert [one.method for one in system.got] == ([asked] if asked else [])
    assert not any(one.body for one in system.got)
    assert "planted" not in f"{found}"


@pytest.mark.parametrize("kind", ["alertmanager", "pagerduty", "slack", "webhook"])
async def test_who_does_not_answer_fails(kind: str) -> None:
    url = "http://127.0.0.1:1"  # nobody is there
    pagers = PagersCheckup(Settings(webhook_allow_private=True, **settings_of(kind, url)))
    (found,) = await pagers.ask(kind)
    assert found.health is FAILED


async def test_a_pager_without_its_secret_is_named_and_fails() -> None:
    pagers = PagersCheckup(Settings(pagers=["pagerduty", "log"]))
    assert pagers.names() == ["pagerduty", "log"]
    (found,) = await pagers.ask("pagerduty")
    assert found.health is FAILED
    assert "pagerduty_routing_key" in found.text


async def test_a_wrong_secret_of_a_pager_that_was_not_named_fails_too() -> None:
    pagers = PagersCheckup(Settings(pagerduty_routing_key=SecretStr("short")))
    assert pagers.names() == ["pagerduty"]
    (found,) = await pagers.ask("pagerduty")
    assert "has 5 characters" in found.text


def test_every_pager_has_its_question() -> None:
    assert set(PAGERS) == set(PagersCheckup(Settings())._asks)
