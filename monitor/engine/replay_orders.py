"""Recorded orders in a replay: a command counts at its record time, as it does live.

Before a tick, what was ordered up to it is obeyed; before an incident is judged, what was ordered until it was heard.
A replay arms once: `arm` is refused, and after a request the release stays locked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.eval_debt import closing
from monitor.engine.answer import answer, ordered
from monitor.engine.book import CLOSE_DEBT, Command
from monitor.engine.breaker import CLOSE, Breaker, closed
from monitor.engine.evaluate import Evaluator

_LEDGER_ALONE: Final = frozenset({Type.COMMAND_REFUSED, Type.ARMING_ENDED, Type.BREAKER_CLOSED})
"""What live is on record and on no topic that others read."""


class Orders:
    """What people ordered, oldest first; of two with one id the first counts."""

    def __init__(self, commands: Iterable[Command] = ()) -> None:
        self._waiting: dict[str, deque[Command]] = {}
        self._debts: dict[str, Decision] = {}
        self._obeyed = 0
        self._refused = 0
        known: set[str] = set()
        for one in sorted(commands, key=lambda one: one.at_ms):
            if one.command_id not in known:
                known.add(one.command_id)
                self._waiting.setdefault(one.release, deque()).append(one)

    def counts(self) -> dict[str, int] | None:
        """Return what became of them: `waiting` are about other releases, or later than the recording's last minute."""
        waiting = sum(map(len, self._waiting.values()))
        counts = {"obeyed": self._obeyed, "refused": self._refused, "waiting": waiting}
        return counts if any(counts.values()) else None

    def note(self, decision: Decision) -> None:
        """Take note of a decision: an eval debt may be closed by an order later."""
        if decision.type is Type.DEBT_CREATED:
            self._debts[str(decision.data["debt_id"])] = decision

    def obey(self, evaluator: Evaluator, up_to_ms: int) -> list[Decision]:
        """Carry out what was ordered about a release up to a moment, and return what others hear of it."""
        said: list[Decision] = []
        for command in self._due(evaluator.budget.release, up_to_ms):
            answers = self._close_debt(command) if command.kind == CLOSE_DEBT else answer(evaluator, command)
            is_obeyed = any(one.type is not Type.COMMAND_REFUSED for one in answers)
            self._count(is_obeyed=is_obeyed)
            said += [one for one in answers if one.type not in _LEDGER_ALONE]
        return said

    def obey_breaker(self, breaker: Breaker, up_to_ms: int) -> None:
        """Close the breaker where that was ordered up to a moment."""
        for command in self._due(EVERY_RELEASE, up_to_ms):
            if command.kind == CLOSE:
                breaker.record.note(closed(breaker, command))
            self._count(is_obeyed=command.kind == CLOSE)

    def _due(self, release: str, up_to_ms: int) -> Iterator[Command]:
        waiting = self._waiting.get(release)
        while waiting and waiting[0].at_ms <= up_to_ms:
            yield waiting.popleft()

    def _close_debt(self, command: Command) -> list[Decision]:
        owed = self._debts.pop(command.debt_id or "", None)
        if owed is None or owed.release != command.release:
            return []
        end = closing(
            owed.data,
            command.at_ms,
            author=command.author,
            note=command.reason,
            evaluation=command.evaluation,
        )
        return [ordered(end, command)]

    def _count(self, *, is_obeyed: bool) -> None:
        self._obeyed += is_obeyed
        self._refused += not is_obeyed
