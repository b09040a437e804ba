"""A dead-man's switch: somebody outside who raises the alarm when a URL has not been asked for in time."""

from __future__ import annotations

from monitor.adapters.egress import Private
from monitor.adapters.http import HttpClient, Limits, endpoint

_ATTEMPT_S = 5.0


class DeadMansSwitch:
    """The URL of one check, as healthchecks.io, Dead Man's Snitch or Cronitor give it."""

    def __init__(self, url: str, *, allow_private: Private, http: HttpClient | None = None) -> None:
        """Check the URL; nothing is sent.

        Raises:
            WebhookUnusable: The URL can never work; the message does not show its path, which is the secret.
        """
        self._url = endpoint(url, "watch_ping_url")
        self._http = http or HttpClient(
            limits=Limits(total_s=_ATTEMPT_S, attempt_s=_ATTEMPT_S, allow_private=allow_private)
        )

    async def ping(self) -> None:
        """Say once that all is well; the next ping is the retry.

        Raises:
            WebhookFailed, WebhookUnusable: It was not heard.
        """
        await self._http.call("GET", self._url, once=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
