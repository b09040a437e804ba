"""The Alertmanager pager: labels that name a page, ends that count, a heartbeat, and people who are notified."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.adapters.http import HttpClient
from monitor.adapters.pagers.alertmanager import HOLD, SKEW, VALUE_MAX, AlertmanagerPager
from monitor.engine.act_events import informed, not_applied, notice_of
from monitor.engine.errors import PagerFailed
from monitor.engine.heartbeat import EVERY_S
from monitor.engine.ports import PageNotice
from tests.adapters.pagers.real_alertmanager import PROGRAM, READY_S, real_alertmanager
from tests.adapters.pagers.rigs import TOKEN, Text, plain_http, words
from tests.adapters.pagers.systems import Alertmanager, Asked, Front, Said, serving
from tests.adapters.pagers.test_faults import CHANGE, DATA, OPENED, PAGE, change
from tests.adapters.receiver import LOCAL, FakeTime
from tests.engine.acting import page, request

NOTICE = notice_of(OPENED, "opened")
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def resolved(opened: dict[str, Any] | None = None) -> PageNotice:
    return notice_of(change("page.resolved"), "resolved", DATA if opened is None else opened)


def pager(urls: Sequence[str], now: datetime | None = None, token: str | None = None) -> AlertmanagerPager:
    http = HttpClient(limits=LOCAL, timing=FakeTime().timing(), transport=plain_http())
    more: dict[str, Any] = {"now": lambda: now} if now else {}
    return AlertmanagerPager(urls, http, words, token=Text(token) if token else None, **more)


@asynccontextmanager
async def peers(count: int = 1) -> AsyncIterator[list[Front]]:
    """Serve that many Alertmanagers."""
    fronts = [Front(Alertmanager(now=lambda: NOW)) for _ in range(count)]
    async with serving(fronts[0]):
        if count == 1:
            yield fronts
        else:
            async with serving(fronts[1]):
                yield fronts


def system(front: Front) -> Alertmanager:
    assert isinstance(front.system, Alertmanager)
    return front.system


async def test_an_alert_names_its_page_in_bounded_labels_and_carries_the_words() -> None:
    async with peers() as (front,):
        sender = pager([front.url], NOW, TOKEN)
        await sender.notify(NOTICE)
        await sender.close()
    (alert,) = system(front).active()
    assert alert["labels"] == {
        "alertname": "RollbackBudgetPage",
        "release": "model-v42",
        "baseline": "model-v41",
        "budget": "chat",
        "objective": "latency.p95_delta_pct",
        "metric": "p95",
        "tier": "B",
        "cohort": "tenant=Müller & Söhne <b>",
        "severity": "error",
        "page": PAGE[:12],
    }
    said = words(NOTICE)
    assert alert["annotations"]["summary"] == said.title
    assert alert["annotations"]["description"] == said.text()
    assert alert["annotations"]["roll_back_now"] == said.commands[0][1]
    assert alert["generatorURL"] == said.link
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-18T11:06:40.000Z", "2026-11-22T10:15:00.000Z")
    assert front.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


async def test_labels_are_bounded_whatever_the_traffic_sends() -> None:
    wild = {f"dimension {number}": "x" * 64 for number in range(16)}
    async with peers() as (front,):
        sender = pager([front.url], NOW)
        await sender.notify(notice_of(page(**{**DATA, "cohort": wild}), "opened"))
        await sender.close()
    (alert,) = system(front).active()
    assert len(alert["labels"]) <= 12
    assert max(map(len, alert["labels"].values())) <= VALUE_MAX


@pytest.mark.parametrize(
    ("notice", "name", "severity"),
    [
        (informed(request(), "done"), "RollbackBudgetRolledBack", "warning"),
        (not_applied(request(), "f" * 64, "no token"), "RollbackBudgetNotApplied", "critical"),
        (
            notice_of(page("monitor.blind", release=None, page_id="blind-kafka"), "opened"),
            "RollbackBudgetBlind",
            "error",
        ),
    ],
)
async def test_each_kind_of_page_has_its_own_name(notice: PageNotice, name: str, severity: str) -> None:
    async with peers() as (front,):
        sender = pager([front.url], NOW)
        await sender.notify(notice)
        await sender.close()
    (alert,) = system(front).active()
    assert (alert["labels"]["alertname"], alert["labels"]["severity"]) == (name, severity)


@pytest.mark.parametrize("opened_ago", [timedelta(days=4), timedelta(seconds=1), timedelta(minutes=-5)])
@pytest.mark.parametrize("ahead", [timedelta(0), SKEW * 0.9, -SKEW])
async def test_an_end_counts_also_where_the_clocks_differ(opened_ago: timedelta, ahead: timedelta) -> None:
    """An end that lies in Alertmanager's future would leave the alert open until the hold is over."""
    moment = (NOW - opened_ago).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    opened = {**DATA, "decided_at": moment}
    async with peers() as (front,):
        sender = pager([front.url], NOW + ahead)
        await sender.notify(notice_of(page(**opened), "opened"))
        assert len(system(front).active()) == 1
        await sender.notify(resolved(opened))
        await sender.close()
    assert system(front).active() == []


async def test_an_open_page_outlives_its_hold_by_its_heartbeat_alone() -> None:
    assert timedelta(seconds=EVERY_S) * 5 < HOLD  # several rounds may be lost
    now = NOW
    async with peers() as (front,):
        sender = AlertmanagerPager(
            [front.url],
            HttpClient(limits=LOCAL, timing=FakeTime().timing(), transport=plain_http()),
            words,
            now=lambda: now,
        )
        system(front).now = lambda: now
        await sender.notify(NOTICE)
        for _ in range(30):
            now += timedelta(minutes=1)
            await sender.still_open([NOTICE])
            assert len(system(front).active()) == 1
        now += HOLD
        assert system(front).active() == []  # nobody said it again
        await sender.close()
    assert len(system(front).alerts) == 1


async def test_a_heartbeat_is_one_attempt() -> None:
    async with peers() as (front,):
        front.faults = ["500"]
        sender = pager([front.url], NOW)
        with pytest.raises(PagerFailed, match="500"):
            await sender.still_open([NOTICE])
        await sender.close()
    assert len(front.asked) == 1


async def test_every_peer_gets_every_alert_and_one_is_enough() -> None:
    async with peers(2) as (one, two):
        sender = pager([one.url, f"{two.url}/"], NOW)
        await sender.notify(NOTICE)
        assert [len(system(front).active()) for front in (one, two)] == [1, 1]
        two.faults = ["500"] * 1_000
        await sender.notify(resolved())
        assert system(one).active() == []
        one.faults = ["500"] * 1_000
        with pytest.raises(PagerFailed) as failed:
            await sender.notify(NOTICE)
        await sender.close()
    assert failed.value.retryable
    assert str(failed.value).count("500 Internal Server Error") == 2


async def test_a_path_in_front_of_the_api_is_kept() -> None:
    async with peers() as (front,):
        paths: list[str] = []

        def route(asked: Asked) -> Said:
            paths.append(asked.path)
            return Said(200)

        front.system = route
        sender = pager([f"{front.url}/monitoring/alertmanager/"], NOW)
        await sender.notify(NOTICE)
        await sender.close()
    assert paths == ["/monitoring/alertmanager/api/v2/alerts"]


async def test_a_change_without_its_opening_still_ends_by_itself() -> None:
    """Where the ledger has lost the opening the labels differ; the old alert ends with its hold."""
    async with peers() as (front,):
        sender = pager([front.url], NOW)
        await sender.notify(NOTICE)
        await sender.notify(notice_of(page("page.resolved", **CHANGE), "resolved"))
        system(front).pass_time(HOLD + timedelta(seconds=1))
        await sender.close()
    assert system(front).active() == []


if PROGRAM is not None:
    INSTALLED = PROGRAM

    async def test_the_real_one_notifies_people_of_the_page_and_of_its_end() -> None:
        """A webhook receiver of its own gets what people would get: once firing, once resolved."""
        got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        def people(asked: Asked) -> Said:
            got.put_nowait(asked.json)
            return Said(200, {})

        async def notified(status: str) -> dict[str, Any]:
            async with asyncio.timeout(READY_S):
                while (told := await got.get())["status"] != status:
                    pass
                return told

        receiver = Front(people)
        async with serving(receiver), real_alertmanager(INSTALLED, receiver.url) as url:
            sender = pager([url])
            await sender.notify(NOTICE)
            firing = await notified("firing")
            await sender.still_open([NOTICE])
            await sender.notify(resolved())
            ended = await notified("resolved")
            await sender.close()
        (alert,), (end,) = firing["alerts"], ended["alerts"]
        assert alert["labels"] == end["labels"]
        assert alert["annotations"]["summary"] == words(NOTICE).title
        assert "rollback-budget decide" in alert["annotations"]["roll_back_now"]
        assert end["annotations"]["summary"].startswith("Resolved, model-v42")
        assert alert["generatorURL"] == words(NOTICE).link
