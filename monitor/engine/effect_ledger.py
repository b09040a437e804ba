"""The ledger as effects see it, over the one that decisions are in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.core.decision import EVERY_RELEASE, Decision, Type
from monitor.core.ids import event_type
from monitor.engine.control import Control
from monitor.engine.ports import Clock, Ledger, LedgerEntry, Outputs
from monitor.engine.tell import PagePast
from monitor.engine.unseen import releases_of

_OPEN: Final = (Type.PAGE_OPENED, Type.MONITOR_BLIND)
_CLOSE: Final = (Type.PAGE_RESOLVED, Type.MONITOR_RECOVERED)


class EffectLedger:
    """The ledger as effects see it: what is recorded, and how to record and publish what they did."""

    def __init__(self, control: Control, ledger: Ledger, outputs: Outputs, clock: Clock) -> None:
        self._control = control
        self._ledger = ledger
        self._outputs = outputs
        self._clock = clock

    async def known(self, decision_id: str) -> bool:
        """Tell whether a decision of this id is recorded, and published where it is to be."""
        entry = self._control.book.get(decision_id)
        return entry is not None and entry.is_published

    async def record(self, kind: Type, decision_id: str, release: str, data: Mapping[str, object]) -> None:
        """Append the decision to the ledger and publish it; return when it is acknowledged."""
        plain = json.loads(json.dumps(data, default=str))
        decision = Decision(kind, decision_id, release or EVERY_RELEASE, self._clock.now_ms(), plain)
        await self._ledger.append(LedgerEntry(decision, None))
        await self._outputs.publish(decision)
        entry = LedgerEntry(decision, None, True)
        await self._ledger.append(entry)
        self._control.note(entry)

    async def event(self, decision_id: str) -> Mapping[str, Any] | None:
        """Return a recorded decision as an event: `type`, `id`, `data`; None where there is none."""
        entry = self._control.book.get(decision_id)
        if entry is None:
            return None
        decision = entry.decision
        kind = event_type(decision.type.value)
        return {"type": kind, "id": decision.decision_id, "data": decision.data}

    async def page(self, release: str, page_id: str) -> PagePast:
        """Return what the ledger knows of a page."""
        past = PagePast()
        escalations: list[Decision] = []
        for decision in self._about(release, page_id):
            if decision.data.get("page_id") != page_id:
                continue
            if decision.type in _OPEN and decision.at_ms >= (past.opened_ms or 0):
                past = past._replace(opening=decision.data, opened_ms=decision.at_ms)
            elif decision.type in _CLOSE:
                past = past._replace(resolved_ms=max(decision.at_ms, past.resolved_ms or 0))
            elif decision.type is Type.PAGE_ESCALATED:
                escalations.append(decision)
        since = [one.data.get("pagers") for one in escalations if one.at_ms >= (past.opened_ms or 0)]
        names = (str(name) for pagers in since if isinstance(pagers, list) for name in pagers)
        return past._replace(escalated_to=frozenset(names))

    def _about(self, release: str, page_id: str) -> Iterator[Decision]:
        """Yield a release's decisions; of a blindness also those of all that it concerns."""
        book = self._control.book
        known = book.get(page_id)
        subjects = {release: None}
        if known is not None and known.decision.type is Type.MONITOR_BLIND:
            subjects |= dict.fromkeys((known.decision.release, *releases_of(known.decision)))
        return (entry.decision for subject in subjects for entry in book.of(subject))
