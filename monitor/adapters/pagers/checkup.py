"""What `doctor` asks the paging systems: are they set up, and do they answer. Nobody is paged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import httpx

from monitor.adapters.egress import WebhookUnusable, place
from monitor.adapters.http import HttpClient, Limits, Secret, WebhookFailed, endpoint
from monitor.adapters.pagers import PagerSettings, pager_for, pagers_for
from monitor.adapters.pagers.api import object_of
from monitor.core.errors import MonitorError
from monitor.engine.checkup import Finding, failed, failure, ok, warning
from monitor.engine.errors import PagerFailed

UNASKED: Final = frozenset({"apprise"})
"""Pagers of which a check-up sees that they are set up, and not whether anybody answers."""

_ASK_S: Final = 5.0
_SET_UP: Final = "set it up, or leave it out of the setting pagers"
_REACH: Final = "is the address right, and may this machine call it?"


class PagersCheckup:
    """The question to every pager that would be told."""

    def __init__(self, settings: PagerSettings) -> None:
        self._settings = settings
        self._asks: Mapping[str, Callable[[HttpClient], Awaitable[Sequence[Finding]]]] = {
            "alertmanager": self._alertmanager,
            "apprise": self._apprise,
            "log": self._log,
            "pagerduty": self._pagerduty,
            "slack": self._slack,
            "webhook": self._webhook,
        }

    def names(self) -> Sequence[str]:
        """Return who would be told; a pager that is named and cannot be set up is one of them."""
        try:
            return list(pagers_for(self._settings))
        except MonitorError:
            return list(self._settings.pagers) or [
                name for name in self._asks if name != "log" and self._is_meant(name)
            ]

    def _is_meant(self, name: str) -> bool:
        given = {
            "alertmanager": self._settings.alertmanager_urls,
            "apprise": self._settings.apprise_urls,
            "pagerduty": self._settings.pagerduty_routing_key,
            "slack": self._settings.slack_token,
            "webhook": self._settings.pager_webhook_url,
        }
        return bool(given.get(name))

    async def ask(self, name: str) -> Sequence[Finding]:
        """Tell whether a pager is set up and its system answers."""
        try:
            pager = pager_for(name, self._settings)
        except MonitorError as error:
            return [failure("pagers", name, error, _SET_UP)]
        await pager.close()
        http = HttpClient(
            limits=Limits(
                total_s=_ASK_S, attempt_s=_ASK_S, allow_private=self._settings.webhook_allow_private
            )
        )
        try:
            return await self._asks[name](http)
        except WebhookUnusable as error:
            return [failure("pagers", name, error, _SET_UP)]
        finally:
            await http.close()

    async def _log(self, _: HttpClient) -> Sequence[Finding]:
        remedy = "set up a pager, such as pagerduty_routing_key or alertmanager_urls"
        return [
            warning("pagers", "log", "pages are only written to the worker's log: nobody is woken", remedy)
        ]

    async def _apprise(self, _: HttpClient) -> Sequence[Finding]:
        return [ok("pagers", "apprise", "its URLs are understood; the services are not asked")]

    async def _alertmanager(self, http: HttpClient) -> Sequence[Finding]:
        token = self._settings.alertmanager_token
        found = []
        for url in self._settings.alertmanager_urls:
            base = endpoint(url, "alertmanager URL")
            ready = base.copy_with(path=base.path.rstrip("/") + "/-/ready")
            try:
                await http.call("GET", ready, headers=lambda: _bearer(token), once=True)
                found.append(ok("pagers", "alertmanager", f"{place(base)} is ready"))
            except WebhookFailed as error:
                found.append(failed("pagers", "alertmanager", str(error), _REACH))
        return found

    async def _slack(self, http: HttpClient) -> Sequence[Finding]:
        base = endpoint(self._settings.slack_url, "Slack URL")
        url = base.copy_with(path=base.path.rstrip("/") + "/auth.test")
        try:
            answer = await http.call(
                "POST", url, headers=lambda: _bearer(self._settings.slack_token), once=True
            )
            said = object_of(answer, "Slack")
        except (WebhookFailed, PagerFailed) as error:
            return [failed("pagers", "slack", str(error), _REACH)]
        if said.get("ok") is not True:
            remedy = "check the setting slack_token: it is a bot token that begins with xoxb-"
            return [failed("pagers", "slack", f"Slack refuses the token: {said.get('error')}", remedy)]
        return [
            ok("pagers", "slack", f"the token is {said.get('user', 'a bot')}'s; the channel is not asked")
        ]

    async def _pagerduty(self, http: HttpClient) -> Sequence[Finding]:
        return await self._reached("pagerduty", endpoint(self._settings.pagerduty_url), http)

    async def _webhook(self, http: HttpClient) -> Sequence[Finding]:
        url = self._settings.pager_webhook_url
        return [] if url is None else await self._reached("webhook", endpoint(url.get_secret_value()), http)

    async def _reached(self, name: str, url: httpx.URL, http: HttpClient) -> Sequence[Finding]:
        """Ask with GET, which pages nobody: any answer shows that the system is there, none that the key is right."""
        said = f"{place(url)} answers; whether it takes our key only a page shows"
        try:
            await http.call("GET", url, once=True)
        except WebhookFailed as error:
            if error.status is None or error.status >= 500:
                return [failed("pagers", name, str(error), _REACH)]
        return [ok("pagers", name, said)]


def _bearer(token: Secret | None) -> dict[str, str]:
    return {} if token is None else {"authorization": f"Bearer {token.get_secret_value()}"}
