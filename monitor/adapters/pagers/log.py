"""The pager of an installation without one: the notice goes to the structured log, for whatever watches it."""

from __future__ import annotations

import structlog

from monitor.engine.ports import PageNotice

_LOUD = frozenset({"opened", "expired"})


class LogPager:
    """Writes notices to the log: open and expired pages as errors, all others as information."""

    def __init__(self) -> None:
        self._log = structlog.stdlib.get_logger("monitor.page")

    async def notify(self, notice: PageNotice) -> None:
        """Write the notice; a log cannot refuse, and nobody confirms that it was read."""
        write = self._log.error if notice.state in _LOUD else self._log.info
        write(
            "page",
            text=notice.text,
            state=notice.state,
            page_id=notice.page_id,
            event_id=notice.event_id,
            release=notice.release,
            deadline_ms=notice.deadline_ms,
        )
