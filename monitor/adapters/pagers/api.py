"""What the pagers with an API of their own share: JSON out, JSON back, and failures in the words of the port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.http import Answer, HttpClient, Secret, WebhookFailed
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import plain

_MASK = "********"
_SAID_MAX = 300  # characters of a refusal that are shown


async def post_json(
    http: HttpClient,
    url: httpx.URL,
    value: object,
    headers: Mapping[str, str] | None = None,
    *,
    secret: Secret | None = None,
    once: bool = False,
) -> Answer:
    """POST a JSON value and return the 2xx answer.

    Args:
        secret: What no message may show, also where the other side repeats it.

    Raises:
        PagerFailed: No success in time, or a refusal; what the other side says about it is in the message.
    """
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    sent = {"content-type": "application/json; charset=utf-8", **(headers or {})}
    return await called(http, "POST", url, body, sent, secret=secret, once=once)


async def called(
    http: HttpClient,
    method: str,
    url: httpx.URL,
    body: str = "",
    headers: Mapping[str, str] | None = None,
    *,
    secret: Secret | None = None,
    once: bool = False,
) -> Answer:
    """Call a URL and return the 2xx answer; raises as `post_json`."""
    try:
        return await http.call(method, url, body, headers=lambda: headers or {}, once=once)
    except WebhookUnusable as error:
        raise PagerFailed(str(error), retryable=False) from error
    except WebhookFailed as error:
        echo = error.body.decode(errors="replace")
        said = plain(echo.replace(secret.get_secret_value(), _MASK) if secret else echo, _SAID_MAX)
        message = f"{error}: {said}" if said and not error.retryable else str(error)
        raise PagerFailed(message, retryable=error.retryable) from error


def object_of(answer: Answer, who: str) -> Mapping[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        PagerFailed: It is none, so whatever answered confirmed nothing: a proxy's page is no receipt.
    """
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if not isinstance(value, Mapping):
        message = (
            f"{who}: answered {answer.status} without a JSON object: that confirms nothing; check the URL"
        )
        raise PagerFailed(message, retryable=True)
    return value
