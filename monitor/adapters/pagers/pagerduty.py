"""PagerDuty, Events API v2: a page is an alert whose `dedup_key` is the page's id, so no repeat opens a second one."""

from __future__ import annotations

from typing import Any, Final

from monitor.adapters.http import HttpClient, Secret, endpoint
from monitor.adapters.pagers.api import object_of, post_json
from monitor.core.ids import canonical_json
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import PageWords, Severity, Words, facts_of, plain
from monitor.engine.ports import PageNotice

EVENTS_URL: Final = "https://events.pagerduty.com/v2/enqueue"
SUMMARY_MAX: Final = 1024  # the API's own limit
KEY_MAX: Final = 255  # the API's own limit of a dedup_key
DETAILS_MAX: Final = 64 * 1024  # bytes of the event that are passed on; the API takes 512 kB in all
_SOURCE: Final = "rollback-budget"
_ACTIONS: Final = {"acknowledged": "acknowledge", "resolved": "resolve"}  # every other state triggers


class PagerDutyPager:
    """Sends each change of a page to PagerDuty; acknowledging and resolving here does so there."""

    def __init__(self, url: str, routing_key: Secret, http: HttpClient, words: Words) -> None:
        """Check the URL; nothing is sent.

        Args:
            url: `EVENTS_URL`, or that of another region.
            routing_key: The integration's key, 32 characters.

        Raises:
            WebhookUnusable: The URL can never work.
        """
        self._url, self._key = endpoint(url, "PagerDuty URL"), routing_key
        self._http, self._words = http, words

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def notify(self, notice: PageNotice) -> None:
        """Send the event; returns when PagerDuty has accepted it under the page's key.

        Raises:
            PagerFailed: Not accepted in time, or refused.
        """
        key = notice.page_id[:KEY_MAX]
        body: dict[str, Any] = {
            "routing_key": self._key.get_secret_value(),
            "event_action": _ACTIONS.get(notice.state, "trigger"),
            "dedup_key": key,
        }
        if body["event_action"] == "trigger":
            body |= _alert(notice, self._words(notice))
        answer = object_of(await post_json(self._http, self._url, body, secret=self._key), "PagerDuty")
        if answer.get("status") != "success" or answer.get("dedup_key") != key:
            said = plain(f"{answer.get('status')} for {answer.get('dedup_key')}", 300)
            raise PagerFailed(f"PagerDuty: answered {said}, not success for {key}", retryable=True)


def _alert(notice: PageNotice, words: PageWords) -> dict[str, Any]:
    data = facts_of(notice)
    # An expired page is louder than it was: the monitor acts, or holds, by itself from now on.
    severity = Severity.CRITICAL if notice.state == "expired" else words.severity
    details: dict[str, Any] = {"page": words.text(), **dict(words.facts), **dict(words.commands)}
    event = {key: value for key, value in notice.event.items() if key != "evidence"}
    if len(canonical_json(event).encode()) <= DETAILS_MAX:
        details["event"] = event
    return {
        "client": "Rollback Budget Monitor",
        **({"client_url": words.link, "links": [{"href": words.link, "text": "Look"}]} if words.link else {}),
        "payload": {
            "summary": plain(words.title, SUMMARY_MAX),
            "source": _SOURCE,
            "severity": severity.value,
            **({"timestamp": data["decided_at"]} if isinstance(data.get("decided_at"), str) else {}),
            "component": plain(notice.release, KEY_MAX),
            "group": plain(str(data.get("budget") or notice.release), KEY_MAX),
            "class": plain(str(data.get("objective") or notice.about.value), KEY_MAX),
            "custom_details": details,
        },
    }
