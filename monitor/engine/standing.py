"""How every release stands, from the ledger's entries alone: no worker is asked, and their order means nothing.

(A compacted topic of several partitions hands entries over in any order; what holds is told by their times.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from monitor.core.budget import Mode
from monitor.core.decision import AFTER_ROLLBACK, Decision, Reason, Type
from monitor.core.eval_debt import debts_of
from monitor.core.ladder import as_if
from monitor.core.moment import moment_ms, rfc3339
from monitor.core.rehearsal import Rehearsed, is_rehearsal, last_rehearsed
from monitor.core.storm import StormRecord
from monitor.core.window import minute_of
from monitor.engine.page_commands import for_open_page
from monitor.engine.page_words import asked
from monitor.engine.ports import LedgerEntry
from monitor.engine.unapplied import Unapplied, unapplied

LAST_DECISIONS: Final = 5
_OF_PAGES: Final = frozenset(
    {
        Type.PAGE_OPENED,
        Type.PAGE_ACKNOWLEDGED,
        Type.PAGE_EXTENDED,
        Type.PAGE_ESCALATED,
        Type.PAGE_EXPIRED,
        Type.PAGE_RESOLVED,
    }
)
_FOLLOW_UPS: Final = (Type.ROLLBACK_APPLIED, Type.ROLLBACK_VERIFIED, Type.ROLLBACK_FAILED)


@dataclass(frozen=True, slots=True)
class Standing:
    """One release in its newest arming; every part is JSON-ready, times are RFC 3339 in event time.

    Attributes:
        stage: `watching`; `locked` after a request to roll back; `ended` with its window or disarmed.
        halted: What is on record of a defect of the monitor that keeps it from judging this release.
        eval_debt: Open ones of every arming of the release; `eval_debt_overdue` of them are beyond their due date.
        pages: Open ones; `commands` are ready to be copied. `is_question`: roll back or go on is still to be decided;
            `whom`, `began`, `sure` and `at_deadline` are the page's own words.
        mode: How far the budget may go.
        observed: While it only observes: the rollbacks and the newest pages that it would have asked for.
        rehearsed: The newest rehearsal that speaks for it.
        assessment: The data of the newest `release.assessed`.
    """

    release: str
    baseline: str
    budget: str
    budget_digest: str
    arming: int
    since: str
    stage: str
    halted: dict[str, object] | None
    rollback: dict[str, object] | None
    breaches: list[dict[str, object]]
    pages: list[dict[str, object]]
    overrides: list[dict[str, object]]
    mode: str
    observed: list[dict[str, object]]
    eval_debt: int
    eval_debt_overdue: int
    rehearsed: Rehearsed | None
    assessment: Mapping[str, object] | None
    last_decisions: list[dict[str, object]]


Known = dict[str, tuple[tuple[int, int, int], Standing | None]]
"""By release: what it was worked out from, and what came out."""


def standings(entries: Iterable[LedgerEntry], now_ms: int, known: Known | None = None) -> list[Standing]:
    """Return how each release stands, by name.

    Args:
        now_ms: Event time, epoch milliseconds: overrides beyond it are over, even if nobody has said so yet.
        known: Of whoever asks again and again, and kept for the next time: a release is looked at anew when something
            was recorded of it, and each minute.
    """
    known = {} if known is None else known
    unique = {entry.decision.decision_id: entry.decision for entry in entries}
    by_release: dict[str, list[Decision]] = {}
    for decision in unique.values():
        by_release.setdefault(decision.release, []).append(decision)
    drills = [one for one in unique.values() if one.type is Type.ROLLBACK_REHEARSED]
    shown = sorted(release for release in by_release if not is_rehearsal(release))
    for release in shown:
        version = (len(by_release[release]), len(drills), minute_of(now_ms))
        if release not in known or known[release][0] != version:
            known[release] = version, _standing(by_release[release], drills, now_ms)
    found = (known[release][1] for release in shown)
    return [one for one in found if one is not None]


def record_of(entries: Iterable[LedgerEntry]) -> StormRecord:
    """Return what the ledger says of automatic rollbacks."""
    record = StormRecord()
    for entry in entries:
        record.note(entry.decision)
    return record


def _standing(decisions: Sequence[Decision], drills: Sequence[Decision], now_ms: int) -> Standing | None:
    armings = [one for one in decisions if one.type is Type.ARMING_CREATED]
    if not armings:
        return None
    arming = max(armings, key=_number)
    ours = sorted((one for one in decisions if _number(one) == _number(arming)), key=lambda one: one.at_ms)
    # A budget that was changed while armed speaks for the release from then on.
    newest = _last(ours, Type.BUDGET_CHANGED) or arming
    stage, mode = stage_of(ours), str(newest.data.get("mode", Mode.AUTO.value))
    told: dict[str, int] = {}
    for one in decisions:
        if one.type is Type.PAGE_DELIVERED:  # several pagers: the first that reached somebody counts
            event_id = str(one.data.get("event_id"))
            told[event_id] = min(one.at_ms, told.get(event_id, one.at_ms))
    assessed = _last(ours, Type.RELEASE_ASSESSED)
    owed = [one for one in debts_of(decisions) if one.is_open]
    shown = [one for one in ours if one.type is not Type.PAGE_DELIVERED]
    name = str(newest.data["budget"])
    return Standing(
        release=arming.release,
        baseline=str(newest.data["baseline"]),
        budget=name,
        budget_digest=str(newest.data["budget_digest"]),
        arming=_number(arming),
        since=rfc3339(arming.at_ms),
        stage=stage,
        halted=blindness(decisions, arming.release) if stage == "watching" else None,
        rollback=_rollback(ours),
        breaches=_breaches(ours) if stage == "watching" else [],
        pages=[*_pages(ours, told), *(_unapplied_page(one, ours, told) for one in unapplied(ours))],
        overrides=_overrides(ours, now_ms) if stage == "watching" else [],
        mode=mode,
        observed=_observed(ours) if mode == Mode.OBSERVE.value else [],
        rehearsed=last_rehearsed(drills, release=arming.release, budget=name, now_ms=now_ms),
        eval_debt=len(owed),
        eval_debt_overdue=sum(one.is_overdue(now_ms) for one in owed),
        assessment=None if assessed is None else assessed.data,
        last_decisions=[_line(one) for one in shown[-LAST_DECISIONS:]],
    )


def _observed(decisions: Sequence[Decision]) -> list[dict[str, object]]:
    said = [as_if(one) for one in decisions if one.type is Type.DECISION_OBSERVED]
    rollbacks = [one for one in said if one.type is Type.ROLLBACK_REQUESTED]
    pages = [one for one in said if one.type is Type.PAGE_OPENED]
    names = ("objective", "cohort", "tier", "reason", "summary")
    return [
        {"would_be": one.type.value, "at": rfc3339(one.at_ms), **{name: one.data.get(name) for name in names}}
        for one in (*rollbacks[:LAST_DECISIONS], *pages[-LAST_DECISIONS:])
    ]


def blindness(decisions: Iterable[Decision], subject: str) -> dict[str, object] | None:
    """Return what is on record of a blindness that nobody has said to be over; None where there is none."""
    ours = [one for one in decisions if one.release == subject]
    over = {one.data.get("page_id") for one in ours if one.type is Type.MONITOR_RECOVERED}
    blind = (one for one in ours if one.type is Type.MONITOR_BLIND and one.decision_id not in over)
    newest = max(blind, key=lambda one: one.at_ms, default=None)
    return None if newest is None else {name: newest.data.get(name) for name in ("cause", "since", "summary")}


def _number(decision: Decision) -> int:
    number = decision.data.get("arming")
    return number if isinstance(number, int) else 0


def _last(decisions: Sequence[Decision], kind: Type) -> Decision | None:
    return next((one for one in reversed(decisions) if one.type is kind), None)


def stage_of(decisions: Sequence[Decision]) -> str:
    """Return the stage of one arming by its decisions, as of `Standing`."""
    kinds = {one.type for one in decisions}
    is_over = any(one.type is Type.RELEASE_ASSESSED and one.data.get("complete") is True for one in decisions)
    if Type.ARMING_ENDED in kinds:
        return "ended"
    if Type.ROLLBACK_REQUESTED in kinds:
        return "locked"
    return "ended" if is_over else "watching"


def _rollback(decisions: Sequence[Decision]) -> dict[str, object] | None:
    request = _last(decisions, Type.ROLLBACK_REQUESTED)
    if request is None:
        return None
    what = {"request_id": request.decision_id, "requested_at": rfc3339(request.at_ms)}
    told = {"reason": request.data.get("reason"), "summary": request.data.get("summary")}
    after = {
        kind.value.partition(".")[2]: None
        if (found := _last(decisions, kind)) is None
        else rfc3339(found.at_ms)
        for kind in _FOLLOW_UPS
    }
    failed = _last(decisions, Type.ROLLBACK_FAILED)
    proven = _last(decisions, Type.ROLLBACK_VERIFIED)
    return {
        **what,
        **told,
        **after,
        "message": None if failed is None else failed.data.get("message"),
        "proof": None if proven is None else proven.data.get("summary"),
    }


def _breaches(decisions: Sequence[Decision]) -> list[dict[str, object]]:
    """Return what is beyond its limit: started, and neither cleared since nor begun anew by a changed budget."""
    newest: dict[tuple[str, str], Decision] = {}
    for one in decisions:
        if one.type in (Type.BREACH_STARTED, Type.BREACH_CLEARED):
            newest[str(one.data["objective"]), repr(one.data["cohort"])] = one
    return [
        {
            "objective": one.data["objective"],
            "cohort": one.data["cohort"],
            "tier": one.data.get("tier"),
            "since": one.data.get("breach_started_at"),
            "summary": one.data.get("summary"),
        }
        for (objective, _), one in newest.items()
        if one.type is Type.BREACH_STARTED
        and _written(decisions, objective, one.at_ms) == _written(decisions, objective)
    ]


def _written(decisions: Sequence[Decision], objective: str, at_ms: int | None = None) -> object:
    """Return how the budget in force at a moment (or now) writes an objective; None where it has none."""
    budgets = [
        one
        for one in decisions
        if one.type in (Type.ARMING_CREATED, Type.BUDGET_CHANGED) and (at_ms is None or one.at_ms <= at_ms)
    ]
    spec = budgets[-1].data.get("spec") if budgets else None
    rows = spec.get("objectives") if isinstance(spec, Mapping) else None
    return next((row for row in rows or () if isinstance(row, Mapping) and row.get("id") == objective), None)


def _pages(decisions: Sequence[Decision], told: Mapping[str, int]) -> list[dict[str, object]]:
    by_page: dict[str, list[Decision]] = {}
    for one in decisions:
        if one.type in _OF_PAGES:
            by_page.setdefault(str(one.data["page_id"]), []).append(one)
    pages = []
    for page_id, events in by_page.items():
        opened = _last(events, Type.PAGE_OPENED)
        if opened is None or any(
            one.type is Type.PAGE_RESOLVED and one.at_ms >= opened.at_ms for one in events
        ):
            continue
        since = [one for one in events if one.at_ms >= opened.at_ms]
        pages.append(_page(page_id, opened, since, told.get(opened.decision_id)))
    return pages


def _unapplied_page(
    one: Unapplied, decisions: Sequence[Decision], told: Mapping[str, int]
) -> dict[str, object]:
    """Return the page that a rollback is not applied: nothing is to be decided, and somebody has to turn the flag."""
    data = {
        **one.failed.data,
        "reason": Reason.ROLLBACK_FAILED.value,
        "summary": f"rollback NOT APPLIED: {one.failed.data.get('message')}",
    }
    since = [event for event in decisions if event.data.get("page_id") == one.page_id]
    return _page(one.page_id, replace(one.failed, data=data), since, told.get(one.page_id))


def _page(
    page_id: str, opened: Decision, since: Sequence[Decision], told_ms: int | None
) -> dict[str, object]:
    seen, expired = _last(since, Type.PAGE_ACKNOWLEDGED), _last(since, Type.PAGE_EXPIRED)
    data = opened.data
    extended, escalated = _last(since, Type.PAGE_EXTENDED), _last(since, Type.PAGE_ESCALATED)
    total_min = None if extended is None else extended.data.get("extended_total_min")
    more_min = total_min if isinstance(total_min, int) else 0
    commands = for_open_page(
        opened.release,
        page_id,
        opened.decision_id,
        str(data.get("reason")),
        is_seen=seen is not None,
        has_deadline=data.get("deadline") is not None and expired is None,
    )
    return {
        "page_id": page_id,
        "objective": data.get("objective"),
        "cohort": data.get("cohort"),
        "tier": data.get("tier"),
        "reason": data.get("reason"),
        "opened_at": rfc3339(opened.at_ms),
        "delivered_at": None if told_ms is None else rfc3339(told_ms),
        "deadline": _deadline(opened, told_ms, more_min),
        "acknowledged_by": None if seen is None else seen.data.get("author"),
        "extended_by": None if extended is None else extended.data.get("author"),
        "extended_min": more_min,
        "escalated": None if escalated is None else escalated.data.get("summary"),
        "expired_at": None if expired is None else rfc3339(expired.at_ms),
        "summary": data.get("summary"),
        "is_question": data.get("reason") not in AFTER_ROLLBACK,
        **asked(data),
        "commands": [line for _, line in commands],
    }


def _deadline(opened: Decision, told_ms: int | None, more_min: int) -> str | None:
    """Return when the page runs out: its clock runs from its opening or its delivery, whichever is later."""
    text = opened.data.get("deadline")
    if not isinstance(text, str):
        return None
    return rfc3339(moment_ms(text) + max(0, (told_ms or 0) - opened.at_ms) + more_min * 60_000)


def _overrides(decisions: Sequence[Decision], now_ms: int) -> list[dict[str, object]]:
    over = {one.data.get("override_id") for one in decisions if one.type is Type.OVERRIDE_EXPIRED}
    names = ("override_id", "objective", "until", "limit", "author", "note")
    return [
        {name: one.data.get(name) for name in names}
        for one in decisions
        if one.type is Type.OVERRIDE_CREATED
        and one.data.get("override_id") not in over
        and not _has_passed(one.data.get("until"), now_ms)
    ]


def _has_passed(until: Any, now_ms: int) -> bool:
    return isinstance(until, str) and moment_ms(until) <= now_ms


def _line(decision: Decision) -> dict[str, object]:
    return {
        "at": rfc3339(decision.at_ms),
        "type": decision.type.value,
        "id": decision.decision_id,
        "summary": decision.data.get("summary") or decision.data.get("message"),
    }
