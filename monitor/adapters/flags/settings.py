"""What the actuators need to know, and what is said where it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import httpx

from monitor.adapters.egress import Private
from monitor.adapters.flags.api import API_LIMITS, Api
from monitor.adapters.flags.driver import ApiActuator
from monitor.adapters.flags.vendor import FlagApi
from monitor.adapters.http import HttpClient, Limits, Secret, Timing
from monitor.adapters.needed import needed as needed_setting
from monitor.core.errors import MonitorError


class ActuatorUnusable(MonitorError):
    """An actuator's name is unknown or its settings are incomplete; the message says which."""


class ActuatorSettings(Protocol):
    """What the actuators need to know; the settings of the monitor have these attributes."""

    @property
    def flagd_file(self) -> Path | None:
        """The flagd flag definition file."""

    @property
    def flagd_http_url(self) -> Secret | None:
        """Where flagd's HTTP source reads the flag definition, and where it is written."""

    @property
    def flagd_http_token(self) -> Secret | None:
        """A bearer token, or the whole of the `Authorization` header, for reading and writing it."""

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
    def webhook_allow_private(self) -> Private:
        """Whether, or in which networks, webhooks and flag systems may live at private and loopback addresses."""

    @property
    def unleash_url(self) -> str | None:
        """Unleash's address."""

    @property
    def unleash_token(self) -> Secret | None:
        """An Admin API token."""

    @property
    def launchdarkly_url(self) -> str:
        """LaunchDarkly's address."""

    @property
    def launchdarkly_token(self) -> Secret | None:
        """An API access token with the right to change the flags."""

    @property
    def launchdarkly_context_kind(self) -> str:
        """The kind of context whose attributes the cohorts' dimensions are."""

    @property
    def growthbook_url(self) -> str:
        """GrowthBook's API address."""

    @property
    def growthbook_token(self) -> Secret | None:
        """A secret key or a personal access token."""

    @property
    def flipt_url(self) -> str | None:
        """Flipt's address."""

    @property
    def flipt_token(self) -> Secret | None:
        """A client token or JWT."""

    @property
    def posthog_url(self) -> str:
        """PostHog's address."""

    @property
    def posthog_token(self) -> Secret | None:
        """A personal API key that may write feature flags."""

    @property
    def statsig_url(self) -> str:
        """Statsig's Console API address."""

    @property
    def statsig_token(self) -> Secret | None:
        """A Console API key."""

    @property
    def gofeatureflag_file(self) -> Path | None:
        """The GO Feature Flag file."""

    @property
    def gofeatureflag_url(self) -> str | None:
        """The relay proxy that is told to read the file."""

    @property
    def gofeatureflag_token(self) -> Secret | None:
        """The relay proxy's admin key, where it asks for one."""


def needed(kind: str, value: Secret | str | None, setting: str) -> str:
    """Return the value of a setting, secret or not.

    Raises:
        ActuatorUnusable: It is not set.
    """
    needed_setting(f"actuator {kind!r}", value, setting, error=ActuatorUnusable)
    assert value is not None, "it was needed"
    return value if isinstance(value, str) else value.get_secret_value()


@dataclass(frozen=True, slots=True)
class Manner:
    """How a flag system is reached and how patiently it is asked; tests are in a hurry."""

    limits: Limits = API_LIMITS
    timing: Timing = field(default_factory=Timing)
    transport: httpx.AsyncBaseTransport | None = None


USUAL: Final = Manner()


def over_http(
    system: FlagApi,
    base_url: str,
    headers: Mapping[str, str],
    secret: str | None,
    settings: ActuatorSettings,
    manner: Manner,
    *,
    is_one_document: bool = False,
) -> ApiActuator:
    """Return the actuator of a flag system behind an HTTP API; arguments as `ApiActuator` takes them.

    Raises:
        WebhookUnusable: The address can never work.
    """
    limits = replace(manner.limits, allow_private=settings.webhook_allow_private)
    http = HttpClient(limits=limits, timing=manner.timing, transport=manner.transport)
    api = Api(base_url, headers, secret, http=http)
    return ApiActuator(system, api, limits=limits, timing=manner.timing, is_one_document=is_one_document)
