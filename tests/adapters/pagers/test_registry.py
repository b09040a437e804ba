"""Pagers by name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from monitor.adapters.pagers import PAGERS, PagerUnusable, pager_for
from monitor.adapters.pagers.log import LogPager
from monitor.adapters.pagers.webhook import WebhookPager
from tests.adapters.receiver import SECRET


@dataclass(frozen=True)
class _Secret:
    value: str

    def get_secret_value(self) -> str:
        return self.value


@dataclass(frozen=True)
class _Settings:
    pager_webhook_url: _Secret | None = None
    pager_webhook_secret: _Secret | None = None
    webhook_allow_private: bool = False


HOOKED = _Settings(_Secret("https://pager.example/hook"), _Secret(SECRET))


@pytest.mark.parametrize(
    ("kind", "settings", "pager"),
    [
        (None, _Settings(), LogPager),
        (None, HOOKED, WebhookPager),
        ("log", HOOKED, LogPager),
        ("webhook", HOOKED, WebhookPager),
    ],
)
def test_each_name_makes_its_pager_and_none_is_chosen_from_what_is_configured(
    kind: str | None, settings: _Settings, pager: type[object]
) -> None:
    assert type(pager_for(kind, settings)) is pager
    assert kind is None or kind in PAGERS


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        ("carrier-pigeon", HOOKED, "there are log, webhook"),
        ("webhook", _Settings(), "needs the settings pager_webhook_url and pager_webhook_secret"),
        (None, _Settings(_Secret("https://pager.example/hook")), "pager_webhook_secret"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(kind: str | None, settings: _Settings, says: str) -> None:
    with pytest.raises(PagerUnusable, match=says):
        pager_for(kind, settings)
