"""Pagers by name; the log is the one that needs nothing. A new vendor is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from monitor.adapters.http import Limits, Secret, SignedWebhook
from monitor.adapters.pagers.log import LogPager
from monitor.adapters.pagers.webhook import WebhookPager
from monitor.core.errors import MonitorError
from monitor.engine.ports import Pager


class PagerUnusable(MonitorError):
    """A pager's name is unknown or its settings are incomplete; the message says which."""


class PagerSettings(Protocol):
    """What the pagers need to know; the settings of the monitor have these attributes."""

    @property
    def pager_webhook_url(self) -> Secret | None:
        """Where `webhook` notices go."""

    @property
    def pager_webhook_secret(self) -> Secret | None:
        """The key or keys, `whsec_<base64>`."""

    @property
    def webhook_allow_private(self) -> bool:
        """Whether webhooks may live at private and loopback addresses."""


def _log(_: PagerSettings) -> Pager:
    return LogPager()


def _webhook(settings: PagerSettings) -> Pager:
    url, secret = settings.pager_webhook_url, settings.pager_webhook_secret
    if url is None or secret is None:
        raise PagerUnusable("pager 'webhook': needs the settings pager_webhook_url and pager_webhook_secret")
    limits = Limits(allow_private=settings.webhook_allow_private)
    return WebhookPager(SignedWebhook(url.get_secret_value(), secret.get_secret_value(), limits=limits))


PAGERS: Mapping[str, Callable[[PagerSettings], Pager]] = {
    "log": _log,
    "webhook": _webhook,
}


def pager_for(kind: str | None, settings: PagerSettings) -> Pager:
    """Return the pager of that name; without a name the webhook where one is configured, else the log.

    Raises:
        PagerUnusable: No such pager, or its settings are incomplete.
        WebhookUnusable: A URL or secret can never work.
    """
    chosen = kind or ("webhook" if settings.pager_webhook_url else "log")
    factory = PAGERS.get(chosen)
    if factory is None:
        raise PagerUnusable(f"pager {chosen!r} is unknown; there are {', '.join(sorted(PAGERS))}")
    return factory(settings)
