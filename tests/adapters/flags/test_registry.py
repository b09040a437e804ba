"""Actuators by name: what a budget's `flag.actuator` may say, and what is told where it cannot work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.flags import ACTUATORS, ActuatorUnusable, actuator_for
from monitor.adapters.flags.flagd_file import FlagdFileActuator
from monitor.adapters.flags.webhook import WebhookActuator
from tests.adapters.receiver import SECRET


@dataclass(frozen=True)
class _Secret:
    value: str

    def get_secret_value(self) -> str:
        return self.value


@dataclass(frozen=True)
class _Settings:
    flagd_file: Path | None = Path("flags.json")
    actuator_webhook_url: _Secret | None = _Secret("https://flags.example/hook")
    actuator_webhook_verify_url: _Secret | None = None
    actuator_webhook_secret: _Secret | None = _Secret(SECRET)
    webhook_allow_private: bool = False


def test_each_name_makes_its_actuator() -> None:
    made = {kind: type(actuator_for(kind, _Settings())) for kind in ACTUATORS}
    assert made == {"flagd-file": FlagdFileActuator, "webhook": WebhookActuator}


@pytest.mark.parametrize(
    ("kind", "settings", "error", "says"),
    [
        ("unleash", _Settings(), ActuatorUnusable, "there are flagd-file, webhook"),
        ("flagd-file", _Settings(flagd_file=None), ActuatorUnusable, "needs the setting flagd_file"),
        ("webhook", _Settings(actuator_webhook_url=None), ActuatorUnusable, "actuator_webhook_url"),
        ("webhook", _Settings(actuator_webhook_secret=None), ActuatorUnusable, "actuator_webhook_secret"),
        ("webhook", _Settings(actuator_webhook_secret=_Secret("short")), WebhookUnusable, "secret"),
        ("webhook", _Settings(actuator_webhook_url=_Secret("flags")), WebhookUnusable, "https://host/path"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(
    kind: str, settings: _Settings, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        actuator_for(kind, settings)
