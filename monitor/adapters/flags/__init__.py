"""Actuators by name: a budget's `flag.actuator` is a key of `ACTUATORS`. A new vendor is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from monitor.adapters.flags.flagd_file import FlagdFileActuator
from monitor.adapters.flags.webhook import WebhookActuator
from monitor.adapters.http import Limits, Secret, SignedWebhook
from monitor.core.errors import MonitorError
from monitor.engine.ports import Actuator


class ActuatorUnusable(MonitorError):
    """An actuator's name is unknown or its settings are incomplete; the message says which."""


class ActuatorSettings(Protocol):
    """What the actuators need to know; the settings of the monitor have these attributes."""

    @property
    def flagd_file(self) -> Path | None:
        """The flagd flag definition file."""

    @property
    def actuator_webhook_url(self) -> Secret | None:
        """Where `webhook` orders go."""

    @property
    def actuator_webhook_verify_url(self) -> Secret | None:
        """Where the flag's state can be read; without it the answer to the order must hold it."""

    @property
    def actuator_webhook_secret(self) -> Secret | None:
        """The key or keys, `whsec_<base64>`."""

    @property
    def webhook_allow_private(self) -> bool:
        """Whether webhooks may live at private and loopback addresses."""


def _flagd_file(settings: ActuatorSettings) -> Actuator:
    if settings.flagd_file is None:
        raise ActuatorUnusable(
            "actuator 'flagd-file': needs the setting flagd_file, the flag definition file's path"
        )
    return FlagdFileActuator(settings.flagd_file)


def _webhook(settings: ActuatorSettings) -> Actuator:
    url, secret = settings.actuator_webhook_url, settings.actuator_webhook_secret
    if url is None or secret is None:
        raise ActuatorUnusable(
            "actuator 'webhook': needs the settings actuator_webhook_url and actuator_webhook_secret"
        )
    limits = Limits(allow_private=settings.webhook_allow_private)
    webhook = SignedWebhook(url.get_secret_value(), secret.get_secret_value(), limits=limits)
    verify = settings.actuator_webhook_verify_url
    return WebhookActuator(webhook, verify_url=verify.get_secret_value() if verify is not None else None)


ACTUATORS: Mapping[str, Callable[[ActuatorSettings], Actuator]] = {
    "flagd-file": _flagd_file,
    "webhook": _webhook,
}


def actuator_for(kind: str, settings: ActuatorSettings) -> Actuator:
    """Return the actuator of that name.

    Raises:
        ActuatorUnusable: No such actuator, or its settings are incomplete.
        WebhookUnusable: A URL or secret can never work.
    """
    factory = ACTUATORS.get(kind)
    if factory is None:
        raise ActuatorUnusable(f"actuator {kind!r} is unknown; there are {', '.join(sorted(ACTUATORS))}")
    return factory(settings)
