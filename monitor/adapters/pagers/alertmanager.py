"""Prometheus Alertmanager, API v2: a page is an alert that is said again while it is open, and ended when it is over.

An alert is known by its labels alone, so all posts of a page carry the labels of its opening. Alertmanager takes an
alert for over at its `endsAt`; each post moves that into the future, and the heartbeat comes often enough.
Several addresses are the peers of one cluster: each gets every alert, as Prometheus does it, and one that has it
is enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from monitor.adapters.egress import place
from monitor.adapters.http import HttpClient, Secret, endpoint
from monitor.adapters.pagers.api import post_json
from monitor.core.decision import EVERY_RELEASE
from monitor.core.moment import moment_ms
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import LINE_MAX, Words, facts_of, plain
from monitor.engine.ports import About, PageNotice

HOLD: Final = timedelta(minutes=15)  # an alert outlives the monitor that long: time enough for a restart
INFORMED: Final = timedelta(hours=1)  # how long the alert stands that a rollback has happened
SKEW: Final = timedelta(
    minutes=1
)  # an end that lies ahead of Alertmanager's own clock would not count as one
VALUE_MAX: Final = 128  # characters of a label's value
_PAGE_DIGITS: Final = 12
_NAMES: Final = {
    About.PAGE: "RollbackBudgetPage",
    About.ROLLED_BACK: "RollbackBudgetRolledBack",
    About.NOT_APPLIED: "RollbackBudgetNotApplied",
    About.NOT_PROVEN: "RollbackBudgetNotProven",
    About.NOT_HELPED: "RollbackBudgetNotHelped",
    About.BLIND: "RollbackBudgetBlind",
}
_LABELS: Final = ("release", "baseline", "budget", "objective", "metric", "tier")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AlertmanagerPager:
    """Posts alerts to every peer of an Alertmanager; `still_open` is its heartbeat."""

    def __init__(
        self,
        urls: Sequence[str],
        http: HttpClient,
        words: Words,
        *,
        token: Secret | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Check the URLs; nothing is sent.

        Args:
            urls: Where Alertmanager's web part is, without `/api/v2`; a path in front of it is kept.
            token: Sent as a bearer token, for a proxy in front of it.

        Raises:
            WebhookUnusable: A URL can never work.
        """
        bases = (endpoint(url, "alertmanager URL") for url in urls)
        self._urls = [base.copy_with(path=base.path.rstrip("/") + "/api/v2/alerts") for base in bases]
        self._http, self._words, self._token, self._now = http, words, token, now

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def notify(self, notice: PageNotice) -> None:
        """Post the alert as it is now; returns when a peer has it.

        Raises:
            PagerFailed: No peer confirmed in time, or it was refused.
        """
        await self._post([self._alert(notice)], once=False)

    async def still_open(self, notices: Sequence[PageNotice]) -> None:
        """Post open pages once more.

        A single attempt: one that comes late could open a page again that has been resolved meanwhile.

        Raises:
            PagerFailed: No peer confirmed.
        """
        await self._post([self._alert(notice) for notice in notices], once=True)

    async def _post(self, alerts: list[dict[str, Any]], *, once: bool) -> None:
        headers = {} if self._token is None else {"authorization": f"Bearer {self._token.get_secret_value()}"}
        calls = (self._to_peer(url, alerts, headers, once=once) for url in self._urls)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        if len(failures) == len(ends):
            for failure in failures:
                if not isinstance(failure, PagerFailed):
                    raise failure
            retryable = any(one.retryable for one in failures if isinstance(one, PagerFailed))
            raise PagerFailed("; ".join(map(str, failures)), retryable=retryable)

    async def _to_peer(
        self, url: httpx.URL, alerts: list[dict[str, Any]], headers: dict[str, str], *, once: bool
    ) -> None:
        answer = await post_json(self._http, url, alerts, headers, secret=self._token, once=once)
        if answer.body.lstrip().startswith(b"<"):  # Alertmanager itself has nothing to say
            message = (
                f"{place(url)}: answered {answer.status} with a page: that is not Alertmanager; check the URL"
            )
            raise PagerFailed(message, retryable=True)

    def _alert(self, notice: PageNotice) -> dict[str, Any]:
        words, now = self._words(notice), self._now()
        starts = min(_opened_at(notice) or now, now)
        ends = now + (INFORMED if notice.state == "informed" else HOLD)
        if notice.state == "resolved":
            ends = now - SKEW
            starts = min(starts, ends - timedelta(seconds=1))
        annotations = {
            "summary": words.title,
            "description": words.text(),
            "state": notice.state,
            **{
                what.lower().replace(" ", "_"): command
                for what, command in words.commands
                if len(command) <= LINE_MAX
            },
        }
        return {
            "labels": {**_labels(notice), "severity": words.severity.value},
            "annotations": annotations,
            "startsAt": _stamp(starts),
            "endsAt": _stamp(ends),
            **({"generatorURL": words.link} if words.link else {}),
        }


def _labels(notice: PageNotice) -> dict[str, str]:
    """Return what names the alert: bounded in number and size, and the same from its opening to its end."""
    data = facts_of(notice)
    cohort = data.get("cohort")
    values: dict[str, object] = {name: data.get(name) for name in _LABELS}
    values["release"] = None if notice.release == EVERY_RELEASE else notice.release
    values["cohort"] = (
        ",".join(f"{name}={value}" for name, value in cohort.items()) if isinstance(cohort, dict) else None
    )
    values |= {"alertname": _NAMES[notice.about], "page": notice.page_id[:_PAGE_DIGITS]}
    return {name: plain(str(value), VALUE_MAX) for name, value in values.items() if value not in (None, "")}


def _opened_at(notice: PageNotice) -> datetime | None:
    moment = facts_of(notice).get("decided_at")
    return datetime.fromtimestamp(moment_ms(moment) / 1000, UTC) if isinstance(moment, str) else None


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
