"""Telling that the monitor cannot see, and that it sees again: once each, on record before it is published.

Where the state store answers, whoever holds the lease tells. Where it does not, everybody would: all give the event
the same id, and whoever finds it on record is silent. What could not be told while the log was away is told when it is
back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.core.budget import Budget
from monitor.core.decision import EVERY_RELEASE, Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import moment_ms, rfc3339
from monitor.core.sight import Cause
from monitor.core.window import BUCKET_MS
from monitor.engine.book import LedgerBook
from monitor.engine.errors import StoreUnreachable
from monitor.engine.observer import Observer
from monitor.engine.ports import Ledger, LedgerEntry, Outputs
from monitor.engine.tenure import Tenure
from monitor.engine.unseen import calls_due, open_blindness, told_ms

PARTITIONS_NAMED: Final = 100  # in one event; more are as many as all
_WORDS: Final = {
    Cause.KAFKA: "Kafka does not answer",
    Cause.REDIS: "the state store does not answer, or cannot be relied on",
    Cause.CLOCK: "the log's clock was ahead of the time it tells now, so minutes were closed before their events came",
    Cause.STUCK: "reading does not move",
    Cause.REBUILDING: "the state is being rebuilt from the log",
    Cause.LAG: "reading is too far behind",
    Cause.DEFECT: "judging it met a defect of the monitor",
}


@dataclass(frozen=True, slots=True)
class Blindness:
    """What is not seen now.

    Attributes:
        since_ms: Event time up to which everything was seen.
        releases: Whom it concerns.
        detail: What more is known of the cause.
    """

    cause: Cause
    since_ms: int
    releases: Sequence[str]
    partitions: Sequence[str] = ()
    detail: str = ""


class Herald:
    """Puts `monitor.blind` and `monitor.recovered` on record and on their topic.

    Args:
        speed: How much faster event time runs than real time.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        outputs: Outputs,
        book: LedgerBook,
        tenure: Tenure,
        observer: Observer,
        speed: float = 1.0,
    ) -> None:
        self._ledger = ledger
        self._outputs = outputs
        self._book = book
        self._tenure = tenure
        self._observer = observer
        self._speed = speed
        self._untold: dict[str, Decision] = {}
        self._known_ms: dict[str, tuple[str, int]] = {}

    async def tell(self, subject: str, blindness: Blindness | None, now_ms: int, *, is_seen: bool) -> None:
        """Bring what is on record up to date with what is so.

        Args:
            subject: A release, or `EVERY_RELEASE`.
            now_ms: The log's time, in event time.
            is_seen: All of it is seen: only then a blindness is over. Between the two nothing is said.

        Raises:
            LogUnreachable: Nothing is lost: it is told at a later call.
        """
        told = open_blindness(self._book, subject)
        if blindness is not None and told is None and blindness.releases:
            self._untold.setdefault(subject, self._blind(subject, blindness, now_ms))
        untold = self._untold.get(subject)
        if untold is None and not self._unpublished(subject) and (told is None or not is_seen):
            return
        if not await self._is_ours(subject):
            self._untold.pop(subject, None)  # whoever's it is looks at the same
            return
        for entry in self._unpublished(subject):
            await self._publish(entry)
        if untold is not None:
            if self._book.get(untold.decision_id) is None:
                await self._record(untold)
            del self._untold[subject]
        told = open_blindness(self._book, subject)
        if is_seen and told is not None:
            await self._record(self._recovered(told, now_ms))

    async def call_again(self, subject: str, budgets: Mapping[str, Budget], now_ms: int) -> None:
        """Let a blindness that nobody has seen go up the paths of the budgets it concerns.

        It goes by the log's time as the machine's clock carries it on: the store and the ticks may be what is away.

        Raises:
            LogUnreachable: Nothing is lost: the calls are still due at a later call.
        """
        blind = open_blindness(self._book, subject)
        if blind is None:
            self._known_ms.pop(subject, None)
            return
        # Not from its beginning: what an outage of Kafka kept back is told first, and then there is time to see it.
        known_id, known_ms = self._known_ms.get(subject, ("", now_ms))
        if known_id != blind.decision_id:
            self._known_ms[subject] = blind.decision_id, now_ms
            known_ms = now_ms
        begins_ms = told_ms(self._book, blind) or known_ms
        due = calls_due(self._book, blind, budgets, begins_ms, now_ms)
        if due and await self._is_ours(subject):
            for call in due:
                await self._record(call)

    def _unpublished(self, subject: str) -> list[LedgerEntry]:
        # A release's own outbox is its evaluator's.
        return self._book.unpublished(subject) if subject == EVERY_RELEASE else []

    async def _is_ours(self, subject: str) -> bool:
        if subject != EVERY_RELEASE:
            return True  # whoever judges a release holds its lease
        try:
            return await self._tenure.holds(EVERY_RELEASE)
        except StoreUnreachable:
            return True

    async def _record(self, decision: Decision) -> None:
        entry = LedgerEntry(decision, None)
        await self._ledger.append(entry)
        self._book.note(entry)
        await self._publish(entry)

    async def _publish(self, entry: LedgerEntry) -> None:
        await self._outputs.publish(entry.decision)
        done = LedgerEntry(entry.decision, None, True)
        await self._ledger.append(done)
        self._book.note(done)
        self._observer.decided(entry.decision)

    def _blind(self, subject: str, blindness: Blindness, now_ms: int) -> Decision:
        # Instances agree on the minute, not on the millisecond; a second episode of a minute gets a number.
        since_ms = blindness.since_ms // BUCKET_MS * BUCKET_MS
        earlier = sum(
            one.decision.type is Type.MONITOR_BLIND and one.decision.data.get("since") == rfc3339(since_ms)
            for one in self._book.of(subject)
        )
        kind = Type.MONITOR_BLIND
        event_id = decision_id(kind.value, subject, earlier, None, {}, since_ms)
        names = ", ".join(blindness.releases)
        detail = f" ({blindness.detail})" if blindness.detail else ""
        data: Mapping[str, object] = {
            "release": None if subject == EVERY_RELEASE else subject,
            "releases": list(blindness.releases),
            "cause": blindness.cause.value,
            "partitions": list(blindness.partitions[:PARTITIONS_NAMED]),
            "reason": Reason.BLIND.value,
            "since": rfc3339(since_ms),
            "decided_at": rfc3339(now_ms),
            "page_id": event_id,
            "summary": f"blind since {rfc3339(since_ms)}: {_WORDS[blindness.cause]}{detail}. Nothing is decided about "
            f"{names} meanwhile, and deadlines wait",
        }
        return Decision(kind, event_id, subject, now_ms, data)

    def _recovered(self, blind: Decision, now_ms: int) -> Decision:
        kind = Type.MONITOR_RECOVERED
        since_ms = moment_ms(str(blind.data["since"]))
        seconds = max(0.0, (now_ms - since_ms) / 1000 / self._speed)
        data = {
            **blind.data,
            "reason": Reason.RECOVERED.value,
            "decided_at": rfc3339(now_ms),
            "blind_seconds": round(seconds, 3),
            "summary": f"sees again after {seconds:.0f} s: what was missed has been read",
        }
        event_id = decision_id(kind.value, blind.release, 0, blind.decision_id, {}, None)
        return Decision(kind, event_id, blind.release, now_ms, data)
