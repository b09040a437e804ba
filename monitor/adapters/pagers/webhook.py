"""Any paging system behind one signed URL: each change of a page's state is one POST, told apart by its event id."""

from __future__ import annotations

import json

from monitor.adapters.egress import WebhookUnusable
from monitor.adapters.http import SignedWebhook, WebhookFailed
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import Words, page_words
from monitor.engine.ports import PageNotice


def notice_body(notice: PageNotice, words: Words = page_words) -> str:
    """Return the notice as JSON, with the words other pagers show; equal notices are equal bytes.

    `page_id` groups what belongs to one page (the receiver's dedup key), `event_id` is the `webhook-id` of the post.
    """
    said = words(notice)
    return json.dumps(
        {
            "event_id": notice.event_id,
            "page_id": notice.page_id,
            "state": notice.state,
            "release": notice.release,
            "text": notice.text,
            "about": notice.about.value,
            "severity": said.severity.value,
            "title": said.title,
            "message": said.text(),
            "commands": [{"does": does, "command": command} for does, command in said.commands],
            "link": said.link,
            "deadline_ms": notice.deadline_ms,
            "event": dict(notice.event),
        },
        sort_keys=True,
        separators=(",", ":"),
    )


class WebhookPager:
    """Posts every notice to a signed webhook; a 2xx is the receiver's confirmation."""

    def __init__(self, webhook: SignedWebhook, words: Words = page_words) -> None:
        self._webhook, self._words = webhook, words

    async def close(self) -> None:
        """Close the connections."""
        await self._webhook.close()

    async def notify(self, notice: PageNotice) -> None:
        """Deliver the notice; returns only after a 2xx.

        Raises:
            PagerFailed: Not confirmed in time, or refused.
        """
        try:
            await self._webhook.post(notice.event_id, notice_body(notice, self._words))
        except WebhookUnusable as error:
            raise PagerFailed(str(error), retryable=False) from error
        except WebhookFailed as error:
            raise PagerFailed(str(error), retryable=error.retryable) from error
