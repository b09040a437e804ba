"""A flag system's HTTP API: one attempt a call, the token in a header and in no message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx

from monitor.adapters.egress import place
from monitor.adapters.http import Answer, HttpClient, Limits, Timing, WebhookFailed, endpoint, retry_after_s

JsonObject = dict[str, Any]

# A flag with many individual targets is a large document.
# One order ends in time for a page within half a minute; the same order comes again then.
API_LIMITS: Final = Limits(total_s=25.0, max_answer_bytes=4 * 1024 * 1024)
_SHOWN_CHARS = 200  # of what a vendor says in a refusal
_MASK = "********"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a vendor's API; `path` is below the base address and quoted already.

    Attributes:
        text: The body as it stands, instead of `body` as JSON.
    """

    method: str
    path: str
    body: object = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


def segment(text: str) -> str:
    """Return a name as one segment of a path."""
    return quote(text, safe="")


class Api:
    """A vendor's HTTP API: one attempt a call, the token in a header and in no message."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], secret: str | None, *, http: HttpClient
    ) -> None:
        """Check the address; nothing is sent.

        Args:
            headers: With the token; sent with every call.
            secret: The token itself, masked where an answer repeats it, empty where there is none; None: the address
                itself can hold one, so nothing is repeated.

        Raises:
            WebhookUnusable: The address can never work.
        """
        self._base = endpoint(base_url.rstrip("/"), "flag system URL")
        self._headers, self._secret, self._http = dict(headers), secret, http

    @property
    def where(self) -> str:
        """The system as messages may show it."""
        return place(self._base)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """GET a path and return the parsed JSON answer; raises as `send`."""
        return await self.send(Call("GET", path, params=params or {}), reads=True)

    async def send(self, call: Call, *, reads: bool = False) -> Any:
        """Make one attempt and return the parsed JSON answer, None where there is none to parse.

        Args:
            reads: Without JSON the answer is a failure.

        Raises:
            WebhookFailed: No success.
            WebhookUnusable: The address may not be called.
        """
        answer = await self.ask(call)
        said = parsed(answer.body)
        if reads and said is None:
            message = f"{self.where}: answered {answer.status} with something that is not JSON"
            raise WebhookFailed(message, status=answer.status, retryable=True)
        return said

    async def ask(self, call: Call) -> Answer:
        """Make one attempt and return the answer as it came; raises as `send`."""
        url = httpx.URL(str(self._base) + call.path)
        url = url.copy_merge_params(dict(call.params)) if call.params else url
        body = "" if call.body is None else json.dumps(call.body, separators=(",", ":"), sort_keys=True)
        headers = {"content-type": "application/json", **self._headers, **call.headers}
        text = body if call.text is None else call.text
        return await self._http.call(call.method, url, text, headers=lambda: headers, once=True)

    def odd(self, what: str, setting: str) -> WebhookFailed:
        """Return the failure that an answer is not what was asked for; a proxy's page may be gone at the next look."""
        message = f"{self.where}: the answer is no {what}; check the setting {setting}"
        return WebhookFailed(message, status=None, retryable=True)

    def words(self, failed: WebhookFailed) -> str:
        """Return what the system said in a refusal, short, on one line, without the token."""
        if self._secret is None:
            return ""
        said = parsed(failed.body)
        known = said if isinstance(said, dict) else {}
        found = next(
            (known[key] for key in ("message", "detail", "error") if isinstance(known.get(key), str)), ""
        )
        masked = found.replace(self._secret, _MASK) if self._secret else found
        return " ".join(masked.split())[:_SHOWN_CHARS]


def parsed(body: bytes) -> Any:
    """Return parsed JSON, None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def asked_wait_s(headers: Mapping[str, str], timing: Timing) -> float | None:
    """Return the seconds a system wants to be left alone: Retry-After, else X-RateLimit-Reset in epoch milliseconds."""
    asked = retry_after_s(headers.get("retry-after"), timing.now())
    reset = headers.get("x-ratelimit-reset", "")
    if asked is None and reset.isascii() and reset.isdigit() and len(reset) == 13:
        return max(0.0, int(reset) / 1000 - timing.now().timestamp())
    return asked
