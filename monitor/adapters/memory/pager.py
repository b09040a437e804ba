"""A pager in memory: keeps what people would have been told."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.engine.errors import PagerFailed
from monitor.engine.ports import PageNotice


class MemoryPager:
    """Keeps each notice once by its event id, as a real paging system does; `failures` are raised first."""

    def __init__(self, failures: Iterable[PagerFailed] = ()) -> None:
        self.delivered: dict[str, PageNotice] = {}
        self.attempts = 0
        self._failures = list(failures)

    async def notify(self, notice: PageNotice) -> None:
        """Keep the notice.

        Raises:
            PagerFailed: A planned failure.
        """
        self.attempts += 1
        if self._failures:
            raise self._failures.pop(0)
        self.delivered.setdefault(notice.event_id, notice)
