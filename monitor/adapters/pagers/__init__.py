"""Pagers by name; the log is the one that needs nothing. A new vendor is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from monitor.adapters.egress import Private
from monitor.adapters.http import HttpClient, Limits, Secret, SignedWebhook
from monitor.adapters.needed import needed
from monitor.adapters.pagers.alertmanager import AlertmanagerPager
from monitor.adapters.pagers.log import LogPager
from monitor.adapters.pagers.pagerduty import PagerDutyPager
from monitor.adapters.pagers.slack import SlackPager
from monitor.adapters.pagers.webhook import WebhookPager
from monitor.core.errors import MonitorError
from monitor.engine.heartbeat import Forgetful
from monitor.engine.page_words import Words, page_words
from monitor.engine.ports import Pager

_T = TypeVar("_T")

ROUTING_KEY_CHARS: Final = 32


class PagerUnusable(MonitorError):
    """A pager's name is unknown or its settings are incomplete; the message says which."""


class ClosingPager(Pager, Protocol):
    """A pager with connections of its own."""

    async def close(self) -> None:
        """Give them back."""


class PagerSettings(Protocol):
    """What the pagers need to know; the settings of the monitor have these attributes."""

    @property
    def pagers(self) -> Sequence[str]:
        """The names of those that are told; none: every one that is set up, else the log."""

    @property
    def escalation_pagers(self) -> Sequence[str]:
        """The names of those that are told only of pages that are escalated to them."""

    @property
    def page_link(self) -> str | None:
        """Where pages lead: a URL with `{release}` and `{page_id}` in it."""

    @property
    def pager_webhook_url(self) -> Secret | None:
        """Where `webhook` notices go."""

    @property
    def pager_webhook_secret(self) -> Secret | None:
        """The key or keys, `whsec_<base64>`."""

    @property
    def alertmanager_urls(self) -> Sequence[str]:
        """The peers of an Alertmanager."""

    @property
    def alertmanager_token(self) -> Secret | None:
        """A bearer token for it."""

    @property
    def pagerduty_url(self) -> str:
        """PagerDuty's Events API v2."""

    @property
    def pagerduty_routing_key(self) -> Secret | None:
        """The integration's key."""

    @property
    def slack_url(self) -> str:
        """Slack's Web API."""

    @property
    def slack_token(self) -> Secret | None:
        """A bot token."""

    @property
    def slack_channel(self) -> str | None:
        """The channel's id."""

    @property
    def slack_mention(self) -> str | None:
        """Whom a page notifies."""

    @property
    def apprise_urls(self) -> Secret | None:
        """Apprise URLs, with white space between."""

    @property
    def webhook_allow_private(self) -> Private:
        """Whether, or in which networks, paging systems may live at private and loopback addresses."""


def _needed(kind: str, value: _T | None, *settings: str) -> _T:
    return needed(f"pager {kind!r}", value, *settings, error=PagerUnusable)


def _http(settings: PagerSettings) -> HttpClient:
    return HttpClient(limits=Limits(allow_private=settings.webhook_allow_private))


def _log(_: PagerSettings, words: Words) -> ClosingPager:
    return LogPager(words)


def _webhook(settings: PagerSettings, words: Words) -> ClosingPager:
    both = "pager_webhook_url", "pager_webhook_secret"
    url = _needed("webhook", settings.pager_webhook_url, *both).get_secret_value()
    secret = _needed("webhook", settings.pager_webhook_secret, *both).get_secret_value()
    limits = Limits(allow_private=settings.webhook_allow_private)
    return WebhookPager(SignedWebhook(url, secret, limits=limits), words)


def _alertmanager(settings: PagerSettings, words: Words) -> ClosingPager:
    urls = _needed("alertmanager", settings.alertmanager_urls, "alertmanager_urls")
    return AlertmanagerPager(urls, _http(settings), words, token=settings.alertmanager_token)


def _pagerduty(settings: PagerSettings, words: Words) -> ClosingPager:
    key = _needed("pagerduty", settings.pagerduty_routing_key, "pagerduty_routing_key")
    if (length := len(key.get_secret_value())) != ROUTING_KEY_CHARS:
        raise PagerUnusable(
            f"pagerduty_routing_key: has {length} characters; the key of an Events API v2 integration has "
            f"{ROUTING_KEY_CHARS}"
        )
    return PagerDutyPager(settings.pagerduty_url, key, _http(settings), words)


def _slack(settings: PagerSettings, words: Words) -> ClosingPager:
    both = "slack_token", "slack_channel"
    token = _needed("slack", settings.slack_token, *both)
    channel = _needed("slack", settings.slack_channel, *both)
    http = _http(settings)
    return SlackPager(settings.slack_url, token, channel, http, words, mention=settings.slack_mention)


def _apprise(settings: PagerSettings, words: Words) -> ClosingPager:
    urls = _needed("apprise", settings.apprise_urls, "apprise_urls")
    # Half a second of imports, for those alone who use it.
    from monitor.adapters.pagers.apprise import ApprisePager  # noqa: PLC0415

    return ApprisePager(urls, words)


PAGERS: Mapping[str, Callable[[PagerSettings, Words], ClosingPager]] = {
    "alertmanager": _alertmanager,
    "apprise": _apprise,
    "log": _log,
    "pagerduty": _pagerduty,
    "slack": _slack,
    "webhook": _webhook,
}


def _is_set_up(kind: str, settings: PagerSettings) -> bool:
    given = {
        "alertmanager": settings.alertmanager_urls,
        "apprise": settings.apprise_urls,
        "pagerduty": settings.pagerduty_routing_key,
        "slack": settings.slack_token,
        "webhook": settings.pager_webhook_url,
    }
    return bool(given.get(kind))


def pager_for(kind: str, settings: PagerSettings) -> ClosingPager:
    """Return the pager of that name.

    Raises:
        PagerUnusable: No such pager, or its settings are incomplete.
        WebhookUnusable: A URL or secret can never work.
        ApprisePagerUnusable: No service takes a URL.
    """
    factory = PAGERS.get(kind)
    if factory is None:
        raise PagerUnusable(f"pager {kind!r} is unknown; there are {', '.join(sorted(PAGERS))}")
    return factory(settings, partial(page_words, link=settings.page_link))


def pagers_for(settings: PagerSettings, *, with_quiet: bool = False) -> dict[str, ClosingPager]:
    """Return the pagers that are told, by name; raises as `pager_for`.

    Args:
        with_quiet: Those too that hear of a page only once it is escalated to them.
    """
    quiet = list(settings.escalation_pagers)
    kinds = list(settings.pagers) or [
        kind for kind in PAGERS if _is_set_up(kind, settings) and kind not in quiet
    ]
    if both := sorted({*kinds} & {*quiet}):
        raise PagerUnusable(
            f"escalation_pagers: {', '.join(both)} stands in pagers too; put it into one of them"
        )
    return {kind: pager_for(kind, settings) for kind in [*(kinds or ["log"]), *(quiet if with_quiet else [])]}


def forgetful(pagers: Mapping[str, Pager]) -> list[Forgetful]:
    """Return those whose system takes an alert for over that is not said again."""
    return [pager for pager in pagers.values() if isinstance(pager, AlertmanagerPager)]
