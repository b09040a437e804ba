"""The PagerDuty pager: what an event holds, within the limits of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.adapters.http import HttpClient
from monitor.adapters.pagers.pagerduty import PagerDutyPager
from monitor.engine.act_events import informed, not_applied, notice_of
from monitor.engine.errors import PagerFailed
from monitor.engine.ports import PageNotice
from tests.adapters.pagers.rigs import ROUTING_KEY, Text, plain_http, words
from tests.adapters.pagers.systems import Front, PagerDuty, Said, serving
from tests.adapters.pagers.test_faults import DATA, OPENED, PAGE, change
from tests.adapters.receiver import LOCAL, FakeTime
from tests.engine.acting import page, request

NOTICE = notice_of(OPENED, "opened")


@pytest.fixture
def system() -> PagerDuty:
    return PagerDuty(ROUTING_KEY)


@pytest.fixture
async def pager(system: PagerDuty) -> AsyncIterator[PagerDutyPager]:
    front = Front(system)
    async with serving(front):
        http = HttpClient(limits=LOCAL, timing=FakeTime().timing(), transport=plain_http())
        made = PagerDutyPager(f"{front.url}/v2/enqueue", Text(ROUTING_KEY), http, words)
        yield made
        await made.close()


async def test_a_page_is_an_alert_under_its_own_key(pager: PagerDutyPager, system: PagerDuty) -> None:
    await pager.notify(NOTICE)
    (event,) = system.events
    said = words(NOTICE)
    details = event["payload"].pop("custom_details")
    assert event == {
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": PAGE,
        "client": "Rollback Budget Monitor",
        "client_url": said.link,
        "links": [{"href": said.link, "text": "Look"}],
        "payload": {
            "summary": said.title,
            "source": "rollback-budget",
            "severity": "error",
            "timestamp": DATA["decided_at"],
            "component": "model-v42",
            "group": "chat",
            "class": "latency.p95_delta_pct",
        },
    }
    assert details["Roll back now"] == said.commands[0][1]
    assert details["event"]["cohort"] == DATA["cohort"]


@pytest.mark.parametrize(
    ("notice", "action", "severity"),
    [
        (notice_of(change("page.acknowledged"), "acknowledged", DATA), "acknowledge", None),
        (notice_of(change("page.resolved"), "resolved", DATA), "resolve", None),
        (notice_of(change("page.expired"), "expired", DATA), "trigger", "critical"),
        (informed(request(), "done"), "trigger", "warning"),
        (not_applied(request(), "f1", "no token"), "trigger", "critical"),
        (notice_of(page(**{**DATA, "tier": "A"}), "opened"), "trigger", "critical"),
    ],
)
async def test_each_state_is_an_action(
    pager: PagerDutyPager, system: PagerDuty, notice: PageNotice, action: str, severity: str | None
) -> None:
    await pager.notify(notice)
    (event,) = system.events
    assert (event["event_action"], event.get("payload", {}).get("severity")) == (action, severity)


async def test_an_event_of_any_size_fits_the_api(pager: PagerDutyPager, system: PagerDuty) -> None:
    wild = page(
        **{**DATA, "summary": "ü" * 5_000, "evidence": {"x": "y" * 900_000}, "exemplars": ["z"] * 90_000}
    )
    await pager.notify(notice_of(wild, "opened"))
    (event,) = system.events
    assert "event" not in event["payload"]["custom_details"]


async def test_what_the_api_says_about_a_refusal_is_shown(system: PagerDuty, pager: PagerDutyPager) -> None:
    system.routing_key = "another"
    with pytest.raises(PagerFailed, match="'routing_key' is invalid") as failed:
        await pager.notify(NOTICE)
    assert not failed.value.retryable


@pytest.mark.parametrize(
    "said",
    [
        Said(202, {"status": "success", "dedup_key": "somebody else's"}),
        Said(202, {"status": "throttled"}),
        Said(200, ["success"]),
        Said(204),
    ],
)
async def test_an_answer_that_does_not_name_the_page_confirms_nothing(said: Said) -> None:
    front = Front(lambda _: said)
    async with serving(front):
        http = HttpClient(limits=LOCAL, timing=FakeTime().timing(), transport=plain_http())
        pager = PagerDutyPager(front.url, Text(ROUTING_KEY), http, words)
        with pytest.raises(PagerFailed) as failed:
            await pager.notify(NOTICE)
        await pager.close()
    assert failed.value.retryable
