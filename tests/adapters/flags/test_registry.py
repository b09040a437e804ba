"""Actuators by name: what a budget's `flag.actuator` may say, and what is told where it cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.flags import ACTUATORS, ActuatorUnusable, actuator_for
from monitor.adapters.flags.driver import ApiActuator
from monitor.adapters.flags.flag_file import FlagFileActuator
from monitor.adapters.flags.gofeatureflag import WithRelay
from monitor.adapters.flags.webhook import WebhookActuator
from monitor.config.flag_systems import FLAG_SYSTEMS
from monitor.config.settings import Settings
from tests.adapters.receiver import SECRET

ALL: dict[str, Any] = {
    "flagd_file": Path("flags.json"),
    "gofeatureflag_file": Path("flags.yaml"),
    "actuator_webhook_url": "https://flags.example/hook",
    "actuator_webhook_secret": SECRET,
    "flagd_http_url": "https://flags.example/flags.json",
    "flipt_url": "https://flipt.example",
    "unleash_url": "https://unleash.example",
    **{
        f"{name}_token": "t"
        for name in ("flipt", "growthbook", "launchdarkly", "posthog", "statsig", "unleash")
    },
}


def settings(**other: Any) -> Settings:
    """Return settings with which every actuator can be made, but for those given."""
    return Settings(**{**ALL, **other})


def test_each_name_makes_its_actuator_and_says_what_it_can_do() -> None:
    made = {kind: type(actuator_for(kind, settings())) for kind in ACTUATORS}
    files = dict.fromkeys(("flagd", "flagd-file", "gofeatureflag-file"), FlagFileActuator)
    apis = dict.fromkeys(
        ("flagd-http", "flipt", "growthbook", "launchdarkly", "posthog", "statsig", "unleash"), ApiActuator
    )
    assert made == {**files, **apis, "webhook": WebhookActuator}
    assert set(made) == set(FLAG_SYSTEMS)


def test_a_relay_proxy_is_told_where_one_is_named() -> None:
    relay = actuator_for("gofeatureflag-file", settings(gofeatureflag_url="https://relay.example"))
    assert isinstance(relay, WithRelay)


@pytest.mark.parametrize(
    ("kind", "other", "error", "says"),
    [
        ("flagger", {}, ActuatorUnusable, "there are flagd, flagd-file, flagd-http"),
        ("flagd-file", {"flagd_file": None}, ActuatorUnusable, "needs the setting flagd_file"),
        ("gofeatureflag-file", {"gofeatureflag_file": None}, ActuatorUnusable, "gofeatureflag_file"),
        ("gofeatureflag-file", {"gofeatureflag_file": Path("f.toml")}, ActuatorUnusable, "neither .yaml"),
        (
            "webhook",
            {"actuator_webhook_url": None, "actuator_webhook_secret": None},
            ActuatorUnusable,
            "webhook_url",
        ),
        ("webhook", {"actuator_webhook_secret": None}, ActuatorUnusable, "actuator_webhook_secret"),
        ("webhook", {"actuator_webhook_secret": "short"}, WebhookUnusable, "secret"),
        ("flagd-http", {"flagd_http_url": None}, ActuatorUnusable, "needs the setting flagd_http_url"),
        ("flagd-http", {"flagd_http_url": "flags.json"}, WebhookUnusable, "flag definition's URL"),
        ("flipt", {"flipt_url": None, "flipt_token": None}, ActuatorUnusable, "needs the setting flipt_url"),
        (
            "unleash",
            {"unleash_url": None, "unleash_token": None},
            ActuatorUnusable,
            "needs the setting unleash_url",
        ),
        ("unleash", {"unleash_url": "https://ada:pw@unleash.example"}, WebhookUnusable, "never in the URL"),
        *(
            (kind, {f"{kind}_token": None}, ActuatorUnusable, f"needs the setting {kind}_token")
            for kind in ("flipt", "growthbook", "launchdarkly", "posthog", "statsig", "unleash")
        ),
    ],
)
def test_what_cannot_work_is_said_at_the_start(
    kind: str, other: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        actuator_for(kind, settings(**other))


def test_no_token_is_ever_shown() -> None:
    secret = "a-token-that-nobody-may-see"
    tokens = {name: secret for name in ALL if name.endswith("_token")}
    tokens["flagd_http_token"] = secret
    tokens["flagd_http_url"] = f"https://flags.example/flags.json?sig={secret}"
    relay = {"gofeatureflag_token": secret, "gofeatureflag_url": "https://relay.example"}
    shown = str(settings(**tokens, **relay).masked())
    assert secret not in shown
