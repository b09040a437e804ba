"""The Slack pager: one message per page, kept up to date, and nothing in it that a name could turn into markup."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.adapters.http import HttpClient
from monitor.adapters.pagers.slack import SECTION_MAX, SlackPager, blocks, escaped
from monitor.engine.act_events import informed, notice_of
from monitor.engine.errors import PagerFailed
from monitor.engine.ports import PageNotice
from tests.adapters.pagers.rigs import TOKEN, Text, plain_http, words
from tests.adapters.pagers.systems import Front, Said, Slack, serving
from tests.adapters.pagers.test_faults import DATA, OPENED, PAGE, change
from tests.adapters.receiver import LOCAL, FakeTime
from tests.engine.acting import page, request

NOTICE = notice_of(OPENED, "opened")


def later(kind: str) -> PageNotice:
    return notice_of(change(kind), kind.removeprefix("page."), DATA)


@dataclass
class Channel:
    """A channel, and how a pager for it is made."""

    slack: Slack
    front: Front

    def pager(self, mention: str | None = None) -> SlackPager:
        http = HttpClient(limits=LOCAL, timing=FakeTime().timing(), transport=plain_http())
        return SlackPager(
            f"{self.front.url}/api/", Text(TOKEN), self.slack.channel, http, words, mention=mention
        )

    def texts(self) -> list[str]:
        return [message["text"] for message in self.slack.messages]


@pytest.fixture
async def channel() -> AsyncIterator[Channel]:
    slack = Slack(TOKEN)
    made = Channel(slack, Front(slack))
    async with serving(made.front):
        yield made


async def test_a_page_is_one_message_that_goes_on_with_it(channel: Channel) -> None:
    pager = channel.pager()
    await pager.notify(NOTICE)
    (message,) = channel.slack.messages
    assert message["text"].startswith(":rotating_light: Decide by 2026-11-18 11:21 UTC about model-v42")
    await pager.notify(later("page.acknowledged"))
    assert channel.texts() == [":eyes: Seen by ann, model-v42: latency is up"]
    await pager.notify(later("page.resolved"))
    assert channel.texts() == [":white_check_mark: Resolved, model-v42: latency is up"]
    await pager.close()


async def test_what_people_must_hear_is_a_message_and_what_they_may_see_is_a_change(channel: Channel) -> None:
    """An update notifies nobody: a page that ran out is said in its thread and in the channel, too."""
    pager = channel.pager("<!subteam^S0123>")
    await pager.notify(NOTICE)
    await pager.notify(later("page.expired"))
    first, reply = channel.slack.messages
    assert (reply["thread_ts"], reply["reply_broadcast"]) == (first["ts"], True)
    assert reply["text"].startswith("<!subteam^S0123> :alarm_clock: Nobody decided about model-v42")
    await pager.notify(later("page.resolved"))
    assert channel.texts()[0].startswith(":white_check_mark:")
    assert len(channel.slack.messages) == 2
    await pager.close()


async def test_a_rollback_is_a_message_of_its_own(channel: Channel) -> None:
    pager = channel.pager()
    await pager.notify(informed(request(), "the flag was read back as serving the baseline"))
    assert channel.texts()[0].startswith(":rewind: Rolled back model-v42: Rollback of model-v42 to model-v41")
    await pager.close()


async def test_a_mention_stands_in_what_notifies_and_nowhere_else(channel: Channel) -> None:
    pager = channel.pager("<!here>")
    await pager.notify(NOTICE)
    assert channel.slack.messages[0]["blocks"][0]["text"]["text"].endswith("<!here>")
    await pager.notify(later("page.resolved"))
    assert "<!here>" not in str(channel.slack.messages[0]["blocks"])
    await pager.close()


async def test_without_the_scope_to_look_the_page_is_posted_all_the_same(channel: Channel) -> None:
    channel.slack.scopes = frozenset({"chat:write"})
    pager = channel.pager()
    await pager.notify(NOTICE)
    await pager.notify(later("page.resolved"))
    assert [text.split()[0] for text in channel.texts()] == [":rotating_light:", ":white_check_mark:"]
    await pager.close()


async def test_while_slack_is_away_an_unsure_message_is_not_posted_again(channel: Channel) -> None:
    channel.front.spoils = lambda _: True
    channel.front.faults = ["500", "500 after applying", "500"]
    pager = channel.pager()
    for what in ("the look fails, the message is posted and its answer lost", "the look fails: not again"):
        with pytest.raises(PagerFailed) as failed:
            await pager.notify(NOTICE)
        assert failed.value.retryable, what
    await pager.notify(NOTICE)
    assert len(channel.slack.messages) == 1
    await pager.close()


@pytest.mark.parametrize(
    ("error", "retryable"),
    [("invalid_auth", False), ("not_in_channel", False), ("internal_error", True), ("ratelimited", True)],
)
async def test_slack_s_own_reason_is_shown_and_says_whether_it_passes(
    channel: Channel, error: str, retryable: bool
) -> None:
    channel.front.system = lambda _: Said(200, {"ok": False, "error": error})
    pager = channel.pager()
    with pytest.raises(PagerFailed, match=f"chat.postMessage is refused: {error}") as failed:
        await pager.notify(NOTICE)
    assert failed.value.retryable is retryable
    await pager.close()


async def test_a_missing_scope_is_named(channel: Channel) -> None:
    channel.slack.scopes = frozenset({"channels:history"})
    pager = channel.pager()
    with pytest.raises(PagerFailed, match="missing_scope, it needs the scope chat:write"):
        await pager.notify(NOTICE)
    await pager.close()


async def test_another_page_s_message_is_left_alone(channel: Channel) -> None:
    pager = channel.pager()
    await pager.notify(NOTICE)
    other = {**DATA, "page_id": "p-other"}
    await pager.notify(notice_of(page(**other) | {"id": "e-other"}, "opened"))
    await pager.notify(later("page.resolved"))
    states = {
        one["metadata"]["event_payload"]["page_id"]: one["text"].split()[0] for one in channel.slack.messages
    }
    assert states == {PAGE: ":white_check_mark:", "p-other": ":rotating_light:"}
    await pager.close()


def _texts(found: list[dict[str, Any]]) -> list[str]:
    return [block["text"]["text"] for block in found]


def test_names_make_no_mention_no_link_and_no_bold() -> None:
    wild = page(**{**DATA, "release": "<!channel>", "cohort": {"tenant": "<@U1> & *b*"}})
    said = " ".join(_texts(blocks(notice_of(wild, "opened"), words(notice_of(wild, "opened")))))
    assert "<!channel>" not in said
    assert "<@U1>" not in said
    assert "&lt;@U1&gt; &amp;" in said


def test_the_commands_can_be_copied_as_they_are() -> None:
    texts = _texts(blocks(NOTICE, words(NOTICE)))
    for what, command in words(NOTICE).commands:
        assert f"{what}:\n```{escaped(command)}```" in texts


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=3_000), st.lists(st.text(max_size=900), max_size=3), st.text(max_size=200))
def test_every_page_is_within_slack_s_limits(summary: str, traces: list[str], release: str) -> None:
    notice = notice_of(
        page(**{**DATA, "summary": summary, "exemplars": traces, "release": release}), "opened"
    )
    found = blocks(notice, words(notice), "<!here>")
    assert len(found) <= 50
    assert all(0 < len(text) <= SECTION_MAX + 100 for text in _texts(found))
