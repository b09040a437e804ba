"""The scorecard: one release's full record in one arming, as one value with one result.

Nothing is measured and nothing is judged here: verdicts, intervals and decisions are read as they stand on record.
There are no points and no weights. What is missing or too thin is a ground of its own; it never counts as passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from monitor.core.budget import Accounting, Tier
from monitor.core.decision import Decision, Reason, Type
from monitor.core.eval_debt import EvalDebt
from monitor.core.moment import rfc3339
from monitor.core.rehearsal import Rehearsed
from monitor.core.scorecard_parts import (
    Assessed,
    Happening,
    Identity,
    Owed,
    Rollback,
    Row,
    assessed_of,
    cohort_of,
    happenings_of,
    identity_of,
    last_of,
    listed_of,
    owed_of,
    rollbacks_of,
    rows_of,
    text_of,
)

VERSION: Final = 1
"""Of the JSON form; a changed meaning is another number."""

LINES_MAX: Final = 1_000
"""Of each list; of what happened the newest, of the others the first. Grounds are taken from all."""


class Result(StrEnum):
    """What a release came to, the worst first: a closed list."""

    ROLLED_BACK = "rolled_back"
    BREACH_HARD = "breach_hard"
    BREACH_SOFT = "breach_soft"
    NO_DATA = "no_data"
    INCONCLUSIVE = "inconclusive"
    NOT_ASSESSED = "not_assessed"
    HEALTHY = "healthy"

    @property
    def words(self) -> str:
        """The result as people read it: `breach (hard)`."""
        first, _, kind = self.value.partition("_")
        return f"{first} ({kind})" if first == "breach" else self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Ground:
    """One thing that speaks for a result, in a sentence."""

    result: Result
    words: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record of one arming.

    Attributes:
        decisions: Of this arming, each once, in time order; at least one.
        debts: That this arming opened.
        state: `watching`, `locked`, `ended`, or `replaced` by a later arming.
        blind: What is on record of a blindness that lasts; None where there is none.
        spec: The budget in force at the end, in its canonical form; None where it is not on record.
        rehearsed: The newest drill that speaks for the release, as of the newest moment on record.
        source: Where this was read: `ledger` or `events`.
    """

    release: str
    arming: int
    decisions: Sequence[Decision]
    debts: Sequence[EvalDebt]
    state: str
    blind: Mapping[str, object] | None
    spec: Mapping[str, Any] | None
    rehearsed: Rehearsed | None
    source: str


@dataclass(frozen=True, slots=True)
class Scorecard:
    """One release's full record in one arming.

    Attributes:
        result, reason: Of the first ground; `healthy` where there is none.
        grounds: All of them, the worst first.
        state: As of `Known`.
        as_of: The newest moment on record, RFC 3339: nothing here is told as of a clock.
        assessed: The newest assessment; None where there is none.
        left_out: How many lines of each list are beyond `LINES_MAX`.
    """

    version: int
    result: Result
    reason: str
    grounds: list[Ground]
    identity: Identity
    state: str
    as_of: str
    assessed: Assessed | None
    objectives: list[Row]
    rollbacks: list[Rollback]
    happened: list[Happening]
    eval_debts: list[Owed]
    rehearsed: Rehearsed | None
    left_out: dict[str, int]


def scorecard(known: Known) -> Scorecard:
    """Return the scorecard of what is on record."""
    decisions = known.decisions
    assessment = last_of(decisions, Type.RELEASE_ASSESSED)
    rows = rows_of(assessment, known.spec)
    rollbacks, happened = rollbacks_of(decisions), happenings_of(decisions)
    owed = list(owed_of(known.debts))
    found = [
        *(Ground(Result.ROLLED_BACK, rollback_words(one)) for one in rollbacks),
        *(_verdicts(rows) if assessment is not None else ()),
        *_since(decisions, assessment, known.spec),
        *_unassessed(known, assessment, rows),
    ]
    grounds = sorted(found, key=lambda one: _RANK[one.result])  # stable: of equal ones the first on record
    result = grounds[0].result if grounds else Result.HEALTHY
    lists: dict[str, Sequence[object]] = {
        "objectives": rows,
        "rollbacks": rollbacks,
        "happened": happened,
        "eval_debts": owed,
    }
    return Scorecard(
        version=VERSION,
        result=result,
        reason=_reason(grounds, result) if grounds else _healthy_words(rows, assessment),
        grounds=grounds[:LINES_MAX],
        identity=identity_of(decisions, known.release, known.arming, known.spec, known.source),
        state=known.state,
        as_of=rfc3339(decisions[-1].at_ms),
        assessed=None if assessment is None else assessed_of(assessment),
        objectives=rows[:LINES_MAX],
        rollbacks=rollbacks[:LINES_MAX],
        happened=happened[-LINES_MAX:],
        eval_debts=owed[:LINES_MAX],
        rehearsed=known.rehearsed,
        left_out={name: beyond for name, one in lists.items() if (beyond := len(one) - LINES_MAX) > 0},
    )


_RANK: Final = {result: rank for rank, result in enumerate(Result)}  # the worst comes first
_UNDECIDED: Final = {
    "no_data": Result.NO_DATA,
    "inconclusive": Result.INCONCLUSIVE,
    "not_assessed": Result.NOT_ASSESSED,
}
_BROKEN: Final = frozenset({Reason.BREACH.value, Reason.IMMEDIATE.value, Reason.CUMULATIVE.value})
_UNITS: Final = {"pct": " %", "pp": " points", "increase": " incidents"}


def _verdicts(rows: Sequence[Row]) -> Iterator[Ground]:
    """Yield what the assessment says against the release: a slice only where it is in breach, as for a gate."""
    for row in rows:
        if row.verdict == "breach":
            yield Ground(_breach(row.tier), f"{_name(row.objective, row.cohort)} is in breach{_shown(row)}")
        elif row.verdict in _UNDECIDED and row.is_whole:
            yield Ground(_UNDECIDED[row.verdict], f"{row.objective}: {_undecided_words(row)}")


def _undecided_words(row: Row) -> str:
    if row.verdict == "no_data":
        return "no data; nothing was compared"
    if row.verdict == "not_assessed":
        return "the assessment has no verdict for it"
    could = "" if row.mde is None else f"; these samples could have shown {row.mde:+.3g}{_unit(row)}"
    return f"inconclusive; neither harm nor health is shown{could}"


def _since(
    decisions: Sequence[Decision], assessment: Decision | None, spec: Mapping[str, Any] | None
) -> Iterator[Ground]:
    """Yield what came after the newest assessment, which therefore says nothing of it."""
    place = -1 if assessment is None else decisions.index(assessment)
    open_breaches: dict[tuple[str, str], Ground] = {}
    for one in decisions[place + 1 :]:
        objective = text_of(one.data.get("objective"))
        if objective is None:
            continue
        name = _name(objective, cohort_of(one.data))
        if one.type is Type.BREACH_STARTED:
            words = f"{name} is beyond its limit since {rfc3339(one.at_ms)}, and nothing has decided it"
            open_breaches[objective, name] = Ground(Result.INCONCLUSIVE, words)
        elif one.type in (Type.BREACH_CLEARED, Type.ROLLBACK_REQUESTED):  # a rollback is said by itself
            open_breaches.pop((objective, name), None)
        elif _asked_for(one):
            open_breaches.pop((objective, name), None)
            words = _sentence(one.data.get("summary"))
            is_named = words.startswith(objective)
            yield Ground(
                _paged(one, _is_sustained(objective, spec)), words if is_named else f"{name}: {words}"
            )
    yield from open_breaches.values()


def _asked_for(one: Decision) -> bool:
    """Tell whether a decision asks for something because of an objective, or would, were it not only observed."""
    return one.type in (Type.PAGE_OPENED, Type.DECISION_OBSERVED) and one.data.get("would_be") not in (
        Type.PAGE_EXPIRED.value,
        Type.PAGE_RESOLVED.value,
    )


def _paged(one: Decision, is_sustained: bool) -> Result:
    """Return what a page for an objective speaks for.

    Minutes spent in all are a breach where the budget adds them up; where it asks for minutes without a break they are
    none, and no health either.
    """
    reason = text_of(one.data.get("reason"))
    if reason == Reason.NO_DATA.value:
        return Result.NO_DATA
    if reason not in _BROKEN or (reason == Reason.CUMULATIVE.value and is_sustained):
        return Result.INCONCLUSIVE
    return _breach(text_of(one.data.get("tier")))


def _is_sustained(objective: str, spec: Mapping[str, Any] | None) -> bool:
    asked = listed_of((spec or {}).get("objectives"))
    known = (one for one in asked if isinstance(one, Mapping) and one.get("id") == objective)
    return any(one.get("accounting") == Accounting.SUSTAINED.value for one in known)


def _unassessed(known: Known, assessment: Decision | None, rows: Sequence[Row]) -> Iterator[Ground]:
    if assessment is None:
        yield Ground(Result.NOT_ASSESSED, "no assessment of it is on record")
    elif not rows:
        yield Ground(Result.NOT_ASSESSED, "its assessment names no objective")
    else:
        changed = last_of(known.decisions, Type.BUDGET_CHANGED)
        if changed is not None and changed.at_ms > assessment.at_ms:
            words = f"its budget changed at {rfc3339(changed.at_ms)}, and nothing was assessed since"
            yield Ground(Result.NOT_ASSESSED, words)
    if known.blind is not None:
        words = f"the monitor does not see it since {known.blind.get('since')}"
        yield Ground(Result.NOT_ASSESSED, f"{words}: {_sentence(known.blind.get('summary'))}")


def rollback_words(one: Rollback) -> str:
    """Return why it was asked for, and what became of it."""
    of = f" of {_slice(one.cohort)} only" if one.cohort else ""
    when = "at a moment that is not on record" if one.requested_at is None else f"at {one.requested_at}"
    why = "" if one.summary is None else f" ({_sentence(one.summary).removeprefix('roll back: ')})"
    return f"a rollback{of} was requested {when}{why}; {_became(one)}"


def _became(one: Rollback) -> str:
    if one.newest == "failed":
        return f"it FAILED{_after(one.failed_s)}: {_sentence(one.message)}"
    if one.newest == "verified":
        return f"the traffic proved it{_after(one.verified_s)}"
    if one.newest == "applied":
        return f"it was applied{_after(one.applied_s)}, and no proof by the traffic is on record"
    return "nothing on record says that it was applied"


def _after(seconds: float | None) -> str:
    return "" if seconds is None else f" after {seconds:g} s"


def _reason(grounds: Sequence[Ground], result: Result) -> str:
    others = sum(one.result is result for one in grounds) - 1
    return grounds[0].words + (f"; and {others} more" if others else "")


def _healthy_words(rows: Sequence[Row], assessment: Decision | None) -> str:
    assert assessment is not None, "without an assessment there is a ground against it"
    whole = sum(row.is_whole for row in rows)
    each = "the one objective is" if whole == 1 else f"all {whole} objectives are"
    undecided = sum(row.verdict != "healthy" for row in rows)
    slices = f"; slices not decided: {undecided}" if undecided else ""
    stage = "the whole window" if assessment.data.get("complete") is True else "not the whole window"
    return f"{each} shown to be within the limit up to {rfc3339(assessment.at_ms)} ({stage}){slices}"


def _breach(tier: str | None) -> Result:
    """A breach whose tier is not on record counts as hard: what is not known never counts as the milder."""
    return Result.BREACH_SOFT if tier == Tier.B.value else Result.BREACH_HARD


def _shown(row: Row) -> str:
    if row.delta is None or row.limit is None:
        return ""
    unit = _unit(row)
    return f": {row.delta:+.3g}{unit} where the limit is {row.limit:+g}{unit}"


def _unit(row: Row) -> str:
    return _UNITS.get(row.unit or "", "")


def _name(objective: str, cohort: Mapping[str, str]) -> str:
    return f"{objective} for {_slice(cohort)}" if cohort else objective


def _slice(cohort: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in cohort.items())


def _sentence(words: object) -> str:
    return text_of(words) or "it does not say why"
