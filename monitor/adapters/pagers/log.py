"""The pager of an installation without one: the notice goes to the structured log, for whatever watches it."""

from __future__ import annotations

import structlog

from monitor.engine.page_words import Words, page_words
from monitor.engine.ports import PageNotice

_LOUD = frozenset({"opened", "reminded", "escalated", "expired"})


class LogPager:
    """Writes notices to the log: pages that call for somebody as errors, all others as information."""

    def __init__(self, words: Words = page_words) -> None:
        self._log = structlog.stdlib.get_logger("monitor.page")
        self._words = words

    async def close(self) -> None:
        """Leave; a log has no connections."""

    async def notify(self, notice: PageNotice) -> None:
        """Write the notice; a log cannot refuse, and nobody confirms that it was read."""
        words = self._words(notice)
        write = self._log.error if notice.state in _LOUD else self._log.info
        write(
            "page",
            text=notice.text,
            title=words.title,
            commands=[command for _, command in words.commands],
            link=words.link,
            state=notice.state,
            page_id=notice.page_id,
            event_id=notice.event_id,
            release=notice.release,
            deadline_ms=notice.deadline_ms,
        )
