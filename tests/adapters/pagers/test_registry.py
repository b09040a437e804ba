"""Pagers by name."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import SecretStr

from monitor.adapters.closing import close_all
from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.pagers import PAGERS, PagerUnusable, forgetful, pager_for, pagers_for
from monitor.adapters.pagers.alertmanager import AlertmanagerPager
from monitor.adapters.pagers.apprise import ApprisePager, ApprisePagerUnusable
from monitor.adapters.pagers.log import LogPager
from monitor.adapters.pagers.pagerduty import PagerDutyPager
from monitor.adapters.pagers.slack import SlackPager
from monitor.adapters.pagers.webhook import WebhookPager
from monitor.config.pager_names import PagerName
from monitor.config.settings import Settings
from tests.adapters.receiver import SECRET

HOOKED: dict[str, Any] = {
    "pager_webhook_url": SecretStr("https://pager.example/hook"),
    "pager_webhook_secret": SecretStr(SECRET),
}
ALERTMANAGER: dict[str, Any] = {"alertmanager_urls": ["http://alertmanager:9093"]}
PAGERDUTY: dict[str, Any] = {"pagerduty_routing_key": SecretStr("R" * 32)}
SLACK: dict[str, Any] = {"slack_token": SecretStr("xoxb-1"), "slack_channel": "C0123456789"}
APPRISE: dict[str, Any] = {"apprise_urls": SecretStr("json://127.0.0.1:9/ jsons://h/x")}


@pytest.mark.parametrize(
    ("settings", "pagers"),
    [
        ({}, {"log": LogPager}),
        (HOOKED, {"webhook": WebhookPager}),
        (ALERTMANAGER, {"alertmanager": AlertmanagerPager}),
        (PAGERDUTY, {"pagerduty": PagerDutyPager}),
        (SLACK, {"slack": SlackPager}),
        (APPRISE, {"apprise": ApprisePager}),
        ({**HOOKED, **PAGERDUTY}, {"pagerduty": PagerDutyPager, "webhook": WebhookPager}),
        ({**HOOKED, "pagers": ["log"]}, {"log": LogPager}),
        ({**SLACK, "pagers": ["log", "slack"]}, {"log": LogPager, "slack": SlackPager}),
    ],
)
async def test_what_is_set_up_is_told_unless_the_settings_choose(
    settings: dict[str, Any], pagers: dict[str, type[object]]
) -> None:
    made = pagers_for(Settings(**settings))
    assert {name: type(pager) for name, pager in made.items()} == pagers
    assert len(forgetful(made)) == ("alertmanager" in made)
    await close_all(made.values())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pagers": ["webhook"]}, "needs the settings pager_webhook_url and pager_webhook_secret"),
        ({"pager_webhook_url": SecretStr("https://pager.example/hook")}, "pager_webhook_secret"),
        ({"pagers": ["alertmanager"]}, "needs the setting alertmanager_urls"),
        ({"pagers": ["pagerduty"]}, "needs the setting pagerduty_routing_key"),
        ({"pagerduty_routing_key": SecretStr("s3cret")}, "has 6 characters"),
        ({"pagers": ["slack"]}, "needs the settings slack_token and slack_channel"),
        ({"pagers": ["apprise"]}, "needs the setting apprise_urls"),
        ({"apprise_urls": SecretStr("json://h/ nosuch://user:s3cret@h")}, r"number 2 \(nosuch\)"),
        ({"apprise_urls": SecretStr("s3cret")}, r"number 1 \(no scheme\)"),
        ({"apprise_urls": SecretStr(" ")}, "empty"),
        ({"alertmanager_urls": ["http://u:s3cret@alertmanager:9093"]}, "holds a user name"),
    ],
)
def test_what_cannot_work_is_said_at_the_start_and_tells_no_secret(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises((PagerUnusable, ApprisePagerUnusable, WebhookUnusable), match=says) as unusable:
        pagers_for(Settings(**settings))
    assert "s3cret" not in str(unusable.value)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(
        PagerUnusable, match="there are alertmanager, apprise, log, pagerduty, slack, webhook"
    ):
        pager_for("carrier-pigeon", Settings())


def test_the_settings_allow_the_names_there_are() -> None:
    assert set(get_args(PagerName)) == set(PAGERS)
