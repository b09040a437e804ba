"""Each pager with a system to page at its other end, counted as the people there would count."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx

from monitor.adapters.egress import JudgedTransport
from monitor.adapters.http import HttpClient, Limits, SignedWebhook, Timing
from monitor.adapters.pagers import ClosingPager
from monitor.adapters.pagers.alertmanager import AlertmanagerPager
from monitor.adapters.pagers.apprise import ApprisePager
from monitor.adapters.pagers.pagerduty import PagerDutyPager
from monitor.adapters.pagers.slack import SlackPager
from monitor.adapters.pagers.webhook import WebhookPager
from monitor.engine.page_words import page_words
from tests.adapters.pagers.systems import (
    Alertmanager,
    Asked,
    Front,
    PagerDuty,
    Said,
    Slack,
    without_network,
)
from tests.adapters.receiver import SECRET, FakeTime

ROUTING_KEY = "R" * 32
TOKEN = "xoxb-not-a-real-token"
SECRETS = (ROUTING_KEY, TOKEN, SECRET.removeprefix("whsec_"), "apprise-password")
# Real seconds of one attempt: for a healthy answer on a busy machine, and where the test waits for the end of one.
PATIENT_S, HURRIED_S = 30.0, 2.0
words = partial(page_words, link="https://rollback.example/{release}?page={page_id}")

Pages = dict[str, str]  # page id -> open, acknowledged or resolved


@dataclass(frozen=True)
class Text:
    """A secret as settings hold it."""

    value: str

    def get_secret_value(self) -> str:
        return self.value


@dataclass
class WaitingTime(FakeTime):
    """Time that passes at once; the first wait gives somebody else a turn."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.meanwhile is not None:
            await self.meanwhile()


Make = Callable[[str, Limits, Timing, "httpx.AsyncBaseTransport | None"], ClosingPager]


@dataclass
class Rig:
    """A vendor: how its pager is made, and what its system shows.

    Attributes:
        pages: The pages that the system shows, by id, each in its state.
        messages: How often people were notified of an opening.
        knows_repeats: Whether the system, or the pager by looking, recognises a repeat after a lost answer.
        knows_receipts: Whether a 2xx of somebody else, as a proxy's login page, is told from the system's own.
        acknowledges: Whether the system has a state for a page that was seen.
        refusal: An answer of the system that asking again does not change.
    """

    name: str
    front: Front
    make: Make
    pages: Callable[[], Pages]
    messages: Callable[[], int]
    knows_repeats: bool = True
    knows_receipts: bool = True
    acknowledges: bool = True
    refusal: Said | None = None
    time: WaitingTime = field(default_factory=WaitingTime)
    made: list[ClosingPager] = field(default_factory=list)

    def pager(self, attempt_s: float = PATIENT_S) -> ClosingPager:
        """Return a new pager, as after a start: it remembers nothing."""
        limits = Limits(attempt_s=attempt_s, allow_private=True)
        self.made.append(self.make(self.front.url, limits, self.time.timing(), None))
        return self.made[-1]

    def pager_in_process(self) -> ClosingPager:
        """Return a new pager without a network between, for a system that is asked by our own HTTP client."""
        usual = Limits(allow_private=True)
        limits = replace(usual, attempt_s=PATIENT_S)
        way = without_network(self.front, self.time, usual.attempt_s)
        return self.make("http://127.0.0.1:1", limits, self.time.timing(), way)

    async def close(self) -> None:
        """Close every pager."""
        for one in self.made:
            await one.close()


# Reading all certificate authorities for each client would be most of a test's work; this one trusts nobody.
NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_http() -> JudgedTransport:
    """Return how loopback is reached, where nothing is encrypted."""
    return JudgedTransport(allow_private=True, context=NOBODY)


def over(build: Callable[[str, HttpClient], ClosingPager]) -> Make:
    """Return how a pager over an HTTP client is made."""
    return lambda url, limits, timing, way: build(
        url, HttpClient(limits=limits, timing=timing, transport=way or plain_http())
    )


def page_of(alert: dict[str, Any]) -> str:
    """Return the page that an alert of Alertmanager is about."""
    found = re.search(r"Page: (\S+)", alert["annotations"]["description"])
    assert found, alert
    return found[1]


def alertmanager() -> Rig:
    system = Alertmanager()

    def pages() -> Pages:
        now = system.now()
        return {
            page_of(alert): "open" if alert["to"] > now else "resolved" for alert in system.alerts.values()
        }

    return Rig(
        "alertmanager (contract server)",
        Front(system),
        over(lambda url, http: AlertmanagerPager([url], http, words)),
        pages,
        lambda: len(system.alerts),
        acknowledges=False,
        refusal=Said(400, "bad labels"),
    )


def pagerduty() -> Rig:
    system = PagerDuty(ROUTING_KEY)
    return Rig(
        "pagerduty (contract server)",
        Front(system),
        over(lambda url, http: PagerDutyPager(f"{url}/v2/enqueue", Text(ROUTING_KEY), http, words)),
        lambda: dict(system.incidents),
        lambda: len(system.notified),
        refusal=Said(400, {"status": "invalid event", "errors": ["'routing_key' is invalid"]}),
    )


_SLACK_STATES = {
    ":rotating_light:": "open",
    ":alarm_clock:": "open",
    ":eyes:": "acknowledged",
    ":white_check_mark:": "resolved",
}


def slack() -> Rig:
    system = Slack(TOKEN)

    def main() -> list[dict[str, Any]]:
        return [one for one in system.messages if "metadata" in one]

    return Rig(
        "slack (contract server)",
        Front(system, spoils=lambda asked: asked.method == "POST"),  # the look before it has tests of its own
        over(lambda url, http: SlackPager(f"{url}/api", Text(TOKEN), system.channel, http, words)),
        lambda: {
            one["metadata"]["event_payload"]["page_id"]: _SLACK_STATES[one["text"].split()[0]]
            for one in main()
        },
        lambda: len(main()),
        refusal=Said(200, {"ok": False, "error": "not_in_channel"}),
    )


_APPRISE_STATES = (("Seen by", "acknowledged"), ("Resolved", "resolved"))


def apprise() -> Rig:
    got: list[dict[str, Any]] = []

    def system(asked: Asked) -> Said:
        got.append(asked.json)
        return Said(200)

    def pages() -> Pages:
        return {
            found[1]: next(
                (state for word, state in _APPRISE_STATES if one["title"].startswith(word)), "open"
            )
            for one in got
            if (found := re.search(r"Page: (\S+)", one["message"]))
        }

    def make(url: str, limits: Limits, _timing: Timing, _way: object) -> ClosingPager:
        address = url.replace("http://", "json://monitor:apprise-password@")
        options = f"cto={limits.attempt_s}&rto={limits.attempt_s}"
        return ApprisePager(Text(f"{address}/?{options}"), words, attempt_s=60.0)

    return Rig(
        "apprise (json)",
        Front(system),
        make,
        pages,
        lambda: sum(not one["title"].startswith(("Seen", "Resolved")) for one in got),
        knows_repeats=False,
        knows_receipts=False,
    )


def webhook() -> Rig:
    got: dict[str, dict[str, Any]] = {}

    def system(asked: Asked) -> Said:
        got.setdefault(asked.headers["webhook-id"], asked.json)
        return Said(200, {})

    def make(url: str, limits: Limits, timing: Timing, way: httpx.AsyncBaseTransport | None) -> ClosingPager:
        hook = SignedWebhook(url, SECRET, limits=limits, timing=timing, transport=way or plain_http())
        return WebhookPager(hook, words)

    return Rig(
        "webhook",
        Front(system),
        make,
        lambda: {one["page_id"]: one["state"].replace("opened", "open") for one in got.values()},
        lambda: sum(one["state"] == "opened" for one in got.values()),
        knows_receipts=False,
        refusal=Said(403, {"error": "no"}),
    )


RIGS: Mapping[str, Callable[[], Rig]] = {
    "alertmanager": alertmanager,
    "pagerduty": pagerduty,
    "slack": slack,
    "apprise": apprise,
    "webhook": webhook,
}
