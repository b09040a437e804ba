"""Slack, by an app's bot token: one message per page, brought up to date as the page goes on.

Slack has no key that drops repeats, and an answer can get lost after the message was posted. So every message
carries its page's and its event's id as metadata, and the channel is looked through for them before anything is
posted: a repeat, also one after a crash, finds its message. Scopes: `chat:write`, and `channels:history` (for a
private channel `groups:history`) for that look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import httpx

from monitor.adapters.http import HttpClient, Secret, endpoint
from monitor.adapters.pagers.api import called, object_of, post_json
from monitor.core.moment import moment_ms
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import PageWords, Words, facts_of
from monitor.engine.ports import PageNotice

API_URL: Final = "https://slack.com/api"
SECTION_MAX: Final = 2_900  # of the 3,000 characters a section may have, escapes included
LOOKED_AT: Final = 200  # messages since the page was opened that are looked through
LOOK_BACK_S: Final = 120  # clocks may differ
_EVENT_TYPE: Final = "rollback_budget_page"
_OPENING: Final = frozenset({"opened", "informed"})  # a message of its own; all others change it
_LOUD: Final = _OPENING | {"expired", "reminded", "escalated"}  # what people are notified of
_MARKS: Final = {
    "opened": ":rotating_light:",
    "acknowledged": ":eyes:",
    "expired": ":alarm_clock:",
    "extended": ":hourglass:",
    "reminded": ":alarm_clock:",
    "escalated": ":mega:",
    "resolved": ":white_check_mark:",
    "informed": ":rewind:",
}
# Errors that pass; every other one needs a person: a token, a scope, a channel.
_PASSING: Final = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)


@dataclass(frozen=True, slots=True)
class _Message:
    ts: str
    events: frozenset[str]


class SlackPager:
    """Posts a page to a channel, and updates that message as the page is seen, runs out, or is resolved."""

    def __init__(
        self,
        url: str,
        token: Secret,
        channel: str,
        http: HttpClient,
        words: Words,
        *,
        mention: str | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Check the URL; nothing is sent.

        Args:
            url: `API_URL`, or a stand-in for it.
            channel: The channel's id, as C0123456789; a name can be posted to and not be looked through.
            mention: Slack's own syntax for whom a loud message notifies, as `<!here>` or `<!subteam^S0123>`.

        Raises:
            WebhookUnusable: The URL can never work.
        """
        base = endpoint(url, "Slack URL")
        self._base = base.copy_with(path=base.path.rstrip("/") + "/")
        self._token, self._channel, self._mention = token, channel, mention
        self._http, self._words, self._now_s = http, words, now_s
        self._unsure: set[str] = set()  # events whose message may be there: an attempt had no answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def notify(self, notice: PageNotice) -> None:
        """Post or update the page's message; returns when Slack has it.

        Raises:
            PagerFailed: Not confirmed in time, or refused.
        """
        found = await self._find(notice)
        if found is not None and notice.event_id in found.events:
            return
        try:
            await self._say(notice, found)
        except PagerFailed as failure:
            if failure.retryable:
                self._unsure.add(notice.event_id)
            raise
        self._unsure.discard(notice.event_id)

    async def _say(self, notice: PageNotice, found: _Message | None) -> None:
        words = self._words(notice)
        events = sorted((found.events if found else frozenset()) | {notice.event_id})
        message: dict[str, Any] = {
            "channel": self._channel,
            "text": escaped(f"{_MARKS.get(notice.state, '')} {words.title}".strip()),
            "blocks": blocks(notice, words, self._mention),
            "metadata": {
                "event_type": _EVENT_TYPE,
                "event_payload": {"page_id": notice.page_id, "event_ids": events},
            },
            "unfurl_links": False,
        }
        if found is None or notice.state in _OPENING:
            await self._call("chat.postMessage", message)
            return
        if notice.state in _LOUD:  # an update notifies nobody
            reply = {"thread_ts": found.ts, "reply_broadcast": True, "text": message["text"]}
            if self._mention:
                reply["text"] = f"{self._mention} {reply['text']}"
            await self._call("chat.postMessage", {"channel": self._channel, **reply})
        await self._call("chat.update", {**message, "ts": found.ts})

    async def _find(self, notice: PageNotice) -> _Message | None:
        """Return the newest message of the page.

        A channel that cannot be looked through hides no page: without the look the notice is posted, which may
        repeat it. Only where an earlier attempt may have got through, and Slack is just away, is it left for later.

        Raises:
            PagerFailed: As said; it can be tried again.
        """
        asked = {
            "channel": self._channel,
            "limit": str(LOOKED_AT),
            "include_all_metadata": "true",
            **_since(notice, self._now_s()),
        }
        try:
            said = await self._call("conversations.history", asked, get=True)
        except PagerFailed as failure:
            if failure.retryable and notice.event_id in self._unsure:
                raise
            return None
        for one in said.get("messages") or ():
            meta = one.get("metadata") or {}
            payload = meta.get("event_payload") or {}
            if meta.get("event_type") == _EVENT_TYPE and payload.get("page_id") == notice.page_id:
                events = frozenset(map(str, payload.get("event_ids") or ()))
                return _Message(str(one.get("ts")), events)
        return None

    async def _call(self, method: str, body: Mapping[str, Any], *, get: bool = False) -> Mapping[str, Any]:
        """Make one attempt: the engine repeats it, and each repeat looks first."""
        headers = {"authorization": f"Bearer {self._token.get_secret_value()}"}
        url = self._base.join(method)
        if get:
            answer = await called(
                self._http,
                "GET",
                url.copy_merge_params(dict(body)),
                headers=headers,
                secret=self._token,
                once=True,
            )
        else:
            answer = await post_json(self._http, url, body, headers, secret=self._token, once=True)
        said = object_of(answer, "Slack")
        if said.get("ok") is not True:
            _refused(method, url, said)
        return said


def _refused(method: str, url: httpx.URL, said: Mapping[str, Any]) -> NoReturn:
    error = str(said.get("error") or "no reason")[:100]
    needs = f", it needs the scope {str(said['needed'])[:100]}" if said.get("needed") else ""
    message = f"Slack at {url.host}: {method} is refused: {error}{needs}"
    raise PagerFailed(message, retryable=error in _PASSING)


def _since(notice: PageNotice, now_s: float) -> dict[str, str]:
    """Return from when on the page's messages are; event time may lie in the past, or ahead in a demo."""
    moment = facts_of(notice).get("decided_at")
    if not isinstance(moment, str):
        return {}
    return {"oldest": f"{max(0.0, min(moment_ms(moment) / 1000, now_s) - LOOK_BACK_S):.6f}"}


def escaped(text: str) -> str:
    """Return a text as Slack shows it literally: no mention, no link and no channel can be made of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def blocks(notice: PageNotice, words: PageWords, mention: str | None = None) -> list[dict[str, Any]]:
    """Return the page as Block Kit: the title, what is known, the commands to copy, the link."""
    loud = mention if mention and notice.state in _LOUD else ""
    title = f"{_MARKS.get(notice.state, '')} *{escaped(_unstarred(words.title))}* {loud}".strip()
    found = [_section(title)]
    facts = "\n".join(f"*{question}*: {escaped(answer)}" for question, answer in words.facts)
    found += [_section(part) for part in _cut(facts)]
    for what, command in words.commands:
        if "```" not in command and len(escaped(command)) < SECTION_MAX - 100:
            found.append(_section(f"{what}:\n```{escaped(command)}```"))
    if words.link:
        found.append(_section(f"<{escaped(words.link)}|Look>"))
    return found


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _unstarred(text: str) -> str:
    """Return a text that does not end the bold it stands in."""
    return text.replace("*", "∗")


def _cut(text: str) -> list[str]:
    """Return the lines of a text as parts that fit a section each; a line alone is never longer."""
    parts: list[str] = []
    for line in text.splitlines():
        short = line[:SECTION_MAX]
        if parts and len(parts[-1]) + 1 + len(short) <= SECTION_MAX:
            parts[-1] += f"\n{short}"
        else:
            parts.append(short)
    return parts
