"""Signed webhooks out: bounded in time and size, retried with jitter, never led to an address nobody allowed.

Signature: Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64 HMAC-SHA256>`
over `id.timestamp.body`). The id is the decision's or the event's own: the receiver drops repeats by it.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import Protocol

import httpx
from standardwebhooks import Webhook

from monitor.adapters.egress import JudgedTransport, Private, WebhookUnusable, place
from monitor.core.errors import MonitorError

# httpcore imports sniffio anew at every lock. Where it is not installed, that is a search of the whole path each time,
# a tenth of what a call costs (measured); a None here says at once that there is none.
if "sniffio" not in sys.modules and find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment] # typeshed knows modules only; Python documents None

_RETRYABLE = frozenset({408, 429})  # and every 5xx; all other 4xx mean: asking again will not help
_QUIET_MAX_S = 300.0  # a Retry-After beyond it is no reason to be silent about a rollback
_KEY_BYTES = (24, 64)  # Standard Webhooks: 24 to 64 random bytes


class WebhookFailed(MonitorError):
    """A webhook was not answered with success.

    Attributes:
        status: The last HTTP status; None where there was no answer.
        retryable: Asking again later may help.
        body: What the last answer said; empty where there was none, or one that is too long.
        headers: The last answer's headers, names in lower case.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        retryable: bool,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.retryable = status, retryable
        self.body, self.headers = body, dict(headers or {})


class Secret(Protocol):
    """A value that is shown only on request (pydantic's SecretStr is one)."""

    def get_secret_value(self) -> str:
        """Return the secret itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how often and how much.

    Attributes:
        total_s: Seconds for one call with all its attempts and waits.
        attempt_s: Seconds for one attempt: resolve, connect, send, read.
        max_answer_bytes: A longer answer is a failure.
        allow_private: Whether private and loopback addresses, and with them `http://`, may be called.
    """

    total_s: float = 60.0
    attempt_s: float = 5.0
    first_wait_s: float = 0.5
    max_wait_s: float = 10.0
    max_answer_bytes: int = 64 * 1024
    allow_private: Private = False


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Timing:
    """Time and chance, handed in so that a test waits for nothing."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = field(default=random.random)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer; names of headers are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def signers(secret: str) -> tuple[Webhook, ...]:
    """Return one signer per key; several keys, newest first and separated by spaces, are for rotation.

    Raises:
        WebhookUnusable: A key is not base64 of 24 to 64 bytes; the message never shows it.
    """
    keys = [key.removeprefix("whsec_") for key in secret.split()]
    low, high = _KEY_BYTES
    for number, key in enumerate(keys, 1):
        try:
            size = len(b64decode(key + "=" * (-len(key) % 4), validate=True))
        except ValueError as error:
            raise WebhookUnusable(
                f"webhook secret, key {number}: not base64; write whsec_<base64>"
            ) from error
        if not low <= size <= high:
            raise WebhookUnusable(f"webhook secret, key {number}: {size} bytes; allowed are {low} to {high}")
    if not keys:
        raise WebhookUnusable("webhook secret: empty; write whsec_<base64 of 24 to 64 random bytes>")
    return tuple(Webhook(key) for key in keys)


def endpoint(url: str, what: str = "webhook URL") -> httpx.URL:
    """Return a URL that may be called.

    Raises:
        WebhookUnusable: It is none, or holds a login; the message begins with `what` and never shows the path.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WebhookUnusable(f"{what}: {error}; write https://host/path") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise WebhookUnusable(f"{what}: got scheme {parsed.scheme!r}; write https://host/path")
    if parsed.userinfo:
        raise WebhookUnusable(
            f"{what} of {place(parsed)}: holds a user name; who we are stands in a header, never in the URL"
        )
    return parsed


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


Headers = Callable[[], Mapping[str, str]]


class HttpClient:
    """Calls of one outside system: each is repeated, the same every time, until success, refusal or its end of time."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        timing: Timing | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._limits, self._timing = limits or Limits(), timing or Timing()
        self._quiet_until_s = float("-inf")
        self._client = httpx.AsyncClient(
            transport=transport or JudgedTransport(allow_private=self._limits.allow_private),
            timeout=self._limits.attempt_s,
            follow_redirects=False,
            trust_env=False,
            headers={
                "user-agent": "rollback-budget",
                "accept": "application/json",
                "accept-encoding": "identity",
            },
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(
        self, method: str, url: httpx.URL, body: str = "", *, headers: Headers = dict, once: bool = False
    ) -> Answer:
        """Call a URL and return the 2xx answer.

        Args:
            headers: Asked anew for each attempt: what is dated has to be.
            once: Make a single attempt.

        Raises:
            WebhookUnusable: An address of the host may not be called.
            WebhookFailed: No success in time, or a refusal that asking again would not change.
        """
        ends = self._timing.monotonic() + self._limits.total_s
        await self._quiet(url)
        attempt = 0
        while True:
            attempt += 1
            failed, asked = await self._attempt(method, url, body, headers())
            if isinstance(failed, Answer):
                return failed
            if asked is not None:
                self._quiet_until_s = self._timing.monotonic() + min(asked, _QUIET_MAX_S)
            wait = self._wait_s(attempt, asked)
            if once or not failed.retryable or self._timing.monotonic() + wait >= ends:
                raise failed
            await self._timing.sleep(wait)

    async def _quiet(self, url: httpx.URL) -> None:
        """Leave the receiver alone for as long as its last answer asked for, whoever is calling now."""
        rest_s = self._quiet_until_s - self._timing.monotonic()
        if rest_s >= self._limits.total_s:
            message = f"{place(url)}: asks to be left alone for {rest_s:.0f} s more"
            raise WebhookFailed(message, status=None, retryable=True)
        if rest_s > 0:
            await self._timing.sleep(rest_s)

    def _wait_s(self, attempt: int, asked_s: float | None) -> float:
        """Return the seconds before the next attempt: what the receiver asked for, else doubling with half jitter."""
        most = min(self._limits.max_wait_s, self._limits.first_wait_s * 2.0 ** min(attempt - 1, 16))
        own = most * (0.5 + 0.5 * self._timing.chance())
        return own if asked_s is None else max(asked_s, own)

    async def _attempt(
        self, method: str, url: httpx.URL, body: str, headers: Mapping[str, str]
    ) -> tuple[Answer | WebhookFailed, float | None]:
        """Make one attempt; return its answer or its failure, and the seconds the receiver wants to be left alone."""
        try:
            async with asyncio.timeout(self._limits.attempt_s):
                async with self._client.stream(
                    method, url, content=body.encode(), headers=dict(headers)
                ) as response:
                    return await self._judge(url, response)
        except (httpx.TransportError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            message = f"{place(url)}: no answer ({what}); check that it runs and can be reached from here"
            return WebhookFailed(message, status=None, retryable=True), None

    async def _judge(
        self, url: httpx.URL, response: httpx.Response
    ) -> tuple[Answer | WebhookFailed, float | None]:
        status = response.status_code
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self._limits.max_answer_bytes:
                message = (
                    f"{place(url)}: answer longer than {self._limits.max_answer_bytes} bytes; shorten it"
                )
                return WebhookFailed(message, status=status, retryable=False), None
        if response.is_success:
            return Answer(status, bytes(content), dict(response.headers)), None
        asked = retry_after_s(response.headers.get("retry-after"), self._timing.now())
        retryable = status in _RETRYABLE or status >= 500
        message = f"{place(url)}: answered {status} {response.reason_phrase}".rstrip()
        if response.is_redirect:
            message += "; redirects are not followed: put the final URL into the settings"
        failed = WebhookFailed(
            message, status=status, retryable=retryable, body=bytes(content), headers=response.headers
        )
        return failed, asked


class SignedWebhook:
    """One signed endpoint. Every call is repeated with the same id until success, refusal or the end of its time."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        limits: Limits | None = None,
        timing: Timing | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Check URL and secret; nothing is sent.

        Raises:
            WebhookUnusable: The URL or the secret can never work.
        """
        self._url, self._signers = endpoint(url), signers(secret)
        self._timing = timing or Timing()
        self._http = HttpClient(limits=limits, timing=self._timing, transport=transport)

    @property
    def where(self) -> str:
        """The endpoint as messages may show it."""
        return place(self._url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def post(self, message_id: str, body: str) -> Answer:
        """POST a JSON body, signed, and return the 2xx answer.

        Args:
            message_id: The id receivers drop repeats by.

        Raises:
            WebhookFailed: No success in time, or a refusal that asking again would not change.
        """
        return await self._http.call("POST", self._url, body, headers=self._signs(message_id, body))

    async def get(
        self,
        message_id: str,
        *,
        url: str | None = None,
        params: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Answer:
        """GET the endpoint (or `url`), signed over an empty body, and return the 2xx answer; raises as `post`.

        Args:
            once: Make a single attempt.
        """
        target = (endpoint(url) if url else self._url).copy_merge_params(dict(params or {}))
        return await self._http.call("GET", target, headers=self._signs(message_id, ""), once=once)

    def _signs(self, message_id: str, body: str) -> Headers:
        return lambda: self._signature(message_id, body)

    def _signature(self, message_id: str, body: str) -> dict[str, str]:
        """Return the headers of this attempt: the id stays, the time is new, so a late retry is not a replay."""
        now = self._timing.now()
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in self._signers),
        }
