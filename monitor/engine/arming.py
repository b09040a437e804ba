"""Armings on record: what an arming's ledger entry says, how it comes to be, and how it is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from monitor.core.budget import Budget
from monitor.core.cohort import cohort_key
from monitor.core.decision import Decision, Reason, Type
from monitor.core.ids import decision_id
from monitor.core.moment import rfc3339
from monitor.core.record import Arming, release_data
from monitor.core.window import minute_of, tick_ms
from monitor.core.wording import slice_words
from monitor.engine.book import LedgerBook, arming_number
from monitor.engine.history import History
from monitor.engine.ports import Clock, Ledger, LedgerEntry
from monitor.engine.view import View


def arming_entry(
    budget: Budget,
    view: View,
    *,
    number: int,
    now_ms: int,
    spec: Mapping[str, object],
    reference: Mapping[str, Any],
    was_watched: bool = False,
) -> LedgerEntry:
    """Return the entry that arms a budget, with all that evaluating it will ever need beside the traces.

    Args:
        spec: The budget as the ledger keeps it.
        reference: What was captured of the baseline's past.
        was_watched: Whether an arming before this one saw the candidate's traffic.
    """
    open_from = view.open_from
    data = {
        **release_data(budget, Arming(budget.release, number, budget.digest, now_ms)),
        "armed_late": was_watched or view.has_seen(budget.release),
        "armed_from_ms": 0 if open_from is None else tick_ms(open_from),
        "from_minute": open_from,
        "offsets": dict(view.offsets),
        "spec": spec,
        "reference": reference,
        "decided_at": rfc3339(now_ms),
        "summary": f"{budget.release} is armed against {budget.baseline}; {past_words(reference)}",
    }
    event_id = decision_id(Type.ARMING_CREATED.value, budget.release, number)
    return LedgerEntry(Decision(Type.ARMING_CREATED, event_id, budget.release, now_ms, data), None, True)


class Arms:
    """Puts armings on record.

    Args:
        encode: A budget as the ledger keeps it.
    """

    def __init__(
        self,
        ledger: Ledger,
        book: LedgerBook,
        history: History,
        clock: Clock,
        encode: Callable[[Budget], Mapping[str, object]],
    ) -> None:
        self._ledger, self._book, self._history = ledger, book, history
        self._clock, self._encode = clock, encode

    async def arm(self, budget: Budget, view: View, *, number: int, was_watched: bool) -> LedgerEntry:
        """Return the entry of an arming, which is on record now; what was on record stays as it is."""
        now_ms = self._clock.now_ms()
        entry = arming_entry(
            budget,
            view,
            number=number,
            now_ms=now_ms,
            spec=self._encode(budget),
            reference=await self._history.captured(budget, armed_at_minute(view, now_ms)),
            was_watched=was_watched,
        )
        known = self._book.get(entry.decision.decision_id)
        if known is not None:
            return known
        await self._ledger.append(entry)
        self._book.note(entry)
        return entry


def saw_traffic(arming: Iterable[LedgerEntry]) -> bool:
    """Tell whether an arming's records show that it saw the candidate's traffic: its window has begun then."""
    return any(one.decision.type in (Type.BREACH_STARTED, Type.RELEASE_ASSESSED) for one in arming)


def armed_at_minute(view: View, now_ms: int) -> int:
    """Return the minute from which an arming made now would count."""
    return minute_of(now_ms) if view.open_from is None else view.open_from


def past_words(reference: Mapping[str, Any]) -> str:
    """Return what is known of the baseline's past, for people."""
    days = reference["days"]
    words = (
        f"{days} days of the baseline's past are known" if days else "nothing is known of the baseline's past"
    )
    slices: Sequence[Mapping[str, Any]] = reference.get("slices") or ()
    for one in slices:
        known = f"{one['days']} days" if one["days"] else "nothing"
        words += f", {known}{slice_words(cohort_key(one['cohort']))}"
    beyond = reference.get("slices_beyond")
    return f"{words}; {beyond} more slices have no past" if beyond else words


def budget_changed(
    budget: Budget, arming: Arming, now_ms: int, spec: Mapping[str, object], reference: Mapping[str, Any]
) -> Decision:
    """Return the ledger's note that another budget is in force from the next tick on."""
    data = {
        **release_data(budget, arming),
        "reason": Reason.BUDGET_CHANGED.value,
        "spec": spec,
        "reference": reference,
        "decided_at": rfc3339(now_ms),
        "summary": f"the budget of {budget.release} changed; it applies from the next tick",
    }
    kind, release = Type.BUDGET_CHANGED, budget.release
    event_id = decision_id(kind.value, release, arming.number, budget.digest, {}, now_ms)
    return Decision(kind, event_id, release, now_ms, data)


def arming_of(entry: LedgerEntry) -> Arming:
    """Return the arming that an entry put on record."""
    data = entry.decision.data
    from_ms = data.get("armed_from_ms", 0)
    return Arming(
        release=entry.decision.release,
        number=arming_number(entry),
        budget_digest=str(data["budget_digest"]),
        at_ms=from_ms if isinstance(from_ms, int) else 0,
        armed_late=data.get("armed_late") is True,
    )


def spec_of(entry: LedgerEntry) -> Mapping[str, object]:
    """Return the budget that an entry carries, as the ledger keeps it."""
    spec = entry.decision.data["spec"]
    assert isinstance(spec, Mapping), "a ledger entry without its budget is our own mistake"
    return spec
