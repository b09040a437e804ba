"""Every other service, through the Apprise library: Teams, Discord, e-mail, SMS and more than a hundred others.

The library is synchronous and answers yes or no: each service is called in a thread of its own, with an end, and
one that has accepted a notice is not called again for it. Services without a key that drops repeats may show a
message twice where an answer got lost; it names its page, so people see that it is the same one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from apprise import Apprise, NotifyFormat, NotifyType
from apprise.result import AppriseResultStatus

from monitor.adapters.http import Secret
from monitor.core.errors import MonitorError
from monitor.engine.errors import PagerFailed
from monitor.engine.page_words import Severity, Words
from monitor.engine.ports import PageNotice

T = TypeVar("T")

ATTEMPT_S: Final = 20.0
GRACE_S: Final = 5.0  # for the library to end a call by itself before it is left alone
CALLS_MAX: Final = 4  # of one service that have not come back: beyond it, it is left alone
REMEMBERED_MAX: Final = 10_000
_TYPES: Final = {
    "resolved": NotifyType.SUCCESS,
    "acknowledged": NotifyType.INFO,
}
_BY_SEVERITY: Final = {
    Severity.CRITICAL: NotifyType.FAILURE,
    Severity.ERROR: NotifyType.FAILURE,
    Severity.WARNING: NotifyType.WARNING,
}


class ApprisePagerUnusable(MonitorError):
    """A service's URL can never work; the message names its place and its scheme, never the URL."""


class ApprisePager:
    """Sends every change of a page as a message to each service."""

    def __init__(self, urls: Secret, words: Words, *, attempt_s: float = ATTEMPT_S) -> None:
        """Read the URLs; nothing is sent.

        Args:
            urls: Apprise URLs with white space between.

        Raises:
            ApprisePagerUnusable: One is no URL of a service, or there is none.
        """
        self._words, self._attempt_s = words, attempt_s
        self._services = [
            _service(number, url) for number, url in enumerate(urls.get_secret_value().split(), 1)
        ]
        if not self._services:
            raise ApprisePagerUnusable("apprise_urls: empty; write one URL per service, e.g. msteams://...")
        self._accepted: dict[tuple[str, int], None] = {}
        self._at_work = [0] * len(self._services)

    async def close(self) -> None:
        """Leave; the library keeps no connections."""

    async def notify(self, notice: PageNotice) -> None:
        """Send the message; returns when every service has accepted it.

        Raises:
            PagerFailed: One did not; calling again calls only those that have not accepted it.
        """
        words = self._words(notice)
        kind = _TYPES.get(notice.state, _BY_SEVERITY[words.severity])
        missing = [
            number for number in range(len(self._services)) if (notice.event_id, number) not in self._accepted
        ]
        ends = await asyncio.gather(
            *(self._send(number, words.title, words.text(), kind) for number in missing)
        )
        failures = []
        for number, why in zip(missing, ends, strict=True):
            if why is None:
                self._accept(notice.event_id, number)
            else:
                failures.append(f"{self._name(number)} {why}")
        if failures:
            raise PagerFailed(f"apprise: {'; '.join(failures)}", retryable=True)

    def _accept(self, event_id: str, number: int) -> None:
        self._accepted[event_id, number] = None
        while len(self._accepted) > REMEMBERED_MAX:
            del self._accepted[next(iter(self._accepted))]

    def _name(self, number: int) -> str:
        return f"service {number + 1} ({self._services[number][0].service_name})"

    async def _send(self, number: int, title: str, body: str, kind: NotifyType) -> str | None:
        """Send to one service; return None, or why it failed. The library's own words may hold a secret."""
        if self._at_work[number] >= CALLS_MAX:
            return f"is left alone: {CALLS_MAX} earlier calls have not come back"
        service = self._services[number]

        def call() -> AppriseResultStatus:
            result = service.notify(
                body=body,
                title=title,
                notify_type=kind,
                body_format=NotifyFormat.TEXT,
                interpret_escapes=False,
                timeout=self._attempt_s,
            )
            return AppriseResultStatus(result.status)

        self._at_work[number] += 1
        try:
            async with asyncio.timeout(self._attempt_s + GRACE_S):
                status = await in_thread(call, partial(self._returned, number))
        except TimeoutError:
            return f"did not answer within {self._attempt_s + GRACE_S:g} s"
        if status is AppriseResultStatus.SUCCESS:
            return None
        if status is AppriseResultStatus.TIMEOUT:
            return f"did not answer within {self._attempt_s:g} s"
        return "did not accept it; check its URL, and that it can be reached from here"

    def _returned(self, number: int) -> None:
        self._at_work[number] -= 1


def _service(number: int, url: str) -> Apprise:
    scheme = url.partition("://")[0][:40] if "://" in url else "no scheme"
    service = Apprise()
    if not service.add(url):
        raise ApprisePagerUnusable(f"apprise_urls, number {number} ({scheme}): no service takes it")
    return service


async def in_thread(call: Callable[[], T], returned: Callable[[], None]) -> T:
    """Run a blocking call in a thread that never keeps the process from ending, and return its answer.

    Args:
        returned: Called in the loop when the thread is back, also where nobody waits for it any more.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def back(give: Callable[[], None]) -> None:
        returned()
        if not answer.done():
            give()

    def run() -> None:
        try:
            give = partial(answer.set_result, call())
        # Whatever a service's plugin raises belongs to whoever waits for it.
        except BaseException as error:  # noqa: BLE001
            give = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(back, give)

    threading.Thread(target=run, name="apprise", daemon=True).start()
    return await answer
