"""All that is on record of one arming of a release, from decisions in any order: the ledger's, or a file's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar, Final

from monitor.core.decision import Decision, Type
from monitor.core.errors import MonitorError
from monitor.core.eval_debt import EvalDebt, debts_of
from monitor.core.moment import moment_ms
from monitor.core.rehearsal import last_rehearsed
from monitor.core.scorecard import Known
from monitor.core.scorecard_parts import newest_data, text_of
from monitor.engine.page_words import plain
from monitor.engine.standing import blindness, stage_of

DECISIONS_MAX: Final = 100_000
"""Of one arming; more is refused and not cut: what is left out could be what matters."""

_SHOWN: Final = 5  # names in an error
# Of one moment: what led to what.
_ORDER: Final = {
    kind: place
    for place, kind in enumerate(
        (
            Type.ROLLBACK_REHEARSED,
            Type.ARMING_CREATED,
            Type.BUDGET_CHANGED,
            Type.MONITOR_RECOVERED,
            Type.MONITOR_BLIND,
            Type.BREACH_STARTED,
            Type.PAGE_OPENED,
            Type.PAGE_DELIVERED,
            Type.PAGE_REMINDED,
            Type.PAGE_ACKNOWLEDGED,
            Type.PAGE_EXTENDED,
            Type.PAGE_ESCALATED,
            Type.PAGE_EXPIRED,
            Type.OVERRIDE_CREATED,
            Type.OVERRIDE_EXPIRED,
            Type.DECISION_OBSERVED,
            Type.ROLLBACK_REQUESTED,
            Type.DEBT_CREATED,
            Type.ROLLBACK_APPLIED,
            Type.ROLLBACK_FAILED,
            Type.ROLLBACK_VERIFIED,
            Type.BREACH_CLEARED,
            Type.PAGE_RESOLVED,
            Type.COMMAND_REFUSED,
            Type.DEBT_CLOSED,
            Type.BREAKER_CLOSED,
            Type.RELEASE_ASSESSED,
            Type.ARMING_ENDED,
        )
    )
}


class NoSuchRecord(MonitorError):
    """A release, or an arming of it, that is not on record; the message says what is."""

    exit_code: ClassVar[int] = 2


class RecordTooLong(MonitorError):
    """An arming of which more is on record than this reads."""


@dataclass(frozen=True, slots=True)
class ArmingRecord:
    """One arming on record.

    Attributes:
        newest: The number of the release's newest arming.
        decisions: Each once, in time order; at least one.
        drills: Rehearsals of any release, until a later arming of this one.
        spec: The budget in force at the end, in its canonical form; None where it is not on record.
    """

    release: str
    number: int
    newest: int
    decisions: Sequence[Decision]
    drills: Sequence[Decision]
    spec: Mapping[str, Any] | None

    @property
    def as_of_ms(self) -> int:
        """The newest moment on record, epoch milliseconds of event time."""
        return self.decisions[-1].at_ms


def in_time_order(decisions: Iterable[Decision]) -> list[Decision]:
    """Return decisions by their moments, each once; of one moment, what led to what."""
    unique = {one.decision_id: one for one in decisions}
    return sorted(unique.values(), key=lambda one: (one.at_ms, _ORDER[one.type], one.decision_id))


def arming_record(decisions: Iterable[Decision], release: str, number: int | None = None) -> ArmingRecord:
    """Return what is on record of an arming.

    Args:
        number: The arming's; None is the newest.

    Raises:
        NoSuchRecord: Nothing is on record of the release, or of that arming.
        RecordTooLong: More is on record than `DECISIONS_MAX`.
    """
    known = in_time_order(decisions)
    numbers = sorted({found for one in known if one.release == release and (found := _number(one))})
    if not numbers:
        raise NoSuchRecord(_unknown(release, known))
    wanted = numbers[-1] if number is None else number
    if wanted not in numbers:
        shown = ", ".join(map(str, numbers[-_SHOWN:]))
        raise NoSuchRecord(f"{release} has no arming {wanted} on record; its armings there are {shown}")
    ours = [one for one in known if one.release == release and _number(one) == wanted]
    later = [one.at_ms for one in known if one.release == release and (_number(one) or 0) > wanted]
    end_ms = min(later, default=None)
    ours = in_time_order([*ours, *_beside(known, release, ours, end_ms)])
    if len(ours) > DECISIONS_MAX:
        raise RecordTooLong(
            f"{release}, arming {wanted}: {len(ours):,} decisions are on record, and at most {DECISIONS_MAX:,} "
            "are read; give a file of a part of them with --events"
        )
    drills = [one for one in known if _is_drill(one) and (end_ms is None or one.at_ms < end_ms)]
    return ArmingRecord(release, wanted, numbers[-1], ours, drills, _spec(ours))


def known_of(record: ArmingRecord, source: str) -> Known:
    """Return what a scorecard is made of; told as of the newest moment on record.

    Args:
        source: Where it was read: `ledger` or `events`.
    """
    decisions, release = record.decisions, record.release
    state = "replaced" if record.number < record.newest else stage_of(decisions)
    about = [one for one in decisions if one.type in (Type.MONITOR_BLIND, Type.MONITOR_RECOVERED)]
    # A blindness of the whole monitor has no release: each that it names is blind.
    subjects = dict.fromkeys(one.release for one in about)
    blind = next((found for one in subjects if (found := blindness(about, one)) is not None), None)
    return Known(
        release=release,
        arming=record.number,
        decisions=decisions,
        debts=debts_in(decisions),
        state=state,
        blind=blind if state == "watching" else None,
        spec=record.spec,
        rehearsed=last_rehearsed(
            record.drills,
            release=release,
            budget=text_of(newest_data(decisions).get("budget")) or "",
            now_ms=max([record.as_of_ms, *(one.at_ms for one in record.drills)]),
        ),
        source=source,
    )


def debts_in(decisions: Iterable[Decision]) -> list[EvalDebt]:
    """Return the debts that decisions tell of; an event that lacks what every debt has tells of none."""
    return debts_of(one for one in decisions if _tells_of_debt(one))


def _tells_of_debt(one: Decision) -> bool:
    if one.type is Type.DEBT_CLOSED:
        return "debt_id" in one.data
    wanted = ("debt_id", "release", "baseline")
    is_opened = one.type is Type.DEBT_CREATED and all(name in one.data for name in wanted)
    return is_opened and _is_moment(one.data.get("due_at"))


def _is_drill(one: Decision) -> bool:
    expires = one.data.get("expires_at")
    return one.type is Type.ROLLBACK_REHEARSED and (expires is None or _is_moment(expires))


def _is_moment(text: object) -> bool:
    try:
        moment_ms(str(text))
    except (ValueError, OverflowError):
        return False
    return True


def _beside(
    known: Sequence[Decision], release: str, ours: Sequence[Decision], before_ms: int | None
) -> list[Decision]:
    """Return what belongs to an arming and does not carry its number: deliveries, and blindness of its time."""
    ids = {one.decision_id for one in ours} | {str(one.data.get("page_id")) for one in ours}

    def belongs(one: Decision) -> bool:
        if one.type is Type.PAGE_DELIVERED:
            return str(one.data.get("event_id")) in ids or str(one.data.get("page_id")) in ids
        if one.type not in (Type.MONITOR_BLIND, Type.MONITOR_RECOVERED):
            return False
        concerned = one.data.get("releases")
        is_named = one.release == release or (isinstance(concerned, list | tuple) and release in concerned)
        return is_named and ours[0].at_ms <= one.at_ms and (before_ms is None or one.at_ms < before_ms)

    return [one for one in known if _number(one) is None and belongs(one)]


def _number(one: Decision) -> int | None:
    number = one.data.get("arming")
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None


def _spec(decisions: Sequence[Decision]) -> Mapping[str, Any] | None:
    kinds = (Type.ARMING_CREATED, Type.BUDGET_CHANGED)
    newest = next((one for one in reversed(decisions) if one.type in kinds), None)
    spec = None if newest is None else newest.data.get("spec")
    return spec if isinstance(spec, Mapping) else None


def _unknown(release: str, known: Iterable[Decision]) -> str:
    names = sorted({one.release for one in known if _number(one) is not None})
    near = get_close_matches(release, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names[-_SHOWN:]) or 'none'}"
    return plain(f"{release}: no arming of it is on record: {hint}")
